"""What a supervisor sees at one instant: queues, agents, conversations. Questions only, and always as many.

The number of queries does not depend on the number of rows: the board is asked for every two seconds.
"""

import uuid
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.db.models import Case, Count, DurationField, ExpressionWrapper, F, Min, Q, QuerySet, Value, When
from django.db.models.functions import Coalesce

from conferences.models import Conference, Participant, Role, SupervisionSession
from queues.models import Agent, Call, Offer, Queue, QueueEntry, QueueMembership

Outcome = QueueEntry.Outcome
IN_CONVERSATION = (Call.State.CONNECTED, Call.State.ON_HOLD)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueRow:
    """``service_level`` is today's ``sl_excl_short`` (METRICS), 0..1, None while nothing counts."""

    queue: Queue
    waiting: int
    longest_wait_secs: int | None
    available: int
    busy: int
    wrap_up: int
    not_ready: int
    answered: int
    abandoned: int
    service_level: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRow:
    agent: Agent
    for_secs: int | None
    offer: Offer | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """A caller's conference and who is in it; without ``conference`` he is in none (any more)."""

    call: Call
    conference: Conference | None
    seats: tuple[Participant, ...]
    offer: Offer | None
    sessions: tuple[SupervisionSession, ...]
    talk_secs: int | None

    @property
    def taken_over(self) -> SupervisionSession | None:
        return next((session for session in self.sessions if session.took_over_at), None)

    def session_of(self, user_id: int | None) -> SupervisionSession | None:
        return next((session for session in self.sessions if session.supervisor_id == user_id), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    now: datetime
    queues: tuple[QueueRow, ...]
    agents: tuple[AgentRow, ...]
    conversations: tuple[Conversation, ...]


def board(now: datetime, *, zone: ZoneInfo) -> Board:
    """Everything on the live page. ``zone`` says where the business day begins."""
    live = {offer.pk: offer for offer in _live_offers()}
    return Board(
        now=now,
        queues=_queues(now, zone),
        agents=_agents(now, live),
        conversations=_conversations(_calls_in_conversation(), live.values(), now),
    )


def conversation(call: Call, now: datetime) -> Conversation:
    """One call's conversation, as the call's page shows it."""
    return _conversations([call], _live_offers().filter(call=call), now)[0]


def _live_offers() -> QuerySet[Offer]:
    return Offer.objects.live().select_related("call__queue", "agent")


def business_day(now: datetime, zone: ZoneInfo) -> datetime:
    """Where today began."""
    return now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)


# queues ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Today:
    answered: int = 0
    in_time: int = 0
    abandoned: int = 0
    short: int = 0

    @property
    def service_level(self) -> float | None:
        counted = self.answered + self.abandoned - self.short
        return self.in_time / counted if counted else None


def _queues(now: datetime, zone: ZoneInfo) -> tuple[QueueRow, ...]:
    lines = {
        queue_id: (waiting, since)
        for queue_id, waiting, since in QueueEntry.objects.exclude(state=QueueEntry.State.ENDED)
        .order_by()
        .values_list("queue_id")
        .annotate(Count("id"), Min("entered_at"))
    }
    queues, staff = list(Queue.objects.all()), _staff()
    today = _today(queues, business_day(now, zone))
    rows = []
    for queue in queues:
        waiting, since = lines.get(queue.pk, (0, None))
        here, day = staff[queue.pk], today.get(queue.pk, _Today())
        rows.append(
            QueueRow(
                queue=queue,
                waiting=waiting,
                longest_wait_secs=_secs(since, now),
                available=here[Agent.State.AVAILABLE],
                busy=here[Agent.State.RESERVED] + here[Agent.State.BUSY],
                wrap_up=here[Agent.State.WRAP_UP],
                not_ready=here[Agent.State.NOT_READY],
                answered=day.answered,
                abandoned=day.abandoned,
                service_level=day.service_level,
            )
        )
    return tuple(rows)


def _staff() -> Mapping[uuid.UUID, Counter[str]]:
    """Per queue, its members (but the paused ones) by state."""
    staff: dict[uuid.UUID, Counter[str]] = defaultdict(Counter)
    counted = (
        QueueMembership.objects.filter(paused=False)
        .order_by()
        .values_list("queue_id", "agent__state")
        .annotate(Count("id"))
    )
    for queue_id, state, count in counted:
        staff[queue_id][state] += count
    return staff


