"""A sender that is stopped beyond its lease, and goes on: it sends nothing late and writes nothing late."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from django.db import connection
from django.utils import timezone

from tests.conftest import ROOT
from webhooks import outbox
from webhooks.models import Command
from webhooks.outbox import Kind
from webhooks.telnyx.client import TelnyxClient

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres]

STOPPED_SECS = 10.5  # more than a lease
STOPPED_LONG_SECS = 30.0  # more than the 20 s for which a command may be repeated
# It says where it is, and is stopped there: before its last look at whether the command is wanted, on the wire, or
# with the answer in its hands.
SENDER = """
import os, sys
import django
django.setup()
from django.conf import settings
from webhooks import outbox
from webhooks.outbox import Kind
from webhooks.telnyx.client import TelnyxClient

where, sequence, url, database = sys.argv[1:]
settings.DATABASES["default"]["NAME"] = database

def here(place):
    if place == where:
        print(place, flush=True)
        sys.stdin.readline()

perform = outbox._perform
def performed(command, client):
    outcome = perform(command, client)
    here("answered")
    return outcome
def wanted(command):
    here("claimed")
    return True
def closed(command, now):
    print("closed", flush=True)

outbox._perform = performed
outbox.configure({"deed": Kind(wanted, closed)}, suspect=lambda leg, at: None)
outbox.send(int(sequence), TelnyxClient(api_key="KEY", base_url=url))
print("done", flush=True)
"""


class Telnyx(ThreadingHTTPServer):
    """It answers every command, after a while, and remembers which; who was told to join is in the conference."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []
        self.arrived = threading.Event()
        self.may_answer = threading.Event()
        self.may_answer.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v2"


class Handler(BaseHTTPRequestHandler):
    server: Telnyx

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append(body["command_id"])
        self.server.arrived.set()
        self.server.may_answer.wait(30)
        self._answer({"result": "ok"})

    def do_GET(self) -> None:
        present = {"id": "participant", "call_control_id": "v3:leg", "status": "joined"}
        self._answer([present] if self.server.asked else [])

    def _answer(self, data: object) -> None:
        answer = json.dumps({"data": data}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        with contextlib.suppress(OSError):  # it may not have waited
            self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def telnyx() -> Iterator[Telnyx]:
    server = Telnyx()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setattr(outbox, "_kinds", {"deed": Kind(lambda _: True, lambda *_: None)})
    issued = outbox.issue(
        "deed",
        operation="conferences.join",
        target="conference",
        arguments={"call_control_id": "v3:leg"},
        dedupe_key="one",
        now=timezone.now(),
    )
    assert issued is not None
    return issued


class Sender:
    """A process of its own."""

    def __init__(self, where: str, command: Command, telnyx: Telnyx) -> None:
        words = [where, str(command.pk), telnyx.url, connection.settings_dict["NAME"]]
        environment = os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", SENDER, *words], cwd=ROOT, env=environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip

    def says(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def goes_on(self) -> list[str]:
        """Lets it run to its end; returns what it said."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.process.send_signal(signal.SIGCONT)
        said, _ = self.process.communicate(timeout=60)
        return said.split()


@pytest.fixture
def senders() -> Iterator[Callable[..., Sender]]:
    started: list[Sender] = []

    def start(where: str, command: Command, telnyx: Telnyx) -> Sender:
        started.append(Sender(where, command, telnyx))
        return started[-1]

    yield start
    for sender in started:
        if sender.process.poll() is None:
            sender.process.kill()
        sender.process.wait()
        for pipe in (sender.process.stdin, sender.process.stdout):
            if pipe is not None:
                pipe.close()


def state(command: Command) -> tuple[str, int, int]:
    command.refresh_from_db()
    return command.state, command.fence, command.lost_leases


def sent_by_another(command: Command, telnyx: Telnyx) -> None:
    with TelnyxClient(api_key="KEY", base_url=telnyx.url) as client:
        outbox.send(command.pk, client)


def test_stopped_with_the_command_in_its_hands_it_sends_nothing_late(
    senders: Callable[..., Sender], command: Command, telnyx: Telnyx
) -> None:
    sender = senders("claimed", command, telnyx)
    assert sender.says() == "claimed"
    sender.stop()
    time.sleep(STOPPED_SECS)
    assert sender.goes_on() == ["done"]
    assert telnyx.asked == []
    assert state(command) == (Command.State.NEW, 1, 0)
    Command.objects.update(not_before=None)
    sent_by_another(command, telnyx)
    assert state(command) == (Command.State.ACCEPTED, 2, 0)
    assert len(telnyx.asked) == 1


def test_stopped_while_another_sends_it_sends_and_writes_nothing(
    senders: Callable[..., Sender], command: Command, telnyx: Telnyx
) -> None:
    sender = senders("claimed", command, telnyx)
    assert sender.says() == "claimed"
    sender.stop()
    time.sleep(STOPPED_SECS)
    sent_by_another(command, telnyx)
    assert state(command) == (Command.State.ACCEPTED, 2, 1)
    assert sender.goes_on() == ["done"]
    assert state(command) == (Command.State.ACCEPTED, 2, 1)
    assert telnyx.asked == [str(command.command_id)]


@pytest.mark.parametrize("where", ["sending", "answered"])
def test_stopped_on_the_wire_its_late_answer_is_dropped(
    senders: Callable[..., Sender], command: Command, telnyx: Telnyx, where: str
) -> None:
    """The other repeats it under the same id, which Telnyx knows; what the first then says is too late."""
    if where == "sending":
        telnyx.may_answer.clear()
    sender = senders(where, command, telnyx)
    if where == "sending":
        assert telnyx.arrived.wait(60)
    else:
        assert sender.says() == "answered"
    sender.stop()
    telnyx.may_answer.set()
    time.sleep(STOPPED_SECS)
    sent_by_another(command, telnyx)
    closed_at = Command.objects.get().closed_at
    assert sender.goes_on() == ["done"]
    assert state(command) == (Command.State.ACCEPTED, 2, 1)
    assert (command.closed_at, command.error) == (closed_at, "")
    assert telnyx.asked == [str(command.command_id)] * 2


def test_stopped_on_the_wire_for_thirty_seconds_it_is_looked_for_and_not_sent_again(
    senders: Callable[..., Sender], command: Command, telnyx: Telnyx
) -> None:
    """By then Telnyx may forget the id: the other looks and finds the effect, and the first writes nothing more."""
    sender = senders("answered", command, telnyx)
    assert sender.says() == "answered"
    sender.stop()
    time.sleep(STOPPED_LONG_SECS)
    sent_by_another(command, telnyx)
    assert state(command) == (Command.State.ACCEPTED, 2, 1)
    closed_at, result = command.closed_at, command.result
    assert sender.goes_on() == ["done"]
    assert state(command) == (Command.State.ACCEPTED, 2, 1)
    assert (command.closed_at, command.result) == (closed_at, result)
    assert telnyx.asked == [str(command.command_id)]
