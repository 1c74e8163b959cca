"""The gate before every dial, when a run is due, its pace, its command and its page. What it finds: tests/journeys."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from io import StringIO
from itertools import count
from typing import Any

import httpx
import pytest
from django.apps import apps
from django.conf import settings as django_settings
from django.contrib.auth.models import Group
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django.fixtures import Settings

from callcenter import heartbeat, reconcile, roles
from callcenter.models import Correction, Doubt, ReconcileRun
from callcenter.processes import any_port
from callcenter.reconcile.explain import payload_of
from callcenter.reconcile.findings import event_of
from callcenter.simulator.simulator import Simulator
from callcenter.simulator.wire import Request
from conferences import services as mirror
from conferences.models import CallLeg, Conference
from queues import tasks
from queues.models import Offer
from tests.callcenter import clients
from tests.queues import scene
from webhooks import dispatch, inbox, outbox
from webhooks.models import Command, DispatchGate, WebhookEvent
from webhooks.telnyx import conf
from webhooks.telnyx.client import TelnyxClient
from webhooks.telnyx.errors import TelnyxUnavailable
from webhooks.telnyx.records import CallEventRecord

pytestmark = pytest.mark.django_db

State = ReconcileRun.State
NOW = datetime(2026, 3, 2, 10, tzinfo=UTC)


# the gate ----------------------------------------------------------------------------------------------------


def closed() -> None:
    """Nobody of ours lived for a while, and the gate's hour has passed."""
    DispatchGate.objects.update_or_create(defaults={"open_until": timezone.now() - timedelta(seconds=1)})


def opened() -> None:
    """A comparison that began after that has ended."""
    dispatch.install()
    lapse = dispatch.dark_since()
    assert lapse is None or dispatch.reopen(lapse)


def test_where_no_sweeper_ever_ran_the_gate_is_open_and_the_next_one_finds_it_as_it_is() -> None:
    assert dispatch.is_open()
    dispatch.install()
    assert dispatch.is_open()
    closed()
    dispatch.install()
    assert not dispatch.is_open()
    opened()
    assert dispatch.is_open()


def test_who_has_the_rows_compared_keeps_the_gate_open_and_opens_none_that_has_closed() -> None:
    opened()
    DispatchGate.objects.update(open_until=timezone.now() + timedelta(seconds=1))
    before = DispatchGate.objects.get().open_until
    reconcile.due(NOW)
    assert DispatchGate.objects.get().open_until > before + timedelta(seconds=5)
    closed()
    reconcile.due(NOW)
    reconcile.due(NOW)
    assert not dispatch.is_open()


@pytest.mark.parametrize("kind", ["web", "worker", "sweep"])
def test_that_some_process_is_alive_keeps_no_gate_open(kind: str) -> None:
    opened()
    before = DispatchGate.objects.get().open_until
    heartbeat.beat(kind)
    assert DispatchGate.objects.get().open_until == before


def test_only_a_comparison_that_began_after_the_last_lapse_opens_the_gate() -> None:
    closed()
    first = dispatch.dark_since()
    assert first is not None
    closed()  # whoever compared was frozen, and all the others too
    assert not dispatch.reopen(first)
    second = dispatch.dark_since()
    assert second is not None
    assert not dispatch.reopen(first)
    assert not dispatch.is_open()
    assert dispatch.reopen(second)
    assert dispatch.is_open()


def test_a_dark_run_left_by_a_crash_does_not_open_the_gate() -> None:
    closed()
    left = run(State.LOOKING_AGAIN, secs_ago=5)
    ReconcileRun.objects.filter(pk=left.pk).update(in_the_dark=True, dark_since=dispatch.dark_since())
    closed()
    reconcile.due(NOW)
    with answering(NOTHING) as line:
        reconcile.look(line, clock=lambda: NOW)
    left.refresh_from_db()
    assert left.state == State.DONE
    assert not dispatch.is_open()
    assert "full" in reconcile.due(NOW)


