"""Applying events: once, one after the other where they belong together, and none in the way of another."""

import logging
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime, timedelta
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import Error, OperationalError, connection, transaction
from django.utils import timezone

from conferences.models import CallLeg
from queues.services import Calls
from tests.callcenter import furniture
from tests.webhooks.counts import grows
from tests.webhooks.sender import event, post
from webhooks import inbox, prepared
from webhooks.clock import from_now
from webhooks.models import WebhookEvent

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("door")]

Status = WebhookEvent.Status


class Nonsense(Exception):
    """A handler's fault."""


@pytest.fixture
def handled(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts a handler of the test's behind ``call.answered``."""

    def put(handler: inbox.Handler) -> None:
        monkeypatch.setattr(inbox, "_handlers", {**inbox._handlers, "call.answered": (handler,)})

    return put


def stored(event_id: str = "one", **payload: Any) -> int:
    assert post(event("call.answered", event_id=event_id, **payload)).status_code == 200
    return WebhookEvent.objects.get(event_id=event_id).pk


def row(pk: int) -> WebhookEvent:
    return WebhookEvent.objects.get(pk=pk)


def wait_is_over(pk: int) -> None:
    """As if the backoff or the lease of another had run out."""
    WebhookEvent.objects.filter(pk=pk).update(not_before=from_now(-timedelta(seconds=1)))


def fails(event: WebhookEvent, now: datetime) -> None:
    CallLeg.objects.create(call_control_id=f"half a deed {event.attempts}")
    raise Nonsense("on purpose")


def due() -> list[int]:
    return inbox.due(received_before=timezone.now())


def test_an_event_is_applied_once_with_its_effects() -> None:
    pk = stored(call_control_id="v3:x")
    now = timezone.now()
    assert inbox.apply(pk, now=now)
    assert not inbox.apply(pk)
    applied = row(pk)
    assert (applied.status, applied.applied_at, applied.attempts) == (Status.DONE, now, 1)
    assert CallLeg.objects.get().answered_at == applied.occurred_at


def test_a_failing_event_keeps_its_error_and_waits_longer_each_time(handled: Callable[..., None]) -> None:
    handled(fails)
    pk = stored()
    waits = []
    for attempt in range(1, inbox.MAX_ATTEMPTS):
        assert not inbox.apply(pk)
        failed = row(pk)
        assert (failed.status, failed.attempts, failed.error) == (Status.NEW, attempt, "Nonsense: on purpose")
        assert failed.not_before is not None
        waits.append(round((failed.not_before - timezone.now()).total_seconds()))
        assert due() == []
        assert not inbox.apply(pk)  # not yet
        assert row(pk).attempts == attempt
        wait_is_over(pk)
        assert due() == [pk]
    assert waits == [1, 2, 4, 8]
    assert not CallLeg.objects.exists()  # nothing of a failed attempt stays


def test_after_five_attempts_it_is_set_aside(handled: Callable[..., None]) -> None:
    handled(fails)
    pk = stored()
    for _ in range(inbox.MAX_ATTEMPTS):
        inbox.apply(pk)
        wait_is_over(pk)
    aside = row(pk)
    assert (aside.status, aside.attempts, aside.error) == (Status.DEAD, 5, "Nonsense: on purpose")
    assert due() == []
    assert not inbox.apply(pk)
    assert row(pk).attempts == 5


def server_says(code: str) -> inbox.Handler:
    """Postgres itself raises it."""

    def handler(event: WebhookEvent, now: datetime) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"DO $$ BEGIN RAISE EXCEPTION 'on purpose' USING ERRCODE = '{code}'; END $$")

    return handler


def too_slow(event: WebhookEvent, now: datetime) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 10")
        cursor.execute("SELECT pg_sleep(5)")


def too_much(event: WebhookEvent, now: datetime) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT repeat('x', 2000000000)")


def held_by_another(event: WebhookEvent, now: datetime) -> None:
    with psycopg.connect(**connection.get_connection_params() | {"cursor_factory": None}) as other:
        other.execute("SELECT pg_advisory_lock(1)")
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = 10")
            cursor.execute("SELECT pg_advisory_lock(1)")


