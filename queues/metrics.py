"""The figures of METRICS.md over segments, purely: a ratio without a denominator is None, never 0."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One stay of one call in one queue that has ended, with the thresholds of its queue. Times in seconds."""

    outcome: str
    wait_secs: float
    service_level_secs: float
    short_abandon_secs: float


def service_level(segments: Iterable[Segment]) -> float | None:
    """``sl_excl_short``, 0 to 1: answered within T, of all answered and of those who did not give up at once.

    T is inclusive, the short-abandon threshold is strict.
    """
    counted = [
        segment
        for segment in segments
        if segment.outcome == "answered"
        or (segment.outcome == "abandoned" and segment.wait_secs >= segment.short_abandon_secs)
    ]
    if not counted:
        return None
    in_time = sum(1 for s in counted if s.outcome == "answered" and s.wait_secs <= s.service_level_secs)
    return in_time / len(counted)


def asa_secs(segments: Iterable[Segment]) -> float | None:
    """Average speed of answer: entry to connection, ring time included."""
    waits = [segment.wait_secs for segment in segments if segment.outcome == "answered"]
    return sum(waits) / len(waits) if waits else None
