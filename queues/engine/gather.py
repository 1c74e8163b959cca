"""What a pass decides on: the fronts of the lines, who is free, how the queues are set.

It costs the same however many wait and, where strategies allow, however many are free: of each line, and of agents
who are alike, the first few are read. ``Gathered.suffices`` says whether they were enough.
"""

import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from queues.engine import fronts, roll
from queues.engine.fronts import Stay, Stretch
from queues.engine.roll import Kind
from queues.engine.states import count_members, queue_state, routing_settings, secs, waiting_call, waiting_calls
from queues.models import Queue, QueueMembership
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

Takers = Mapping[tuple[Stay, ...], Sequence[Kind]]  # by line


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


def gather(start: Start, *, now: datetime, depth: int = DEPTH, without: Collection[str] = ()) -> Gathered:
    """The state of where it starts and of all queues that have to do with that now. ``without``: stays to leave out.

    Two queues have to do with each other if somebody free serves both and may take a call of either. A call in the
    state is a waiting stay (its id is the entry's). Of each line the first ``depth`` calls are read if anybody free
    may take them; of agents who are alike the first ``depth``, if there are many.
    """
    kinds, is_whole = _kinds(now=now, depth=depth)
    begin = _begin(start, kinds)
    served = {queue_id for kind in kinds for queue_id in kind.first.memberships}
    settings = routing_settings(None if begin is None else served.union(begin))
    queues, takers = _reached(settings if begin is None else begin, settings, kinds, now=now, depth=depth)
    kinds = [kind for kind in kinds if not queues.keys().isdisjoint(kind.first.memberships)]
    rest = _Rest(takers, queues, now=now, depth=depth)
    busy = [settings[queue_id] for queue_id in {line[0].queue_id for line in takers}]
    there = roll.with_past([*(kind.first for kind in kinds), *rest.agents], busy, now=now)
    agents = tuple(roll.within(agent, queues.keys()) for agent in there)
    if any(len(kind.heads) > 1 for kind in kinds):
        queues = {name: replace(queue, main_available=_main_available(name, kinds)) for name, queue in queues.items()}
    state = State(
        now=secs(now),
        queues=tuple(queues.values()),
        agents=agents,
        calls=tuple(waiting_calls(_stays(takers, queues, without), now)),
    )
    behind: tuple[Behind, ...] = (*_calls_behind(takers, now=now, depth=depth), *rest.behind())
    return Gathered(state=state, behind=behind, is_whole=is_whole)


def _kinds(*, now: datetime, depth: int) -> tuple[list[Kind], bool]:
    """Up to ALL_FREE agents each is a kind of his own: nobody is left out, which is the second word."""
    if few := roll.everybody_free(ALL_FREE, now=now):
        return [Kind(profile="", heads=(agent,), goes_on=False) for agent in few], True
    kinds = roll.kinds(depth=depth, now=now)
    return kinds, not kinds


def _begin(start: Start, kinds: Sequence[Kind]) -> Collection[str] | None:
    if start.queue_id is not None:
        return [str(start.queue_id)]
    if start.agent_id is None:
        return None
    for kind in kinds:
        for agent in kind.heads:
            if agent.id == str(start.agent_id):
                return agent.memberships.keys() | _helped_elsewhere(agent, kinds)
    serves = QueueMembership.objects.filter(agent_id=start.agent_id).order_by().values_list("queue_id", flat=True)
    return [str(queue_id) for queue_id in serves]


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


def _reached(
    begin: Iterable[str], settings: Mapping[str, Queue], kinds: Sequence[Kind], *, now: datetime, depth: int
) -> tuple[dict[str, QueueState], Takers]:
    """The queues to look at, with who may take the calls of each of their lines."""
    queues: dict[str, QueueState] = {}
    takers: dict[tuple[Stay, ...], Sequence[Kind]] = {}
    fresh = set(begin) & settings.keys()
    while fresh:
        queues |= {name: queue_state(settings[name], members=count_members(settings[name])) for name in fresh}
        stretches = [stretch for name in fresh for stretch in _stretches(queues[name], now)]
        found = list(fronts.of_lines(stretches, depth=depth))
        takers |= {line: _takers(line[0], queues[line[0].queue_id], kinds, now) for line in found}
        reached = {name for line in found for kind in takers[line] for name in kind.first.memberships}
        fresh = reached & settings.keys() - queues.keys()
    return queues, takers


