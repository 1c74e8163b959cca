"""A Telnyx that does not answer is left alone, by all senders and at once, until it does; and its limits are kept."""

import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx
import pytest
from django.db import connection
from django.db.models import F
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from pytest_django.fixtures import Settings

from tests.webhooks.line import Line, age, due, row
from webhooks import breaker, outbox
from webhooks.breaker import THRESHOLD
from webhooks.clock import from_now
from webhooks.models import Command, DispatchGate, TelnyxStatus
from webhooks.telnyx.client import TelnyxClient

pytestmark = pytest.mark.django_db

State = Command.State
REFUSED = {"errors": [{"code": "90018", "title": "call has already ended"}]}


def fails(line: Line, times: int, fault: str = "api_5xx") -> None:
    """So many requests of as many commands."""
    line.faults(**{fault: 1})
    for _ in range(times):
        line.send(line.speak(str(uuid.uuid4())))
    line.faults()


def later(secs: float) -> None:
    """As if so much time had passed on the database's clock, and the copies had run out."""
    by = timedelta(seconds=secs)
    TelnyxStatus.objects.update(
        probe_at=F("probe_at") - by, dials_from=F("dials_from") - by, requests_from=F("requests_from") - by
    )
    breaker._read()


def asked(line: Line, operation: str) -> int:
    return len(line.effects(operation))


# opening -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault", ["api_5xx", "api_5xx_after_effect", "api_timeout", "api_timeout_after_effect", "reset"]
)
def test_failures_in_a_row_open_it(line: Line, fault: str) -> None:
    leg = line.rig.caller()
    line.faults(**{fault: 1})
    for number in range(THRESHOLD):
        assert not breaker.is_open()
        line.send(line.speak(leg, key=number, ordering_key=f"{number}"))
    assert breaker.is_open()
    assert str(TelnyxStatus.objects.get()) == "does not answer"


@pytest.mark.parametrize("answer", ["accepted", "refused"])
def test_an_answer_between_them_is_an_answer(line: Line, answer: str) -> None:
    leg = line.rig.caller() if answer == "accepted" else line.rig.ring_in()
    fails(line, THRESHOLD - 1)
    assert line.send(line.speak(leg)).state in (State.ACCEPTED, State.REJECTED)
    fails(line, THRESHOLD - 1)
    assert not breaker.is_open()


def test_a_429_is_neither(line: Line) -> None:
    fails(line, THRESHOLD, "api_429")
    assert breaker.look().failures == 0
    fails(line, THRESHOLD - 1)
    fails(line, 1, "api_429")
    assert breaker.look().failures == THRESHOLD - 1


def test_one_command_alone_does_not_open_it_before_it_is_given_up(line: Line) -> None:
    sequence = line.speak(line.rig.caller())
    line.faults(api_5xx={"share": 1, "match": {"operation": "calls.speak"}})
    while row(sequence).closed_at is None:
        assert not breaker.is_open()
        line.send(sequence)
        age(sequence, 4)
    assert row(sequence).code == Command.LOST


# open --------------------------------------------------------------------------------------------------------


def test_open_only_hang_ups_and_answers_are_sent(line: Line) -> None:
    ringing, talking = line.rig.ring_in(), line.rig.caller()
    fails(line, THRESHOLD)
    waiting = line.send(line.speak(talking))
    assert (waiting.state, waiting.first_sent_at, waiting.error) == (State.NEW, None, "Telnyx does not answer")
    assert asked(line, "calls.speak") == THRESHOLD
    line.faults(api_5xx=1)
    answer = line.send(line.issue("calls.answer", ringing, priority=Command.Priority.ANSWER))
    hang_up = line.send(line.hang_up(talking))
    assert (answer.state, hang_up.state) == (State.SENT, State.SENT)
    assert breaker.is_open()


@pytest.mark.parametrize("kind", ["answer", "hang-up"])
def test_whichever_of_them_is_answered_closes_it(line: Line, kind: str) -> None:
    leg, other = line.rig.ring_in(), line.rig.caller()
    fails(line, THRESHOLD)
    blocked = line.speak(other)
    line.send(blocked)
    line.send(
        line.hang_up(leg) if kind == "hang-up" else line.issue("calls.answer", leg, priority=Command.Priority.ANSWER)
    )
    assert not breaker.is_open()
    age(blocked, 5)
    assert line.send(blocked).state == State.ACCEPTED


