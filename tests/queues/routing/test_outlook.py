"""Who could take a call, who could if he were free, why nobody else."""

from dataclasses import replace

import pytest

from queues.routing.eligibility import MEMBER, PENALTY, SKILLS
from queues.routing.outlook import Qualified, outlook
from queues.routing.snapshot import AgentState, Membership, QueueState, State, WaitingCall

CALL = WaitingCall(id="c", queue="q", enqueued_at=1000, required_skills={"es": 2})
PROMISE = QueueState(id="q", strategy="promise", scoring="promise", promise_secs=21)


def member(name: str, *, penalty: int = 0, level: int = 2, others=None, paused=False, **fields) -> AgentState:
    here = {"q": Membership(penalty=penalty, paused=paused)}
    return AgentState(id=name, skills={"es": level}, memberships=here | (others or {}), **fields)


def look(*agents: AgentState, queue: QueueState = PROMISE, others: tuple[QueueState, ...] = (), wait: int = 0):
    return outlook(State(now=1000 + wait, queues=(queue, *others), agents=agents, calls=(CALL,)), "c")


def test_those_who_are_free_come_in_order_and_the_others_with_what_keeps_them():
    seen = look(
        member("late", available_since=900),
        member("early", available_since=800),
        member("second", penalty=1),
        member("busy", status="busy"),
        member("cooling", ready_at=1010),
        member("novice", level=1),
        member("busy novice", level=1, status="busy"),
        member("paused", paused=True),
        member("last", penalty=3),
        queue=replace(PROMISE, scoring="strict_priority", strategy="longest_idle", max_penalty=2),
    )
    assert [(each.agent_id, each.penalty) for each in seen.takers] == [("early", 0), ("late", 0), ("second", 1)]
    assert [each.agent_id for each in seen.if_free] == ["busy", "cooling"]
    assert seen.excluded == {"novice": SKILLS, "busy novice": SKILLS, "paused": MEMBER, "last": PENALTY}
    assert seen.required == {"es": 2}


@pytest.mark.parametrize(
    ("wait", "opens_after"),
    [pytest.param(10, 11, id="before half of it"), pytest.param(11, None, id="half of it, rounded up")],
)
def test_a_second_choice_is_shown_with_when_his_gate_opens(wait, opens_after):
    elsewhere = QueueState(id="his", main_available=0)
    main = {"his": Membership()}
    second, busy = member("second", penalty=1, others=main), member("busy", penalty=1, others=main, status="busy")
    seen = look(second, busy, others=(elsewhere,), wait=wait)
    assert seen.takers == (Qualified(agent_id="second", penalty=1, gate_opens_after=opens_after),)
    assert seen.if_free == (Qualified(agent_id="busy", penalty=1, gate_opens_after=opens_after),)


@pytest.mark.parametrize(("main_agents", "opens_after"), [(2, 11), (3, None)])
def test_where_main_agents_are_plentiful_there_is_no_gate(main_agents, opens_after):
    """His own main queue, of which no more than their number needs to be known."""
    elsewhere = QueueState(id="his", main_available=main_agents)
    seen = look(member("second", penalty=1, others={"his": Membership()}), others=(elsewhere,))
    assert [each.gate_opens_after for each in seen.takers] == [opens_after]


def test_the_order_is_the_one_a_pass_uses():
    """Promise scoring weighs pairs, whatever the strategy says."""
    first, second = member("a", available_since=900), replace(member("b"), available_since=100)
    seen = look(first, second, queue=replace(PROMISE, strategy="linear"))
    assert [each.agent_id for each in seen.takers] == ["b", "a"]
