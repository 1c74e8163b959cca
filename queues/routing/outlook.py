"""Who could take a call at this second, who could if he were free, and what keeps everybody else from it.

Sections 1 and 2 of ROUTING only: no other call is looked at, and nobody is preferred.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from queues.routing.eligibility import Demand, broken_by_agent, broken_by_pair
from queues.routing.floor import Floor, strategy_of
from queues.routing.one_pass import rank_agents
from queues.routing.relaxation import gate_opens_after
from queues.routing.snapshot import AgentState, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Qualified:
    """An agent who qualifies, with his effective penalty.

    ``gate_opens_after``: the wait from which the promise's gate lets the call go to him; None if it does now.
    """

    agent_id: str
    penalty: int
    gate_opens_after: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """``takers`` in the order in which the queue would choose them; ``if_free``: kept from it by rule 1 or 2 only.

    ``required``: the levels still asked for. ``excluded``: every other member, by id, with the first rule of 3 to 6
    that he breaks.
    """

    required: Mapping[str, int]
    takers: tuple[Qualified, ...]
    if_free: tuple[Qualified, ...]
    excluded: Mapping[str, str]


def outlook(state: State, call_id: str) -> Outlook:
    """What awaits one call of a state that holds all members of its queue, free or not."""
    call = next(call for call in state.calls if call.id == call_id)
    state = replace(
        state, calls=(call,), queues=tuple(replace(queue, strategy=strategy_of(queue).name) for queue in state.queues)
    )
    floor = Floor(state)
    demand = floor.demand(call)
    members = {agent.id: agent for agent in state.agents if call.queue in agent.memberships}
    excluded = {agent.id: rule for agent in members.values() if (rule := broken_by_pair(demand, agent))}
    busy = [
        agent
        for agent in members.values()
        if agent.id not in excluded and broken_by_agent(agent, active_calls=floor.active_calls[agent.id], now=floor.now)
    ]
    return Outlook(
        required=demand.required,
        takers=tuple(_prospect(floor, demand, members[agent_id]) for agent_id in rank_agents(state, call_id)),
        if_free=tuple(_prospect(floor, demand, agent) for agent in busy),
        excluded=excluded,
    )


def _prospect(floor: Floor, demand: Demand, agent: AgentState) -> Qualified:
    penalty = demand.penalty_of(agent)
    opens_after = None if floor.gate_is_open(demand, agent) else gate_opens_after(penalty, demand.queue)
    return Qualified(agent_id=agent.id, penalty=penalty, gate_opens_after=opens_after)