def test_a_dial_that_was_not_sent_keeps_nobody_waiting(line: Line) -> None:
    fails(line, THRESHOLD)
    dial = line.send(line.dial(priority=Command.Priority.DIAL))
    assert (dial.state, dial.code, dial.first_sent_at) == (State.REJECTED, Command.AWAY, None)
    assert dial.says_unavailable
    assert line.closed == [dial]
    assert asked(line, "calls.dial") == 0


def test_a_dial_that_may_have_rung_is_kept_and_looked_for(line: Line) -> None:
    dial = line.dial(priority=Command.Priority.DIAL)
    line.faults(api_timeout_after_effect=1)
    line.send(dial)
    fails(line, THRESHOLD)
    age(dial, 20)
    assert line.send(dial).state == State.UNKNOWN
    later(5)
    breaker.probe(line.client)
    age(dial, 5)
    assert line.send(dial).state == State.ACCEPTED
    assert line.effects("calls.dial") == ["done"]


# half-open ---------------------------------------------------------------------------------------------------


class Gets:
    """A Telnyx of one answer, and how often it was asked."""

    def __init__(self, status: int | None) -> None:
        self.status, self.count = status, 0
        self.client = TelnyxClient(api_key="KEY", base_url="http://x/v2", transport=httpx.MockTransport(self._answer))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.count += 1
        if self.status is None:
            raise httpx.ReadTimeout("silence", request=request)
        body: dict[str, Any] = {"data": [], "meta": {"total_pages": 0}} if self.status == 200 else REFUSED
        return httpx.Response(self.status, json=body)


def test_it_is_probed_after_a_while_by_one(line: Line) -> None:
    fails(line, THRESHOLD)
    telnyx = Gets(503)
    breaker.probe(telnyx.client)
    assert (telnyx.count, breaker.look().probe_is_due) == (0, False)
    later(5)
    assert breaker.look().probe_is_due
    for _ in range(3):
        breaker.probe(telnyx.client)
    assert (telnyx.count, breaker.look().probe_is_due) == (1, False)
    later(5)
    breaker.probe(telnyx.client)
    assert telnyx.count == 2


@pytest.mark.parametrize("status", [503, 429, None])
def test_without_an_answer_it_stays_open(line: Line, status: int | None) -> None:
    fails(line, THRESHOLD)
    later(5)
    breaker.probe(Gets(status).client)
    assert breaker.is_open()


@pytest.mark.parametrize("status", [200, 401, 422])
def test_answered_it_is_closed_on_trial(line: Line, status: int) -> None:
    fails(line, THRESHOLD)
    later(5)
    breaker.probe(Gets(status).client)
    assert not breaker.is_open()
    fails(line, 1)
    assert breaker.is_open()
    later(5)
    breaker.probe(Gets(status).client)
    line.send(line.speak(line.rig.caller()))
    fails(line, THRESHOLD - 1)
    assert not breaker.is_open()


def test_a_closed_one_is_not_probed(line: Line) -> None:
    telnyx = Gets(200)
    breaker.probe(telnyx.client)
    assert telnyx.count == 0


# shared ------------------------------------------------------------------------------------------------------


@pytest.fixture
def redis_away(settings: Settings) -> None:
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": "redis://127.0.0.1:1/0",
        }
    }


def another_process() -> None:
    """It has looked just now, and saw nothing amiss."""
    breaker._Copy.keep(breaker.Seen(0, False, False, False))


def test_all_senders_know_at_once(line: Line) -> None:
    fails(line, THRESHOLD)
    another_process()
    assert line.send(line.speak(line.rig.caller())).error == "Telnyx does not answer"


@pytest.mark.usefixtures("redis_away")
def test_with_redis_away_the_rows_say_it_a_second_later(line: Line, caplog: pytest.LogCaptureFixture) -> None:
    fails(line, THRESHOLD)
    another_process()
    assert not breaker.is_open()
    breaker._Copy.at -= breaker.COPY_SECS
    assert breaker.is_open()
    assert line.send(line.speak(line.rig.caller())).error == "Telnyx does not answer"
    line.send(line.hang_up(line.rig.caller()))
    assert not breaker.is_open()
    said = [each.getMessage() for each in caplog.records if "Redis is away" in each.getMessage()]
    assert len(said) == 1


def test_with_redis_flushed_the_row_is_asked(line: Line) -> None:
    fails(line, THRESHOLD)
    breaker._Copy.seen = None
    breaker.cache.delete(breaker.KEY)
    assert breaker.is_open()


