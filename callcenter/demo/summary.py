"""What it all came to, in one line of JSON: outcomes, waits, silences, and everything that must be nothing."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from callcenter.demo.truth import Truth
from queues.metrics import Segment, asa_secs, service_level
from queues.models import Call, Offer, QueueEntry
from webhooks.models import Command, WebhookEvent

OUTCOMES = ("answered", "abandoned", "flow_out", "before_queue", "callback")


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The fields are the keys of the JSON, in this order."""

    calls: int
    answered: int
    abandoned: int
    flow_out: int
    before_queue: int
    callback: int
    service_level: float | None
    asa_secs: float | None
    caller_silence_max_secs: float
    agent_dead_air_max_secs: float
    rang_for_gone_caller_max_secs: float
    events: int
    commands: int
    lost: int
    double_booked: int
    invariant_violations: int
    backends: Mapping[str, str]

    @property
    def is_clean(self) -> bool:
        outcomes = self.answered + self.abandoned + self.flow_out + self.before_queue + self.callback
        wrongs = self.lost + self.double_booked + self.invariant_violations
        return outcomes == self.calls and wrongs == 0

    def in_words(self) -> str:
        level = "none" if self.service_level is None else f"{self.service_level:.0%}"
        asa = "none" if self.asa_secs is None else f"{self.asa_secs:.1f} s"
        return (
            f"{self.calls} calls: {self.answered} answered, {self.abandoned} abandoned, {self.flow_out} flowed out, "
            f"{self.before_queue} ended before a queue, {self.callback} called back\n"
            f"Service level {level}, average speed of answer {asa}\n"
            f"Longest silence of a caller {self.caller_silence_max_secs:.1f} s, "
            f"dead air of an agent {self.agent_dead_air_max_secs:.1f} s, "
            f"ringing for a gone caller {self.rang_for_gone_caller_max_secs:.1f} s\n"
            f"{self.events} events, {self.commands} commands; {self.lost} lost, {self.double_booked} double-booked, "
            f"{self.invariant_violations} invariants violated"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrongs:
    """What must not be, one line each."""

    lost: Sequence[str]
    double_booked: Sequence[str]
    violations: Sequence[str]

    def __iter__(self) -> Iterator[str]:
        yield from (f"lost: {line}" for line in self.lost)
        yield from (f"double-booked: {line}" for line in self.double_booked)
        yield from (f"invariant violated: {line}" for line in self.violations)


def find_wrongs(placed: Sequence[str], *, truth: Truth, violations: Collection[str], since: datetime) -> Wrongs:
    """``placed``: the callers' legs. Rows older than ``since`` are none of this run's."""
    calls = _calls_by_leg(since)
    return Wrongs(
        lost=[line for leg in placed if (line := _lost(leg, calls.get(leg), truth))],
        double_booked=[*_double_booked(since), *truth.taken_twice],
        violations=sorted(violations),
    )


def summarise(
    placed: Sequence[str],
    *,
    wrongs: Wrongs,
    silence: Mapping[str, Mapping[str, float]],
    backends: Mapping[str, str],
    since: datetime,
) -> Summary:
    calls = _calls_by_leg(since)
    outcomes = Counter(calls[leg].outcome for leg in placed if leg in calls)
    segments = _segments(since)
    return Summary(
        calls=len(placed),
        **{outcome: outcomes[outcome] for outcome in OUTCOMES},
        service_level=_rounded(service_level(segments), 4),
        asa_secs=_rounded(asa_secs(segments), 2),
        caller_silence_max_secs=_longest(silence["callers"]),
        agent_dead_air_max_secs=_longest(silence["agents"]),
        rang_for_gone_caller_max_secs=_longest(silence["rang_for_gone_caller_secs"]),
        events=WebhookEvent.objects.filter(received_at__gte=since).count(),
        commands=Command.objects.filter(created_at__gte=since).count(),
        lost=len(wrongs.lost),
        double_booked=len(wrongs.double_booked),
        invariant_violations=len(wrongs.violations),
        backends=backends,
    )


def _calls_by_leg(since: datetime) -> dict[str, Call]:
    return {call.leg.call_control_id: call for call in Call.objects.filter(arrived_at__gte=since).select_related("leg")}


def _lost(leg: str, call: Call | None, truth: Truth) -> str:
    """Why, if it has no outcome, or one that the simulator contradicts."""
    if call is None:
        return f"leg {leg} is no call of ours"
    if not call.outcome or leg not in truth.ended:
        return f"call {call.pk} is {call.state}, its caller {'has gone' if leg in truth.ended else 'is there'}"
    spoke = leg in truth.spoke_with_an_agent
    if (call.outcome == Call.Outcome.ANSWERED) != spoke:
        return f"call {call.pk} was {call.outcome}, its caller spoke with {'an agent' if spoke else 'nobody'}"
    return ""


def _segments(since: datetime) -> list[Segment]:
    ended = QueueEntry.objects.filter(entered_at__gte=since, ended_at__isnull=False).select_related("queue")
    return [
        Segment(
            outcome=entry.outcome,
            wait_secs=entry.wait_secs or 0.0,
            service_level_secs=entry.queue.service_level_secs,
            short_abandon_secs=entry.queue.short_abandon_secs,
        )
        for entry in ended
    ]


def _double_booked(since: datetime) -> Iterator[str]:
    """Offers made to an agent, or exclusively for a stay, before the one before had ended."""
    offers = sorted(Offer.objects.filter(offered_at__gte=since), key=_began)
    yield from _overlaps(offers, "agent_id")
    yield from _overlaps([offer for offer in offers if offer.exclusive], "entry_id")


def _overlaps(offers: Sequence[Offer], whose: str) -> Iterator[str]:
    last: dict[Any, Offer] = {}
    for offer in offers:
        before = last.get(getattr(offer, whose))
        if before is not None and (before.ended_at is None or before.ended_at > _began(offer)):
            yield f"offer {offer.pk} at {_began(offer)} before {before.pk} ended at {before.ended_at} ({whose})"
        last[getattr(offer, whose)] = offer


def _began(offer: Offer) -> datetime:
    """``offered_at`` is read before the locks are waited for; nobody was claimed before he was seen to be free."""
    return max(offer.offered_at, offer.agent_available_since or offer.offered_at)


def _longest(secs: Mapping[str, float]) -> float:
    return max(secs.values(), default=0.0)


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
