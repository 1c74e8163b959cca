"""Telnyx tells us: store each event once, apply it later, in one transaction with its effects.

``callcenter.wiring`` fills the table: event type → handlers in running order, and how an event leads to a call
and that call's lock. Handlers assume late, repeated and shuffled delivery.
"""

import logging
import sqlite3
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Protocol

import psycopg
from django.conf import settings
from django.db import Error, OperationalError, connection, transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from webhooks import meters, prepared
from webhooks.clock import from_now
from webhooks.models import WebhookEvent
from webhooks.nudge import nudge
from webhooks.telnyx.events import Event

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 5
LEASE = timedelta(seconds=10)
# How the SQLSTATE begins where no attempt is spent, for the event has done nothing: connection, deadlock, too many
# connections, lock timeout, a server that ends or starts.
AWAY_OR_HELD = ("08", "40", "53300", "55P03", "57P")
SQLITE_AWAY_OR_HELD = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_CANTOPEN)

Handler = Callable[[WebhookEvent, datetime], None]


class Calls(Protocol):
    """What the inbox and the outbox need to know of calls, without knowing them."""

    def find(self, event: WebhookEvent) -> uuid.UUID | None: ...

    def lock(self, call_id: uuid.UUID) -> None: ...


_handlers: Mapping[str, tuple[Handler, ...]] = {}
_calls: Calls | None = None


def configure(handlers: Mapping[str, tuple[Handler, ...]], calls: Calls) -> None:
    global _handlers, _calls
    _handlers, _calls = handlers, calls


def is_ours(event: Event) -> bool:
    """Of our connection, and of a type somebody here handles."""
    connection_id = event.payload.get("connection_id") or ""
    return event.event_type in _handlers and connection_id in ("", settings.TELNYX_CONNECTION_ID)


COLUMNS = (
    "event_id", "event_type", "source", "call_control_id", "call_session_id", "conference_id", "occurred_at",
    "received_at", "payload", "status", "attempts", "error",
)  # fmt: skip
# One statement, one round trip: in autocommit its answer means that the row is durable.
INSERT = (
    f"INSERT INTO {WebhookEvent._meta.db_table} ({', '.join(COLUMNS)})"  # noqa: S608
    f" VALUES ({', '.join(['%s'] * len(COLUMNS))}) ON CONFLICT (event_id) DO NOTHING RETURNING id"
)


def row(event: Event, *, ours: bool, received_at: datetime, source: str = WebhookEvent.Source.TELNYX) -> list[Any]:
    """What ``INSERT`` takes, in the order of ``COLUMNS``."""
    adapt = connection.ops.adapt_datetimefield_value
    return [
        event.id,
        event.event_type,
        source,
        event.text("call_control_id")[:255],
        event.text("call_session_id")[:64],
        event.text("conference_id")[:64],
        adapt(event.occurred_at or received_at),
        adapt(received_at),
        WebhookEvent._meta.get_field("payload").get_db_prep_save(dict(event.payload), connection),
        WebhookEvent.Status.NEW if ours else WebhookEvent.Status.IGNORED,
        0,
        "",
    ]


def store(event: Event, *, received_at: datetime, source: str = WebhookEvent.Source.TELNYX) -> bool:
    """Insert it unless it is known; True if it is new. Nudges the applier on commit."""
    ours = is_ours(event)
    with prepared.cursor() as cursor:
        cursor.execute(INSERT, row(event, ours=ours, received_at=received_at, source=source))
        stored = cursor.fetchone()
    if stored is None:
        return False
    if ours:
        nudge("webhooks.apply", stored[0])
    return True


def due(*, received_before: datetime) -> list[int]:
    """Events nobody has applied yet, oldest first."""
    return list(
        WebhookEvent.objects.filter(status=WebhookEvent.Status.NEW)
        .filter(received_at__lte=received_before)
        .filter(Q(not_before__isnull=True) | Q(not_before__lte=Now()))
        .order_by("id")
        .values_list("id", flat=True)[:500]
    )


def apply(event_pk: int, *, now: datetime | None = None) -> bool:
    """Run the handlers of one event, once. True if this call applied it.

    The attempt is counted before anything runs, so an event that kills its process is set aside all the same. Its
    number is the fence: who slept through his lease finds another's, or the event done, and writes nothing.
    """
    event = _claim(event_pk)
    if event is None:
        return False
    began = time.perf_counter()
    try:
        with transaction.atomic():
            applied = _apply(event, now or timezone.now())
    except Exception as error:
        logger.exception("event not applied id=%s", event_pk)
        _failed(event, error)
        return False
    if applied:
        _count(event, took_secs=time.perf_counter() - began)
    return applied


