"""A caller rings, waits, is connected to the right agent, and the call ends: what a supervisor would see."""

import pytest

from queues.models import Agent, Call, Offer, QueueEntry
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