@pytest.mark.parametrize("has_run", [True, False], ids=["a running house", "a fresh database"])
def test_an_upgrade_closes_the_gate_of_a_house_that_has_been_running(has_run: bool) -> None:
    if has_run:
        Command.objects.create(kind="hang_up", operation="calls.hangup", dedupe_key="v3:a", created_at=NOW)
    import_module("webhooks.migrations.0006_dispatch_gate_lapse").close(apps, None)
    assert dispatch.is_open() == (not has_run)


def test_no_pass_is_run_while_the_gate_is_closed() -> None:
    line = scene.queue()
    anna = scene.agent("anna", serves=line, available_since=timezone.now())
    scene.waiting(line)
    closed()
    tasks.route(str(line.pk))
    tasks.agent_freed(str(anna.pk))
    assert not Offer.objects.exists()
    opened()
    tasks.route(str(line.pk))
    assert Offer.objects.count() == 1


def test_a_dial_that_was_written_before_the_dark_waits_and_a_hang_up_does_not(settings: Settings) -> None:
    line = scene.queue()
    scene.agent("anna", serves=line, available_since=timezone.now())
    scene.waiting(line)
    tasks.route(str(line.pk))
    dial = Command.objects.get(operation="calls.dial")
    with_hang_up = outbox.issue(
        "hang_up", operation="calls.hangup", target="v3:leg", priority=0, dedupe_key="v3:leg", now=timezone.now()
    )
    assert with_hang_up is not None
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return httpx.Response(200, json={"data": {"result": "ok"}})

    closed()
    with TelnyxClient(api_key="K", base_url="http://telnyx/v2", transport=httpx.MockTransport(answer)) as client:
        outbox.send(dial.pk, client)
        outbox.send(with_hang_up.pk, client)
    dial.refresh_from_db()
    assert dial.state == Command.State.NEW
    assert [path.rpartition("/")[2] for path in asked] == ["hangup"]


# when --------------------------------------------------------------------------------------------------------


def run(state: str, *, secs_ago: float, kind: str = "full") -> ReconcileRun:
    at = NOW - timedelta(seconds=secs_ago)
    begun = None if state == State.REQUESTED else at
    return ReconcileRun.objects.create(kind=kind, state=state, created_at=at, started_at=begun, ended_at=begun)


@pytest.mark.parametrize(
    ("state", "secs_ago", "is_due"),
    [
        pytest.param(State.DONE, 29, False, id="done lately"),
        pytest.param(State.DONE, 30, True, id="done 30 s ago"),
        pytest.param(State.FAILED, 4, False, id="just failed"),
        pytest.param(State.FAILED, 5, True, id="failed 5 s ago"),
        pytest.param(State.RUNNING, 14, False, id="still running"),
        pytest.param(State.LOOKING_AGAIN, 100, False, id="looking again"),
        pytest.param(State.RUNNING, 15, True, id="left running"),
        pytest.param(State.LOOKING_AGAIN, 121, True, id="left looking"),
    ],
)
def test_a_full_run_is_due(state: str, secs_ago: float, is_due: bool) -> None:
    run(state, secs_ago=secs_ago)
    assert ("full" in reconcile.due(NOW)) == is_due


def test_a_full_run_is_due_at_first_when_asked_for_and_after_darkness() -> None:
    assert "full" in reconcile.due(NOW)
    run(State.DONE, secs_ago=1)
    assert "full" not in reconcile.due(NOW)
    closed()
    assert "full" in reconcile.due(NOW)
    opened()
    reconcile.request(reason="sue", now=NOW)
    assert "full" in reconcile.due(NOW)


@pytest.mark.parametrize(("state", "left_after"), [(State.RUNNING, 15), (State.LOOKING_AGAIN, 120)])
def test_a_run_that_gets_on_is_not_begun_again(state: str, left_after: float) -> None:
    long = run(state, secs_ago=300)
    ReconcileRun.objects.filter(pk=long.pk).update(renewed_at=NOW - timedelta(seconds=left_after - 1))
    assert "full" not in reconcile.due(NOW)
    ReconcileRun.objects.filter(pk=long.pk).update(renewed_at=NOW - timedelta(seconds=left_after))
    assert "full" in reconcile.due(NOW)


