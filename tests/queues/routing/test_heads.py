"""When the heads of the lines are enough: the certificate alone, without a database."""

from dataclasses import replace

import pytest

from queues.routing.heads import CallsBehind, suffices
from queues.routing.one_pass import assign
from queues.routing.snapshot import AgentState, Membership, QueueState, State, Sticky, WaitingCall

NOW = 1000
STICKY = Sticky(hold_seconds=30)


def agent(name: str, **penalties: int) -> AgentState:
    return AgentState(id=name, memberships={queue: Membership(penalty=penalty) for queue, penalty in penalties.items()})


def call(name: str, queue: str, wait: int, prefers: str | None = None) -> WaitingCall:
    return WaitingCall(id=name, queue=queue, enqueued_at=NOW - wait, preferred_agent=prefers)


def withheld_for_the_one_behind() -> State:
    """``a`` may take ``c`` only if nobody in q, which comes first for him, could have him."""
    first, then = Membership(queue_priority=1), Membership(queue_priority=2)
    return State(
        now=NOW,
        queues=(QueueState(id="p", weight=1), QueueState(id="q", sticky=STICKY)),
        agents=(AgentState(id="a", memberships={"q": first, "p": then}), agent("f", q=0)),
        calls=(call("c", "p", 50), call("h1", "q", 100, "f"), call("h2", "q", 90, "f"), call("z", "q", 80)),
    )


def more_suitable_for_the_one_behind() -> State:
    """By promise, ``f`` goes to ``y``, so those who prefer him are left over, and behind them is one for ``a``."""
    queue = QueueState(id="q", strategy="promise", scoring="promise", sticky=STICKY)
    return State(
        now=NOW,
        queues=(queue, replace(queue, id="r"), replace(queue, id="t")),
        agents=(agent("a", q=0, r=0), agent("f", q=2, t=0)),
        calls=(
            call("x", "r", 60),
            call("y", "t", 50),
            call("h1", "q", 100, "f"),
            call("h2", "q", 90, "f"),
            call("z", "q", 80),
        ),
    )


@pytest.mark.parametrize("whole", [withheld_for_the_one_behind(), more_suitable_for_the_one_behind()])
def test_a_call_left_over_because_its_agent_is_taken_says_nothing_of_those_behind(whole: State) -> None:
    heads = replace(whole, calls=whole.calls[:-1])
    behind = CallsBehind(calls=frozenset({"h1", "h2"}), enqueued_at=whole.calls[-1].enqueued_at)
    assert assign(heads).assignments != assign(whole).assignments
    assert not suffices(heads, assign(heads), [behind])


@pytest.mark.parametrize(
    ("status", "hold_seconds", "is_enough"),
    [("busy", 100, False), ("busy", 20, True), ("offline", 100, True), ("available", 20, False)],
)
def test_a_call_that_nobody_keeps_for_its_agent_speaks_for_those_behind(
    status: str, hold_seconds: int, is_enough: bool
) -> None:
    heads = State(
        now=NOW,
        queues=(QueueState(id="q", sticky=Sticky(hold_seconds=hold_seconds)),),
        agents=(replace(agent("f", q=0), status=status, skills={}),),
        calls=(replace(call("h", "q", 50, "f"), required_skills={"spanish": 1}),),
    )
    result = assign(heads)
    assert result.waiting == ("h",)
    assert suffices(heads, result, [CallsBehind(calls=frozenset({"h"}), enqueued_at=NOW - 40)]) is is_enough
