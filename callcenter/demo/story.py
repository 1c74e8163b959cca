"""One line per call, told from its journal once it is over."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from callcenter.logs import mask_numbers
from queues.models import Call
from webhooks.models import JournalEntry

# What a journal line says, with its facts filled in; what is not here goes without saying.
WORDS: Mapping[str, str] = {
    "offer_ringing": "{agent} rang",
    "offer_declined": "{agent} declined",
    "offer_timed_out": "{agent} did not answer",
    "offer_leg_failed": "{agent} could not be reached",
    "offer_expired": "{agent} took too long",
    "offer_rescinded": "{agent} was taken back",
    "offer_superseded": "{agent} was too late",
    "offer_connected": "{agent} answered",
    "offer_ended": "{agent} was done",
    "entry_answered": "waited {wait_secs} s",
    "entry_abandoned": "gave up after {wait_secs} s",
    "rescued": "was kept when the line broke",
    "requeued": "went to {queue}",
    "sent_away": "was sent away ({reason})",
    "taken_over": "{supervisor} took over",
}


class Storyteller:
    """Tells each call that has ended, once."""

    def __init__(self, *, since: datetime) -> None:
        self._since = since
        self._told: set[UUID] = set()

    def new_lines(self) -> Iterator[str]:
        over = Call.objects.filter(arrived_at__gte=self._since, ended_at__isnull=False).select_related("queue")
        for call in over.exclude(outcome="").order_by("ended_at"):
            if call.pk not in self._told:
                self._told.add(call.pk)
                yield line(call, JournalEntry.objects.filter(call_id=call.pk).order_by("number"))


def line(call: Call, journal: Iterable[JournalEntry]) -> str:
    """``12:04:31  +4477****0017  Support   waited 4.1 s, Ana answered, ...: answered``."""
    ended = f"{call.ended_at:%H:%M:%S}" if call.ended_at else ""
    queue = call.queue.name if call.queue else "no queue"
    steps = [step for entry in journal if (step := _step(entry.kind, entry.facts))]
    outcome = call.get_outcome_display()
    return f"{ended}  {mask_numbers(call.from_number)}  {queue:<8} {', '.join(steps) or call.end_reason}: {outcome}"


def _step(kind: str, facts: Mapping[str, Any]) -> str:
    words = WORDS.get(kind, "")
    try:
        return words.format_map(facts)
    except KeyError:
        return ""