@pytest.fixture
def black_hole(settings: Settings) -> Iterator[None]:
    """A Redis that takes connections and never says a word, under the product's own timeouts."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        settings.CACHES = {
            "default": {
                "BACKEND": "django.core.cache.backends.redis.RedisCache",
                "LOCATION": f"redis://127.0.0.1:{server.getsockname()[1]}/0",
                "OPTIONS": {"socket_connect_timeout": 1.0, "socket_timeout": 1.0},
            }
        }
        yield


@pytest.mark.usefixtures("black_hole")
def test_a_redis_that_never_answers_is_waited_for_once(line: Line) -> None:
    legs = [line.rig.caller() for _ in range(5)]
    began = time.monotonic()
    assert [line.send(line.speak(leg)).state for leg in legs] == [State.ACCEPTED] * 5
    assert 1.0 <= time.monotonic() - began < 4.0


def test_asking_costs_one_statement_a_second(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    with django_assert_num_queries(1):
        assert not any(breaker.is_open() for _ in range(100))
        assert not any(breaker.look().is_open for _ in range(100))


# what Telnyx grants ------------------------------------------------------------------------------------------


def granting(line: Line, remaining: int, *, limit: int = 100, reset: str = "3") -> Callable[[], int]:
    """A Telnyx that says so with every answer; returns how often it was asked."""
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        headers = {
            "x-ratelimit-limit": str(limit), "x-ratelimit-remaining": str(remaining), "x-ratelimit-reset": reset,
        }  # fmt: skip
        ids = {"call_control_id": "leg", "call_leg_id": "leg", "call_session_id": "session"}
        return httpx.Response(200, json={"data": {"result": "ok", **ids}}, headers=headers)

    line.client = TelnyxClient(api_key="KEY", base_url="http://x/v2", transport=httpx.MockTransport(answer))
    return lambda: len(asked)


def test_the_end_of_a_window_is_for_hang_ups(line: Line) -> None:
    count = granting(line, 5)
    assert line.send(line.speak("a")).state == State.ACCEPTED
    waiting = line.send(line.speak("b"))
    assert (waiting.state, waiting.first_sent_at) == (State.NEW, None)
    assert line.send(line.issue("calls.answer", "c", priority=Command.Priority.ANSWER)).state == State.NEW
    assert line.send(line.hang_up("d")).state == State.ACCEPTED
    assert line.send(line.dial()).state == State.ACCEPTED  # of a window of their own, which is as nearly full now
    assert line.send(line.dial()).state == State.NEW
    assert count() == 3
    later(3)
    age(waiting.pk, 3)
    assert line.send(waiting.pk).state == State.ACCEPTED


def test_as_long_as_there_is_room_nobody_waits(line: Line) -> None:
    count = granting(line, 6)
    for number in range(10):
        assert line.send(line.speak(f"leg {number}")).state == State.ACCEPTED
    assert count() == 10


def test_a_reset_beyond_reason_is_not_waited_for(line: Line) -> None:
    granting(line, 0, reset="1790000000")
    line.send(line.speak("a"))
    assert line.send(line.speak("b")).state == State.NEW
    later(breaker.LONGEST_RESET_SECS)
    assert not breaker.look().requests_are_spent


@pytest.mark.usefixtures("redis_away")
def test_a_window_is_known_to_all_without_redis_too(line: Line) -> None:
    granting(line, 0)
    line.send(line.speak("a"))
    another_process()
    breaker._Copy.at -= breaker.COPY_SECS
    assert line.send(line.speak("b")).state == State.NEW


# dials -------------------------------------------------------------------------------------------------------


def dialled(*secs_ago: float) -> None:
    for secs in secs_ago:
        one = Command.objects.create(
            kind="deed",
            dedupe_key=uuid.uuid4(),
            operation="calls.dial",
            state=State.ACCEPTED,
            created_at=timezone.now(),
        )
        Command.objects.filter(pk=one.pk).update(first_sent_at=from_now(-timedelta(seconds=secs)))


@pytest.mark.parametrize(
    ("secs_ago", "goes"),
    [
        pytest.param([], True, id="the first"),
        pytest.param([0.1] * 2, True, id="room in the second"),
        pytest.param([0.1] * 3, False, id="the second is full"),
        pytest.param([2.0] * 4, True, id="room in the window"),
        pytest.param([2.0] * 5, False, id="the window is full"),
        pytest.param([2.0] * 3 + [0.1] * 2, False, id="both count"),
        pytest.param([5.0] * 50, True, id="another window"),
    ],
)
def test_dials_keep_to_their_second_and_their_window(
    line: Line, settings: Settings, secs_ago: list[float], goes: bool
) -> None:
    settings.DIALS_PER_SECOND, settings.DIALS_PER_WINDOW = 3, 5
    dialled(*secs_ago)
    dial = line.send(line.dial())
    assert dial.state == (State.ACCEPTED if goes else State.NEW)
    assert (dial.first_sent_at is None) is not goes
    age(dial.pk, 5)
    Command.objects.exclude(pk=dial.pk).update(first_sent_at=from_now(-timedelta(seconds=5)))
    assert line.send(dial.pk).state == State.ACCEPTED


def test_a_dial_that_waits_its_turn_keeps_nothing_else_waiting(line: Line, settings: Settings) -> None:
    settings.DIALS_PER_SECOND = 1
    dialled(0.0)
    legs = [line.rig.caller() for _ in range(3)]
    for _ in range(3):
        line.send(line.dial())
    assert {line.send(line.speak(leg)).state for leg in legs} == {State.ACCEPTED}


def test_who_waits_longest_is_asked_for_first(line: Line, settings: Settings) -> None:
    settings.DIALS_PER_SECOND = 2
    dialled(0.0, 0.0)
    dials = [line.dial() for _ in range(5)]
    last, first = line.send(dials[-1]).not_before, line.send(dials[0]).not_before
    assert last is not None
    assert first is not None
    assert first < last
    assert last <= timezone.now() + timedelta(seconds=1.5)


@pytest.mark.django_db(transaction=True)
def test_many_senders_at_once_do_not_exceed_it(line: Line, settings: Settings) -> None:
    settings.DIALS_PER_SECOND = 10
    dials = [line.dial() for _ in range(60)]
    stop = time.monotonic() + 2.5
    start = threading.Barrier(6)

    def work(_: int) -> None:
        start.wait()
        try:
            while time.monotonic() < stop:
                for dial in dials:
                    outbox.send(dial, line.client)
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    sent = sorted(
        each for each in Command.objects.filter(state=State.ACCEPTED).values_list("first_sent_at", flat=True) if each
    )
    assert len(sent) >= 10
    for first, eleventh in zip(sent, sent[10:], strict=False):
        assert eleventh - first >= timedelta(seconds=1)


# what is not even looked at ----------------------------------------------------------------------------------

WAITS = {"Telnyx does not answer", "Telnyx's window is nearly full", "our rows have not been compared with Telnyx yet"}


def close_gate() -> None:
    DispatchGate.objects.create(open_until=from_now(-timedelta(seconds=1)))


def status(**fields: Any) -> None:
    TelnyxStatus.objects.create(**fields)
    breaker._read()


@pytest.mark.parametrize("gate_is_closed", [False, True])
@pytest.mark.parametrize(
    "spent",
    [
        pytest.param([], id="nothing spent"),
        pytest.param(["dials_from"], id="dials spent"),
        pytest.param(["requests_from"], id="requests spent"),
    ],
)
@pytest.mark.parametrize("failures", [0, THRESHOLD])
def test_due_is_whatever_would_not_be_told_to_wait(
    line: Line, failures: int, spent: list[str], gate_is_closed: bool
) -> None:
    """A line that is closed costs one question a second, and not three statements for each command behind it."""
    if gate_is_closed:
        close_gate()
    lately, long_ago = ({"first_sent_at": timezone.now() - timedelta(seconds=secs)} for secs in (5, 30))
    issued = {
        "hang-up": line.hang_up(line.rig.caller()),
        "answer": line.issue("calls.answer", line.rig.ring_in(), priority=Command.Priority.ANSWER),
        "dial": line.dial(priority=Command.Priority.DIAL, ordering_key="a"),
        "dial again": line.dial(priority=Command.Priority.DIAL, ordering_key="b"),
        "dial late": line.dial(priority=Command.Priority.DIAL, ordering_key="d"),
        "look for dial": line.dial(priority=Command.Priority.DIAL, ordering_key="c"),
        "rest": line.speak(line.rig.caller()),
        "rest again": line.speak(line.rig.caller()),
    }
    Command.objects.filter(pk__in=[issued["dial again"], issued["rest again"]]).update(state=State.SENT, **lately)
    Command.objects.filter(pk=issued["dial late"]).update(state=State.SENT, **long_ago)
    Command.objects.filter(pk=issued["look for dial"]).update(state=State.UNKNOWN, **long_ago)
    status(failures=failures, **dict.fromkeys(spent, from_now(timedelta(minutes=1))))
    found = set(due())
    waited = set()
    for sequence in issued.values():
        TelnyxStatus.objects.update(failures=failures)  # the answer to a hang-up closes the breaker
        breaker._read()
        if line.send(sequence).error in WAITS:
            waited.add(sequence)
    assert found == set(issued.values()) - waited
