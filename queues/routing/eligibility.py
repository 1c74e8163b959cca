"""Who may get a call (ROUTING §1): six rules, their time limits inclusive at their second."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from queues.routing.snapshot import AgentState, QueueState, Ring, WaitingCall

AVAILABLE, READY, MEMBER, PENALTY, SKILLS, DECLINED = (f"rule {number}" for number in range(1, 7))


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Which penalties a queue admits after a certain wait."""

    min_penalty: int | None
    max_penalty: int | None
    raise_penalty: int | None

    def effective(self, penalty: int) -> int | None:
        """The penalty that counts; None outside the window."""
        if self.raise_penalty is not None and penalty < self.raise_penalty:
            penalty = self.raise_penalty
        if self.max_penalty is not None and penalty > self.max_penalty:
            return None
        if self.min_penalty is not None and penalty < self.min_penalty:
            return None
        return penalty


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What a waiting call asks for at this second.

    ``required``: the levels still asked for. ``penalties``: what each own penalty counts for this call; those
    outside the window are missing. ``preferred``: the agent it prefers, if its queue honours that.
    """

    call: WaitingCall
    queue: QueueState
    now: int
    wait: int
    required: Mapping[str, int]
    penalties: Mapping[int, int]
    preferred: AgentState | None

    def penalty_of(self, member: AgentState) -> int:
        """The effective penalty of a member whom the window admits."""
        return self.penalties[member.memberships[self.queue.id].penalty]


def demand_of(
    call: WaitingCall,
    queue: QueueState,
    *,
    now: int,
    members: int,
    own_penalties: Iterable[int],
    preferred: AgentState | None,
) -> Demand:
    """``members``: how many memberships the queue has, in whatever state; ``own_penalties``: those they have."""
    wait = now - call.enqueued_at
    if members <= queue.penalty_members_limit:
        penalties = dict.fromkeys(own_penalties, 0)
    else:
        window = penalty_window(queue, wait)
        penalties = {own: counts for own in own_penalties if (counts := window.effective(own)) is not None}
    return Demand(
        call=call,
        queue=queue,
        now=now,
        wait=wait,
        required=required_levels(call.required_skills, queue.rings, wait),
        penalties=penalties,
        preferred=preferred,
    )


def preferred_agent(call: WaitingCall, queue: QueueState, *, now: int) -> str | None:
    """Whom the call prefers, by id, if its queue still honours that."""
    sticky = queue.sticky
    return call.preferred_agent if sticky and sticky.is_recent(call.preferred_agent_at, now=now) else None


def penalty_window(queue: QueueState, wait: int) -> Window:
    """The queue's own limits, then those of each rule that has come due, in the order they come due."""
    window = Window(min_penalty=queue.min_penalty, max_penalty=queue.max_penalty, raise_penalty=queue.raise_penalty)
    for rule in sorted(queue.penalty_rules, key=lambda rule: rule.after):
        if rule.after <= wait:
            window = replace(window, **rule.sets)
    return window


def required_levels(required: Mapping[str, int], rings: Sequence[Ring], wait: int) -> Mapping[str, int]:
    """What is left of the required levels after ``wait``. Rings drop and lower; nothing brings a skill back."""
    for ring in rings:
        if ring.after <= wait:
            required = {
                skill: min(level, ring.levels.get(skill, level))
                for skill, level in required.items()
                if skill not in ring.drop
            }
    return required


def broken_by_agent(agent: AgentState, *, active_calls: int, now: int) -> str | None:
    """The first of rules 1 and 2, which ask about the agent alone, that he breaks."""
    if agent.status != "available" or agent.reserved or active_calls >= agent.capacity:
        return AVAILABLE
    if any(until is not None and now < until for until in (agent.wrap_up_until, agent.ready_at)):
        return READY
    return None


def broken_by_pair(demand: Demand, agent: AgentState) -> str | None:
    """The first of rules 3 to 6, which ask about agent and call, that keeps one from the other."""
    membership = agent.memberships.get(demand.queue.id)
    if membership is None or membership.paused or demand.wait < membership.delay:
        return MEMBER
    if membership.penalty not in demand.penalties:
        return PENALTY
    for skill, level in demand.required.items():
        if agent.skills.get(skill, 0) < level:
            return SKILLS
    if demand.now < demand.call.declined.get(agent.id, demand.now):
        return DECLINED
    return None
