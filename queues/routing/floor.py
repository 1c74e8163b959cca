"""The state while a pass makes its offers: who is still free, which calls still wait, where the pointers stand.

An offer changes exactly this: the call leaves the line, each agent offered it has one more call in hand, the
queue's pointer moves. Everything else stays as it was in the frozen state.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from queues.routing.eligibility import Demand, broken_by_agent, broken_by_pair, demand_of, preferred_agent
from queues.routing.scoring import call_rank, whole_scores
from queues.routing.snapshot import AgentState, QueueState, State, WaitingCall
from queues.routing.strategies import STRATEGIES, Candidate, Strategy, idle_since

PLENTY = 3
COMING_BACK = frozenset({"available", "reserved", "busy", "wrap_up"})


class Floor:
    """One pass's working state.

    ``line``: the waiting calls by id, in the order of section 3. ``scores``: theirs, times ``score_unit``.
    """

    def __init__(self, state: State) -> None:
        self.now, self._pass_number = state.now, state.pass_number
        self.queues = {queue.id: queue for queue in state.queues}
        self.active_calls = {agent.id: agent.active_calls for agent in state.agents}
        self.pointers = {queue.id: queue.last_offered_position for queue in state.queues}
        self._agents = {agent.id: agent for agent in state.agents}
        self._free = {agent.id: agent for agent in state.agents if not self._rule_against(agent)}
        self._own_penalties: dict[str, Counter[int]] = {queue.id: Counter() for queue in state.queues}
        self._free_members: dict[str, dict[str, AgentState]] = {queue.id: {} for queue in state.queues}
        for agent in state.agents:
            for queue_id, membership in agent.memberships.items():
                self._own_penalties[queue_id][membership.penalty] += 1
                if agent.id in self._free and not membership.paused:
                    self._free_members[queue_id][agent.id] = agent
        self._main_available = {queue.id: self._count_main_available(queue) for queue in state.queues}
        self._allowed: dict[str, Mapping[str, AgentState]] = {}

        visible = [self.demand(call) for call in state.calls if call.is_visible(now=state.now)]
        self.scores, self.score_unit = whole_scores(visible)
        visible.sort(key=lambda demand: call_rank(demand, self.scores[demand.call.id]))
        self.line = {demand.call.id: demand for demand in visible}
        self._line_of: dict[str, dict[str, Demand]] = {queue.id: {} for queue in state.queues}
        for demand in visible:
            self._line_of[demand.queue.id][demand.call.id] = demand

    def demand(self, call: WaitingCall) -> Demand:
        """A call of this state, hidden or not, as it stands now."""
        queue, penalties = self.queues[call.queue], self._own_penalties[call.queue]
        members = penalties.total() if queue.member_count is None else queue.member_count
        preferred = self._agents.get(name) if (name := preferred_agent(call, queue, now=self.now)) else None
        return demand_of(call, queue, now=self.now, members=members, own_penalties=penalties, preferred=preferred)

    def _count_main_available(self, queue: QueueState) -> int:
        if queue.main_available is not None:
            return queue.main_available
        return sum(agent.memberships[queue.id].penalty == 0 for agent in self._free_members[queue.id].values())

    # Who may have a call

    @property
    def anybody_is_free(self) -> bool:
        return bool(self._free)

    def rule_against(self, demand: Demand, agent: AgentState) -> str | None:
        """The first rule of section 1 that keeps the agent from the call; None if he may have it."""
        return self._rule_against(agent) or broken_by_pair(demand, agent)

    def allowed(self, demand: Demand) -> list[AgentState]:
        """Everyone whom section 1 allows the call."""
        return [agent for agent in self._allowed_at_first(demand).values() if agent.id in self._free]

    def takers(self, demand: Demand) -> list[AgentState]:
        """Everyone who could take the call."""
        return [agent for agent in self.allowed(demand) if self.could_take(demand, agent)]

    def could_take(self, demand: Demand, agent: AgentState) -> bool:
        """Whether the call could be served to him now if ``queue_priority`` did not exist."""
        if not self._is_allowed(demand, agent):
            return False
        favourite = self.favourite(demand)
        if favourite is not None:
            return agent is favourite
        return not self.holds(demand) and self.gate_is_open(demand, agent)

    def is_withheld(self, demand: Demand, agent: AgentState) -> bool:
        """Whether he is kept for a call he could take in a queue that comes first for him."""
        here = agent.memberships[demand.queue.id].queue_priority
        first = [queue_id for queue_id, there in agent.memberships.items() if there.queue_priority < here]
        if not first or agent is self.favourite(demand):
            return False
        return any(self.could_take(other, agent) for queue_id in first for other in self._line_of[queue_id].values())

    def _rule_against(self, agent: AgentState) -> str | None:
        return broken_by_agent(agent, active_calls=self.active_calls[agent.id], now=self.now)

    def _is_allowed(self, demand: Demand, agent: AgentState) -> bool:
        return agent.id in self._free and agent.id in self._allowed_at_first(demand)

    def _allowed_at_first(self, demand: Demand) -> Mapping[str, AgentState]:
        """Whom section 1 allowed the call when the pass first asked; since then only slots have gone."""
        known = self._allowed.get(demand.call.id)
        if known is None:
            known = self._allowed[demand.call.id] = {
                agent.id: agent
                for agent in self._free_members[demand.queue.id].values()
                if broken_by_pair(demand, agent) is None
            }
        return known

    # Sticky (section 5)

    def favourite(self, demand: Demand) -> AgentState | None:
        """The preferred agent, if section 1 allows him the call: then it is his."""
        preferred = demand.preferred
        return preferred if preferred is not None and self._is_allowed(demand, preferred) else None

    def holds(self, demand: Demand) -> bool:
        """Whether the call waits for its preferred agent, who may not have it now but is coming back soon."""
        preferred, sticky = demand.preferred, demand.queue.sticky
        return (
            preferred is not None
            and sticky is not None
            and demand.wait < sticky.hold_seconds
            and preferred.status in COMING_BACK
            and broken_by_pair(demand, preferred) is None
        )

    # Promise (section 6)

    def penalties(self, demand: Demand) -> Collection[int]:
        """The effective penalties of the free members whom the call's window admits."""
        own = {agent.memberships[demand.queue.id].penalty for agent in self._free_members[demand.queue.id].values()}
        return {demand.penalties[penalty] for penalty in own if penalty in demand.penalties}

    def gate_is_open(self, demand: Demand, agent: AgentState) -> bool:
        """Whether the promise lets the call go to an agent who is not his queue's first choice."""
        if not weighs_pairs(demand.queue):
            return True
        penalty = demand.penalty_of(agent)
        return penalty == 0 or 2 * demand.wait >= penalty * demand.queue.promise_secs or self._is_in_plenty(agent)

    def _is_in_plenty(self, agent: AgentState) -> bool:
        """Whether each of his main queues had enough free main agents in the frozen state."""
        return all(
            self._main_available[queue_id] >= PLENTY
            for queue_id, membership in agent.memberships.items()
            if membership.penalty == 0
        )

    # Candidates and offers

    def candidate(self, demand: Demand, agent: AgentState) -> Candidate:
        """What a strategy sees of an agent."""
        return Candidate(
            call_id=demand.call.id,
            agent=agent,
            membership=agent.memberships[demand.queue.id],
            penalty=demand.penalty_of(agent),
            active_calls=self.active_calls[agent.id],
            required=demand.required,
            pointer=self.pointers[demand.queue.id],
            idle_since=idle_since(agent, demand.queue),
            pass_number=self._pass_number,
        )

    def serve(self, demand: Demand, chosen: Iterable[AgentState]) -> None:
        """Offer the call: it leaves the line, each of the chosen takes a slot, the pointer moves."""
        queue_id = demand.queue.id
        del self.line[demand.call.id], self._line_of[queue_id][demand.call.id]
        for agent in chosen:
            self.active_calls[agent.id] += 1
            self.pointers[queue_id] = agent.memberships[queue_id].position
            if self._rule_against(agent):
                self._leave(agent)

    def _leave(self, agent: AgentState) -> None:
        del self._free[agent.id]
        for queue_id in agent.memberships:
            self._free_members[queue_id].pop(agent.id, None)


def weighs_pairs(queue: QueueState) -> bool:
    """Whether the queue's calls and agents are weighed together (section 6), not call by call."""
    return queue.scoring == "promise"


def strategy_of(queue: QueueState) -> Strategy:
    """What orders the agents in a pass."""
    return STRATEGIES["promise" if weighs_pairs(queue) else queue.strategy]
