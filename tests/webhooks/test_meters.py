"""Each count moves when its fault happens; none fails or delays what it counts; processes are added up."""

import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from celery import current_app
from django.db import transaction

from tests.conftest import ROOT
from tests.webhooks import sender
from tests.webhooks.counts import grows, names, read, value
from tests.webhooks.line import Killed, Line, age, kill_at, row
from tests.webhooks.sender import event, post, post_raw
from webhooks import inbox, metering, meters, nudge, outbox
from webhooks.models import Command, WebhookEvent
from webhooks.telnyx.client import TelnyxClient

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("door")]

# what Telnyx tells us ----------------------------------------------------------------------------------------


def a_long_time_ago() -> str:
    return str(int(time.time()) - 3600)


@pytest.mark.parametrize(
    ("reason", "refused"),
    [
        ("length_required", lambda: post(event(), CONTENT_LENGTH="")),
        ("too_large", lambda: post(b"x" * (256 * 1024 + 1))),
        ("content_type", lambda: post(event(), content_type="text/plain")),
        ("cut_short", lambda: post(event(), CONTENT_LENGTH="10000", **{"wsgi.input": io.BytesIO(b"{")})),
        ("timestamp_shape", lambda: post(event(), timestamp="soon")),
        ("timestamp_stale", lambda: post(event(), timestamp=a_long_time_ago())),
        ("signature_shape", lambda: post_raw(b"{}", sender.with_headers("A", str(int(time.time()))))),
        ("signature_wrong", lambda: post(event(), key=sender.OTHER_KEY)),
        ("malformed", lambda: post(b"[]")),
    ],
)
def test_a_refused_webhook(reason: str, refused: Callable[[], Any]) -> None:
    with (
        grows("webhook_rejected_total", reason=reason),
        grows("webhook_rejected_total", by=0, reason="other"),
        grows("webhook_ack_seconds_count"),
    ):
        assert refused().status_code >= 400


def test_an_event_that_comes_twice() -> None:
    twice = event(event_id="twice")
    with grows("inbox_duplicates_total"), grows("webhook_ack_seconds_count", by=2), grows("event_age_seconds_count"):
        assert [post(twice).status_code for _ in range(2)] == [200, 200]


def test_an_event_that_comes_late_is_as_old_as_it_is() -> None:
    before = value("event_age_seconds_bucket", le="60.0")
    with grows("event_age_seconds_bucket", le="120.0"):
        post(event(at=datetime.now(UTC) - timedelta(seconds=90)))
    assert value("event_age_seconds_bucket", le="60.0") == before


def test_the_distance_of_the_clocks_is_that_of_good_signatures() -> None:
    ahead = str(int(time.time()) + 45)
    with grows("webhook_skew_seconds_bucket", le="-30.0"):
        post(event(), timestamp=ahead)
    with grows("webhook_skew_seconds_bucket", by=0, le="-30.0"):
        post(event(), timestamp=ahead, key=sender.OTHER_KEY)


def stored(event_type: str = "call.answered", **more: Any) -> WebhookEvent:
    document = event(event_type, **more)
    assert post(document).status_code == 200
    return WebhookEvent.objects.get(event_id=document["data"]["id"])


def test_an_event_applied_after_a_later_one_of_its_leg() -> None:
    now = datetime.now(UTC)
    words = {"direction": "incoming", "from": "+447700900001", "to": "+442071838750"}
    inbox.apply(stored("call.initiated", at=now, **words).pk)
    late = stored("call.answered", at=now + timedelta(seconds=1))
    with grows("inbox_out_of_order_total", by=0), grows("event_to_state_seconds_count"):
        assert inbox.apply(stored("call.hangup", at=now + timedelta(seconds=2)).pk)
    with grows("inbox_out_of_order_total"):
        assert inbox.apply(late.pk)


def test_an_event_whose_first_applier_died() -> None:
    unlucky = stored()
    WebhookEvent.objects.filter(pk=unlucky.pk).update(attempts=1)  # counted before it began, and never heard of again
    with grows("lease_expired_total", of="event"):
        assert inbox.apply(unlucky.pk)


