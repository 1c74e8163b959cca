"""A call's journal in sentences, for people. A kind without a sentence is told in its own words."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils.dateparse import parse_datetime

from webhooks.models import JournalEntry

SENTENCES: Mapping[str, str] = {
    "arrived": "The call arrived for {queue}.",
    "call_in_flow": "The caller hears the greeting.",
    "call_queued": "The caller waits.",
    "call_offering": "The call is being offered.",
    "call_connected": "Caller and agent talk.",
    "call_on_hold": "The caller is on hold.",
    "call_closing": "The caller hears the closing text.",
    "call_closed": "The call is over: {outcome}.",
    "call_abandoned": "The call is over: {outcome}.",
    "call_overflowed": "The call is over: {outcome}.",
    "call_failed": "The call failed: {outcome}.",
    "entered": "He entered {queue}{place}.",
    "rescued": "The agent was lost; back into {queue} at the old place{place}.",
    "priority_set": "His priority is now {priority}.",
    "not_requeued": "Telnyx would not let him go; he talks on.",
    "requeued": "He was put into {queue} again, at the place his waiting has earned.",
    "entry_waiting": "He waits in {queue}.",
    "entry_offering": "An agent of {queue} is being rung.",
    "entry_answered": "{queue}: answered after {wait_secs} s.",
    "entry_abandoned": "{queue}: abandoned after {wait_secs} s.",
    "entry_flow_out": "{queue}: left by a rule after {wait_secs} s.",
    "entry_callback": "{queue}: will be called back, after {wait_secs} s.",
    "offered": "Offered to {agent} from {queue}.",
    "offer_pending": "{agent} is being dialled.",
    "offer_ringing": "{agent}'s phone rings.",
    "offer_confirming": "{agent} is asked to press a key.",
    "offer_connecting": "{agent} answered; he is being joined to the caller.",
    "offer_connected": "{agent} talks to the caller.",
    "offer_ended": "{agent}'s part is over{why}.",
    "offer_declined": "{agent} declined{why}.",
    "offer_timed_out": "{agent} did not answer{why}.",
    "offer_leg_failed": "{agent}'s phone failed{why}.",
    "offer_caller_left": "The caller left before {agent} had him.",
    "offer_rescinded": "The offer to {agent} was taken back{why}.",
    "offer_superseded": "Somebody else was faster than {agent}.",
    "offer_expired": "The offer to {agent} ran out of time.",
    "sent_away": "{queue} sends the caller away: {reason}.",
    "taken_over": "{supervisor} took the call over.",
    "supervision_asked": "{supervisor} asked to {role}.",
    "role_switched": "The supervisor's role is now {role}.",
    "supervisor_joined": "The supervisor is in the conversation: {role}.",
    "supervision_ended": "The supervisor's {role} ended: {reason}.",
}
MISSING = "?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """``after`` is the time since the first line."""

    at: datetime
    after: timedelta
    text: str
    kind: str


def tell(journal: Iterable[JournalEntry]) -> Iterator[Line]:
    """The lines in their order."""
    first: datetime | None = None
    for entry in journal:
        first = first or entry.at
        yield Line(at=entry.at, after=entry.at - first, text=sentence(entry.kind, entry.facts), kind=entry.kind)


def sentence(kind: str, facts: Mapping[str, Any]) -> str:
    if kind == "arrived" and not facts.get("queue"):
        return "A call arrived for a number that leads to no queue."
    pattern = SENTENCES.get(kind)
    if pattern is None:
        told = ", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in facts.items())
        return f"{kind.replace('_', ' ').capitalize()}{f' ({told})' if told else ''}."
    return pattern.format_map(_Words(facts))


class _Words(dict[str, str]):
    """The facts as words; what a line lacks shows as a question mark."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        super().__init__({name: str(value).replace("_", " ") for name, value in facts.items()})
        for name in ("queue", "agent", "supervisor"):  # names are ours, and stay as they are
            if name in facts:
                self[name] = str(facts[name])
        self["why"] = f" ({self['reason']})" if self.get("reason") else ""
        since = parse_datetime(str(facts["place_since"])) if facts.get("place_since") else None
        self["place"] = f", in line since {since:%H:%M:%S}" if since else ""

    def __missing__(self, name: str) -> str:
        return MISSING
