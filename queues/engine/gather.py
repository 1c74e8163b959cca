"""What a pass decides on: the fronts of the lines, who is free, how the queues are set.

It costs the same however many wait and, where strategies allow, however many are free: of each line, and of agents
who are alike, the first few are read. ``Gathered.suffices`` says whether they were enough.
"""

import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from queues.engine import fronts, roll
from queues.engine.fronts import Line, Stretch
from queues.engine.roll import Kind
from queues.engine.sql import asked
from queues.engine.states import every_queue, queue_states, secs, with_members
from queues.models import QueueMembership
from queues.routing import heads
from queues.routing.eligibility import DECLINED, broken_by_agent, broken_by_pair, demand_of
from queues.routing.floor import PLENTY
from queues.routing.heads import AgentsBehind, Behind, CallsBehind
from queues.routing.one_pass import PassResult
from queues.routing.snapshot import AgentState, QueueState, State, WaitingCall
from queues.routing.strategies import IDLE, POSITION

ALL_FREE = 50  # up to so many free agents, every one of them is looked at
NOBODYS = 20  # of the calls that nobody free may take so many are looked at, to say why
OF_A_LINE = 2  # calls: one to be served, one to be left over
OF_A_KIND = PLENTY  # agents: as many as may matter to a promise's gate, and never less than three
DEEPER = 4