def test_who_takes_the_lead_does_not_wait_for_a_run_of_who_led_before() -> None:
    closed()
    reconcile.due(NOW)
    left = run(State.RUNNING, secs_ago=3)
    ReconcileRun.objects.filter(pk=left.pk).update(renewed_at=NOW)
    with answering(NOTHING) as line:
        assert reconcile.full(line, clock=at(0), reason="start") != left
    left.refresh_from_db()
    assert left.state == State.FAILED
    assert dispatch.is_open()


def test_who_takes_the_lead_finishes_a_run_that_only_looks_again() -> None:
    looking = run(State.LOOKING_AGAIN, secs_ago=30)
    with answering(NOTHING) as line:
        assert reconcile.full(line, clock=at(0), reason="start") == looking
    looking.refresh_from_db()
    assert looking.state == State.LOOKING_AGAIN


@pytest.mark.parametrize("state", [State.RUNNING, State.DONE, State.FAILED])
@pytest.mark.parametrize("kind", ReconcileRun.Kind)
def test_which_legs_live_is_asked_every_five_seconds_whatever_else_goes_on(kind: str, state: str) -> None:
    run(state, secs_ago=4, kind=kind)
    assert ("legs" in reconcile.due(NOW)) == (kind != ReconcileRun.Kind.LEGS)
    assert "legs" in reconcile.due(NOW + timedelta(seconds=1))


def test_a_look_that_nobody_has_ended_is_ended_by_the_next_comparison_of_everything() -> None:
    left, others = run(State.RUNNING, secs_ago=130, kind=ReconcileRun.Kind.LEGS), run(State.RUNNING, secs_ago=10)
    lately = run(State.LOOKING_AGAIN, secs_ago=100, kind=ReconcileRun.Kind.LOOK)
    with answering(NOTHING) as line:
        reconcile.full(line, clock=lambda: NOW)
    states = [ReconcileRun.objects.get(pk=each.pk).state for each in (left, others, lately)]
    assert states == [State.FAILED, State.FAILED, State.LOOKING_AGAIN]
    Doubt.objects.create(subject="leg v3:a", missed_at=NOW, not_before=NOW)
    ReconcileRun.objects.filter(pk=left.pk).update(kind=ReconcileRun.Kind.LOOK)
    assert "look" in reconcile.due(NOW)  # it has not failed just now


def test_what_was_missed_after_a_list_was_made_is_not_settled_by_it() -> None:
    for subject, secs in (("leg v3:before", -3), ("leg v3:after", 1)):
        Doubt.objects.create(subject=subject, missed_at=NOW + timedelta(seconds=secs))
    with answering(NOTHING) as line:
        reconcile.legs(line, clock=lambda: NOW)
    assert list(Doubt.objects.filter(missed_at__isnull=False).values_list("subject", flat=True)) == ["leg v3:after"]


def at(secs: float) -> Callable[[], datetime]:
    """A clock that stands still."""
    return lambda: NOW + timedelta(seconds=secs)


def slow_clock() -> Callable[[], datetime]:
    """Ten seconds pass from each step to the next."""
    steps = count()
    return lambda: NOW + timedelta(seconds=10 * next(steps))


def test_a_run_that_failed_says_when() -> None:
    with answering(httpx.Response(503)) as line:
        failed = reconcile.full(line, clock=slow_clock())
    failed.refresh_from_db()
    assert failed.state == State.FAILED
    assert failed.started_at == NOW
    assert failed.ended_at is not None
    assert failed.ended_at > NOW


