"""ROUTING §9 over generated states, and the pass against its naive twin."""

import random
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest

pytest.importorskip("hypothesis", reason="hypothesis is in requirements-dev.txt")

from hypothesis import given, settings
from hypothesis import strategies as st

from queues.routing.eligibility import broken_by_agent, penalty_window
from queues.routing.explain import explain
from queues.routing.floor import Floor, strategy_of
from queues.routing.look_again import next_look_at
from queues.routing.one_pass import PassResult, assign, rank_agents, rank_calls
from queues.routing.outlook import outlook
from queues.routing.relaxation import ring_of, window_of
from queues.routing.snapshot import AgentState, PenaltyRule, QueueState, State, WaitingCall
from tests.queues.routing.naive import NaivePass
from tests.queues.routing.states import NOW, states

often = settings(max_examples=500, deadline=None)


@often
@given(states())
def test_the_pass_does_what_its_naive_twin_does(state):
    offers, waiting = NaivePass(state).run()
    result = assign(state)
    assert [(offer.call_id, offer.agent_ids) for offer in result.assignments] == offers
    assert list(result.waiting) == waiting


@often
@given(states())
def test_no_call_and_no_slot_is_given_away_twice(state):
    result = assign(state)
    calls = {call.id: call for call in state.calls}
    queues = {queue.id: queue for queue in state.queues}
    offered = [offer.call_id for offer in result.assignments]
    assert sorted([*offered, *result.waiting]) == sorted(rank_calls(state))
    slots = {agent.id: agent.capacity - agent.active_calls for agent in state.agents}
    taken = Counter(agent_id for offer in result.assignments for agent_id in offer.agent_ids)
    assert all(count <= slots[agent_id] for agent_id, count in taken.items())
    for offer in result.assignments:
        assert offer.queue_id == calls[offer.call_id].queue
        assert len(offer.agent_ids) == 1 or queues[offer.queue_id].strategy == "ring_all"
        assert set(offer.agent_ids) <= set(rank_agents(state, offer.call_id))


@often
@given(states())
def test_no_call_waits_while_an_agent_eligible_for_it_is_free(state):
    """Except by a hold or a promise gate. A queue_priority withholds an agent only while he has better to do."""
    after = NaivePass(served(state, result := assign(state)))
    frozen = NaivePass(state)
    for call in after.line:
        for agent in after.state.agents:
            if after.eligible(agent, call):
                assert holds(after, call) or not frozen.gate_open(agent, call)
    assert [call.id for call in sorted(after.line, key=after.call_key)] == list(result.waiting)


@often
@given(states())
def test_between_equals_a_higher_ranked_call_is_never_served_later(state):
    naive, result = NaivePass(state), assign(state)
    place = {offer.call_id: number for number, offer in enumerate(result.assignments)}
    ranked = sorted((call for call in naive.line if is_plain(naive, call)), key=lambda call: serving_rank(naive, call))
    for higher, lower in pairwise(ranked):
        for other in ranked[ranked.index(lower) :]:
            if takers(naive, higher) == takers(naive, other):
                assert place.get(higher.id, len(place)) <= place.get(other.id, len(place))


@often
@given(states(), st.randoms(use_true_random=False))
def test_the_order_of_the_lists_changes_nothing(state, rng):
    assert assign(shuffled(state, rng)) == assign(state)
    assert assign(state) == assign(state)


@often
@given(states(), st.integers(1, 60))
def test_waiting_never_shrinks_the_set_of_eligible_agents(state, longer):
    widening = replace(state, queues=tuple(without_narrowing(queue) for queue in state.queues))
    later = replace(widening, now=NOW + longer)
    for call in state.calls:
        assert set(rank_agents(widening, call.id)) <= set(rank_agents(later, call.id))


@often
@given(states())
def test_an_explanation_accounts_for_every_member_of_the_queue(state):
    result = assign(state)
    explanations = explain(state, result)
    assert [each.call_id for each in explanations] == [
        *(offer.call_id for offer in result.assignments),
        *result.waiting,
    ]
    queue_of = {call.id: call.queue for call in state.calls}
    for number, each in enumerate(explanations):
        standings = [*each.chosen, *each.runners_up]
        members = [agent.id for agent in state.agents if queue_of[each.call_id] in agent.memberships]
        assert sorted([*(standing.agent_id for standing in standings), *each.excluded]) == members
        if number < len(result.assignments):
            assert tuple(standing.agent_id for standing in each.chosen) == result.assignments[number].agent_ids
        else:
            assert standings == []


