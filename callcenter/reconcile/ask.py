"""What the reconciler asks of Telnyx, at no more than a fifth of the rate it allows; in the dark, four fifths."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, partial
from typing import TypeVar

from django.conf import settings
from django.db.models import Max

from webhooks import breaker, dispatch
from webhooks.models import Command
from webhooks.telnyx import conf
from webhooks.telnyx.client import TelnyxClient
from webhooks.telnyx.errors import CallUnknown, NotFound, TelnyxUnavailable
from webhooks.telnyx.records import (
    ActiveCall,
    CallEventRecord,
    CallStatus,
    Conference,
    Participant,
    Queue,
    QueueCall,
    Recording,
)
from webhooks.telnyx.resource import LARGEST_PAGE

T = TypeVar("T")

SHARE = 0.2
SHARE_IN_THE_DARK = 0.8  # nothing but hang-ups and answers goes out then
WINDOW_SECS = 5.0  # that Telnyx counts requests in (CONTRACT §3)
USUAL_LIMIT = 150  # requests in a window, as long as Telnyx has not said another number
TRIES = 3
LONGEST_WAIT_SECS = 10.0  # whatever Telnyx asks for


class Line:
    """The client at our pace: each request waits its turn behind the one before, in whatever thread that was."""

    def __init__(
        self,
        client: TelnyxClient,
        *,
        wait: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._wait = wait
        self._clock = clock
        self._lock = threading.Lock()
        self._next_at = 0.0
        self._limit = USUAL_LIMIT

    def _pace(self) -> None:
        """Wait for our turn, and while the window is kept for hang-ups (webhooks.breaker)."""
        share = SHARE if dispatch.is_open() else SHARE_IN_THE_DARK
        with self._lock:
            now = self._clock()
            turn = max(now, self._next_at)
            self._next_at = turn + WINDOW_SECS / (share * self._limit)
        if turn > now:
            self._wait(turn - now)
        for _ in range(int(LONGEST_WAIT_SECS)):
            if not breaker.look().requests_are_spent:
                break
            self._wait(1.0)

    def _ask(self, question: Callable[[], T]) -> T:
        """Up to three times, as a GET may be. The limit named last is that of such requests: dials have another.

        Raises TelnyxUnavailable, TelnyxRejected.
        """
        tried = 0
        while True:
            if breaker.look().is_open:
                raise TelnyxUnavailable(None, None, "Telnyx has not answered for a while", sent=False)
            self._pace()
            tried += 1
            before = self._client.rate_limit
            try:
                with breaker.told(self._client):
                    answer = question()
            except TelnyxUnavailable as error:
                if tried >= TRIES:
                    raise
                self._wait(min(error.retry_after or 0.5 * tried, LONGEST_WAIT_SECS))
                continue
            said = self._client.rate_limit
            if said is not None and said is not before and said.limit:
                self._limit = said.limit
            return answer

    def _each(self, items: Callable[[], Iterable[T]]) -> list[T]:
        """All pages of a list, each of which is a request; one that fails has the list begun anew."""

        def read() -> list[T]:
            found = []
            for number, item in enumerate(items(), start=1):
                found.append(item)
                if number % LARGEST_PAGE == 0:
                    self._pace()
            return found

        return self._ask(read)

    def legs(self) -> dict[str, ActiveCall]:
        """The live legs of our connection, by call_control_id."""
        found = self._each(lambda: self._client.calls.active(settings.TELNYX_CONNECTION_ID))
        return {leg.call_control_id: leg for leg in found}

    def leg(self, call_control_id: str) -> CallStatus | None:
        """None for a leg that Telnyx does not know, or not any more."""
        try:
            return self._ask(lambda: self._client.calls.retrieve(call_control_id))
        except (NotFound, CallUnknown):
            return None

    def story(self, call_leg_id: str) -> list[CallEventRecord]:
        """What Telnyx says it has told us of a leg, oldest first."""
        records = self._each(lambda: self._client.calls.events(call_leg_id=call_leg_id))
        return sorted(records, key=lambda record: record.event_timestamp or "")

    def conferences(self) -> dict[str, Conference]:
        """The live conferences of our connection, by id: those that have started, and those that have not yet."""
        found: dict[str, Conference] = {}
        for status in ("init", "in_progress", "init"):  # one may start between two lists
            for each in self._each(partial(self._client.conferences.list, status=status)):
                if each.connection_id in (None, settings.TELNYX_CONNECTION_ID):
                    found[each.id] = each
        return found

    def conference(self, conference_id: str) -> Conference | None:
        try:
            return self._ask(lambda: self._client.conferences.retrieve(conference_id))
        except NotFound:
            return None

    def participants(self, conference_id: str) -> list[Participant]:
        """Who is in it; nobody if it has ended meanwhile."""
        try:
            return self._each(lambda: self._client.conferences.list_participants(conference_id))
        except NotFound:
            return []

    def queues(self) -> dict[str, Queue]:
        return {queue.name: queue for queue in self._each(self._client.queues.list)}

    def queue_calls(self, queue_name: str) -> list[QueueCall]:
        try:
            return self._each(lambda: self._client.queues.list_calls(queue_name))
        except NotFound:  # empty queues are cleared away
            return []

    def recordings(self, *, since: datetime) -> list[Recording]:
        """Those of our connection that ended since then."""
        after = f"{since.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
        connection = settings.TELNYX_CONNECTION_ID
        return self._each(lambda: self._client.recordings.list(connection_id=connection, end_time_gte=after))

    def is_queued(self, queue_name: str, call_control_id: str) -> bool:
        try:
            waiting = self._ask(lambda: self._client.queues.retrieve_call(queue_name, call_control_id))
            return waiting.is_alive is not False
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
    recordings: tuple[Recording, ...] = ()

    def has_answered(self, call_control_id: str) -> bool:
        """Nothing that has not been answered is in a queue or a conference."""
        return call_control_id in self.queued or any(
            each.call_control_id == call_control_id and each.status in (None, "joined")
            for present in self.participants.values()
            for each in present
        )


def everything(
    line: Line, *, now: datetime, recorded_since: datetime, gets_on: Callable[[], object] = lambda: None
) -> Snapshot:
    """All pages of everything that lives, and of what has been recorded since. ``gets_on`` is called before each list.

    Raises TelnyxError: half a snapshot is none.
    """

    def ask(question: Callable[..., T], *about: str) -> T:
        gets_on()
        return question(*about)

    version = _newest_command()
    legs = ask(line.legs)
    conferences = ask(line.conferences)
    queues = ask(line.queues)
    waiting = [
        (name, call) for name, queue in queues.items() if queue.current_size for call in ask(line.queue_calls, name)
    ]
    return Snapshot(
        started_at=now,
        is_whole=True,
        version=version,
        legs=legs,
        conferences=conferences,
        participants={ident: ask(line.participants, ident) for ident in conferences},
        queues=queues,
        queued={call.call_control_id: (name, call) for name, call in waiting if call.is_alive is not False},
        recordings=tuple(line.recordings(since=recorded_since)),
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
