"""Is Telnyx there, and what is left of our budget: asked by every sender, and by a routing pass at its entrance.

The row (TelnyxStatus) is the truth, on the database's clock. A copy of it is shared through Redis for a second:
asking costs no statement, and whoever changes the row lays the new copy there, so all senders know at once. While
Redis is away each process asks the row, once a second.

Open, nothing is sent but hang-ups and answers, each of which may be the one that finds Telnyx back, and no offer is
made. Half-open, the sweeper sends one question that changes nothing. Answered, the breaker is closed on trial: one
more failure opens it again.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from datetime import timedelta
from typing import Any, ClassVar

from django.core.cache import cache
from django.db.models import Case, F, Q, QuerySet, When
from django.db.models.functions import Now
from redis import RedisError

from webhooks import meters
from webhooks.clock import from_now
from webhooks.models import TelnyxStatus
from webhooks.telnyx.client import TelnyxClient
from webhooks.telnyx.errors import TelnyxRejected, TelnyxUnavailable
from webhooks.telnyx.records import RateLimit

logger = logging.getLogger(__name__)

THRESHOLD = 10  # failures in a row: more than one command comes to in its 20 s
PROBE_EVERY = timedelta(seconds=5)
COPY_SECS = 1
REDIS_AWAY_SECS = 10.0  # one wait for a Redis that is away, then none for so long
RESERVE = 20  # the last 20th of a window's budget is for hang-ups
LONGEST_RESET_SECS = 10.0  # whatever a header says: a caller waits meanwhile
KEY = "telnyx-status"


@dataclass(frozen=True, slots=True)
class Seen:
    """The row as the database's clock sees it. Of what is spent, dials have a window of their own."""

    failures: int
    probe_is_due: bool
    dials_are_spent: bool
    requests_are_spent: bool

    @property
    def is_open(self) -> bool:
        return self.failures >= THRESHOLD


class _Copy:
    """What this process last saw, and when it may wait for Redis again."""

    seen: ClassVar[Seen | None] = None
    at: ClassVar[float] = 0.0
    redis_from: ClassVar[float] = 0.0

    @classmethod
    def fresh(cls) -> Seen | None:
        return cls.seen if time.monotonic() - cls.at < COPY_SECS else None

    @classmethod
    def keep(cls, seen: Seen) -> Seen:
        cls.seen, cls.at = seen, time.monotonic()
        return seen

    @classmethod
    def redis_is_away(cls) -> bool:
        return time.monotonic() < cls.redis_from

    @classmethod
    def redis_failed(cls, error: RedisError) -> None:
        cls.redis_from = time.monotonic() + REDIS_AWAY_SECS
        logger.warning("Redis is away, the database is asked how Telnyx is error=%s", type(error).__name__)


# asking ------------------------------------------------------------------------------------------------------


def look() -> Seen:
    """As all senders know it now."""
    shared = _shared()
    if shared is not None:
        return _Copy.keep(shared)
    return (_Copy.fresh() if _Copy.redis_is_away() else None) or _read()


def is_open() -> bool:
    """For routing passes: up to a second late, and most times free of charge."""
    return (_Copy.fresh() or look()).is_open


def _read() -> Seen:
    """The row's own word, shared."""
    answer = _row().values_list(
        "failures", _so(probe_at__lte=Now()), _so(dials_from__gt=Now()), _so(requests_from__gt=Now())
    )
    return _share(Seen(*(answer.first() or (0, False, False, False))))


def _so(**condition: Any) -> Case:
    return Case(When(**condition, then=True), default=False)


def _shared() -> Seen | None:
    said = None
    if not _Copy.redis_is_away():
        try:
            said = cache.get(KEY)
        except RedisError as error:
            _Copy.redis_failed(error)
    return None if said is None else Seen(*said)


def _share(seen: Seen) -> Seen:
    if not _Copy.redis_is_away():
        try:
            cache.set(KEY, astuple(seen), timeout=COPY_SECS)
        except RedisError as error:
            _Copy.redis_failed(error)
    return _Copy.keep(seen)


# telling -----------------------------------------------------------------------------------------------------


@contextmanager
def told(client: TelnyxClient, *, dial: bool = False) -> Iterator[None]:
    """Around one conversation with Telnyx: its end is counted, and what it said of our budget is kept.

    Any answer is one, refusals too; a 429 says of Telnyx neither that it is there nor that it is not.
    """
    before = client.rate_limit
    try:
        yield
    except TelnyxUnavailable as error:
        if error.status == 429:
            meters.telnyx_429_total.inc()
        else:
            _failed()
        raise
    except TelnyxRejected:
        _answered()
        raise
    else:
        _answered()
    finally:
        said = client.rate_limit
        if said is not None and said is not before:
            _budget(said, dial=dial)


def probe(client: TelnyxClient) -> None:
    """The half-open breaker's one question. Of many who would ask, one does."""
    due = _row().filter(failures__gte=THRESHOLD, probe_at__lte=Now())
    if not due.update(probe_at=from_now(PROBE_EVERY)):
        return
    try:
        next(client.queues.list(page_size=1), None)
    except TelnyxRejected:
        pass  # an answer
    except TelnyxUnavailable as error:
        logger.warning("Telnyx does not answer yet: %s", error)
        _read()
        return
    _closed(on_trial=True)


def _row() -> "QuerySet[TelnyxStatus]":
    return TelnyxStatus.objects.filter(pk=TelnyxStatus.ONLY)


def _failed() -> None:
    TelnyxStatus.objects.get_or_create(pk=TelnyxStatus.ONLY)
    opens = Q(failures=THRESHOLD - 1)
    _row().update(
        failures=F("failures") + 1,
        opened_at=Case(When(opens, then=Now()), default=F("opened_at")),
        probe_at=Case(When(opens, then=from_now(PROBE_EVERY)), default=F("probe_at")),
    )
    if _read().failures == THRESHOLD:
        logger.error("Telnyx does not answer: no offers, and nothing is sent but hang-ups and answers")


def _answered() -> None:
    if look().failures:
        _closed(on_trial=False)


def _closed(*, on_trial: bool) -> None:
    was_open = _row().filter(failures__gte=THRESHOLD)
    ends = {"failures": THRESHOLD - 1 if on_trial else 0, "opened_at": None, "probe_at": None}
    if was_open.update(**ends):
        logger.warning("Telnyx answers again")
    elif not on_trial:
        _row().update(**ends)
    _read()


def _budget(said: RateLimit, *, dial: bool) -> None:
    """Nearly spent: the rest of the window is for hang-ups."""
    if said.remaining is None or said.remaining > (said.limit or 0) // RESERVE:
        return
    TelnyxStatus.objects.get_or_create(pk=TelnyxStatus.ONLY)
    reset = timedelta(seconds=min(max(said.reset or 1.0, 0.0), LONGEST_RESET_SECS))
    _row().update(**{"dials_from" if dial else "requests_from": from_now(reset)})
    _read()
