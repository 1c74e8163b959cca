"""A day on the floor, event by event: callers arrive, talk and give up; the product's own pass decides who gets whom.

Times are whole milliseconds, instants and durations alike. An offer is answered at once, and wrap-up counts as talk.
A pass runs when a caller arrives, when an agent is freed, and when waiting alone may have opened something; not if
nobody waits or nobody is free, since it would decide nothing.
"""

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from heapq import heappop, heappush
from itertools import chain, count, islice

from queues.routing.look_again import next_look_at
from queues.routing.one_pass import Assignment, assign
from queues.routing.snapshot import AgentState, QueueState, State, WaitingCall

Decision = tuple[int, str, str]  # instant, call, agent


@dataclass(frozen=True, slots=True)
class Caller:
    """Who arrives at ``call.enqueued_at``. ``patience`` None: he waits for ever."""

    call: WaitingCall
    talk: int
    patience: int | None = None


@dataclass(frozen=True, slots=True)
class Floor:
    """Queues as they are set and agents as they log in, at 0."""

    queues: tuple[QueueState, ...]
    agents: tuple[AgentState, ...]


@dataclass(slots=True)
class Tally:
    """What became of one queue's callers: how long they waited until they were answered, or gave up."""

    answered: list[int] = field(default_factory=list)
    abandoned: list[int] = field(default_factory=list)

    @property
    def offered(self) -> int:
        return len(self.answered) + len(self.abandoned)

    def answered_within(self, limit: int) -> int:
        return sum(wait <= limit for wait in self.answered)


class Line:
    """The waiting callers of one queue, oldest first, in two FIFOs: promise kept, promise broken.

    Within one of them the pass always prefers the oldest, so it needs to see no more of each than agents are free.
    """

    def __init__(self, queue: QueueState) -> None:
        self._promise = queue.promise_secs
        self._kept: dict[str, WaitingCall] = {}
        self._broken: dict[str, WaitingCall] = {}

    def join(self, call: WaitingCall) -> None:
        self._kept[call.id] = call

    def leave(self, call_id: str) -> None:
        if self._kept.pop(call_id, None) is None:
            del self._broken[call_id]

    def heads(self, most: int | None, *, now: int) -> Iterator[WaitingCall]:
        """The first so many of both, or everyone."""
        while self._kept and now - (oldest := next(iter(self._kept.values()))).enqueued_at > self._promise:
            self._broken[oldest.id] = self._kept.pop(oldest.id)
        yield from islice(self._broken.values(), most)
        yield from islice(self._kept.values(), most)