def test_what_a_long_run_tells_is_received_when_it_is_told(telnyx: Simulator) -> None:
    """So that nobody takes it for an event that was left lying."""
    for name in ("a", "b"):
        CallLeg.objects.create(
            call_control_id=f"v3:{name}", direction="incoming", initiated_at=NOW - timedelta(minutes=15)
        )
        Doubt.objects.create(subject=f"leg v3:{name}", missed_at=NOW - timedelta(seconds=5))
    done = reconcile.full(reconcile.Line(conf.client(), wait=lambda secs: None), clock=slow_clock())
    first, second = WebhookEvent.objects.order_by("id")
    assert NOW < first.received_at < second.received_at
    assert (first.occurred_at, second.occurred_at) == (NOW, NOW)
    assert list(Correction.objects.order_by("at").values_list("at", flat=True)) == [
        first.received_at,
        second.received_at,
    ]
    done.refresh_from_db()
    assert done.state == State.LOOKING_AGAIN


def test_what_is_in_doubt_is_looked_at_at_once() -> None:
    run(State.DONE, secs_ago=1)
    run(State.DONE, secs_ago=1, kind=ReconcileRun.Kind.LEGS)
    leg = CallLeg.objects.create(call_control_id="v3:a", direction="incoming")
    assert reconcile.due(NOW) == []
    mirror.suspect("v3:a", NOW)
    assert reconcile.due(NOW) == ["look"]
    CallLeg.objects.filter(pk=leg.pk).update(suspected_at=None)
    Doubt.objects.create(subject="leg v3:a", missed_at=NOW, not_before=NOW + timedelta(seconds=2))
    assert reconcile.due(NOW + timedelta(seconds=1)) == []
    assert reconcile.due(NOW + timedelta(seconds=2)) == ["look"]


def test_nobody_suspects_what_is_over() -> None:
    CallLeg.objects.create(call_control_id="v3:a", hangup_at=NOW)
    mirror.suspect("v3:a", NOW)
    assert CallLeg.objects.get().suspected_at is None


# pace --------------------------------------------------------------------------------------------------------


