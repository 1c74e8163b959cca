"""One pass: from a frozen state to an ordered list of assignments (ROUTING §4 to §6).

A call comes up in *turns*: once, at its place in line; under ``promise`` once for each penalty its agents may
have, since there call and agent are weighed together. The pass serves the first turn that somebody may take,
starts again at the top, and ends when there is none.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from queues.routing.eligibility import Demand
from queues.routing.floor import Floor, strategy_of, weighs_pairs
from queues.routing.scoring import PENALTY_STEP, call_rank
from queues.routing.snapshot import AgentState, State
from queues.routing.strategies import STRATEGIES, Candidate


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """One call, offered to one agent, or by ring_all to several, best first."""

    call_id: str
    queue_id: str
    agent_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PassResult:
    """What a pass decided.

    ``waiting``: the calls still in line, in its order. ``pointers``: the ``last_offered_position`` to store for
    each queue that made an offer and whose strategy remembers.
    """

    assignments: tuple[Assignment, ...]
    waiting: tuple[str, ...]
    pointers: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A call coming up; with a ``penalty``, for the agents of that effective penalty only."""

    rank: tuple[int | str, ...]
    demand: Demand
    penalty: int | None

    def is_for(self, agent: AgentState) -> bool:
        return self.penalty is None or self.demand.penalty_of(agent) == self.penalty


def assign(state: State) -> PassResult:
    """Run one pass."""
    floor = Floor(state)
    assignments = tuple(_offers(floor))
    return PassResult(
        assignments=assignments,
        waiting=tuple(floor.line),
        pointers={
            queue_id: position
            for queue_id in sorted({assignment.queue_id for assignment in assignments})
            if STRATEGIES[floor.queues[queue_id].strategy].has_memory
            if (position := floor.pointers[queue_id]) is not None
        },
    )


def rank_agents(state: State, call_id: str) -> tuple[str, ...]:
    """Everyone whom section 1 allows the call, in the order of section 2; nothing else is applied."""
    call = next(call for call in state.calls if call.id == call_id)
    floor = Floor(replace(state, calls=(call,)))
    demand = floor.demand(call)
    candidates = [floor.candidate(demand, agent) for agent in floor.allowed(demand)]
    candidates.sort(key=STRATEGIES[demand.queue.strategy].rank)
    return tuple(candidate.agent.id for candidate in candidates)


def rank_calls(state: State) -> tuple[str, ...]:
    """Every call in line, in the order of section 3."""
    return tuple(Floor(state).line)


def _offers(floor: Floor) -> Iterator[Assignment]:
    turns = sorted(_turns(floor), key=lambda turn: turn.rank)
    while floor.anybody_is_free and (offer := _next_offer(floor, turns)) is not None:
        yield offer


def _turns(floor: Floor) -> Iterator[Turn]:
    """Queue weights first, then promise's pairs, then the rest."""
    penalties: dict[str, Collection[int]] = {
        call_id: floor.penalties(demand) if weighs_pairs(demand.queue) else () for call_id, demand in floor.line.items()
    }
    least_suitable = max(chain.from_iterable(penalties.values()), default=0)
    for call_id, demand in floor.line.items():
        score = floor.scores[call_id]
        if not weighs_pairs(demand.queue):
            place = call_rank(demand, score)
            yield Turn(rank=(place[0], True, *place[1:]), demand=demand, penalty=None)
        for penalty in penalties[call_id]:
            place = call_rank(demand, score * PENALTY_STEP ** (least_suitable - penalty))
            yield Turn(rank=(place[0], False, *place[1:], penalty), demand=demand, penalty=penalty)


def _next_offer(floor: Floor, turns: list[Turn]) -> Assignment | None:
    """Serve the first turn that somebody may take.

    A turn that was skipped stays while it may still be served in this pass: its takers are withheld, or its
    preferred agent may be taken by another call. Nothing else that a call lacks comes back within a pass.
    """
    skipped: list[Turn] = []
    for place, turn in enumerate(turns):
        demand = turn.demand
        if demand.call.id not in floor.line:
            continue
        takers = [agent for agent in floor.takers(demand) if turn.is_for(agent)]
        candidates = [floor.candidate(demand, agent) for agent in takers if not floor.is_withheld(demand, agent)]
        if candidates:
            turns[:] = skipped + turns[place + 1 :]
            return _offer(floor, demand, candidates)
        if takers or floor.favourite(demand):
            skipped.append(turn)
    return None


def _offer(floor: Floor, demand: Demand, candidates: Sequence[Candidate]) -> Assignment:
    chosen = [candidate.agent for candidate in strategy_of(demand.queue).choose(candidates)]
    floor.serve(demand, chosen)
    return Assignment(call_id=demand.call.id, queue_id=demand.queue.id, agent_ids=tuple(agent.id for agent in chosen))
