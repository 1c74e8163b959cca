"""When a waiting call is looked at again, each reason by itself."""

from dataclasses import replace

import pytest

from queues.routing.look_again import next_look_at
from queues.routing.snapshot import (
    AgentState,
    Membership,
    PenaltyRule,
    QueueState,
    Ring,
    State,
    Sticky,
    WaitingCall,
)

QUEUE = QueueState(id="q")
PROMISE = QueueState(id="q", strategy="promise", scoring="promise", promise_secs=21)
CALL = WaitingCall(id="c", queue="q", enqueued_at=990)
PREFERRING = replace(CALL, preferred_agent="a", preferred_agent_at=950)


def member(*, penalty=0, delay=0, **fields):
    return AgentState(id="a", memberships={"q": Membership(penalty=penalty, delay=delay)}, **fields)


def look(queue=QUEUE, agent=None, call=CALL, now=1000):
    return next_look_at(State(now=now, queues=(queue,), agents=(agent or member(),), calls=(call,))).get("c")


@pytest.mark.parametrize(
    ("queue", "agent", "call", "expected"),
    [
        pytest.param(QUEUE, member(), CALL, None, id="nothing opens"),
        pytest.param(QUEUE, member(delay=25), CALL, 1015, id="a delay"),
        pytest.param(QUEUE, member(delay=10), CALL, None, id="a delay that has just passed"),
        pytest.param(replace(QUEUE, penalty_rules=(PenaltyRule(after=30),)), member(), CALL, 1020, id="a penalty rule"),
        pytest.param(replace(QUEUE, rings=(Ring(after=40), Ring(after=20))), member(), CALL, 1010, id="the next ring"),
        pytest.param(QUEUE, member(), replace(CALL, declined={"a": 1007}), 1007, id="a decline's end"),
        pytest.param(QUEUE, member(ready_at=1003), CALL, 1003, id="a cool-down"),
        pytest.param(QUEUE, member(wrap_up_until=1004), CALL, 1004, id="a wrap-up time"),
        pytest.param(QUEUE, member(wrap_up_until=1004, status="busy"), CALL, None, id="not that of a busy agent"),
        pytest.param(QUEUE, member(), replace(CALL, hidden_until=1009), 1009, id="the end of hiding"),
        pytest.param(PROMISE, member(penalty=1), CALL, 1001, id="half a promise, rounded up"),
        pytest.param(PROMISE, member(penalty=2), CALL, 1011, id="a whole promise"),
        pytest.param(PROMISE, member(), CALL, None, id="a main agent has no gate"),
        pytest.param(replace(PROMISE, raise_penalty=2), member(), CALL, 1011, id="the gate of a raised rank"),
        pytest.param(replace(PROMISE, scoring="aged"), member(penalty=1), CALL, None, id="no gate in another scoring"),
        pytest.param(replace(QUEUE, sticky=Sticky(hold_seconds=12)), member(), PREFERRING, 1002, id="a hold's end"),
        pytest.param(replace(QUEUE, sticky=Sticky(hold_seconds=12)), member(), CALL, None, id="no hold, no end"),
        pytest.param(
            replace(QUEUE, sticky=Sticky(hold_seconds=90, max_age=55)), member(), PREFERRING, 1006, id="too old"
        ),
    ],
)
def test_a_call_is_looked_at_when_something_opens(queue, agent, call, expected):
    assert look(queue, agent, call) == expected


def test_the_earliest_of_several_counts():
    assert look(replace(QUEUE, rings=(Ring(after=40),)), member(delay=25, ready_at=1012)) == 1012


def test_each_call_has_its_own_time():
    state = State(
        now=1000,
        queues=(replace(QUEUE, rings=(Ring(after=30),)),),
        agents=(),
        calls=(CALL, replace(CALL, id="d", enqueued_at=980), replace(CALL, id="e", enqueued_at=900)),
    )
    assert next_look_at(state) == {"c": 1020, "d": 1010}
