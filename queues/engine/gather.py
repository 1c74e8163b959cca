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
from queues.engine.fronts import Front
from queues.engine.states import agent_states, count_members, queue_state, secs, waiting_calls, with_terms
from queues.models import Agent, Queue, QueueEntry
from queues.routing import heads
from queues.routing.eligibility import broken_by_agent, broken_by_pair, demand_of
from queues.routing.floor import PLENTY
from queues.routing.heads import AgentsBehind, Behind, CallsBehind
from queues.routing.one_pass import PassResult
from queues.routing.snapshot import AgentState, QueueState, State, WaitingCall
from queues.routing.strategies import POSITION

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
    """Free agents who are alike. ``first``: one of them, ``with_terms``. ``ids``: the first few, longest idle first;
    ``goes_on``: there may be more of them."""

    first: Agent
    ids: tuple[uuid.UUID, ...]
    goes_on: bool

    @property
    def serves(self) -> set[uuid.UUID]:
        return {served.queue_id for served in self.first.memberships.all()}


def gather(start: Collection[uuid.UUID] | None, *, now: datetime, depth: int = DEPTH) -> Gathered:
    """The state of these queues and of all that free agents connect them with; with None, of every queue.

    A call in the state is a waiting stay (its id is the entry's). Of each line the first ``depth`` calls are read
    if anybody free may take them; of agents who are alike the first ``depth``, if there are many.
    """
    kinds = _kinds(now=now, depth=depth)
    reached = _reached(start, kinds)
    kinds = [kind for kind in kinds if kind.serves & reached]
    rows = {queue.pk: queue for queue in Queue.objects.filter(pk__in=reached).order_by()}
    queues = {pk: queue_state(queue, members=count_members(queue)) for pk, queue in rows.items()}
    lines = list(fronts.of_lines(list(_stretches(queues, now)), depth=depth))
    busy = [rows[pk] for pk in {line.queue_id for line in lines}]

    agents = dict(agent_states([kind.first for kind in kinds], within=reached, busy=busy, now=now))
    takers = {line: _takers(line, queues[line.queue_id], kinds, agents, now) for line in lines}
    rest = _Rest(kinds, takers, queues, now=now, depth=depth)
    agents |= agent_states(rest.rows(known=agents), within=reached, busy=busy, now=now)

    if any(len(kind.ids) > 1 for kind in kinds):
        queues = {pk: replace(queue, main_available=_main_available(pk, kinds)) for pk, queue in queues.items()}
    state = State(
        now=secs(now),
        queues=tuple(queues.values()),
        agents=tuple(agents.values()),
        calls=tuple(waiting_calls(_entries(takers, queues), now)),
    )
    behind: tuple[Behind, ...] = (*_calls_behind(takers, depth), *rest.behind(agents))
    return Gathered(state=state, behind=behind, is_whole=not any(kind.goes_on for kind in kinds))


# who is free -------------------------------------------------------------------------------------------------


def _kinds(*, now: datetime, depth: int) -> list[_Kind]:
    """Up to ALL_FREE agents each is a kind of his own: nobody is left out."""
    free = Agent.objects.available().order_by()
    few = list(free[: ALL_FREE + 1])
    if len(few) <= ALL_FREE:
        return [_Kind(first=agent, ids=(agent.pk,), goes_on=False) for agent in with_terms(few)]
    ids = {heads[0]: tuple(heads) for heads in fronts.of_free_agents(depth=depth, now=now)}
    return [
        _Kind(first=agent, ids=ids[agent.pk], goes_on=len(ids[agent.pk]) == depth)
        for agent in with_terms(list(free.filter(pk__in=ids)))
    ]


def _reached(start: Collection[uuid.UUID] | None, kinds: Iterable[_Kind]) -> set[uuid.UUID]:
    """These queues and all that free agents connect them with, directly or through others."""
    if start is None:
        return set(Queue.objects.order_by().values_list("pk", flat=True))
    reached, apart = set(start), [kind.serves for kind in kinds]
    while joined := [serves for serves in apart if serves & reached]:
        reached = reached.union(*joined)
        apart = [serves for serves in apart if not serves & reached]
    return reached


def _main_available(queue_id: uuid.UUID, kinds: Iterable[_Kind]) -> int:
    """Free members of penalty 0; of each kind at least as many as there may be to matter, since depth >= PLENTY."""
    return sum(
        len(kind.ids)
        for kind in kinds
        for served in kind.first.memberships.all()
        if served.queue_id == queue_id and served.penalty == 0 and not served.paused
    )