def _claim(event_pk: int) -> WebhookEvent | None:
    """Take the lease, on the database's clock; None if it is another's, done, or set aside for its many attempts."""
    event = _LEASED.first(event_pk)
    if event is None or event.attempts <= MAX_ATTEMPTS:
        return event
    none_lived = {"attempts": MAX_ATTEMPTS, "error": "no attempt lived to tell what went wrong"}
    if _held(event).update(status=WebhookEvent.Status.DEAD, **none_lived):
        meters.lease_expired_total.inc("event")
    return None


def _free(event_pk: int) -> QuerySet[WebhookEvent]:
    """The event, if nobody has applied it and nobody is at it."""
    waits = Q(not_before__isnull=True) | Q(not_before__lte=Now())
    return WebhookEvent.objects.filter(waits, pk=event_pk, status=WebhookEvent.Status.NEW)


def _leased() -> Mapping[str, Any]:
    return {"attempts": F("attempts") + 1, "not_before": from_now(LEASE)}


_LEASED = prepared.Update(_free, _leased)


def _held(event: WebhookEvent) -> QuerySet[WebhookEvent]:
    """The event, as long as the attempt is ours and nobody has applied it."""
    return WebhookEvent.objects.filter(pk=event.pk, status=WebhookEvent.Status.NEW, attempts=event.attempts)


def _count(event: WebhookEvent, *, took_secs: float) -> None:
    """After the commit, where it holds up nothing and breaks nothing."""
    assert event.applied_at is not None  # noqa: S101
    waited = (event.applied_at - event.received_at).total_seconds()
    meters.event_to_state_seconds.observe(max(0.0, waited) + took_secs)
    if event.call_id is not None:
        later = WebhookEvent.objects.filter(call_id=event.call_id, occurred_at__gt=event.occurred_at)
        of = {"call_control_id": event.call_control_id} if event.call_control_id else {}
        with suppress(Error):
            if later.filter(status=WebhookEvent.Status.DONE, conference_id=event.conference_id, **of).exists():
                meters.inbox_out_of_order_total.inc()


def _apply(event: WebhookEvent, now: datetime) -> bool:
    assert _calls is not None, "callcenter.wiring has not run"  # noqa: S101
    if event.attempts > 1 and not event.error:  # whoever tried before left no word
        meters.lease_expired_total.inc("event")
    event.call_id = call_id = _calls.find(event)
    if call_id is not None:
        _calls.lock(call_id)
    else:
        _lock_text(event.conference_id or event.call_session_id)
    event.applied_at = now
    if not _held(event).update(status=WebhookEvent.Status.DONE, applied_at=now, error="", call_id=call_id):
        meters.fence_rejected_total.inc()
        logger.warning("late applier stopped id=%s attempt=%s", event.pk, event.attempts)
        return False
    for handler in _handlers.get(event.event_type, ()):
        handler(event, now)
    if event.call_id != call_id:  # a handler made the call
        event.save(update_fields=["call_id"])
    return True


def lock_call(call_id: uuid.UUID) -> None:
    """Take the call's row lock until the end of the transaction (on SQLite the transaction is the lock)."""
    assert _calls is not None, "callcenter.wiring has not run"  # noqa: S101
    _calls.lock(call_id)


def _lock_text(text: str) -> None:
    """Events that lead to no call yet are serialised by their session or conference."""
    if text and connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [text])


def _failed(event: WebhookEvent, error: Exception) -> None:
    """Keep the error, and set the event aside or let it wait a while: unless another has it meanwhile."""
    said = f"{type(error).__name__}: {error}"[:2000]
    if _is_not_its_fault(error):
        outcome: dict[str, Any] = {"attempts": F("attempts") - 1, "not_before": from_now(timedelta(seconds=1))}
    elif event.attempts >= MAX_ATTEMPTS:
        outcome = {"status": WebhookEvent.Status.DEAD}
    else:
        outcome = {"not_before": from_now(timedelta(seconds=2 ** (event.attempts - 1)))}
    _held(event).update(error=said, **outcome)


def _is_not_its_fault(error: Exception) -> bool:
    """There was no connection, or another held what it needed. What takes too long or asks for too much is its own."""
    cause = error.__cause__
    if not isinstance(error, OperationalError):
        return False
    if isinstance(cause, psycopg.Error):  # without a code it is not the server's word: nobody could be asked
        return cause.sqlstate is None or cause.sqlstate.startswith(AWAY_OR_HELD)
    return getattr(cause, "sqlite_errorcode", 0) & 0xFF in SQLITE_AWAY_OR_HELD


def replay(event_pk: int) -> bool:
    """Give an event that was set aside its five attempts again."""
    revived = WebhookEvent.objects.filter(pk=event_pk, status=WebhookEvent.Status.DEAD).update(
        status=WebhookEvent.Status.NEW, attempts=0, not_before=None
    )
    if revived:
        nudge("webhooks.apply", event_pk)
    return bool(revived)
