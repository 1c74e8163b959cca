"""The worked cases are worth something: each of many deliberate mistakes fails at least one of them."""

import pytest

from tests.queues.routing.mutations import MUTATIONS, surviving


def test_the_pass_as_it_is_passes():
    assert surviving(None) == "the pass as it is: no case differs"


def test_there_are_enough_mistakes():
    assert len(MUTATIONS) >= 20


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.title)
def test_a_mistake_is_noticed(mutation):
    assert surviving(mutation) is None
