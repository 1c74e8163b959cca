"""How a waiting call asks for less with time: what holds now, when that changes next, and to what.

Three things relax independently: its skills by rings, its penalty window by rules (ROUTING §1), its promise's
gate (ROUTING §6). Time limits are inclusive at their second.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from queues.routing.eligibility import Window, penalty_window, required_levels
from queues.routing.snapshot import QueueState, WaitingCall


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRing:
    """Ring ``number`` of ``count``: the first is what the call asks for before any of the queue's rings has opened.

    Rings that open at the same second are one. ``next_at`` None: it is the last.
    """

    number: int
    count: int
    required: Mapping[str, int]
    next_at: int | None = None
    next_required: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenWindow:
    """``next_at`` None: no rule to come changes it."""

    window: Window
    next_at: int | None = None
    next_window: Window | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenGate:
    """Agents up to this effective penalty may have the call even where main agents are scarce."""

    penalty: int
    next_at: int | None = None
    next_penalty: int | None = None


def ring_of(call: WaitingCall, queue: QueueState, now: int) -> OpenRing:
    wait = now - call.enqueued_at
    openings = sorted({ring.after for ring in queue.rings if ring.after > 0})
    opened = sum(after <= wait for after in openings)
    upcoming = openings[opened] if opened < len(openings) else None
    return OpenRing(
        number=1 + opened,
        count=1 + len(openings),
        required=required_levels(call.required_skills, queue.rings, wait),
        next_at=None if upcoming is None else call.enqueued_at + upcoming,
        next_required=None if upcoming is None else required_levels(call.required_skills, queue.rings, upcoming),
    )


def window_of(call: WaitingCall, queue: QueueState, now: int) -> OpenWindow:
    """The limits as such; a queue with no more members than ``penalty_members_limit`` has none."""
    wait = now - call.enqueued_at
    window = penalty_window(queue, wait)
    for after in sorted({rule.after for rule in queue.penalty_rules if rule.after > wait}):
        if (changed := penalty_window(queue, after)) != window:
            return OpenWindow(window=window, next_at=call.enqueued_at + after, next_window=changed)
    return OpenWindow(window=window)


def gate_of(call: WaitingCall, queue: QueueState, now: int, *, penalties: Iterable[int]) -> OpenGate | None:
    """``penalties``: the effective ones of the queue's members. None: the queue has no gate."""
    if queue.scoring != "promise":
        return None
    admitted = 2 * (now - call.enqueued_at) // queue.promise_secs
    shut = [penalty for penalty in penalties if penalty > admitted]
    if not shut:
        return OpenGate(penalty=admitted)
    return OpenGate(
        penalty=admitted,
        next_at=call.enqueued_at + gate_opens_after(min(shut), queue),
        next_penalty=min(shut),
    )


def gate_opens_after(penalty: int, queue: QueueState) -> int:
    """The wait from which the promise lets a call go to agents of this effective penalty, main agents or not."""
    return -(-penalty * queue.promise_secs // 2)
