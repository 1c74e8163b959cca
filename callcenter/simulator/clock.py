"""Time as the world sees it: two clocks and a heap of timers. Instants are unix seconds, as floats."""

import heapq
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    def now(self) -> float: ...


class RealClock:
    """Wall time that never jumps: read once, then carried on by the monotonic clock."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def now(self) -> float:
        return self._offset + time.monotonic()


class ManualClock:
    """Time that stands still until a test moves it."""

    def __init__(self, start: float) -> None:
        self._now = start

    def now(self) -> float:
        return self._now

    def move_to(self, instant: float) -> None:
        self._now = max(self._now, instant)


@dataclass(slots=True, eq=False)
class Timer:
    """Something due at an instant, unless it is cancelled first."""

    at: float
    action: Callable[[], None] | None

    def cancel(self) -> None:
        self.action = None


class Timers:
    """What is due, soonest first; equal instants fire in the order they were set."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, at: float, action: Callable[[], None]) -> Timer:
        timer = Timer(at, action)
        heapq.heappush(self._heap, (at, next(self._order), timer))
        return timer

    def next_at(self) -> float | None:
        """When the next live timer is due; None when there is none."""
        while self._heap and self._heap[0][2].action is None:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def pop_due(self, now: float) -> Timer | None:
        at = self.next_at()
        return heapq.heappop(self._heap)[2] if at is not None and at <= now else None


def iso_millis(instant: float) -> str:
    """A resource's timestamp: ISO-8601 UTC with milliseconds."""
    return _iso(int(instant * 1000) * 1000, "milliseconds")


def iso_micros(micros: int) -> str:
    """An event's timestamp, from whole microseconds: ISO-8601 UTC with microseconds."""
    return _iso(micros, "microseconds")


def _iso(micros: int, timespec: str) -> str:
    return (_EPOCH + timedelta(microseconds=micros)).isoformat(timespec=timespec).replace("+00:00", "Z")
