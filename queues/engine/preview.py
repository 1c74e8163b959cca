"""What lies ahead, as supervisors ask: of a call that is only imagined in a queue, and of one that waits in it.

Questions only; the number of queries does not depend on the number of members.
"""

import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from django.db.models import Count, Q

from queues.engine import roll
from queues.engine.states import queue_state, secs, waiting_call
from queues.models import Agent, Queue, QueueEntry, QueueMembership
from queues.routing.floor import strategy_of, weighs_pairs
from queues.routing.outlook import Outlook, Qualified, outlook
from queues.routing.relaxation import OpenGate, OpenRing, OpenWindow, gate_of, ring_of, window_of
from queues.routing.snapshot import AgentState, QueueState, State, Sticky, WaitingCall
from queues.routing.strategies import Strategy

WAITS = (0, 30, 60)  # seconds
IMAGINED = "imagined"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prospect:
    """An agent who qualifies, with the penalty that counts.

    ``gate_opens_after``: the wait, in seconds, before which promise's gate keeps him from it; None if it does not.
    """

    agent: Agent
    penalty: int
    gate_opens_after: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """After one wait: who could take the call, best first; who could if he were free; the others by broken rule.

    ``required``: the levels still asked for.
    """

    wait_secs: int
    required: Mapping[str, int]
    takers: tuple[Prospect, ...]
    if_free: tuple[Prospect, ...]
    excluded: Mapping[str, tuple[Agent, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """Who could take a call with these skills, agents and settings being as they are ``at`` this moment."""

    queue: Queue
    at: datetime
    strategy: Strategy
    required_skills: Mapping[str, int]
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """The agent who last talked with the caller, while the queue keeps its calls for such agents.

    ``serves``: he is in the queue and not paused there. ``until``: when the call stops waiting for him, or did.
    """

    agent: Agent
    talked_at: datetime | None
    serves: bool
    until: int
    is_over: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a waiting call asks for at this moment, and when it next asks for less; instants in seconds since 1970.

    ``window`` None: penalties do not count in a queue of so few. ``gate`` None: the queue promises nothing.
    ``preference`` None: the call is anybody's.
    """

    queue: Queue
    wait_secs: int
    promised_until: int
    is_broken: bool
    ring: OpenRing
    window: OpenWindow | None
    gate: OpenGate | None
    preference: Preference | None


def preview(queue: Queue, required_skills: Mapping[str, int], *, now: datetime) -> Preview:
    """Over all members in whatever state; other calls are not looked at."""
    members = list(Agent.objects.filter(memberships__queue=queue).order_by("name"))
    state = _state(queue, now)
    call = WaitingCall(id=IMAGINED, queue=str(queue.pk), enqueued_at=state.now, required_skills=dict(required_skills))
    return Preview(
        queue=queue,
        at=now,
        strategy=strategy_of(state.queues[0]),
        required_skills=call.required_skills,
        columns=tuple(
            _column(wait, _outlook(state, replace(call, enqueued_at=state.now - wait)), members) for wait in WAITS
        ),
    )


def standing(entry: QueueEntry, *, now: datetime) -> Standing:
    """Of a stay that goes on, in the queue it is in."""
    own = list(QueueMembership.objects.filter(queue=entry.queue_id).values_list("penalty", flat=True))
    queue, call, at = queue_state(entry.queue), waiting_call(entry, now), secs(now)
    opened = window_of(call, queue, at)
    counts = len(own) > queue.penalty_members_limit
    windows = [window for window in (opened.window, opened.next_window) if window and counts]
    penalties = {effective for window in windows for each in own if (effective := window.effective(each)) is not None}
    return Standing(
        queue=entry.queue,
        wait_secs=at - call.enqueued_at,
        promised_until=call.enqueued_at + queue.promise_secs,
        is_broken=at - call.enqueued_at > queue.promise_secs,
        ring=ring_of(call, queue, at),
        window=opened if counts else None,
        gate=gate_of(call, queue, at, penalties=penalties),
        preference=_preference(entry, queue.sticky, at),
    )


def _preference(entry: QueueEntry, sticky: Sticky | None, at: int) -> Preference | None:
    agent, talked_at = entry.preferred_agent, entry.preferred_agent_at
    if sticky is None or agent is None or not sticky.is_recent(secs(talked_at) if talked_at else None, now=at):
        return None
    until = secs(entry.rank_at) + sticky.hold_seconds
    if sticky.max_age is not None and talked_at is not None:
        until = min(until, secs(talked_at) + sticky.max_age + 1)
    return Preference(
        agent=agent,
        talked_at=talked_at,
        serves=QueueMembership.objects.filter(agent=agent, queue=entry.queue_id, paused=False).exists(),
        until=until,
        is_over=until <= at,
    )


def ring(entry: QueueEntry, *, now: datetime) -> OpenRing:
    """The ring of a stay that goes on. Its queue is all it needs, so that it may be asked for every row of a list."""
    return ring_of(waiting_call(entry, now), queue_state(entry.queue), secs(now))


def _outlook(state: State, call: WaitingCall) -> Outlook:
    return outlook(replace(state, calls=(call,)), call.id)


def _column(wait: int, seen: Outlook, members: Iterable[Agent]) -> Column:
    by_id = {str(agent.pk): agent for agent in members}
    excluded: dict[str, list[Agent]] = defaultdict(list)
    for agent_id, agent in by_id.items():
        if rule := seen.excluded.get(agent_id):
            excluded[rule].append(agent)
    return Column(
        wait_secs=wait,
        required=seen.required,
        takers=tuple(_prospects(seen.takers, by_id)),
        if_free=tuple(sorted(_prospects(seen.if_free, by_id), key=lambda each: (each.penalty, each.agent.name))),
        excluded={rule: tuple(agents) for rule, agents in sorted(excluded.items())},
    )


def _prospects(ranked: Iterable[Qualified], by_id: Mapping[str, Agent]) -> Iterator[Prospect]:
    for each in ranked:
        yield Prospect(agent=by_id[each.agent_id], penalty=each.penalty, gate_opens_after=each.gate_opens_after)


def _state(queue: Queue, now: datetime) -> State:
    """The queue first; the others that its members serve only where they have a say, in promise's gate."""
    queues = [queue_state(queue)]
    agents = roll.with_past(roll.members(queue.pk, now=now), queues, now=now)
    if weighs_pairs(queues[0]):
        served = {uuid.UUID(queue_id) for agent in agents for queue_id in agent.memberships}
        queues += _known_by_their_main_agents(served - {queue.pk}, now)
    known = {each.id for each in queues}
    members = tuple(_as_he_is(roll.within(agent, known)) for agent in agents)
    return State(now=secs(now), queues=tuple(queues), agents=members, calls=())


def _as_he_is(agent: AgentState) -> AgentState:
    """Busy or reserved he has a call in hand."""
    return replace(
        agent,
        reserved=agent.status == Agent.State.RESERVED,
        active_calls=int(agent.status in (Agent.State.RESERVED, Agent.State.BUSY)),
    )


def _known_by_their_main_agents(queue_ids: Collection[uuid.UUID], now: datetime) -> Iterator[QueueState]:
    """Queues of which no more is known than how many main agents are free."""
    whole = now.replace(microsecond=0)  # as a pass reckons
    free = (
        QueueMembership.objects.filter(queue__in=queue_ids, penalty=0, paused=False)
        .filter(agent__state=Agent.State.AVAILABLE, agent__live_offer_id__isnull=True)
        .filter(Q(agent__ready_at__isnull=True) | Q(agent__ready_at__lte=whole))
        .order_by()
        .values_list("queue_id")
        .annotate(Count("id"))
    )
    main_available = dict(free)
    for queue_id in queue_ids:
        yield QueueState(id=str(queue_id), main_available=main_available.get(queue_id, 0))
