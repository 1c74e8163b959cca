"""When a call that was left waiting may find somebody for the mere reason that time has passed (ROUTING §6).

What other things may change it, such as an agent becoming available, is announced when it happens. Simulations jump
from one such instant to the next; the engine looks every second anyway.
"""

from collections.abc import Iterator, Mapping

from queues.routing.relaxation import gate_opens_after
from queues.routing.snapshot import AgentState, QueueState, State, WaitingCall


def next_look_at(state: State) -> Mapping[str, int]:
    """For each call, hidden ones too, the first instant after ``now`` at which something opens for it.

    That is a membership's delay, a penalty rule, a ring, a decline's end, an agent's ``ready_at`` or
    ``wrap_up_until``, a promise's gate, the end of a hold, or its own ``hidden_until``. A call for which nothing
    will is left out. It may name an instant at which nothing changes for want of an agent, never one too late.
    """
    queues = {queue.id: queue for queue in state.queues}
    members: dict[str, list[AgentState]] = {queue.id: [] for queue in state.queues}
    for agent in state.agents:
        for queue_id in agent.memberships:
            members[queue_id].append(agent)
    waits = {queue.id: set(_waits(queue, members[queue.id])) for queue in state.queues}
    instants = {queue.id: set(_instants(members[queue.id])) for queue in state.queues}
    looks = {}
    for call in state.calls:
        opening = {call.enqueued_at + wait for wait in waits[call.queue]}
        opening |= instants[call.queue] | set(_own_instants(call, queues[call.queue]))
        if later := [instant for instant in opening if instant > state.now]:
            looks[call.id] = min(later)
    return looks


def _waits(queue: QueueState, members: list[AgentState]) -> Iterator[int]:
    """After how long a wait something opens for any call of the queue."""
    yield from (rule.after for rule in queue.penalty_rules)
    yield from (ring.after for ring in queue.rings)
    own = [agent.memberships[queue.id] for agent in members]
    yield from (membership.delay for membership in own)
    if queue.scoring == "promise":
        penalties = {membership.penalty for membership in own} | set(_raises(queue))
        yield from (gate_opens_after(penalty, queue) for penalty in penalties)


def _raises(queue: QueueState) -> Iterator[int]:
    """The penalties that members may be raised to."""
    for limit in (queue.raise_penalty, *(rule.sets.get("raise_penalty") for rule in queue.penalty_rules)):
        if limit is not None:
            yield limit


def _instants(members: list[AgentState]) -> Iterator[int]:
    """When an available member has cooled down."""
    for agent in members:
        if agent.status == "available":
            yield from (instant for instant in (agent.ready_at, agent.wrap_up_until) if instant is not None)


def _own_instants(call: WaitingCall, queue: QueueState) -> Iterator[int]:
    """What concerns this call only."""
    yield from call.declined.values()
    if call.hidden_until is not None:
        yield call.hidden_until
    if queue.sticky is not None and call.preferred_agent is not None:
        yield call.enqueued_at + queue.sticky.hold_seconds
        if queue.sticky.max_age is not None and call.preferred_agent_at is not None:
            yield call.preferred_agent_at + queue.sticky.max_age + 1
