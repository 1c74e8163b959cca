"""What a pass decides on: the fronts of the lines, who is free, how the queues are set.

It costs the same however many wait and, where strategies allow, however many are free: of each line, and of agents
who are alike, the first few are read. ``Gathered.suffices`` says whether they were enough.
"""

import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from django.db.models import Q

from queues.engine import fronts
from queues.engine.fronts import Stay, Stretch
from queues.engine.states import (
    agent_states,
    count_members,
    queue_state,
    routing_settings,
    secs,
    waiting_call,
    waiting_calls,
    with_terms,
)
from queues.models import Agent, Queue
from queues.routing import heads
from queues.routing.eligibility import broken_by_agent, broken_by_pair, demand_of
from queues.routing.floor import PLENTY
from queues.routing.heads import AgentsBehind, Behind, CallsBehind
from queues.routing.one_pass import PassResult
from queues.routing.snapshot import AgentState, QueueState, State
from queues.routing.strategies import IDLE, POSITION

ALL_FREE = 50  # up to so many free agents, every one of them is looked at
NOBODYS = 20  # of the calls that nobody free may take so many are looked at, to say why
DEPTH = max(3, PLENTY)  # one to be served, one to be left over, one to see who comes behind
DEEPER = 4

BEGINNING, END = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """``state``: what was read. ``behind``: what was not. ``is_whole``: every free agent is in the state."""

    state: State
    behind: tuple[Behind, ...] = ()
    is_whole: bool = True

    def suffices(self, result: PassResult) -> bool:
        """Whether the pass over everything would decide the same."""
        return heads.suffices(self.state, result, self.behind)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Kind:
    """Free agents who are alike: the first few of them, longest idle first, the very first one ``with_terms``.

    ``goes_on``: there may be more of them.
    """

    heads: tuple[Agent, ...]
    goes_on: bool

    @property
    def first(self) -> Agent:
        return self.heads[0]

    @property
    def serves(self) -> set[uuid.UUID]:
        return {served.queue_id for served in self.first.memberships.all()}


Takers = Mapping[tuple[Stay, ...], Sequence[_Kind]]  # by line


def gather(start: Collection[uuid.UUID] | None, *, now: datetime, depth: int = DEPTH) -> Gathered:
    """The state of these queues and of all that have to do with them now; with None, of every queue.

    Two queues have to do with each other if somebody free serves both and may take a call of either. A call in the
    state is a waiting stay (its id is the entry's). Of each line the first ``depth`` calls are read if anybody free
    may take them; of agents who are alike the first ``depth``, if there are many.
    """
    kinds = _kinds(now=now, depth=depth)
    known = routing_settings(start if start is None else {*start, *(pk for kind in kinds for pk in kind.serves)})
    queues, takers = _reached(known.keys() if start is None else start, known, kinds, now=now, depth=depth)
    kinds = [kind for kind in kinds if kind.serves & queues.keys()]
    rest = _Rest(kinds, takers, queues, now=now, depth=depth)
    agents = agent_states(
        [*(kind.first for kind in kinds), *rest.agents],
        within=queues.keys(),
        busy=[known[pk] for pk in {line[0].queue_id for line in takers}],
        now=now,
    )
    if any(len(kind.heads) > 1 for kind in kinds):
        queues = {pk: replace(queue, main_available=_main_available(pk, kinds)) for pk, queue in queues.items()}
    state = State(
        now=secs(now),
        queues=tuple(queues.values()),
        agents=tuple(agents.values()),
        calls=tuple(waiting_calls(_stays(takers, queues), now)),
    )
    behind: tuple[Behind, ...] = (*_calls_behind(takers, depth), *rest.behind(agents))
    return Gathered(state=state, behind=behind, is_whole=not any(kind.goes_on for kind in kinds))


def _kinds(*, now: datetime, depth: int) -> list[_Kind]:
    """Up to ALL_FREE agents each is a kind of his own: nobody is left out."""
    few = list(Agent.objects.available().order_by()[: ALL_FREE + 1])
    if len(few) <= ALL_FREE:
        return [_Kind(heads=(agent,), goes_on=False) for agent in with_terms(few)]
    kinds = [
        _Kind(heads=tuple(heads), goes_on=len(heads) == depth) for heads in fronts.of_free_agents(depth=depth, now=now)
    ]
    with_terms([kind.first for kind in kinds])
    return kinds


def _reached(
    start: Collection[uuid.UUID],
    known: Mapping[uuid.UUID, Queue],
    kinds: Sequence[_Kind],
    *,
    now: datetime,
    depth: int,
) -> tuple[dict[uuid.UUID, QueueState], Takers]:
    """The queues to look at, with who may take the calls of each of their lines."""
    agents = agent_states([kind.first for kind in kinds], within=known.keys(), busy=(), now=now)
    queues: dict[uuid.UUID, QueueState] = {}
    takers: dict[tuple[Stay, ...], Sequence[_Kind]] = {}
    fresh = set(start) & known.keys()
    while fresh:
        queues |= {pk: queue_state(known[pk], members=count_members(known[pk])) for pk in fresh}
        stretches = [stretch for pk in fresh for stretch in _stretches(pk, queues[pk], now)]
        found = list(fronts.of_lines(stretches, depth=depth))
        takers |= {line: _takers(line[0], queues[line[0].queue_id], kinds, agents, now) for line in found}
        fresh = {pk for line in found for kind in takers[line] for pk in kind.serves} - queues.keys()
    return queues, takers


