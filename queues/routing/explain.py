"""Why a pass decided as it did (ROUTING §7): for each offer, and for each call it left waiting.

A pass is a function of its state, so nobody has to watch it: it is done again here, offer by offer.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from queues.routing.eligibility import Demand
from queues.routing.floor import Floor, strategy_of, weighs_pairs
from queues.routing.one_pass import PassResult
from queues.routing.scoring import PENALTY_STEP
from queues.routing.snapshot import AgentState, State
from queues.routing.strategies import Candidate, Rank

# Up to here the share is written as one fraction: 4 to the power of a large penalty has thousands of digits.
LARGEST_WRITTEN_OUT = 30

STICKY = "sticky"
GATE = "promise gate"
QUEUE_PRIORITY = "queue_priority"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """An agent who could be offered the call, and his sort key, lowest first.

    Where call and agent are weighed together the key begins with ``u * 4**-r``, an exact fraction as text, of
    which the highest wins; for a large ``r`` that power stands beside the fraction.
    """

    agent_id: str
    key: Rank

    def as_json(self) -> dict[str, Any]:
        return {"agent": self.agent_id, "key": list(self.key)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One call's decision. ``chosen`` is empty for a call left waiting; ``runners_up`` are in order.

    ``excluded``: every other member of the queue, by id, with the first reason that kept him from the call.
    """

    call_id: str
    strategy: str
    chosen: tuple[Standing, ...]
    runners_up: tuple[Standing, ...]
    excluded: Mapping[str, str]

    def as_json(self) -> dict[str, Any]:
        """As the dry run prints it and the database keeps it."""
        chosen = {"chosen": [standing.as_json() for standing in self.chosen]} if self.chosen else {}
        return {
            "call": self.call_id,
            "strategy": self.strategy,
            **chosen,
            "runners_up": [standing.as_json() for standing in self.runners_up],
            "excluded": dict(self.excluded),
        }


def explain(state: State, result: PassResult, *, waiting: Collection[str] | None = None) -> tuple[Explanation, ...]:
    """The offers of ``result`` in order, each as things stood when it was made; then the calls left waiting.

    ``waiting``: of those only these.
    """
    return tuple(_explanations(state, result, waiting))


def _explanations(state: State, result: PassResult, waiting: Collection[str] | None) -> Iterator[Explanation]:
    floor = Floor(state)
    members: dict[str, list[AgentState]] = {queue.id: [] for queue in state.queues}
    for agent in sorted(state.agents, key=lambda agent: agent.id):
        for queue_id in agent.memberships:
            members[queue_id].append(agent)
    for offer in result.assignments:
        demand = floor.line[offer.call_id]
        queue_members = members[offer.queue_id]
        yield _explanation(floor, demand, queue_members, chosen=offer.agent_ids)
        floor.serve(demand, [agent for agent in queue_members if agent.id in offer.agent_ids])
    for call_id, demand in floor.line.items():
        if waiting is None or call_id in waiting:
            yield _explanation(floor, demand, members[demand.queue.id], chosen=())


def _explanation(
    floor: Floor, demand: Demand, members: Sequence[AgentState], *, chosen: Collection[str]
) -> Explanation:
    excluded = {agent.id: reason for agent in members if (reason := _reason_against(floor, demand, agent))}
    strategy = strategy_of(demand.queue)
    candidates = [floor.candidate(demand, agent) for agent in members if agent.id not in excluded]
    standings = [
        Standing(agent_id=candidate.agent.id, key=(*_share(floor, demand, candidate), *strategy.rank(candidate)))
        for candidate in sorted(candidates, key=strategy.rank)
    ]
    return Explanation(
        call_id=demand.call.id,
        strategy=strategy.name,
        chosen=tuple(standing for standing in standings if standing.agent_id in chosen),
        runners_up=tuple(standing for standing in standings if standing.agent_id not in chosen),
        excluded=excluded,
    )


def _reason_against(floor: Floor, demand: Demand, agent: AgentState) -> str | None:
    """The first thing that keeps a member from the call."""
    if rule := floor.rule_against(demand, agent):
        return rule
    if not floor.could_take(demand, agent):
        return STICKY if floor.favourite(demand) or floor.holds(demand) else GATE
    return QUEUE_PRIORITY if floor.is_withheld(demand, agent) else None


def _share(floor: Floor, demand: Demand, candidate: Candidate) -> tuple[str, ...]:
    """What pairs are weighed by."""
    if not weighs_pairs(demand.queue):
        return ()
    share, penalty = Fraction(floor.scores[demand.call.id], floor.score_unit), candidate.penalty
    if penalty > LARGEST_WRITTEN_OUT:
        return (f"{share} * {PENALTY_STEP}**-{penalty}",)
    return (str(share / PENALTY_STEP**penalty),)