class _Rest:
    """Of the kinds that somebody waits for: as many more as a queue's strategy may have to choose among."""

    def __init__(
        self,
        kinds: Sequence[_Kind],
        takers: Mapping[Front, Sequence[_Kind]],
        queues: Mapping[uuid.UUID, QueueState],
        *,
        now: datetime,
        depth: int,
    ) -> None:
        self._queues = queues
        self._entire: set[str] = set()
        self._heads: dict[tuple[_Kind, uuid.UUID], tuple[Sequence[uuid.UUID], bool]] = {}
        grouped = {(kind, line.queue_id) for line, able in takers.items() for kind in able if len(kind.ids) > 1}
        by_position = {(kind, queue_id) for kind, queue_id in grouped if heads.ordered_by(queues[queue_id]) == POSITION}
        positions = fronts.of_positions(
            {queue_id for _, queue_id in by_position},
            {kind.first.pk for kind, _ in by_position},
            depth=depth,
            now=now,
        )
        for kind, queue_id in grouped:
            match heads.ordered_by(queues[queue_id]):
                case "idle_since":
                    self._heads[kind, queue_id] = kind.ids, kind.goes_on
                case "position":
                    first = positions[queue_id, kind.first.pk]
                    self._heads[kind, queue_id] = first, len(first) == depth
                case _:
                    self._entire.add(kind.first.profile)

    def rows(self, *, known: Collection[uuid.UUID]) -> Sequence[Agent]:
        ids = {agent_id for ids, _ in self._heads.values() for agent_id in ids}.difference(known)
        if not ids and not self._entire:
            return []
        named = Q(pk__in=ids) | Q(profile__in=self._entire) & ~Q(pk__in=known)
        return with_terms(list(Agent.objects.available().filter(named).order_by()))

    def behind(self, agents: Mapping[uuid.UUID, AgentState]) -> Iterator[AgentsBehind]:
        for (_, queue_id), (ids, goes_on) in self._heads.items():
            there = [agents[agent_id] for agent_id in ids if agent_id in agents]
            last = heads.place(there[-1], self._queues[queue_id]) if there else None
            if goes_on and last is not None:
                like = frozenset(agent.id for agent in there)
                yield AgentsBehind(agents=like, queue=str(queue_id), place=last)


# who waits ---------------------------------------------------------------------------------------------------


def _stretches(queues: Mapping[uuid.UUID, QueueState], now: datetime) -> Iterator[tuple[uuid.UUID, datetime, datetime]]:
    """Each queue with the instants from which and up to which calls stand in one line."""
    second = now.replace(microsecond=0) + timedelta(seconds=1)
    for queue_id, queue in queues.items():
        for since, until in heads.stretches(queue):
            youngest = second - timedelta(seconds=since) if since else END
            oldest = BEGINNING if until is None else second - timedelta(seconds=until)
            yield queue_id, oldest, youngest


def _takers(
    line: Front,
    queue: QueueState,
    kinds: Iterable[_Kind],
    agents: Mapping[uuid.UUID, AgentState],
    now: datetime,
) -> list[_Kind]:
    """The kinds of free agents who may take the first call of a line, and with it any other."""
    ready = {kind: agents[kind.first.pk] for kind in kinds if line.queue_id in kind.serves}
    ready = {
        kind: agent for kind, agent in ready.items() if broken_by_agent(agent, active_calls=0, now=secs(now)) is None
    }
    demand = demand_of(
        _first_call(line, now),
        queue,
        now=secs(now),
        members=queue.member_count or len(ready),
        own_penalties={agent.memberships[queue.id].penalty for agent in ready.values()},
        preferred=None,
    )
    return [kind for kind, agent in ready.items() if broken_by_pair(demand, agent) is None]


def _first_call(line: Front, now: datetime) -> WaitingCall:
    return WaitingCall(
        id=str(line.entries[0]),
        queue=str(line.queue_id),
        enqueued_at=min(secs(line.rank_at), secs(now)),
        priority=line.priority,
        required_skills=line.required_skills,
    )


def _entries(takers: Mapping[Front, Sequence[_Kind]], queues: Mapping[uuid.UUID, QueueState]) -> Sequence[QueueEntry]:
    """The first calls of each line that somebody may take; of the others the very first, some of them."""
    ids = [entry_id for line, able in takers.items() if able for entry_id in line.entries]
    nobodys = sorted(
        (line for line, able in takers.items() if not able),
        key=lambda line: (-queues[line.queue_id].weight, -line.priority, line.rank_at),
    )
    ids += [line.entries[0] for line in nobodys[:NOBODYS]]
    return list(QueueEntry.objects.waiting().filter(pk__in=ids).order_by())


def _calls_behind(takers: Mapping[Front, Sequence[_Kind]], depth: int) -> Iterator[CallsBehind]:
    for line, able in takers.items():
        if able and len(line.entries) == depth:
            yield CallsBehind(calls=frozenset(map(str, line.entries)), enqueued_at=secs(line.last_rank_at))
