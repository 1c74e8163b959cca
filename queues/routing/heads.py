"""Whether the heads of the lines are enough to decide as the whole state would.

Calls of one queue, priority, set of requirements and stretch of waiting time stand in *one line*: whoever may take
the younger may take the older, which comes first. Agents are *alike* who serve the same queues on the same terms
and can do the same: they differ in their places only. So of a line, and of those who are alike, the first few are
looked at. Once a pass has left one of them over, for no reason of its own, nobody behind it can have a part in it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from queues.routing.eligibility import broken_by_agent, preferred_agent
from queues.routing.floor import COMING_BACK, strategy_of
from queues.routing.one_pass import PassResult
from queues.routing.snapshot import AgentState, QueueState, State, WaitingCall
from queues.routing.strategies import IDLE, POSITION, idle_since


@dataclass(frozen=True, slots=True, kw_only=True)
class CallsBehind:
    """A line goes on behind these calls; none of the rest was enqueued before ``enqueued_at``, none may have a free
    agent because it prefers him."""

    calls: frozenset[str]
    enqueued_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentsBehind:
    """There are more agents like these; none of the rest has a place before ``place`` in the queue, none is
    preferred by a call that he may have."""

    agents: frozenset[str]
    queue: str
    place: int


Behind = CallsBehind | AgentsBehind


def suffices(state: State, result: PassResult, behind: Iterable[Behind]) -> bool:
    """Whether the pass over the whole state decides the same as ``result``, the pass over its heads."""
    queues = {queue.id: queue for queue in state.queues}
    waiting, free = _left_waiting(state, result), _left_free(state, result)
    for rest in behind:
        if isinstance(rest, CallsBehind):
            left = any(waiting[call] < rest.enqueued_at for call in rest.calls if call in waiting)
        else:
            places = [place(free[agent], queues[rest.queue]) for agent in rest.agents if agent in free]
            left = any(found is not None and found < rest.place for found in places)
        if not left:
            return False
    return True


def place(agent: AgentState, queue: QueueState) -> int | None:
    """What orders an agent among those like him in a queue; None where no single number does."""
    by = ordered_by(queue)
    if by == IDLE:
        return idle_since(agent, queue)
    return agent.memberships[queue.id].position if by == POSITION else None


def ordered_by(queue: QueueState) -> str:
    """IDLE or POSITION; empty where it takes more than one number, or one that no agent carries with him."""
    by = strategy_of(queue).alike_by
    return "" if by == IDLE and queue.idle_basis != "available_since" else by


def stretches(queue: QueueState) -> Sequence[tuple[int, int | None]]:
    """The waiting times, from and up to but not with, within which a queue's rules let nobody overtake.

    A rule may narrow the window of penalties with time, and a broken promise steps back.
    """
    cuts = {rule.after for rule in queue.penalty_rules}
    if queue.scoring == "promise" and queue.beta != 1:
        cuts.add(queue.promise_secs + 1)
    marks: list[int | None] = [0, *sorted(cuts - {0}), None]
    return [(since, until) for since, until in pairwise(marks) if since is not None]


def _left_waiting(state: State, result: PassResult) -> Mapping[str, int]:
    """Since when the calls wait that the pass has left over for no reason of their own."""
    left = set(result.waiting)
    queues = {queue.id: queue for queue in state.queues}
    agents = {agent.id: agent for agent in state.agents}
    return {
        call.id: call.enqueued_at
        for call in state.calls
        if call.id in left
        and not any(state.now < until for until in call.declined.values())
        and not _depends_on_one(call, queues[call.queue], agents, state.now)
    }


def _depends_on_one(call: WaitingCall, queue: QueueState, agents: Mapping[str, AgentState], now: int) -> bool:
    """Whether it may have passed others by for the agent it prefers: he was free, or it holds for him."""
    preferred = agents.get(preferred_agent(call, queue, now=now) or "")
    if preferred is None or queue.sticky is None:
        return False
    holds = preferred.status in COMING_BACK and now - call.enqueued_at < queue.sticky.hold_seconds
    return holds or preferred.status == "available"


def _left_free(state: State, result: PassResult) -> Mapping[str, AgentState]:
    """The agents whom the pass has left over for no reason of their own."""
    offered = {agent_id for assignment in result.assignments for agent_id in assignment.agent_ids}
    declined = {name for call in state.calls for name, until in call.declined.items() if state.now < until}
    return {
        agent.id: agent
        for agent in state.agents
        if agent.id not in offered
        and agent.id not in declined
        and broken_by_agent(agent, active_calls=agent.active_calls, now=state.now) is None
    }