class Day:
    """One day, from empty to empty. Idle time counts until ``closes``, when the last caller may arrive.

    ``whole``: show the pass everything, also who is busy and the whole line. It must decide the same.
    ``decisions``: each answered offer, if they are to be kept.
    """

    def __init__(
        self, floor: Floor, *, closes: int, whole: bool = False, decisions: list[Decision] | None = None
    ) -> None:
        self.tallies = {queue.id: Tally() for queue in floor.queues}
        self.idle = dict.fromkeys((agent.id for agent in floor.agents), 0)
        self.passes = 0
        self._closes, self._whole, self._decisions = closes, whole, decisions
        self._queues = {queue.id: replace(queue, member_count=_members(queue, floor)) for queue in floor.queues}
        self._looks = {queue.id: tuple(looks_after(queue, floor.agents)) for queue in floor.queues}
        self._lines = {queue.id: Line(queue) for queue in floor.queues}
        self._waiting: dict[str, Caller] = {}
        self._free = {agent.id: agent for agent in floor.agents}
        self._busy: dict[str, AgentState] = {}
        self._ahead: list[tuple[int, int, Callable[[int], None]]] = []
        self._numbers = count()
        self._dice = random.Random(0)

    def run(self, callers: Iterable[Caller]) -> "Day":
        """``callers`` in the order in which they arrive."""
        for caller in callers:
            now = caller.call.enqueued_at
            self._play(until=now)
            self._arrive(caller, now)
        self._play(until=None)
        for agent in self._free.values():
            self._count_idle(agent, self._closes)
        return self

    # What happens

    def _play(self, *, until: int | None) -> None:
        while self._ahead and (until is None or self._ahead[0][0] <= until):
            instant, _, happen = heappop(self._ahead)
            happen(instant)

    def _schedule(self, instant: int, happen: Callable[[int], None]) -> None:
        heappush(self._ahead, (instant, next(self._numbers), happen))

    def _arrive(self, caller: Caller, now: int) -> None:
        call = caller.call
        self._waiting[call.id] = caller
        self._lines[call.queue].join(call)
        self._decide(now)
        if call.id in self._waiting:
            for wait in self._looks[call.queue]:
                self._schedule(now + wait, partial(self._look_again, call.id))
            if caller.patience is not None:
                self._schedule(now + caller.patience, partial(self._give_up, call.id))

    def _look_again(self, call_id: str, now: int) -> None:
        if call_id in self._waiting:
            self._decide(now)

    def _give_up(self, call_id: str, now: int) -> None:
        if call_id in self._waiting:
            call = self._leave_line(call_id).call
            self.tallies[call.queue].abandoned.append(now - call.enqueued_at)

    def _hang_up(self, agent_id: str, caller: Caller, now: int) -> None:
        agent, queue_id = self._busy.pop(agent_id), caller.call.queue
        here = replace(agent.memberships[queue_id], last_call_end=now)
        self._free[agent_id] = replace(
            agent,
            available_since=now,
            last_handled_end=now,
            calls_handled=agent.calls_handled + 1,
            talk_seconds=agent.talk_seconds + caller.talk,
            memberships={**agent.memberships, queue_id: here},
        )
        self._decide(now)

    # What is decided

    def _decide(self, now: int) -> None:
        """One pass; another if several phones rang for a call, since all but one of them are free again."""
        while self._waiting and self._free:
            result = assign(self._state(now))
            self.passes += 1
            for offer in result.assignments:
                self._connect(offer, now)
            for queue_id, position in result.pointers.items():
                self._queues[queue_id] = replace(self._queues[queue_id], last_offered_position=position)
            if all(len(offer.agent_ids) == 1 for offer in result.assignments):
                break

    def _state(self, now: int) -> State:
        heads = None if self._whole else len(self._free)
        busy = (replace(agent, status="busy", active_calls=1) for agent in self._busy.values())
        return State(
            now=now,
            queues=tuple(self._queues.values()),
            agents=(*self._free.values(), *(busy if self._whole else ())),
            calls=tuple(chain.from_iterable(line.heads(heads, now=now) for line in self._lines.values())),
            pass_number=now,
        )

    def _connect(self, offer: Assignment, now: int) -> None:
        rung = offer.agent_ids
        agent_id = rung[0] if len(rung) == 1 else self._dice.choice(rung)
        caller, agent = self._leave_line(offer.call_id), self._free.pop(agent_id)
        self._busy[agent_id] = agent
        self._count_idle(agent, now)
        self.tallies[offer.queue_id].answered.append(now - caller.call.enqueued_at)
        self._schedule(now + caller.talk, partial(self._hang_up, agent_id, caller))
        if self._decisions is not None:
            self._decisions.append((now, offer.call_id, agent_id))

    def _leave_line(self, call_id: str) -> Caller:
        caller = self._waiting.pop(call_id)
        self._lines[caller.call.queue].leave(call_id)
        return caller

    def _count_idle(self, agent: AgentState, until: int) -> None:
        self.idle[agent.id] += max(0, min(until, self._closes) - agent.available_since)


def looks_after(queue: QueueState, agents: Iterable[AgentState]) -> Iterator[int]:
    """The waits, ascending, after which something opens for a caller of the queue."""
    members = tuple(
        replace(agent, memberships={queue.id: agent.memberships[queue.id]})
        for agent in agents
        if queue.id in agent.memberships
    )
    call, now = WaitingCall(id="any", queue=queue.id, enqueued_at=0), 0
    while looks := next_look_at(State(now=now, queues=(queue,), agents=members, calls=(call,))):
        now = looks[call.id]
        yield now


def _members(queue: QueueState, floor: Floor) -> int:
    return sum(queue.id in agent.memberships for agent in floor.agents)
