"""A state written as JSON is read back as the same state."""

import json
from fractions import Fraction

import pytest

pytest.importorskip("hypothesis", reason="hypothesis is in requirements-dev.txt")

from hypothesis import given, settings

from queues.routing.snapshot import QueueState, State
from queues.routing.state_json import document_from, parse, state_from
from queues.routing.state_shape import problems
from tests.queues.routing.states import states


@settings(max_examples=300, deadline=None)
@given(states())
def test_a_state_comes_back_as_it_was(state):
    document = parse(json.dumps(document_from(state)).encode())
    assert problems(document) == []
    assert state_from(document) == state


def test_beta_is_the_decimal_as_written():
    document = {"now": 1, "queues": [{"id": "q", "beta": 0.1}], "agents": [], "calls": []}
    [queue] = state_from(parse(json.dumps(document).encode())).queues
    assert queue.beta == Fraction(1, 10)


def test_what_is_at_its_default_is_not_written():
    state = State(now=5, queues=(QueueState(id="q"),), agents=(), calls=())
    assert document_from(state) == {
        "now": 5,
        "pass_number": 0,
        "queues": [{"id": "q", "scoring": "strict_priority"}],
        "agents": [],
        "calls": [],
    }


def test_a_state_without_some_of_its_agents_keeps_their_counts():
    queue = QueueState(id="q", member_count=40, main_available=7)
    state = State(now=5, queues=(queue,), agents=(), calls=())
    assert state_from(document_from(state)) == state