@contextmanager
def answering(
    *answers: Any, headers: dict[str, str] | None = None, waits: list[float] | None = None
) -> Iterator[reconcile.Line]:
    """A line to a Telnyx that says these things one after the other, the last one for ever. Its clock stands still."""
    left = list(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        said = left.pop(0) if len(left) > 1 else left[0]
        return said if isinstance(said, httpx.Response) else httpx.Response(200, json=said, headers=headers)

    wait = [].append if waits is None else waits.append
    with TelnyxClient(api_key="K", base_url="http://telnyx/v2", transport=httpx.MockTransport(answer)) as client:
        yield reconcile.Line(client, wait=wait, clock=lambda: 100.0)


NOTHING = {"data": [], "meta": {}}


@pytest.mark.parametrize(
    ("limit", "is_dark", "apart"),
    [(None, False, 5 / 30), (1000, False, 5 / 200), (None, True, 5 / 120), (1000, True, 5 / 800)],
)
def test_requests_keep_to_a_share_of_what_telnyx_allows(limit: int | None, is_dark: bool, apart: float) -> None:
    if is_dark:
        closed()
    waits: list[float] = []
    with answering(NOTHING, headers={"x-ratelimit-limit": str(limit)} if limit else {}, waits=waits) as line:
        line.legs()
        assert waits == []
        for _ in range(10):
            line.legs()
    # Nobody really waited, so each turn is that much further ahead. Telnyx's word comes with the first answer.
    assert waits[0] == pytest.approx(5 / ((0.8 if is_dark else 0.2) * 150))
    assert waits[-1] - waits[-2] == pytest.approx(apart)


def test_a_limit_that_falls_is_kept_to() -> None:
    waits: list[float] = []
    answers = [httpx.Response(200, json=NOTHING, headers={"x-ratelimit-limit": str(limit)}) for limit in (1000, 100)]
    with answering(*answers, waits=waits) as line:
        for _ in range(6):
            line.legs()
    assert waits[-1] - waits[-2] == pytest.approx(5 / 20)


def test_a_question_is_asked_three_times_and_telnyx_says_when() -> None:
    away, busy = httpx.Response(503), httpx.Response(429, headers={"retry-after": "3"})
    waits: list[float] = []
    with answering(busy, away, NOTHING, waits=waits) as line:
        assert line.legs() == {}
    assert 3.0 in waits
    with answering(away, away, away, NOTHING) as line, pytest.raises(TelnyxUnavailable):
        line.legs()


# words -------------------------------------------------------------------------------------------------------


def test_whoever_finds_the_same_tells_the_same_event() -> None:
    one = event_of("call.hangup", NOW, {"call_control_id": "v3:a"}, "v3:a")
    other = event_of("call.hangup", NOW + timedelta(seconds=7), {"call_control_id": "v3:a"}, "v3:a")
    third = event_of("call.hangup", NOW, {"call_control_id": "v3:b"}, "v3:b")
    assert one.id == other.id != third.id
    assert inbox.store(one, received_at=NOW, source=WebhookEvent.Source.RECONCILE)
    assert not inbox.store(other, received_at=NOW, source=WebhookEvent.Source.RECONCILE)


PAYLOAD = {"call_leg_id": "l", "hangup_cause": "timeout"}


@pytest.mark.parametrize(
    "metadata",
    [
        PAYLOAD,
        {"payload": PAYLOAD},
        {"event": {"payload": PAYLOAD}},
        {"data": {"payload": PAYLOAD}},
        {"event": PAYLOAD},
    ],
)
def test_the_raw_event_is_found_wherever_the_log_has_it(metadata: dict[str, Any]) -> None:
    line = {"name": "call.hangup", "type": "webhook", "metadata": metadata}
    assert payload_of(CallEventRecord.from_json(line)) == PAYLOAD


@pytest.mark.parametrize("metadata", [{}, {"payload": "text"}, {"event": []}, {"payload": {"other": 1}}])
def test_a_line_without_a_raw_event_has_none(metadata: dict[str, Any]) -> None:
    line = {"name": "call.hangup", "type": "webhook", "metadata": metadata}
    assert payload_of(CallEventRecord.from_json(line)) is None


# gone --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("heard_mins_ago", "listed_mins_ago", "gone_after_secs"),
    [
        pytest.param(None, 15, 601, id="known from the answer to its dial alone"),
        pytest.param(15, 1, 541, id="heard of long ago, and listed lately"),
        pytest.param(1, 15, 541, id="heard of lately"),
        pytest.param(15, 15, 3, id="neither heard of nor listed for long"),
        pytest.param(15, None, 3, id="never listed"),
    ],
)
def test_what_telnyx_does_not_know_is_over_ten_minutes_after_it_was_there(
    telnyx: Simulator, heard_mins_ago: int | None, listed_mins_ago: int | None, gone_after_secs: int
) -> None:
    heard_at = None if heard_mins_ago is None else NOW - timedelta(minutes=heard_mins_ago)
    CallLeg.objects.create(call_control_id="v3:a", direction="outgoing", role="agent", initiated_at=heard_at)
    if listed_mins_ago is not None:
        run(State.DONE, secs_ago=60 * listed_mins_ago)
    line = reconcile.Line(conf.client(), wait=lambda secs: None)
    for secs in (0, 3, 539, 541, 599, 601):
        reconcile.full(line, clock=at(secs))
        is_gone = WebhookEvent.objects.filter(event_type="call.hangup", call_control_id="v3:a").exists()
        assert is_gone == (secs >= gone_after_secs), secs


# the command -------------------------------------------------------------------------------------------------


