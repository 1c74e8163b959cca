"""From facts to states, purely: what became of an offer, a stay, a call. No database, no clock.

Each function is a fold over instants, so the same facts give the same answer in whatever order they came.
At equal instants leaving wins.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from queues.models import Call, Offer, QueueEntry

State = Offer.State

DECLINING = frozenset({"call_rejected", "user_busy"})
MISSING = frozenset({"timeout", "no_answer"})
DROPPING = frozenset({"unspecified", "not_found", "timeout"})
CALLER_MOVED = "caller_moved"
NOT_DIALLED = "telnyx_unavailable"  # refused for a reason of the account, or never answered
LEAVING = timedelta(seconds=2)  # between two words for one leaving: of a participant and his leg, of Telnyx and us


@dataclass(frozen=True, slots=True, kw_only=True)
class LegEnd:
    """A hang-up as Telnyx told it. ``ours``: we had asked for it."""

    at: datetime
    cause: str
    sip_cause: str = ""
    ours: bool = False

    @property
    def is_failure(self) -> bool:
        """After connect: dropped by network or device, not ended by a person (PRODUCT §3)."""
        if self.ours or self.cause in ("normal_clearing", "time_limit", "originator_cancel"):
            return False
        sip_error = self.sip_cause.isdigit() and int(self.sip_cause) >= 400
        return self.cause in DROPPING or sip_error


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferFacts:
    """Everything that happened to one offer. The conference instants are those of the one its agent joined."""

    confirms: bool
    exclusive: bool = True
    initiated_at: datetime | None = None
    answered_at: datetime | None = None
    leg_end: LegEnd | None = None
    caller_hangup_at: datetime | None = None
    caller_joined_at: datetime | None = None
    caller_left_at: datetime | None = None
    agent_joined_at: datetime | None = None
    agent_left_at: datetime | None = None
    refused_at: datetime | None = None
    confirmed_at: datetime | None = None
    unconfirmed_at: datetime | None = None
    won_at: datetime | None = None
    rescinded_at: datetime | None = None
    rescind_reason: str = ""
    expired_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferVerdict:
    state: str
    connected_at: datetime | None = None
    ended_at: datetime | None = None
    end_reason: str = ""
    won_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class _End:
    at: datetime
    rank: int
    state: str
    reason: str


def offer_verdict(facts: OfferFacts) -> OfferVerdict:
    """PRODUCT §4. Both joined before anything ended it: connected, and ``ended`` when it ends, whatever arrived
    first. Else the earliest end says which exit it was."""
    first = min(_ends(facts), key=lambda end: (end.at, end.rank), default=None)
    won_at = _won_at(facts, first)
    connected_at = _later(facts.caller_joined_at, facts.agent_joined_at)
    if connected_at is not None and (first is None or connected_at < first.at):
        parting = min(
            (end for end in (first, *_partings(facts)) if end and end.at >= connected_at),
            key=lambda end: (end.at, end.rank),
            default=None,
        )
        if parting is None:
            return OfferVerdict(state=State.CONNECTED, connected_at=connected_at, won_at=won_at)
        return OfferVerdict(
            state=State.ENDED,
            connected_at=connected_at,
            ended_at=parting.at,
            end_reason=parting.reason,
            won_at=won_at,
        )
    if first is not None:
        return OfferVerdict(state=first.state, ended_at=first.at, end_reason=first.reason, won_at=won_at)
    if won_at is not None:
        return OfferVerdict(state=State.CONNECTING, won_at=won_at)
    if facts.answered_at is not None:
        return OfferVerdict(state=State.CONFIRMING)
    return OfferVerdict(state=State.RINGING if facts.initiated_at else State.PENDING)


def _won_at(facts: OfferFacts, first: _End | None) -> datetime | None:
    """When the agent took the call, before anything ended the offer: answered, and confirmed where asked.

    Where several were offered it, taking is a race that our rows decide; ``won_at`` then is their word.
    """
    if not facts.exclusive:
        return facts.won_at
    taken_at = facts.answered_at
    if facts.confirms:
        taken_at = _later(facts.answered_at, facts.confirmed_at)
    return taken_at if taken_at and (first is None or taken_at < first.at) else None


def may_win(facts: OfferFacts) -> bool:
    """Where several were offered it: nothing has ended it, and the agent has done all that taking it asks of him."""
    return (
        facts.won_at is None
        and facts.answered_at is not None
        and not (facts.confirms and facts.confirmed_at is None)
        and not any(True for _ in _ends(facts))
    )


def _ends(facts: OfferFacts) -> Iterable[_End]:
    if facts.caller_hangup_at is not None:
        yield _End(facts.caller_hangup_at, 0, State.CALLER_LEFT, "caller_hangup")
    if facts.rescinded_at is not None:
        superseded = facts.rescind_reason == State.SUPERSEDED
        yield _End(
            facts.rescinded_at,
            1,
            State.SUPERSEDED if superseded else State.RESCINDED,
            facts.rescind_reason,
        )
    if facts.leg_end is not None:
        yield _End(facts.leg_end.at, 2, _exit_of(facts, facts.leg_end), facts.leg_end.cause)
    if facts.refused_at is not None and not _refused_for_want_of_a_caller(facts):
        refused = "join_refused" if facts.answered_at else "dial_refused"
        yield _End(facts.refused_at, 3, State.LEG_FAILED, refused)
    if facts.unconfirmed_at is not None and not (facts.confirmed_at and facts.confirmed_at <= facts.unconfirmed_at):
        yield _End(facts.unconfirmed_at, 4, State.TIMED_OUT, "not_confirmed")
    if facts.expired_at is not None:
        asked = facts.confirms and facts.answered_at is not None and facts.confirmed_at is None
        yield _End(facts.expired_at, 5, State.TIMED_OUT if asked else State.EXPIRED, "deadline")


def _partings(facts: OfferFacts) -> Iterable[_End]:
    """Ways out of a conversation before the end of a leg.

    That the agent has left says nothing while his leg's end is unknown: whether he hung up or was dropped decides
    what becomes of the caller.
    """
    if facts.caller_left_at is not None:
        gone = facts.caller_hangup_at is not None and facts.caller_hangup_at - facts.caller_left_at <= LEAVING
        yield _End(facts.caller_left_at, 6, State.ENDED, "caller_hangup" if gone else CALLER_MOVED)
    if facts.agent_left_at is not None and facts.leg_end is not None:
        yield _End(facts.agent_left_at, 7, State.ENDED, facts.leg_end.cause)


def _refused_for_want_of_a_caller(facts: OfferFacts) -> bool:
    """An agent who has answered is refused his join because the caller, and with him the conference, has just gone.

    Their order cannot be read off their instants: the hang-up's is of Telnyx's clock, the refusal's of ours.
    """
    if facts.answered_at is None or facts.caller_hangup_at is None or facts.refused_at is None:
        return False
    return abs(facts.refused_at - facts.caller_hangup_at) <= LEAVING


def _exit_of(facts: OfferFacts, end: LegEnd) -> str:
    """Which exit a hang-up before the connection was."""
    if facts.answered_at is not None and facts.answered_at < end.at:
        if facts.confirms and not (facts.confirmed_at and facts.confirmed_at < end.at):
            return State.DECLINED if end.cause == "normal_clearing" else State.LEG_FAILED
        return State.LEG_FAILED
    if end.cause in DECLINING:
        return State.DECLINED
    if end.cause in MISSING:
        return State.TIMED_OUT
    return State.LEG_FAILED


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return max(one, other) if one and other else None


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryVerdict:
    """What became of one stay; ``outcome`` '' while it lasts."""

    outcome: str = ""
    ended_at: datetime | None = None
    end_reason: str = ""


def entry_verdict(
    *,
    connected_at: datetime | None,
    caller_hangup_at: datetime | None,
    closing_at: datetime | None,
    closing_reason: str,
    released_at: datetime | None,
    moved_at: datetime | None = None,
) -> EntryVerdict:
    """METRICS: answered if an agent was connected; else a rule took him out, or he left."""
    if connected_at is not None:
        return EntryVerdict(outcome=QueueEntry.Outcome.ANSWERED, ended_at=connected_at)
    ends = [
        (closing_at, QueueEntry.Outcome.FLOW_OUT, closing_reason),
        (released_at, QueueEntry.Outcome.FLOW_OUT, "removed"),
        (moved_at, QueueEntry.Outcome.FLOW_OUT, "moved"),
        (caller_hangup_at, QueueEntry.Outcome.ABANDONED, "caller_hangup"),
    ]
    known = [(at, outcome, reason) for at, outcome, reason in ends if at is not None]
    if not known:
        return EntryVerdict()
    at, outcome, reason = min(known, key=lambda end: end[0])
    return EntryVerdict(outcome=outcome, ended_at=at, end_reason=reason)


def call_outcome(entries: Iterable[QueueEntry]) -> str:
    """Each call once: answered if any stay was, else its last stay's end, else before the queue."""
    stays = sorted(entries, key=lambda entry: entry.number)
    if not stays:
        return Call.Outcome.BEFORE_QUEUE
    if any(stay.outcome == QueueEntry.Outcome.ANSWERED for stay in stays):
        return Call.Outcome.ANSWERED
    return Call.Outcome(stays[-1].outcome) if stays[-1].outcome else Call.Outcome.ABANDONED


def ended_state(outcome: str, *, has_queue: bool) -> str:
    """The final state that goes with an outcome."""
    if outcome == Call.Outcome.ANSWERED:
        return Call.State.CLOSED
    if outcome == Call.Outcome.FLOW_OUT:
        return Call.State.OVERFLOWED
    if outcome == Call.Outcome.BEFORE_QUEUE and not has_queue:
        return Call.State.FAILED
    return Call.State.ABANDONED
