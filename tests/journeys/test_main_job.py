"""A caller rings, waits, is connected to the right agent, and the call ends: what a supervisor would see."""

from collections.abc import Callable

import pytest

from queues.models import Agent, AgentSkill, Call, Offer, Queue, QueueEntry, QueueMembership, Skill
from tests.journeys import house as h

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_caller_waits_is_connected_and_talks(house: h.House) -> None:
    support = h.queue()
    anna = h.agent("anna", support)
    call = house.ring(talk_secs=10)
    house.advance(1)
    assert house.media(call.leg) != []
    house.until(lambda: Offer.objects.filter(state=Offer.State.CONNECTED).exists(), within=20)
    offer = h.only_offer(call)
    assert house.hears(call.leg) == {offer.leg.call_control_id}
    assert house.hears(offer.leg) == {call.leg.call_control_id}
    assert house.media(call.leg) == []
    anna.refresh_from_db()
    assert anna.state == Agent.State.BUSY
    house.advance(15)
    call.refresh_from_db()
    assert (call.state, call.outcome) == (Call.State.CLOSED, Call.Outcome.ANSWERED)
    entry = call.entries.get()
    assert (entry.state, entry.outcome) == (QueueEntry.State.ENDED, QueueEntry.Outcome.ANSWERED)
    anna.refresh_from_db()
    assert anna.state == Agent.State.AVAILABLE
    assert house.sim("GET", "state")["legs"] == [] or all(
        not leg["is_alive"] for leg in house.sim("GET", "state")["legs"]
    )
    house.check()


def _serves(anna: Agent, support: Queue) -> None:
    QueueMembership.objects.create(agent=anna, queue=support)


def _is_back(anna: Agent, support: Queue) -> None:
    QueueMembership.objects.create(agent=anna, queue=support, paused=True)
    membership = QueueMembership.objects.get()
    membership.paused = False
    membership.save()


def _has_learnt_spanish(anna: Agent, support: Queue) -> None:
    QueueEntry.objects.update(required_skills={"spanish": 1})
    QueueMembership.objects.create(agent=anna, queue=support)
    AgentSkill.objects.create(agent=anna, skill=Skill.objects.create(name="spanish"))


def _is_not_too_remote(anna: Agent, support: Queue) -> None:
    support.max_penalty = 1
    support.save()
    QueueMembership.objects.create(agent=anna, queue=support, penalty=2)
    support.max_penalty = 2
    support.save()


@pytest.mark.parametrize("change", [_serves, _is_back, _has_learnt_spanish, _is_not_too_remote])
def test_who_may_take_a_call_by_a_change_of_settings_is_rung_at_once(
    house: h.House, change: Callable[[Agent, Queue], None]
) -> None:
    """Not only when the sweeper looks, a second later."""
    support = h.queue(greeting_text="")
    anna = h.agent("anna")
    house.ring()
    house.advance(2)
    change(anna, support)
    house.work()
    assert Offer.objects.get().agent == anna