# what we tell Telnyx -----------------------------------------------------------------------------------------


def test_a_refused_command(line: Line) -> None:
    with grows("command_rejected_total", code="90034"), grows("command_wait_seconds_count", priority="rest"):
        line.send(line.speak(line.rig.ring_in()))


def test_a_command_turned_away_as_one_too_many(line: Line) -> None:
    sequence = line.dial(priority=Command.Priority.DIAL)
    line.faults(api_429=1)
    with grows("telnyx_429_total"), grows("command_wait_seconds_count", by=0, priority="dial"):
        line.send(sequence)


def test_a_command_whose_sender_died(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    sequence = line.dial()
    with monkeypatch.context() as patch:
        kill_at(patch, "_perform")
        with pytest.raises(Killed):
            line.send(sequence)
    age(sequence, 11)
    with grows("lease_expired_total", of="command"):
        assert line.send(sequence).state == Command.State.ACCEPTED
    assert row(sequence).error == ""


def test_a_command_that_is_sent_again_has_lost_no_lease(line: Line) -> None:
    sequence = line.dial()
    line.faults(api_timeout=1)
    line.send(sequence)
    age(sequence, 5)
    line.faults()
    with grows("lease_expired_total", by=0, of="command"):
        assert line.send(sequence).state == Command.State.ACCEPTED


def test_an_outcome_that_comes_when_another_has_the_command(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    sequence = line.dial()

    def sleepy(command: Command, client: TelnyxClient) -> outbox.Outcome:
        age(sequence, 11)
        assert outbox._claim(sequence) is not None
        return outbox.Outcome(Command.State.REJECTED, code="90018")

    monkeypatch.setattr(outbox, "_perform", sleepy)
    with grows("fence_rejected_total"), grows("command_rejected_total", by=0, code="90018"):
        line.send(sequence)


# how work is handed on ---------------------------------------------------------------------------------------


def test_nudges_that_reach_no_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first is tried, the next is not even that."""

    def refused(*_: object, **__: object) -> None:
        raise ConnectionError

    monkeypatch.setattr(current_app, "send_task", refused)
    publish = nudge.Publisher()
    before = [value("nudge_failed_total", why=why) for why in ("not_published", "broker_away")]
    for why, was in zip(("not_published", "broker_away"), before, strict=True):
        publish("webhooks.send", "1")
        deadline = time.monotonic() + 10
        while value("nudge_failed_total", why=why) == was:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert [value("nudge_failed_total", why=why) for why in ("not_published", "broker_away")] == [n + 1 for n in before]


def test_a_nudge_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    gate, taken = threading.Event(), threading.Event()

    def never(*_: object, **__: object) -> None:
        taken.set()
        gate.wait(10)

    monkeypatch.setattr(current_app, "send_task", never)
    publish = nudge.Publisher(size=1)
    publish("webhooks.apply", "on its way")
    assert taken.wait(10)
    publish("webhooks.apply", "waits")
    with grows("nudge_failed_total", why="queue_full"):
        publish("webhooks.apply", "dropped")
    gate.set()


# no harm -----------------------------------------------------------------------------------------------------


def test_what_is_rolled_back_is_not_counted(django_capture_on_commit_callbacks: Any) -> None:
    with grows("conflict_total"), django_capture_on_commit_callbacks(execute=True):
        meters.conflict_total.inc_on_commit()
        try:
            with transaction.atomic():
                meters.conflict_total.inc_on_commit()
                raise RuntimeError
        except RuntimeError:
            pass


def test_a_kind_that_nobody_named_is_another() -> None:
    with grows("command_rejected_total", code="other"):
        meters.command_rejected_total.inc("a code of next year")
    assert not any("next year" in str(labels) for _, labels in read(metering.counted().decode()))


# processes ---------------------------------------------------------------------------------------------------

COUNTS = """
import os, sys
from webhooks import meters
for _ in range({times}):
    meters.inbox_duplicates_total.inc()
    meters.webhook_ack_seconds.observe(0.02)
if {forks}:
    if child := os.fork():
        os.waitpid(child, 0)
    else:
        meters.inbox_duplicates_total.inc()
        os._exit(0)
print("counted", flush=True)
sys.stdin.read()
"""


def environment(folder: Path, **more: str) -> dict[str, str]:
    return {**os.environ, "DJANGO_SETTINGS_MODULE": "callcenter.settings", metering.FOLDER: str(folder), **more}


@contextmanager
def counting(folder: Path, *, times: int, forks: bool = False) -> Iterator["subprocess.Popen[str]"]:
    """A process that has counted so often, and lives."""
    program = [sys.executable, "-c", COUNTS.format(times=times, forks=forks)]
    with subprocess.Popen(
        program, cwd=ROOT, env=environment(folder), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "counted\n"
        yield process
        process.kill()


def told(folder: Path) -> tuple[float, float]:
    """Duplicates, and webhooks answered within 25 ms, as another process reads them."""
    counts = read(metering.Folder(folder).counted().decode())
    return counts["inbox_duplicates_total", ()], counts["webhook_ack_seconds_bucket", (("le", "0.025"),)]


def test_the_processes_of_a_host_are_added_up_and_the_dead_are_not_forgotten(tmp_path: Path) -> None:
    with counting(tmp_path, times=3) as one, counting(tmp_path, times=4, forks=True):
        assert told(tmp_path) == (8, 7)
        one.kill()
        one.wait()
        assert told(tmp_path) == (8, 7)
        assert told(tmp_path) == (8, 7)
    assert told(tmp_path) == (8, 7)
    assert {path.name for path in tmp_path.glob("*.db")} >= {"counter_dead.db", "histogram_dead.db"}
    assert len(list(tmp_path.glob("counter_*.db"))) <= 2, "the dead and the last who asked"


def test_all_meters_fit_into_the_room_that_is_reserved(tmp_path: Path) -> None:
    with counting(tmp_path, times=1):
        sizes = {path.stat().st_size for path in tmp_path.glob("*.db")}
    assert sizes == {metering.FILE_BYTES}


def test_a_process_that_died_as_it_began_spoils_no_sum(tmp_path: Path) -> None:
    (tmp_path / "counter_gone-1.db").touch()
    with counting(tmp_path, times=2):
        assert told(tmp_path) == (2, 2)
    assert not (tmp_path / "counter_gone-1.db").exists()


POSTS = """
import os, shutil, sys
import django
django.setup()
from django.core.management import call_command
from django.test import Client
from tests.webhooks.sender import event, post
from webhooks.models import WebhookEvent
call_command("migrate", "webhooks", verbosity=0)
print(post(event()).status_code, flush=True)
shutil.rmtree({folder!r}, ignore_errors=True)
print(post(event()).status_code, flush=True)
from django.db import connection
connection.close()
if child := os.fork():
    os.waitpid(child, 0)
else:
    print(post(event()).status_code, WebhookEvent.objects.count(), flush=True)
    os._exit(0)
"""


@pytest.mark.parametrize("there", [True, False], ids=["taken away", "never there"])
def test_a_broken_folder_breaks_no_webhook(tmp_path: Path, there: bool) -> None:
    folder = tmp_path / "meters"
    if there:
        folder.mkdir()
    more = {
        "ALLOWED_HOSTS": "testserver",
        "DATABASE_URL": f"sqlite:///{tmp_path}/own.sqlite3",
        "TELNYX_PUBLIC_KEY": sender.public(sender.KEY),
        "REDIS_URL": "redis://127.0.0.1:1/0",
    }
    done = subprocess.run(
        [sys.executable, "-c", POSTS.format(folder=str(folder))],
        cwd=ROOT,
        env=environment(folder, **more),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["200", "200", "200", "3"]
    assert ("cannot be used" in done.stderr) is not there
    assert ("are lost" in done.stderr) is there


def test_every_count_is_there_before_anything_happens() -> None:
    """A count that appears as 1 is no increase to Prometheus."""
    declared = {
        meter.name for meter in vars(meters).values() if isinstance(meter, metering.Counter | metering.Histogram)
    }
    assert declared <= names(metering.counted().decode())
    assert value("webhook_rejected_total", reason="timestamp_stale") >= 0