def _stretches(queue: QueueState, now: datetime) -> Iterator[Stretch]:
    second = now.replace(microsecond=0) + timedelta(seconds=1)
    found = heads.stretches(queue)
    for shortest, longest in found:
        yield Stretch(
            queue_id=queue.id,
            since=BEGINNING if longest is None else second - timedelta(seconds=longest),
            until=second - timedelta(seconds=shortest) if shortest else END,
            is_cut=len(found) > 1,
        )


def _takers(first: Stay, queue: QueueState, kinds: Iterable[Kind], now: datetime) -> list[Kind]:
    """The kinds of free agents who may take the first call of a line, and with it any other."""
    serving = [kind for kind in kinds if queue.id in kind.first.memberships]
    demand = demand_of(
        waiting_call(first, now),
        queue,
        now=secs(now),
        members=queue.member_count or len(serving),
        own_penalties={kind.first.memberships[queue.id].penalty for kind in serving},
        preferred=None,
    )
    return [
        kind
        for kind in serving
        if broken_by_agent(kind.first, active_calls=0, now=secs(now)) is None
        and broken_by_pair(demand, kind.first) is None
    ]


def _main_available(queue_id: str, kinds: Iterable[Kind]) -> int:
    """Free members of penalty 0; of each kind at least as many as there may be to matter, since depth >= PLENTY."""
    serving = ((kind, kind.first.memberships.get(queue_id)) for kind in kinds)
    return sum(
        len(kind.heads) for kind, terms in serving if terms is not None and terms.penalty == 0 and not terms.paused
    )


class _Rest:
    """Of the kinds whom somebody waits for: as many more as a queue's strategy may have to choose among."""

    def __init__(self, takers: Takers, queues: Mapping[str, QueueState], *, now: datetime, depth: int) -> None:
        self._queues = queues
        self._heads: dict[tuple[Kind, str], tuple[Sequence[AgentState], bool]] = {}
        wanted = {(kind, line[0].queue_id) for line, able in takers.items() for kind in able if len(kind.heads) > 1}
        by = {pair: heads.ordered_by(queues[pair[1]]) for pair in wanted}
        positions = [pair for pair, order in by.items() if order == POSITION]
        found = roll.by_position(positions, depth=depth, now=now)
        self._heads |= {pair: (first, len(first) == depth) for pair, first in found.items() if pair in by}
        self._heads |= {pair: (pair[0].heads, pair[0].goes_on) for pair, order in by.items() if order == IDLE}
        entire = roll.of_kinds({kind for (kind, _), order in by.items() if not order}, now=now)
        known = {kind.first.id for kind, _ in wanted}
        more = [*entire, *(agent for first, _ in self._heads.values() for agent in first)]
        self.agents = list({agent.id: agent for agent in more if agent.id not in known}.values())

    def behind(self) -> Iterator[AgentsBehind]:
        for (_, queue_id), (first, goes_on) in self._heads.items():
            last = heads.place(first[-1], self._queues[queue_id]) if first else None
            if goes_on and last is not None:
                yield AgentsBehind(agents=frozenset(agent.id for agent in first), queue=queue_id, place=last)


def _stays(takers: Takers, queues: Mapping[str, QueueState], without: Collection[str]) -> Sequence[Stay]:
    """The first calls of each line that somebody may take; of the others the very first, some of them."""
    nobodys = [line[0] for line, able in takers.items() if not able]
    nobodys.sort(key=lambda first: (-queues[first.queue_id].weight, -first.priority, first.rank_at))
    wanted = [stay for line, able in takers.items() if able for stay in line]
    return [stay for stay in wanted + nobodys[:NOBODYS] if stay.id not in without]


def _calls_behind(takers: Takers, *, now: datetime, depth: int) -> Iterator[CallsBehind]:
    for line, able in takers.items():
        if able and len(line) == depth:
            last = waiting_call(line[-1], now)
            yield CallsBehind(calls=frozenset(stay.id for stay in line), enqueued_at=last.enqueued_at)