def _stretches(queue_id: uuid.UUID, queue: QueueState, now: datetime) -> Iterator[Stretch]:
    second = now.replace(microsecond=0) + timedelta(seconds=1)
    found = heads.stretches(queue)
    for shortest, longest in found:
        yield Stretch(
            queue_id=queue_id,
            since=BEGINNING if longest is None else second - timedelta(seconds=longest),
            until=second - timedelta(seconds=shortest) if shortest else END,
            is_cut=len(found) > 1,
        )


def _main_available(queue_id: uuid.UUID, kinds: Iterable[_Kind]) -> int:
    """Free members of penalty 0; of each kind at least as many as there may be to matter, since depth >= PLENTY."""
    return sum(
        len(kind.heads)
        for kind in kinds
        for served in kind.first.memberships.all()
        if served.queue_id == queue_id and served.penalty == 0 and not served.paused
    )


class _Rest:
    """Of the kinds whom somebody waits for: as many more as a queue's strategy may have to choose among."""

    def __init__(
        self,
        kinds: Sequence[_Kind],
        takers: Takers,
        queues: Mapping[uuid.UUID, QueueState],
        *,
        now: datetime,
        depth: int,
    ) -> None:
        self._queues = queues
        self._heads: dict[tuple[_Kind, uuid.UUID], tuple[Sequence[uuid.UUID], bool]] = {}
        wanted = {(kind, line[0].queue_id) for line, able in takers.items() for kind in able if len(kind.heads) > 1}
        by = {(kind, queue_id): heads.ordered_by(queues[queue_id]) for kind, queue_id in wanted}
        by_position = [pair for pair, order in by.items() if order == POSITION]
        positions = fronts.of_positions(
            {queue_id for _, queue_id in by_position}, {kind.first.pk for kind, _ in by_position}, depth=depth, now=now
        )
        there: dict[uuid.UUID, Agent] = {}
        entire = set[str]()
        for (kind, queue_id), order in by.items():
            if order == IDLE:
                there |= {agent.pk: agent for agent in kind.heads}
                self._heads[kind, queue_id] = [agent.pk for agent in kind.heads], kind.goes_on
            elif order == POSITION:
                first = positions[queue_id, kind.first.pk]
                self._heads[kind, queue_id] = first, len(first) == depth
            else:
                entire.add(kind.first.profile)
        named = {agent_id for ids, _ in self._heads.values() for agent_id in ids}.difference(there)
        if named or entire:
            rows = Agent.objects.available().filter(Q(pk__in=named) | Q(profile__in=entire)).order_by()
            there |= {agent.pk: agent for agent in rows}
        for kind in kinds:
            there.pop(kind.first.pk, None)
        self.agents = with_terms(list(there.values()))

    def behind(self, agents: Mapping[uuid.UUID, AgentState]) -> Iterator[AgentsBehind]:
        for (_, queue_id), (ids, goes_on) in self._heads.items():
            there = [agents[agent_id] for agent_id in ids if agent_id in agents]
            last = heads.place(there[-1], self._queues[queue_id]) if there else None
            if goes_on and last is not None:
                like = frozenset(agent.id for agent in there)
                yield AgentsBehind(agents=like, queue=str(queue_id), place=last)


def _takers(
    first: Stay,
    queue: QueueState,
    kinds: Iterable[_Kind],
    agents: Mapping[uuid.UUID, AgentState],
    now: datetime,
) -> list[_Kind]:
    """The kinds of free agents who may take the first call of a line, and with it any other."""
    ready = [
        (kind, agent)
        for kind in kinds
        if queue.id in (agent := agents[kind.first.pk]).memberships
        and broken_by_agent(agent, active_calls=0, now=secs(now)) is None
    ]
    demand = demand_of(
        waiting_call(first, now),
        queue,
        now=secs(now),
        members=queue.member_count or len(ready),
        own_penalties={agent.memberships[queue.id].penalty for _, agent in ready},
        preferred=None,
    )
    return [kind for kind, agent in ready if broken_by_pair(demand, agent) is None]


def _stays(takers: Takers, queues: Mapping[uuid.UUID, QueueState]) -> Sequence[Stay]:
    """The first calls of each line that somebody may take; of the others the very first, some of them."""
    nobodys = [line[0] for line, able in takers.items() if not able]
    nobodys.sort(key=lambda first: (-queues[first.queue_id].weight, -first.priority, first.rank_at))
    return [stay for line, able in takers.items() if able for stay in line] + nobodys[:NOBODYS]


def _calls_behind(takers: Takers, depth: int) -> Iterator[CallsBehind]:
    for line, able in takers.items():
        if able and len(line) == depth:
            yield CallsBehind(calls=frozenset(str(stay.id) for stay in line), enqueued_at=secs(line[-1].rank_at))
