"""What must be true once everything has come to rest: our rows against what the simulator saw. Pure."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from callcenter.chaos.witness import Deliveries

Command = Mapping[str, Any]
# By when a look at Telnyx has found what no event told: there is one every 5 s, and a kill may hold it up for 15 s.
FOUND_SECS = 25.0


def double_effects(commands: Iterable[Command]) -> list[str]:
    """Intents that took effect at Telnyx more than once: one phone rung twice for one offer.

    An intent is known by what it does, whatever ``command_id`` it came with; a repeat that Telnyx recognised
    had no effect.
    """
    effects = Counter(key for command in commands if command["effect"] == "done" for key in _intents(command))
    return sorted(f"{key} took effect {times} times" for key, times in effects.items() if times > 1)


def _intents(command: Command) -> Iterator[str]:
    if command["command_id"]:
        yield f"command {command['command_id']} {command['operation']}"
    body, operation = command["body"], command["operation"]
    match operation:
        case "calls.dial":
            yield f"dial for {body.get('client_state')}"
        case "calls.answer":
            yield f"answer of {command['call_control_id']}"
        case "calls.enqueue":
            yield f"enqueue of {command['call_control_id']} for {body.get('client_state')}"
        case "conferences.create":
            yield f"conference {body.get('name')}"
        case "conferences.join":
            yield f"join of {body.get('call_control_id')} to {command['id']}"


def acknowledged_and_lost(deliveries: Deliveries, inbox: Collection[str]) -> list[str]:
    """Events answered 200 of which we have no row. ``inbox``: their ids."""
    return sorted(f"event {ident} was answered 200 and is not in the inbox" for ident in deliveries.answered - {*inbox})


def never_delivered(deliveries: Deliveries, inbox: Collection[str]) -> list[str]:
    """Rows of events that nobody validly signed. One that was answered too late for the sender is none."""
    return sorted(f"event {ident} is in the inbox and was not sent" for ident in {*inbox} - deliveries.attempted)


def gone_unseen(
    placed: Iterable[str], *, known: Collection[str], lived_secs: Mapping[str, float], excused: Collection[str] = ()
) -> set[str]:
    """Callers whom we do not know and need not: they had gone before a look had to find them, or (``excused``) in a
    blackout. ``known``: of whom an event reached us, or of whom we have a row."""
    soon = {leg for leg, secs in lived_secs.items() if secs < FOUND_SECS}
    return {leg for leg in placed if leg not in known and (leg in soon or leg in excused)}


def met_unseen(callers: Iterable[str], *, spoke_secs: Mapping[str, float]) -> set[str]:
    """Of the callers of whose call a join was lost, those who spoke with an agent, and had parted before a look had to
    find them together: their outcome may say that they met nobody."""
    return {leg for leg in callers if spoke_secs.get(leg, FOUND_SECS) < FOUND_SECS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Adoption:
    """Of the callers who were there when our processes started again, at ``since``.

    ``known_at``: when the first event of each leg was applied, Telnyx's or the reconciler's; ``ended_at``: its end.
    """

    since: datetime
    there: Collection[str]
    known_at: Mapping[str, datetime]
    ended_at: Mapping[str, datetime]

    @property
    def strangers(self) -> list[str]:
        """Who was unknown to us then."""
        return [leg for leg in self.there if leg not in self.known_at or self.known_at[leg] > self.since]

    def secs(self, at_most: float) -> float | None:
        """After how long we knew all who had not gone by then; None if somebody outlived ``at_most`` unknown to us."""
        longest, limit = 0.0, self.since + timedelta(seconds=at_most)
        for leg in self.strangers:
            gone = self.ended_at.get(leg)
            known = self.known_at.get(leg)
            if known is not None and (gone is None or known <= gone):
                longest = max(longest, (known - self.since).total_seconds())
            elif gone is None or gone > limit:
                return None
        return longest

    def early(self, dials: Iterable[datetime]) -> list[str]:
        """Dials made while somebody who had been there from the start, and still was, was unknown to us."""
        known = [self._no_stranger_from(leg) for leg in self.strangers]
        return [f"dial at {at}" for at in dials if self.since < at and any(then is None or at < then for then in known)]

    def _no_stranger_from(self, leg: str) -> datetime | None:
        return min(filter(None, [self.known_at.get(leg), self.ended_at.get(leg)]), default=None)


def cut_off(
    placed: Iterable[str], by_others: Mapping[str, str], commands: Iterable[Command], *, excused: Collection[str] = ()
) -> list[str]:
    """Callers who did not hang up, and whom we did not hang up either: a conference ended over their heads, or nobody
    took them on. ``by_others``: legs that somebody else than the caller ended. ``excused``: legs of a blackout."""
    hung_up = {c["call_control_id"] for c in commands if c["operation"] in _ENDS and c["effect"] == "done"}
    return [
        f"caller {leg} was cut off at {by_others[leg]}"
        for leg in placed
        if leg in by_others and leg not in hung_up and leg not in excused
    ]


_ENDS = frozenset({"calls.hangup", "calls.reject"})


def percentile(secs: Sequence[float], share: int) -> float | None:
    """That which ``share`` % do not exceed; None of nothing."""
    return sorted(secs)[min(len(secs) - 1, len(secs) * share // 100)] if secs else None