@pytest.fixture
def telnyx(settings: Settings) -> Iterator[Simulator]:
    """A simulator on loopback that our own client reaches."""
    simulator = Simulator(
        connection_id=django_settings.TELNYX_CONNECTION_ID,
        api_key=django_settings.TELNYX_API_KEY,
        clock="manual",
        post=lambda url, body, headers: 200,
    )

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = simulator.handle(Request(method="GET", path=path, query=query, headers=headers, body=b""))
            content = httpx.Response(answer.status, json=answer.json).content
            self.send_response(answer.status)
            for name, value in {**answer.headers, "content-length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        settings.TELNYX_BASE_URL = f"http://127.0.0.1:{server.server_address[1]}/v2"
        yield simulator
        server.shutdown()
        thread.join(5)
    settings.TELNYX_BASE_URL = django_settings.TELNYX_BASE_URL  # closes the client
    simulator.close()


def said(*words: str) -> str:
    out = StringIO()
    call_command("reconcile", *words, stdout=out)
    return out.getvalue()


def test_the_command_says_what_differs_and_mends_it(telnyx: Simulator) -> None:
    assert said() == "nothing differs\n"
    ReconcileRun.objects.update(started_at=timezone.now() - timedelta(minutes=11))
    lost = CallLeg.objects.create(
        call_control_id="v3:lost",
        call_leg_id="lost",
        direction="incoming",
        connection_id=django_settings.TELNYX_CONNECTION_ID,
        initiated_at=timezone.now() - timedelta(minutes=11),
    )
    runs = ReconcileRun.objects.count()
    with pytest.raises(CommandError, match="1 of 1 differences remain") as refusal:
        said("--dry-run")
    assert refusal.value.returncode == 1
    assert (ReconcileRun.objects.count(), WebhookEvent.objects.count(), Doubt.objects.count()) == (runs, 0, 0)

    assert said() == "leg_gone: leg lost of the unknown is over (call.hangup)\n"
    event = WebhookEvent.objects.get(source="reconcile")
    assert Correction.objects.get().remedy == event.event_type == "call.hangup"
    inbox.apply(event.pk)
    lost.refresh_from_db()
    assert lost.hangup_at is not None
    assert said("--dry-run") == "nothing differs\n"


@pytest.mark.parametrize("words", [(), ("--dry-run",)], ids=["mending", "dry"])
def test_the_command_says_that_telnyx_is_away(settings: Settings, words: tuple[str, ...]) -> None:
    settings.TELNYX_BASE_URL = f"http://127.0.0.1:{any_port()}/v2"
    with pytest.raises(CommandError, match="no connection"):
        said(*words)
    assert not Doubt.objects.exists()


# the page ----------------------------------------------------------------------------------------------------


def test_an_administrator_asks_for_a_run_by_a_button(client: Client) -> None:
    ada = clients.user(name="ada", is_staff=True)
    ada.groups.add(Group.objects.get(name=roles.ADMINISTRATORS))
    client.force_login(ada)
    page = client.get(reverse("admin:callcenter_reconcilerun_changelist")).content.decode()
    now = reverse("admin:callcenter_reconcilerun_now")
    assert f'action="{now}"' in page
    assert "Reconcile now" in page
    assert client.get(now).status_code == 405
    assert client.post(now).status_code == 302
    asked = ReconcileRun.objects.get()
    assert (asked.state, asked.reason) == (State.REQUESTED, "asked for by ada")


def test_who_may_only_look_has_no_button(client: Client) -> None:
    client.force_login(clients.user("callcenter.view_reconcilerun", is_staff=True))
    page = client.get(reverse("admin:callcenter_reconcilerun_changelist")).content.decode()
    assert "Reconcile now" not in page
    assert client.post(reverse("admin:callcenter_reconcilerun_now")).status_code == 403
    assert not ReconcileRun.objects.exists()


@pytest.mark.parametrize("name", ["callleg", "conference"])
def test_a_mirror_is_compared_on_request(client: Client, name: str) -> None:
    call = scene.talking(scene.queue())
    row = call.leg if name == "callleg" else Conference.objects.get()
    page = reverse(f"admin:conferences_{name}_changelist")
    form = {"action": "reconcile", "_selected_action": [str(row.pk)]}
    client.force_login(clients.user(f"conferences.view_{name}", name="nobody", is_staff=True))
    client.post(page, form)
    assert not CallLeg.objects.filter(suspected_at__isnull=False).exists()
    client.force_login(clients.user(f"conferences.view_{name}", "conferences.change_conference", is_staff=True))
    client.post(page, form)
    assert CallLeg.objects.filter(suspected_at__isnull=False).count() == (1 if name == "callleg" else 2)