@settings(max_examples=200, deadline=None)
@given(states())
def test_nothing_opens_for_a_waiting_call_before_it_is_to_be_looked_at_again(state):
    after = served(state, assign(state))
    looks = next_look_at(after)
    assert all(instant > NOW for instant in looks.values())
    end = min(looks.values(), default=NOW + 60)
    for now in range(NOW, min(end, NOW + 60)):
        assert assign(replace(after, now=now)).assignments == ()


def served(state: State, result: PassResult) -> State:
    """The state once the offers of a pass are made."""
    gone = {offer.call_id for offer in result.assignments}
    taken = Counter(agent_id for offer in result.assignments for agent_id in offer.agent_ids)
    return replace(
        state,
        calls=tuple(call for call in state.calls if call.id not in gone),
        agents=tuple(replace(agent, active_calls=agent.active_calls + taken[agent.id]) for agent in state.agents),
    )


def holds(naive: NaivePass, call: WaitingCall) -> bool:
    sticky = naive.queue[call.queue].sticky
    return naive.preferred(call) is not None and sticky is not None and naive.wait(call) < sticky.hold_seconds


def is_plain(naive: NaivePass, call: WaitingCall) -> bool:
    """No preferred agent, nobody withheld from it or kept out by a gate."""
    queue = naive.queue[call.queue]
    eligible = [agent for agent in naive.state.agents if naive.eligible(agent, call)]
    return (
        naive.preferred(call) is None
        and all(len({each.queue_priority for each in agent.memberships.values()}) == 1 for agent in eligible)
        and (queue.scoring != "promise" or all(naive.gate_open(agent, call) for agent in eligible))
    )


def serving_rank(naive: NaivePass, call: WaitingCall) -> tuple[object, ...]:
    weight, *rest = naive.call_key(call)
    return (weight, naive.queue[call.queue].scoring != "promise", *rest)


def takers(naive: NaivePass, call: WaitingCall) -> dict[str, int | None]:
    return {agent.id: naive.penalty(agent, call) for agent in naive.state.agents if naive.eligible(agent, call)}


def shuffled(state: State, rng: random.Random) -> State:
    def mixed(items):
        return tuple(rng.sample(list(items), len(items)))

    def mixed_agent(agent: AgentState) -> AgentState:
        return replace(agent, memberships=dict(mixed(agent.memberships.items())))

    return replace(
        state,
        queues=tuple(replace(queue, rings=mixed(queue.rings)) for queue in mixed(state.queues)),
        agents=tuple(mixed_agent(agent) for agent in mixed(state.agents)),
        calls=mixed(state.calls),
    )


def without_narrowing(queue: QueueState) -> QueueState:
    """The queue without the penalty rules that set or raise a minimum, lower a maximum or touch the raise."""
    kept: list[PenaltyRule] = []
    for rule in sorted(queue.penalty_rules, key=lambda rule: rule.after):
        before = penalty_window(replace(queue, penalty_rules=tuple(kept)), rule.after)
        least, most = rule.sets.get("min_penalty", before.min_penalty), rule.sets.get("max_penalty", before.max_penalty)
        narrows = (
            rule.sets.get("raise_penalty", before.raise_penalty) != before.raise_penalty
            or (least is not None and (before.min_penalty is None or least > before.min_penalty))
            or (most is not None and (before.max_penalty is None or most < before.max_penalty))
        )
        if not narrows:
            kept.append(rule)
    return replace(queue, penalty_rules=tuple(kept))


@often
@given(states())
def test_what_is_said_to_open_next_is_what_a_pass_goes_by(state):
    queues = {queue.id: queue for queue in state.queues}
    looks, floor = next_look_at(state), Floor(state)
    for call in state.calls:
        queue = queues[call.queue]
        ring, window = ring_of(call, queue, state.now), window_of(call, queue, state.now)
        assert ring.required == floor.demand(call).required
        if ring.next_at is not None:
            assert ring.next_required == Floor(replace(state, now=ring.next_at)).demand(call).required
        for opening in (ring.next_at, window.next_at):
            assert opening is None or state.now < looks[call.id] <= opening


@often
@given(states())
def test_whoever_looks_ahead_finds_every_member_once(state):
    agents = {agent.id: agent for agent in state.agents}
    queues = tuple(replace(queue, strategy=strategy_of(queue).name) for queue in state.queues)
    for call in state.calls:
        seen = outlook(state, call.id)
        takers, if_free = ([each.agent_id for each in found] for found in (seen.takers, seen.if_free))
        assert takers == list(rank_agents(replace(state, queues=queues), call.id))
        members = [agent.id for agent in state.agents if call.queue in agent.memberships]
        assert sorted([*takers, *if_free, *seen.excluded]) == sorted(members)
        for agent in (agents[name] for name in if_free):
            assert broken_by_agent(agent, active_calls=agent.active_calls, now=state.now)