def sqlite_is_held_by_another(event: WebhookEvent, now: datetime) -> None:
    with TemporaryDirectory() as folder, closing(sqlite3.connect(f"{folder}/db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with closing(sqlite3.connect(f"{folder}/db", timeout=0)) as ours, connection.wrap_database_errors:
            ours.execute("BEGIN IMMEDIATE")


def sqlite_is_away(event: WebhookEvent, now: datetime) -> None:
    with connection.wrap_database_errors:
        sqlite3.connect("/nowhere/at/all")


def sqlite_finds_it_too_much(event: WebhookEvent, now: datetime) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT " + "(" * 2000 + "1" + ")" * 2000)


def asked_five_times(pk: int) -> WebhookEvent:
    for _ in range(inbox.MAX_ATTEMPTS):
        assert not inbox.apply(pk)
        wait_is_over(pk)
    return row(pk)


@pytest.mark.parametrize(
    ("handler", "on"),
    [
        pytest.param(held_by_another, "postgresql", id="held by another"),
        pytest.param(server_says("40P01"), "postgresql", id="a deadlock"),
        pytest.param(server_says("53300"), "postgresql", id="too many connections"),
        pytest.param(server_says("57P03"), "postgresql", id="a server that starts"),
        pytest.param(sqlite_is_held_by_another, "sqlite", id="SQLite, held by another"),
        pytest.param(sqlite_is_away, "sqlite", id="SQLite, away"),
    ],
)
def test_a_database_that_is_away_or_held_by_others_costs_an_event_no_attempt(
    handled: Callable[..., None], handler: inbox.Handler, on: str
) -> None:
    if connection.vendor != on:
        pytest.skip(f"an error of {on}")
    handled(handler)
    pk = stored()
    waiting = asked_five_times(pk)
    assert (waiting.status, waiting.attempts) == (Status.NEW, 0)
    assert waiting.error.startswith("OperationalError: ")
    assert due() == [pk]


@pytest.mark.parametrize(
    ("handler", "on"),
    [
        pytest.param(too_slow, "postgresql", id="too slow"),
        pytest.param(too_much, "postgresql", id="too much"),
        pytest.param(server_says("53100"), "postgresql", id="no room on the disk"),
        pytest.param(sqlite_finds_it_too_much, "sqlite", id="SQLite, too much"),
    ],
)
def test_an_event_that_always_asks_too_much_of_the_database_is_set_aside(
    handled: Callable[..., None], handler: inbox.Handler, on: str
) -> None:
    if connection.vendor != on:
        pytest.skip(f"an error of {on}")
    handled(handler)
    pk = stored()
    aside = asked_five_times(pk)
    assert (aside.status, aside.attempts) == (Status.DEAD, 5)
    assert aside.error.startswith("OperationalError: ")


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_a_connection_that_is_lost_costs_an_event_no_attempt(handled: Callable[..., None]) -> None:
    def loses_its_connection(event: WebhookEvent, now: datetime) -> None:
        CallLeg.objects.create(call_control_id="half a deed")
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    pk = stored()
    handled(loses_its_connection)
    assert not inbox.apply(pk)
    assert (row(pk).status, row(pk).attempts) == (Status.NEW, 0)
    assert not CallLeg.objects.exists()


def test_an_event_that_kills_its_process_is_set_aside_too(handled: Callable[..., None]) -> None:
    """SystemExit stands for the kill: nothing after it runs."""
    ran = []

    def kill(event: WebhookEvent, now: datetime) -> None:
        ran.append(event.attempts)
        raise SystemExit

    handled(kill)
    pk = stored()
    for _ in range(inbox.MAX_ATTEMPTS):
        with pytest.raises(SystemExit):
            inbox.apply(pk)
        wait_is_over(pk)
    assert not inbox.apply(pk)
    assert ran == [1, 2, 3, 4, 5]
    assert row(pk).status == Status.DEAD
    assert row(pk).error


def test_a_failing_event_keeps_no_other_waiting(handled: Callable[..., None]) -> None:
    def picky(event: WebhookEvent, now: datetime) -> None:
        if event.event_id == "bad":
            raise Nonsense

    handled(picky)
    first, bad, last = (stored(name, call_session_id="the same") for name in ("first", "bad", "last"))
    assert due() == [first, bad, last]
    assert [inbox.apply(pk) for pk in due()] == [True, False, True]
    assert due() == []


def test_a_lease_keeps_a_second_applier_out(handled: Callable[..., None]) -> None:
    """What a worker holds, the sweeper leaves alone; what a dead worker held comes back."""
    tried = []

    def handler(event: WebhookEvent, now: datetime) -> None:
        tried.append(inbox.apply(event.pk))

    handled(handler)
    pk = stored()
    assert inbox.apply(pk)
    assert tried == [False]
    assert row(pk).attempts == 1
    held = stored("held")
    WebhookEvent.objects.filter(pk=held).update(attempts=1, not_before=from_now(inbox.LEASE))
    assert due() == []
    assert not inbox.apply(held)
    wait_is_over(held)
    assert due() == [held]
    assert inbox.apply(held)


class Sleeper(Calls):
    """Whoever asks first which call it is has claimed the event, and sleeps on while this happens."""

    def __init__(self, happens: Callable[[], None]) -> None:
        self._happens = [happens]

    def find(self, event: WebhookEvent) -> uuid.UUID | None:
        while self._happens:
            self._happens.pop()()
        return super().find(event)


@pytest.fixture
def sleeper(handled: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[int]]:
    """Lets the first applier sleep; returns which attempts have run the handlers."""

    def sleeps(happens: Callable[[], None]) -> list[int]:
        ran: list[int] = []
        handled(lambda event, now: ran.append(event.attempts))
        monkeypatch.setattr(inbox, "_calls", Sleeper(happens))
        return ran

    return sleeps


def test_who_sleeps_through_his_lease_applies_nothing_that_another_has_applied(
    sleeper: Callable[..., list[int]],
) -> None:
    def another_applies_it() -> None:
        wait_is_over(pk)
        assert inbox.apply(pk)

    pk = stored()
    ran = sleeper(another_applies_it)
    with grows("fence_rejected_total"), grows("event_to_state_seconds_count"):
        assert not inbox.apply(pk)
    assert ran == [2]
    assert (row(pk).status, row(pk).attempts) == (Status.DONE, 2)


def test_who_sleeps_through_his_lease_applies_nothing_that_another_holds(sleeper: Callable[..., list[int]]) -> None:
    def another_claims_it() -> None:
        wait_is_over(pk)
        assert inbox._claim(pk)

    pk = stored()
    ran = sleeper(another_claims_it)
    assert not inbox.apply(pk)
    assert ran == []
    assert (row(pk).status, row(pk).attempts) == (Status.NEW, 2)
    assert due() == []


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("of_a_call", [True, False])
def test_on_a_connection_of_his_own_he_applies_nothing_either(
    sleeper: Callable[..., list[int]], of_a_call: bool
) -> None:
    """What another commits is seen after the lock, whatever was read before."""

    def another_applies_it() -> None:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(on_its_own).result()

    def on_its_own() -> None:
        try:
            wait_is_over(pk)
            assert inbox.apply(pk)
        finally:
            connection.close()

    if of_a_call:
        words = {"direction": "incoming", "from": "+447700900001", "to": "+442071838750"}
        assert post(event("call.initiated", event_id="before", **words)).status_code == 200
        assert inbox.apply(WebhookEvent.objects.get(event_id="before").pk)
    pk = stored()
    ran = sleeper(another_applies_it)
    assert not inbox.apply(pk)
    assert ran == [2]
    applied = row(pk)
    assert (applied.status, applied.attempts, applied.call_id is not None) == (Status.DONE, 2, of_a_call)


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_whoever_comes_while_another_is_still_at_it_finds_it_done(
    handled: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease has run out, the transaction goes on."""
    ran, under_way, may_end = [], threading.Event(), threading.Event()

    def slow(event: WebhookEvent, now: datetime) -> None:
        ran.append(event.attempts)
        under_way.set()
        assert may_end.wait(10)

    def on_its_own(deed: Callable[[], bool]) -> bool:
        try:
            return deed()
        finally:
            connection.close()

    def once_it_is_under_way() -> bool:
        assert under_way.wait(10)
        return inbox.apply(pk)

    def somebody_waits() -> bool:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'UPDATE%'")
            return cursor.fetchone() is not None

    handled(slow)
    monkeypatch.setattr(inbox, "LEASE", timedelta())
    monkeypatch.setattr(inbox, "_LEASED", prepared.Update(inbox._free, inbox._leased))
    pk = stored()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(on_its_own, lambda: inbox.apply(pk))
        second = pool.submit(on_its_own, once_it_is_under_way)
        while not somebody_waits() and not second.done():
            time.sleep(0.01)
        may_end.set()
        assert (first.result(), second.result()) == (True, False)
    assert ran == [1]
    assert (row(pk).status, row(pk).attempts) == (Status.DONE, 1)


@pytest.mark.parametrize("status", [Status.DONE, Status.NEW])
@pytest.mark.parametrize("cause", [Nonsense(), psycopg.OperationalError("the connection is lost")])
def test_a_late_failure_touches_nothing_that_another_has(status: str, cause: Exception) -> None:
    """The lease ran out, another applied it or is at it, and then the first one fails."""
    pk = stored()
    late = inbox._claim(pk)
    assert late is not None
    WebhookEvent.objects.filter(pk=pk).update(attempts=5, status=status)
    error = OperationalError()
    error.__cause__ = cause
    inbox._failed(late, error)
    assert (row(pk).status, row(pk).attempts, row(pk).error) == (status, 5, "")


def test_leases_are_on_the_databases_clock(handled: Callable[..., None]) -> None:
    """A process whose clock is a day off neither takes what is held nor waits a day."""
    time_machine = pytest.importorskip("time_machine", reason="needs requirements-dev.txt")
    handled(fails)
    pk = stored()
    with time_machine.travel(timezone.now() + timedelta(days=1), tick=False):
        assert not inbox.apply(pk)
        assert not inbox.apply(pk)
    assert row(pk).attempts == 1
    not_before = row(pk).not_before
    assert not_before is not None
    assert not_before < timezone.now() + timedelta(seconds=5)


def test_a_database_fault_in_a_handler_fails_that_event_alone(handled: Callable[..., None]) -> None:
    def breaks(event: WebhookEvent, now: datetime) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT nonsense")

    handled(breaks)
    pk = stored()
    assert not inbox.apply(pk)
    assert row(pk).error
    with transaction.atomic():
        assert WebhookEvent.objects.count() == 1


def test_whoever_cannot_even_claim_an_event_is_told(
    handled: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    handled(lambda event, now: None)
    pk = stored()

    def away(*_: object, **__: object) -> None:
        raise Error("the database is away")

    monkeypatch.setattr(prepared, "cursor", away)
    with pytest.raises(Error):
        inbox.apply(pk)
    monkeypatch.undo()
    assert row(pk).attempts == 0
    assert inbox.apply(pk)


def test_what_came_just_now_is_left_to_the_workers() -> None:
    pk = stored()
    assert inbox.due(received_before=timezone.now() - timedelta(seconds=1)) == []
    assert inbox.due(received_before=timezone.now()) == [pk]


# replay ------------------------------------------------------------------------------------------------------


def test_a_replayed_event_has_its_five_attempts_again(
    handled: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    handled(fails)
    pk = stored()
    for _ in range(inbox.MAX_ATTEMPTS):
        inbox.apply(pk)
        wait_is_over(pk)
    assert inbox.replay(pk)
    assert due() == [pk]
    assert not inbox.replay(pk)  # it is not set aside any more
    for _ in range(inbox.MAX_ATTEMPTS):
        assert row(pk).status == Status.NEW
        inbox.apply(pk)
        wait_is_over(pk)
    assert row(pk).status == Status.DEAD
    handled(lambda event, now: None)
    assert inbox.replay(pk)
    assert inbox.apply(pk)
    assert (row(pk).status, row(pk).error) == (Status.DONE, "")


def dead(name: str) -> WebhookEvent:
    """Set aside for a fault that has been mended since."""
    event = furniture.event(name, status=Status.DEAD)
    WebhookEvent.objects.filter(pk=event.pk).update(payload={"call_control_id": event.call_control_id})
    return event


def test_the_command_replays_what_it_is_told_to(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("one", "two", "three"):
        dead(name)
    call_command("replay", "one")
    assert capsys.readouterr().out == "one call.hangup: done\n"
    assert list(WebhookEvent.objects.order_by("id").values_list("status", flat=True)) == ["done", "dead", "dead"]
    call_command("replay", "--all")
    assert capsys.readouterr().out == "two call.hangup: done\nthree call.hangup: done\n"
    call_command("replay", "--all")
    assert capsys.readouterr().out == "nothing is set aside\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Name event ids, or say --all for every event that was set aside."),
        (["one", "--all"], "Name event ids, or say --all for every event that was set aside."),
        (["nobody", "two"], "Not set aside: nobody, two. Only events set aside can be replayed."),
    ],
)
def test_the_command_answers_nonsense_in_one_line(arguments: list[str], said: str) -> None:
    dead("one")
    furniture.event("two")
    with pytest.raises(CommandError, match=said):
        call_command("replay", *arguments)
    assert WebhookEvent.objects.filter(status=Status.DEAD).count() == 1
