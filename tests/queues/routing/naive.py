"""ROUTING.md once more, sentence by sentence, with no thought for speed: the judge of the real pass.

Nothing is remembered between two steps and nothing is shared with ``queues.routing`` but the snapshot and the
strategies' own keys.
"""

from fractions import Fraction
from functools import partial

from queues.routing.snapshot import AgentState, QueueState, State, WaitingCall
from queues.routing.strategies import STRATEGIES, Candidate

Offers = list[tuple[str, tuple[str, ...]]]


class NaivePass:
    def __init__(self, state: State) -> None:
        self.state = state
        self.queue = {queue.id: queue for queue in state.queues}
        self.in_hand = {agent.id: agent.active_calls for agent in state.agents}
        self.pointer = {queue.id: queue.last_offered_position for queue in state.queues}
        self.line = [call for call in state.calls if not (call.hidden_until and call.hidden_until > state.now)]

    def run(self) -> tuple[Offers, list[str]]:
        offers: Offers = []
        while pairs := [
            (call, agent)
            for call in self.line
            for agent in self.state.agents
            if self.could_take(agent, call) and not self.withheld(agent, call)
        ]:
            call, agent = min(pairs, key=self.pair_key)
            taken = [agent]
            queue = self.queue[call.queue]
            if queue.strategy == "ring_all" and queue.scoring != "promise":
                rivals = [rival for other, rival in pairs if other is call]
                lowest = min(self.penalty(rival, call) for rival in rivals)
                taken = sorted(
                    (rival for rival in rivals if self.penalty(rival, call) == lowest),
                    key=partial(self.agent_key, call=call),
                )
            offers.append((call.id, tuple(agent.id for agent in taken)))
            self.line.remove(call)
            for each in taken:
                self.in_hand[each.id] += 1
                self.pointer[queue.id] = each.memberships[queue.id].position
        return offers, [call.id for call in sorted(self.line, key=self.call_key)]

    # Section 1

    def rules_1_and_2(self, agent: AgentState, *, in_hand: int | None = None) -> bool:
        now = self.state.now
        return (
            agent.status == "available"
            and not agent.reserved
            and (self.in_hand[agent.id] if in_hand is None else in_hand) < agent.capacity
            and (agent.wrap_up_until is None or now >= agent.wrap_up_until)
            and (agent.ready_at is None or now >= agent.ready_at)
        )

    def rules_3_to_6(self, agent: AgentState, call: WaitingCall) -> bool:
        membership = agent.memberships.get(call.queue)
        if membership is None or membership.paused or self.wait(call) < membership.delay:
            return False
        if self.penalty(agent, call) is None:
            return False
        if any(agent.skills.get(skill, 0) < level for skill, level in self.required(call).items()):
            return False
        return agent.id not in call.declined or self.state.now >= call.declined[agent.id]

    def eligible(self, agent: AgentState, call: WaitingCall) -> bool:
        return self.rules_1_and_2(agent) and self.rules_3_to_6(agent, call)

    def wait(self, call: WaitingCall) -> int:
        return self.state.now - call.enqueued_at

    def penalty(self, agent: AgentState, call: WaitingCall) -> int | None:
        queue = self.queue[call.queue]
        if sum(queue.id in other.memberships for other in self.state.agents) <= queue.penalty_members_limit:
            return 0
        limits = {
            "min_penalty": queue.min_penalty,
            "max_penalty": queue.max_penalty,
            "raise_penalty": queue.raise_penalty,
        }
        for rule in sorted(queue.penalty_rules, key=lambda rule: rule.after):
            if rule.after <= self.wait(call):
                limits.update(rule.sets)
        least, most, floor = limits["min_penalty"], limits["max_penalty"], limits["raise_penalty"]
        penalty = agent.memberships[queue.id].penalty
        if floor is not None and penalty < floor:
            penalty = floor
        inside = (most is None or penalty <= most) and (least is None or penalty >= least)
        return penalty if inside else None

    def required(self, call: WaitingCall) -> dict[str, int]:
        required = dict(call.required_skills)
        for ring in sorted(self.queue[call.queue].rings, key=lambda ring: ring.after):
            if ring.after <= self.wait(call):
                for skill in ring.drop:
                    required.pop(skill, None)
                for skill, level in ring.levels.items():
                    if skill in required and level < required[skill]:
                        required[skill] = level
        return required

    # Sections 4 to 6: who could be served what

    def could_take(self, agent: AgentState, call: WaitingCall) -> bool:
        if not self.eligible(agent, call):
            return False
        queue, preferred = self.queue[call.queue], self.preferred(call)
        if preferred is not None and self.eligible(preferred, call):
            return agent is preferred
        if preferred is not None and queue.sticky is not None:
            back_soon = preferred.status in ("busy", "wrap_up", "reserved", "available")
            if back_soon and self.rules_3_to_6(preferred, call) and self.wait(call) < queue.sticky.hold_seconds:
                return False
        return queue.scoring != "promise" or self.gate_open(agent, call)

    def preferred(self, call: WaitingCall) -> AgentState | None:
        sticky = self.queue[call.queue].sticky
        if sticky is None:
            return None
        dated = sticky.max_age is not None and call.preferred_agent_at is not None
        if dated and self.state.now - call.preferred_agent_at > sticky.max_age:
            return None
        return next((agent for agent in self.state.agents if agent.id == call.preferred_agent), None)

    def gate_open(self, agent: AgentState, call: WaitingCall) -> bool:
        r = self.penalty(agent, call)
        assert r is not None
        if r == 0 or 2 * self.wait(call) >= r * self.queue[call.queue].promise_secs:
            return True
        return all(self.free_in(queue_id) >= 3 for queue_id, own in agent.memberships.items() if own.penalty == 0)

    def free_in(self, queue_id: str) -> int:
        """Available members of penalty 0, in the frozen state."""
        return sum(
            queue_id in agent.memberships
            and agent.memberships[queue_id].penalty == 0
            and not agent.memberships[queue_id].paused
            and self.rules_1_and_2(agent, in_hand=agent.active_calls)
            for agent in self.state.agents
        )

    def withheld(self, agent: AgentState, call: WaitingCall) -> bool:
        if self.preferred(call) is agent:
            return False  # he is eligible, so it is a sticky offer
        own = agent.memberships[call.queue].queue_priority
        return any(
            agent.memberships[other.queue].queue_priority < own
            for other in self.line
            if other.queue in agent.memberships and self.could_take(agent, other)
        )

    # Orders

    def score(self, call: WaitingCall) -> Fraction:
        queue, wait = self.queue[call.queue], self.wait(call)
        if queue.scoring == "strict_priority":
            return Fraction(call.priority)
        if queue.scoring == "aged":
            return Fraction(wait + call.priority * queue.aging_seconds_per_point)
        u = Fraction(wait, queue.promise_secs) * Fraction(8) ** call.priority
        return u if wait <= queue.promise_secs else u * queue.beta

    def call_key(self, call: WaitingCall) -> tuple[object, ...]:
        weight = self.queue[call.queue].weight
        return (-weight, -self.score(call), call.enqueued_at, call.kind == "callback", call.id)

    def agent_key(self, agent: AgentState, call: WaitingCall) -> tuple[object, ...]:
        queue, membership, penalty = self.queue[call.queue], agent.memberships[call.queue], self.penalty(agent, call)
        assert penalty is not None
        candidate = Candidate(
            call_id=call.id,
            agent=agent,
            membership=membership,
            penalty=penalty,
            active_calls=self.in_hand[agent.id],
            required=self.required(call),
            pointer=self.pointer[queue.id],
            idle_since=self.idle_since(agent, queue),
            pass_number=self.state.pass_number,
        )
        first = () if queue.strategy == "weighted_random" else (penalty,)
        own = STRATEGIES[queue.strategy].key(candidate)
        return (*first, own, self.idle_since(agent, queue), membership.position, agent.id)

    def pair_key(self, pair: tuple[WaitingCall, AgentState]) -> tuple[object, ...]:
        """Weights, then promise's pairs, then the rest call by call."""
        call, agent = pair
        queue = self.queue[call.queue]
        if queue.scoring != "promise":
            weight, *rest = self.call_key(call)
            return (weight, 1, *rest, self.agent_key(agent, call))
        r = self.penalty(agent, call)
        assert r is not None
        share = self.score(call) * Fraction(4) ** -r
        tie = (r, self.idle_since(agent, queue), agent.memberships[queue.id].position, agent.id)
        return (-queue.weight, 0, -share, call.enqueued_at, call.kind == "callback", call.id, tie)

    @staticmethod
    def idle_since(agent: AgentState, queue: QueueState) -> int:
        if queue.idle_basis == "available_since":
            return agent.available_since
        return agent.last_handled_end if agent.last_handled_end is not None else agent.login_at
