"""Of the sweepers one leads, and another when that one is gone; what is due is done in the order of its urgency."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

pytest.importorskip("time_machine", reason="needs requirements-dev.txt")

import time_machine
from django.db import OperationalError, connection
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from callcenter import sweep
from callcenter.databases import POSTGRES
from callcenter.models import Lease, ProcessHeartbeat
from callcenter.sweep import LEASE, RECONCILERS, SEND, SENDERS, THREADS, Hands, Job, Sweeper
from tests.journeys.clock import database_time
from webhooks.models import Command, WebhookEvent

pytestmark = pytest.mark.django_db

BEGAN = datetime(2026, 3, 2, 10, tzinfo=UTC)


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(BEGAN, tick=False) as clock, database_time():
        yield clock


@pytest.fixture
def two() -> tuple[Sweeper, Sweeper]:
    one, other = Sweeper(), Sweeper()
    one.name, other.name = "one", "other"
    return one, other


def test_one_of_two_leads(clock: time_machine.Traveller, two: tuple[Sweeper, Sweeper]) -> None:
    one, other = two
    for _ in range(30):
        assert one.leads()
        assert not other.leads()
        clock.shift(1)


def test_when_the_leader_is_gone_the_other_leads_within_five_seconds(
    clock: time_machine.Traveller, two: tuple[Sweeper, Sweeper]
) -> None:
    one, other = two
    assert one.leads()
    clock.shift(LEASE - timedelta(seconds=0.1))
    assert not other.leads()
    clock.shift(0.2)
    assert other.leads()
    assert not one.leads()
    assert timedelta(seconds=5) >= LEASE


def test_the_first_lease_is_on_the_databases_clock() -> None:
    with time_machine.travel(timezone.now() + timedelta(hours=1)):
        assert Sweeper().leads()
    assert Lease.objects.get().until < timezone.now() + LEASE + timedelta(seconds=1)


def test_two_with_one_host_name_and_number_are_two() -> None:
    one, other = Sweeper(), Sweeper()
    assert one.leads()
    assert not other.leads()


# the order ---------------------------------------------------------------------------------------------------


def command(priority: int, number: int) -> Job:
    row = Command.objects.create(
        kind="deed", operation="calls.speak", dedupe_key=f"{priority}:{number}", priority=priority, created_at=BEGAN
    )
    return SEND, str(row.pk)


def event(number: int) -> Job:
    row = WebhookEvent.objects.create(
        event_id=f"event-{number}", event_type="call.answered", occurred_at=BEGAN, received_at=BEGAN, payload={}
    )
    return "webhooks.apply", str(row.pk)


def test_hang_ups_and_answers_come_first_and_events_before_deadlines() -> None:
    rest = [command(Command.Priority.REST, number) for number in range(THREADS)]
    events = [event(number) for number in range(3 * THREADS)]
    answer, hang_up = command(Command.Priority.ANSWER, 0), command(Command.Priority.HANG_UP, 0)
    found = sweep.due(timezone.now())
    assert found == [hang_up, answer, *rest, *events, ("queues.route_all", "")]


# the hands ---------------------------------------------------------------------------------------------------


class Work:
    """Jobs of the test's own, which last until they are let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun: list[Job] = []
        self.may_end: dict[Job, threading.Event] = {}
        self._jobs = monkeypatch
        self.hands = Hands()

    def lasting(self, kind: str, *idents: str) -> list[Job]:
        def run(ident: str) -> None:
            self.begun.append((kind, ident))
            assert self.may_end[kind, ident].wait(10)

        self._jobs.setitem(sweep.JOBS, kind, run)
        jobs = [(kind, ident) for ident in idents]
        self.may_end |= {job: threading.Event() for job in jobs}
        return jobs

    def end(self, *jobs: Job) -> None:
        for job in jobs:
            self.may_end[job].set()

    def until(self, happened: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 10
        while not happened():
            assert time.monotonic() < deadline, self.begun
            time.sleep(0.005)

    def begins(self, *jobs: Job) -> None:
        """These, and after a moment still no other."""
        self.until(lambda: len(self.begun) >= len(jobs))
        time.sleep(0.05)
        assert sorted(self.begun) == sorted(jobs)
        self.begun.clear()


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Iterator[Work]:
    work = Work(monkeypatch)
    yield work
    work.end(*work.may_end)
    work.hands.rest()


KINDS = ("webhooks.close", "webhooks.apply", "queues.settle")


def numbers(count: int) -> list[str]:
    return [f"{number:03}" for number in range(count)]


def test_what_is_urgent_now_waits_for_what_is_under_way_and_for_nothing_else(work: Work) -> None:
    settles = work.lasting("queues.settle", *numbers(100))
    [hang_up] = work.lasting(SEND, "hang-up")
    work.hands.found(settles)
    work.begins(*settles[:THREADS])
    work.hands.found([hang_up, *settles])
    work.end(settles[0])
    work.begins(hang_up)


def test_slow_sends_leave_hands_for_events(work: Work) -> None:
    sends = work.lasting(SEND, *numbers(20))
    events = work.lasting("webhooks.apply", *numbers(THREADS - SENDERS + 1))
    work.hands.found([*sends, *events])
    work.begins(*sends[:SENDERS], *events[:-1])
    work.end(events[0])
    work.begins(events[-1])
    work.end(sends[0])
    work.begins(sends[SENDERS])


def test_however_much_there_is_of_others_every_kind_has_its_turn(work: Work) -> None:
    """Sends that last hold their hands, and each second finds more than the rest can do in it."""
    sends = work.lasting(SEND, "hang-up", *numbers(20))
    closes, events, settles = (work.lasting(kind, *numbers(20)) for kind in KINDS)
    [probe, routing] = work.lasting("webhooks.probe", "") + work.lasting("queues.route_all", "")
    due = [*sends[1:], *closes, *events, *settles, probe, routing]
    work.hands.found(due)
    work.begins(*sends[1 : SENDERS + 1], closes[0], events[0], settles[0])
    for ended, begun in [(closes[0], probe), (events[0], routing), (settles[0], closes[1]), (probe, events[1])]:
        work.hands.found([job for job in due if job not in (closes[0], events[0], settles[0])])
        work.end(ended)
        work.begins(begun)
    work.hands.found([sends[0], *due])
    work.end(sends[1])
    work.begins(sends[0])


def test_what_is_nudged_has_its_turn_too(work: Work) -> None:
    settles = work.lasting("queues.settle", *numbers(3 * THREADS))
    [routing] = work.lasting("queues.route", "queue")
    work.hands.found(settles)
    work.begins(*settles[:THREADS])
    work.hands.nudged(routing)
    work.hands.found(settles)
    work.end(*settles[:2])
    work.begins(settles[THREADS], routing)


def test_a_pass_that_takes_longer_than_a_tick_is_not_begun_again(work: Work) -> None:
    [routing] = work.lasting("queues.route_all", "")
    for _ in range(3):
        work.hands.found([routing])
    work.begins(routing)
    work.end(routing)
    work.until(lambda: not work.hands._running)
    work.hands.found([routing])
    work.begins(routing)


def test_what_is_nudged_while_it_runs_runs_again(work: Work) -> None:
    [settle] = work.lasting("queues.settle", "call")
    work.hands.found([settle])
    work.begins(settle)
    work.hands.nudged(settle)
    work.begins(settle)


def test_a_nudge_that_waits_is_not_forgotten_at_the_next_tick(work: Work) -> None:
    settles = work.lasting("queues.settle", *numbers(THREADS))
    [routing] = work.lasting("queues.route", "queue")
    work.hands.found(settles)
    work.begins(*settles)
    work.hands.nudged(routing)
    work.hands.found([])
    work.end(settles[0])
    work.begins(routing)


def test_a_job_that_fails_fails_alone(
    work: Work, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(ident: str) -> None:
        raise {"ours": RuntimeError, "database": OperationalError, "exit": SystemExit}[ident](ident)

    monkeypatch.setitem(sweep.JOBS, "test.fail", fail)
    settles = work.lasting("queues.settle", *numbers(THREADS))
    caplog.set_level(logging.CRITICAL)
    work.hands.found([("test.fail", ident) for ident in ("ours", "database", "exit")])
    work.hands.found(settles)
    work.begins(*settles)


def test_told_to_stop_it_ends_what_is_under_way_and_leaves_the_rest_in_the_rows(work: Work) -> None:
    settles = work.lasting("queues.settle", *numbers(3 * THREADS))
    work.hands.found(settles)
    work.begins(*settles[:THREADS])
    resting = threading.Thread(target=work.hands.rest)
    resting.start()
    work.end(*settles)
    resting.join(10)
    assert not resting.is_alive()
    assert work.begun == []


def test_the_pool_has_a_connection_for_everyone_who_sweeps() -> None:
    assert POSTGRES["OPTIONS"]["pool"]["max_size"] >= THREADS + RECONCILERS + 1  # type: ignore[index]


# the tick ----------------------------------------------------------------------------------------------------


def away(statements: Callable[[str], bool]) -> Any:
    """The database, which does not answer these."""

    def execute(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        if statements(sql):
            raise OperationalError("terminating connection")
        return execute(sql, params, many, context)

    return connection.execute_wrapper(execute)


@pytest.fixture
def sweeper(settings: Settings) -> Iterator[Sweeper]:
    settings.TELNYX_BASE_URL = "http://127.0.0.1:9/v2"
    sweeper = Sweeper()
    yield sweeper
    sweeper.rest()


def ready() -> int:
    return Client().get("/readyz").status_code


@pytest.mark.django_db(transaction=True)
def test_only_who_leads_and_finds_what_is_due_says_that_it_is_swept(sweeper: Sweeper) -> None:
    leader = Sweeper()
    assert leader.leads()
    sweeper.tick()
    assert ready() == 503
    assert [row.name.partition(":")[0] for row in ProcessHeartbeat.objects.all()] == ["standby"]
    Lease.objects.all().delete()
    with away(lambda sql: "webhooks_webhookevent" in sql), pytest.raises(OperationalError):
        sweeper.tick()
    assert ready() == 503
    sweeper.tick()
    assert ready() == 200


@pytest.mark.django_db(transaction=True)
def test_after_an_error_of_our_own_it_goes_on(
    sweeper: Sweeper, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stop, ticks = threading.Event(), Sweeper.tick

    def fails_once(self: Sweeper) -> None:
        if not caplog.text:
            raise KeyError("ours")
        ticks(self)
        stop.set()

    monkeypatch.setattr(Sweeper, "tick", fails_once)
    sweeper.run(stop)
    assert caplog.text.count("sweep interrupted") == 1
    assert ready() == 200


@pytest.mark.django_db(transaction=True)
def test_after_an_error_of_the_database_it_goes_on(sweeper: Sweeper, caplog: pytest.LogCaptureFixture) -> None:
    stop, failures = threading.Event(), iter([True, True])

    def fails_twice_and_then_is_enough(sql: str) -> bool:
        if "callcenter_lease" in sql:
            return next(failures, False)
        if "callcenter_processheartbeat" in sql:
            stop.set()
        return False

    with away(fails_twice_and_then_is_enough):
        sweeper.run(stop)
    assert caplog.text.count("sweep interrupted") == 2
    assert ready() == 200