BEGINNING, END = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Where a pass begins: with a queue, with an agent, or, naming neither, with every queue."""

    queue_id: uuid.UUID | None = None
    agent_id: uuid.UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """``state``: what was read. ``behind``: what was not. ``is_whole``: every free agent is in the state."""

    state: State
    behind: tuple[Behind, ...] = ()
    is_whole: bool = True

    def suffices(self, result: PassResult) -> bool:
        """Whether the pass over everything would decide the same."""
        return heads.suffices(self.state, result, self.behind)


def gather(start: Start, *, now: datetime, times: int = 1, without: Collection[str] = ()) -> Gathered:
    """The state of where it starts and of all queues that have to do with that now.

    Two queues have to do with each other if somebody free serves both and may take a call of either. A call in the
    state is a waiting stay (its id is the entry's). ``times`` as many heads are read as usually suffice; ``without``
    are stays to leave out.
    """
    of_a_kind = times * OF_A_KIND
    free, settings = asked(roll.who_is_free(ALL_FREE, depth=of_a_kind, now=now), every_queue())
    kinds, is_whole = roll.free(free, depth=of_a_kind, now=now)
    queues = queue_states(settings)
    reached = _reach(_begin(start, queues, kinds), queues, kinds, now=now, depth=times * OF_A_LINE)
    rest = _Rest(reached, now=now, depth=of_a_kind)
    calls = [call for call in _calls(reached) if call.id not in without]
    agents = [*_agents(reached), *rest.agents]
    preferred = {call.preferred_agent for call in calls if call.preferred_agent and reached.queues[call.queue].sticky}
    agents += roll.named(preferred - {agent.id for agent in agents}, now=now)
    busy = [reached.queues[queue_id] for queue_id in {line.first.queue for line in reached.takers}]
    there = roll.with_past(agents, busy, now=now)
    state = State(
        now=secs(now),
        queues=tuple(reached.queues.values() if is_whole else _counted(reached)),
        agents=tuple(roll.within(agent, reached.queues.keys()) for agent in there),
        calls=tuple(calls),
    )
    return Gathered(state=state, behind=(*_calls_behind(reached), *rest.behind()), is_whole=is_whole)


def _begin(start: Start, queues: Collection[str], kinds: Sequence[Kind]) -> Collection[str]:
    if start.queue_id is not None:
        return _with_neighbours(str(start.queue_id), kinds)
    if start.agent_id is None:
        return queues
    for kind in kinds:
        for agent in kind.heads:
            if agent.id == str(start.agent_id):
                return agent.memberships.keys() | _helped_elsewhere(agent, kinds)
    serves = QueueMembership.objects.filter(agent_id=start.agent_id).order_by().values_list("queue_id", flat=True)
    return set(map(str, serves))


def _with_neighbours(queue_id: str, kinds: Iterable[Kind]) -> set[str]:
    """With what those who serve it serve besides: if its calls are for them, that is the next to look at."""
    serving = (kind.first.memberships for kind in kinds)
    return {queue_id}.union(*(serves for serves in serving if queue_id in serves))


def _helped_elsewhere(freed: AgentState, kinds: Iterable[Kind]) -> set[str]:
    """Where his colleagues are second choice: with him there may now be enough of them for promise's gate to open."""
    main = {queue_id for queue_id, terms in freed.memberships.items() if terms.penalty == 0}
    colleagues = (kind.first.memberships for kind in kinds)
    return {
        queue_id
        for serves in colleagues
        if any(queue_id in main and terms.penalty == 0 for queue_id, terms in serves.items())
        for queue_id, terms in serves.items()
        if terms.penalty > 0
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reached:
    """The queues to look at. ``takers``: of each of their lines, the kinds of free agents who may take it.
    ``favourers``: calls that prefer somebody free. ``serving``: the kinds who are ready, by queue."""

    queues: Mapping[str, QueueState]
    takers: Mapping[Line, Sequence[Kind]]
    favourers: Sequence[WaitingCall]
    kinds: Sequence[Kind]
    serving: Mapping[str, Sequence[Kind]]


def _reach(
    begin: Collection[str],
    queues: Mapping[str, QueueState],
    kinds: Sequence[Kind],
    *,
    now: datetime,
    depth: int,
) -> _Reached:
    """Those it begins with, and all that somebody free serves who may take a call of one of them."""
    serving: dict[str, list[Kind]] = {}
    for kind in kinds:
        if broken_by_agent(kind.first, active_calls=0, now=secs(now)) is None:
            for queue_id in kind.first.memberships:
                serving.setdefault(queue_id, []).append(kind)
    reached: dict[str, QueueState] = {}
    takers: dict[Line, Sequence[Kind]] = {}
    favourers: list[WaitingCall] = []
    fresh = begin
    while found := {name: with_members(queue) for name, queue in queues.items() if name in fresh}:
        stretches = [cut for queue in found.values() for cut in cuts(queue, now=now)]
        front = fronts.read(found.keys(), stretches, depth=depth, now=now)
        reached |= found
        takers |= {line: _takers(line.first, found, serving, now) for line in front.lines}
        favourers += front.favourers
        fresh = {name for line in front.lines for kind in takers[line] for name in kind.first.memberships}
        fresh -= reached.keys()
    return _Reached(queues=reached, takers=takers, favourers=favourers, kinds=kinds, serving=serving)


def _takers(
    first: WaitingCall, queues: Mapping[str, QueueState], kinds: Mapping[str, Sequence[Kind]], now: datetime
) -> list[Kind]:
    """Who may take the first call of a line, or has only declined it, and with it may take any other."""
    queue, serving = queues[first.queue], kinds.get(first.queue, ())
    if not serving:
        return []
    demand = demand_of(
        first,
        queue,
        now=secs(now),
        members=queue.member_count or len(serving),
        own_penalties={kind.first.memberships[queue.id].penalty for kind in serving},
        preferred=None,
    )
    return [kind for kind in serving if broken_by_pair(demand, kind.first) in (None, DECLINED)]


def _calls(reached: _Reached) -> Iterable[WaitingCall]:
    """The first of each line that somebody may take, and those that prefer somebody who is free; of the other lines
    the very first, some of them."""
    queues, takers = reached.queues, reached.takers
    nobodys = [line.first for line, able in takers.items() if not able]
    nobodys.sort(key=lambda first: (-queues[first.queue].weight, -first.priority, first.enqueued_at, first.id))
    wanted = [call for line, able in takers.items() if able for call in line.calls]
    wanted += nobodys[:NOBODYS]
    wanted += (call for call in reached.favourers if call.queue in queues)
    return {call.id: call for call in wanted}.values()


def _agents(reached: _Reached) -> Iterator[AgentState]:
    """All who serve one of the queues; of those who are more than their heads, the first."""
    for kind in reached.kinds:
        if not reached.queues.keys().isdisjoint(kind.first.memberships):
            yield from kind.heads[:1] if kind.goes_on else kind.heads


def _counted(reached: _Reached) -> Iterator[QueueState]:
    """The queues, with their free members of penalty 0; of each kind at least as many as there may be to matter."""
    for queue_id, queue in reached.queues.items():
        serving = ((kind, kind.first.memberships[queue_id]) for kind in reached.serving.get(queue_id, ()))
        count = sum(len(kind.heads) for kind, terms in serving if terms.penalty == 0 and not terms.paused)
        yield replace(queue, main_available=count)


def _calls_behind(reached: _Reached) -> Iterator[CallsBehind]:
    for line, able in reached.takers.items():
        if able and line.next_at is not None:
            yield CallsBehind(calls=frozenset(call.id for call in line.calls), enqueued_at=line.next_at)


def cuts(queue: QueueState, *, now: datetime) -> Iterator[Stretch]:
    """Where its rules let the younger overtake, the stretches of waiting time in which they do not."""
    second = now.replace(microsecond=0) + timedelta(seconds=1)
    found = heads.stretches(queue)
    for shortest, longest in found if len(found) > 1 else ():
        yield Stretch(
            queue_id=queue.id,
            since=BEGINNING if longest is None else second - timedelta(seconds=longest),
            until=second - timedelta(seconds=shortest) if shortest else END,
        )


class _Rest:
    """Of the kinds whom somebody waits for: as many more as a queue's strategy may have to choose among."""

    def __init__(self, reached: _Reached, *, now: datetime, depth: int) -> None:
        self._queues = reached.queues
        self._heads: dict[tuple[Kind, str], tuple[Sequence[AgentState], bool]] = {}
        wanted = {(kind, line.first.queue) for line, able in reached.takers.items() for kind in able if kind.goes_on}
        by = {pair: heads.ordered_by(self._queues[pair[1]]) for pair in wanted}
        positions = [pair for pair, order in by.items() if order == POSITION]
        found = roll.by_position(positions, depth=depth, now=now)
        self._heads |= {pair: (first, len(first) == depth) for pair, first in found.items() if pair in by}
        self._heads |= {pair: (pair[0].heads, True) for pair, order in by.items() if order == IDLE}
        entire = roll.of_kinds({kind for (kind, _), order in by.items() if not order}, now=now)
        known = {kind.first.id for kind, _ in wanted}
        more = [*entire, *(agent for first, _ in self._heads.values() for agent in first)]
        self.agents = list({agent.id: agent for agent in more if agent.id not in known}.values())

    def behind(self) -> Iterator[AgentsBehind]:
        for (_, queue_id), (first, goes_on) in self._heads.items():
            last = heads.place(first[-1], self._queues[queue_id]) if first else None
            if goes_on and last is not None:
                yield AgentsBehind(agents=frozenset(agent.id for agent in first), queue=queue_id, place=last)
