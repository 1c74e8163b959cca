"""What the reconciler asks of Telnyx, at no more than a fifth of the rate that Telnyx allows."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import TypeVar

from django.conf import settings
from django.db.models import Max

from webhooks.models import Command
from webhooks.telnyx import conf
from webhooks.telnyx.client import TelnyxClient
from webhooks.telnyx.errors import CallUnknown, NotFound
from webhooks.telnyx.records import (
    ActiveCall,
    CallEventRecord,
    CallStatus,
    Conference,
    Participant,
    Queue,
    QueueCall,
)
from webhooks.telnyx.resource import LARGEST_PAGE

T = TypeVar("T")

SHARE = 0.2
WINDOW_SECS = 5.0  # that Telnyx counts requests in (CONTRACT §3)
USUAL_LIMIT = 150  # requests in a window, as long as Telnyx has not said another number


class Line:
    """The client at our pace: each request waits its turn behind the one before, in whatever thread that was."""

    def __init__(self, client: TelnyxClient, *, wait: Callable[[float], None] = time.sleep) -> None:
        self._client = client
        self._wait = wait
        self._lock = threading.Lock()
        self._next_at = 0.0
        self._limit = 0

    def _pace(self) -> None:
        """The highest limit that was named is that of all requests; dials have a lower one of their own."""
        said = self._client.rate_limit
        with self._lock:
            self._limit = max(self._limit, said.limit or 0 if said is not None else 0)
            apart = WINDOW_SECS / (SHARE * (self._limit or USUAL_LIMIT))
            now = time.monotonic()
            turn = max(now, self._next_at)
            self._next_at = turn + apart
        if turn > now:
            self._wait(turn - now)

    def _each(self, items: Iterable[T]) -> Iterator[T]:
        """All pages of a list; each page is a request."""
        self._pace()
        for number, item in enumerate(items, start=1):
            yield item
            if number % LARGEST_PAGE == 0:
                self._pace()

    def legs(self) -> dict[str, ActiveCall]:
        """The live legs of our connection, by call_control_id."""
        found = self._each(self._client.calls.active(settings.TELNYX_CONNECTION_ID))
        return {leg.call_control_id: leg for leg in found}

    def leg(self, call_control_id: str) -> CallStatus | None:
        """None for a leg that Telnyx does not know, or not any more."""
        self._pace()
        try:
            return self._client.calls.retrieve(call_control_id)
        except (NotFound, CallUnknown):
            return None

    def story(self, call_leg_id: str) -> list[CallEventRecord]:
        """What Telnyx says it has told us of a leg, oldest first."""
        records = list(self._each(self._client.calls.events(call_leg_id=call_leg_id)))
        return sorted(records, key=lambda record: record.event_timestamp or "")

    def conferences(self) -> dict[str, Conference]:
        """The live conferences of our connection, by id: those that have started, and those that have not yet."""
        found: dict[str, Conference] = {}
        for status in ("init", "in_progress", "init"):  # one may start between two lists
            for each in self._each(self._client.conferences.list(status=status)):
                if each.connection_id in (None, settings.TELNYX_CONNECTION_ID):
                    found[each.id] = each
        return found

    def conference(self, conference_id: str) -> Conference | None:
        self._pace()
        try:
            return self._client.conferences.retrieve(conference_id)
        except NotFound:
            return None

    def participants(self, conference_id: str) -> list[Participant]:
        """Who is in it; nobody if it has ended meanwhile."""
        try:
            return list(self._each(self._client.conferences.list_participants(conference_id)))
        except NotFound:
            return []

    def queues(self) -> dict[str, Queue]:
        return {queue.name: queue for queue in self._each(self._client.queues.list())}

    def queue_calls(self, queue_name: str) -> list[QueueCall]:
        try:
            return list(self._each(self._client.queues.list_calls(queue_name)))
        except NotFound:  # empty queues are cleared away
            return []

    def is_queued(self, queue_name: str, call_control_id: str) -> bool:
        self._pace()
        try:
            return self._client.queues.retrieve_call(queue_name, call_control_id).is_alive is not False
        except NotFound:
            return False


@cache
def _paced(client: TelnyxClient) -> Line:
    return Line(client)


def line() -> Line:
    """The line of this process: all its threads keep one pace."""
    return _paced(conf.client())


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What Telnyx said, from ``started_at`` on. ``is_whole``: of everything, else of legs and what was named.

    ``version`` is the newest command we had written by then: what newer ones have changed is not in it.
    """

    started_at: datetime
    is_whole: bool
    version: int
    legs: Mapping[str, ActiveCall]
    conferences: Mapping[str, Conference]
    participants: Mapping[str, list[Participant]]
    ended_conferences: frozenset[str] = frozenset()
    queues: Mapping[str, Queue] = field(default_factory=dict)
    queued: Mapping[str, tuple[str, QueueCall]] = field(default_factory=dict)


def everything(line: Line, *, now: datetime) -> Snapshot:
    """All pages of everything. Raises TelnyxError: half a snapshot is none."""
    version = _newest_command()
    legs = line.legs()
    conferences = line.conferences()
    queues = line.queues()
    waiting = [(name, call) for name, queue in queues.items() if queue.current_size for call in line.queue_calls(name)]
    return Snapshot(
        started_at=now,
        is_whole=True,
        version=version,
        legs=legs,
        conferences=conferences,
        participants={ident: line.participants(ident) for ident in conferences},
        queues=queues,
        queued={call.call_control_id: (name, call) for name, call in waiting if call.is_alive is not False},
    )


def some(line: Line, *, conferences: Iterable[str], now: datetime) -> Snapshot:
    """All legs, and these conferences. Raises TelnyxError."""
    version = _newest_command()
    legs = line.legs()
    found = {ident: line.conference(ident) for ident in conferences}
    alive = {ident: each for ident, each in found.items() if each is not None and each.status != "completed"}
    return Snapshot(
        started_at=now,
        is_whole=False,
        version=version,
        legs=legs,
        conferences=alive,
        participants={ident: line.participants(ident) for ident in alive},
        ended_conferences=frozenset(found.keys() - alive.keys()),
    )


def _newest_command() -> int:
    return Command.objects.aggregate(newest=Max("sequence"))["newest"] or 0