def _today(queues: Collection[Queue], since: datetime) -> dict[uuid.UUID, _Today]:
    """Per queue, METRICS' counts of the stays that ended since; T is inclusive, s is strict."""
    if not queues:
        return {}
    answered, abandoned = Q(outcome=Outcome.ANSWERED), Q(outcome=Outcome.ABANDONED)
    in_time = {queue.pk: queue.service_level_secs for queue in queues}
    short = {queue.pk: queue.short_abandon_secs for queue in queues}
    counted = (
        QueueEntry.objects.filter(queue__in=queues, ended_at__gte=since)
        .annotate(
            wait=ExpressionWrapper(Coalesce("connected_at", "ended_at") - F("entered_at"), output_field=DurationField())
        )
        .order_by()
        .values_list("queue_id")
        .annotate(
            answered=Count("id", filter=answered),
            in_time=Count("id", filter=answered & Q(wait__lte=_per_queue(in_time))),
            abandoned=Count("id", filter=abandoned),
            short=Count("id", filter=abandoned & Q(wait__lt=_per_queue(short))),
        )
    )
    return {queue_id: _Today(*counts) for queue_id, *counts in counted}


def _per_queue(secs: Mapping[uuid.UUID, int]) -> Case:
    """Each queue's own threshold; SQLite cannot multiply a duration by a column."""
    return Case(
        *(When(queue=queue_id, then=Value(timedelta(seconds=each))) for queue_id, each in secs.items()),
        output_field=DurationField(),
    )


# agents ------------------------------------------------------------------------------------------------------


def _agents(now: datetime, live: Mapping[uuid.UUID, Offer]) -> tuple[AgentRow, ...]:
    rows = [
        AgentRow(
            agent=agent,
            for_secs=_secs(agent.state_since, now),
            offer=live.get(agent.live_offer_id) if agent.live_offer_id else None,
        )
        for agent in Agent.objects.select_related("team")
    ]
    return tuple(sorted(rows, key=lambda row: (row.agent.state == Agent.State.OFFLINE, row.agent.name)))


# conversations -----------------------------------------------------------------------------------------------


def _calls_in_conversation() -> list[Call]:
    """Those who talk, and those who are waited for by somebody listening."""
    watched = SupervisionSession.objects.exclude(state=SupervisionSession.State.ENDED).values("call_id")
    return list(
        Call.objects.filter(ended_at__isnull=True)
        .filter(Q(state__in=IN_CONVERSATION) | Q(pk__in=watched))
        .select_related("queue", "leg")
        .order_by("arrived_at")
    )


def _conversations(calls: Collection[Call], live: Iterable[Offer], now: datetime) -> tuple[Conversation, ...]:
    ids = [call.pk for call in calls]
    offers = {offer.call_id: offer for offer in live if offer.state == Offer.State.CONNECTED}
    seats: dict[uuid.UUID | None, list[Participant]] = defaultdict(list)
    present = Participant.objects.present().filter(conference__call_id__in=ids).select_related("leg", "conference")
    for seat in present.order_by("joined_at"):
        seats[seat.conference.call_id].append(seat)
    sessions: dict[uuid.UUID, list[SupervisionSession]] = defaultdict(list)
    listening = SupervisionSession.objects.exclude(state=SupervisionSession.State.ENDED).filter(call_id__in=ids)
    for session in listening.select_related("supervisor").order_by("requested_at"):
        sessions[session.call_id].append(session)
    return tuple(_conversation(call, seats[call.pk], offers.get(call.pk), sessions[call.pk], now) for call in calls)


def _conversation(
    call: Call, seats: list[Participant], offer: Offer | None, sessions: list[SupervisionSession], now: datetime
) -> Conversation:
    """The caller's newest seat says which conference is meant; others of the call are left over from before."""
    callers = [seat for seat in seats if seat.leg_id == call.leg_id]
    conference = callers[-1].conference if callers else None
    since = offer.connected_at if offer else callers[-1].joined_at if callers else None
    return Conversation(
        call=call,
        conference=conference,
        seats=tuple(
            sorted(
                (seat for seat in seats if conference and seat.conference_id == conference.pk),
                key=lambda seat: list(Role.values).index(seat.leg.role) if seat.leg.role else len(Role.values),
            )
        ),
        offer=offer,
        sessions=tuple(sessions),
        talk_secs=_secs(since, now),
    )


def _secs(since: datetime | None, now: datetime) -> int | None:
    return max(0, int((now - since).total_seconds())) if since else None
