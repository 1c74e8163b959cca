"""A waiting caller is given a conference ahead of any agent: he hears music on, and the next agent joins him there."""

import pytest

from conferences.models import Conference, Participant
from queues.models import Agent, Call, Offer, QueueEntry
from tests.callcenter import clients
from tests.journeys import house as h
from webhooks.models import Command

pytestmark = pytest.mark.django_db(transaction=True)


def waits(house: h.House, **fields: float) -> Call:
    call = house.ring(**fields)
    house.until(lambda: QueueEntry.objects.filter(call=call).exists())
    house.advance(1)
    return call


def give_conference(house: h.House, call: Call) -> None:
    answer = clients.key("conferences:write").post("/api/v1/conferences", {"call": str(call.pk)})
    assert answer.status_code == 202
    house.work()


def test_he_waits_on_with_music_and_the_next_agent_joins_the_same_conference(house: h.House) -> None:
    support = h.queue()
    call = waits(house)
    before = call.entries.get()
    give_conference(house, call)
    conference = Conference.objects.get()
    assert Participant.objects.present().get().leg == call.leg
    assert house.media(call.leg) == ["hold"]
    house.advance(30)
    assert house.media(call.leg) == ["hold"]
    entry = call.entries.get()
    assert (entry.state, entry.rank_at) == (QueueEntry.State.WAITING, before.rank_at)
    house.check()

    h.agent("anna", support)
    house.until(lambda: Offer.objects.filter(state=Offer.State.CONNECTED).exists())
    offer = h.only_offer(call)
    assert house.hears(call.leg) == {offer.leg.call_control_id}
    assert house.hears(offer.leg) == {call.leg.call_control_id}
    assert house.media(call.leg) == []
    assert Conference.objects.get() == conference
    assert not Command.objects.filter(kind="create_conference").exists()
    house.advance(5)
    house.check()
    silence = house.sim("GET", "silence")
    assert silence["callers"][call.leg.call_control_id] <= 1


def test_he_hangs_up_there(house: h.House) -> None:
    h.queue()
    call = waits(house)
    give_conference(house, call)
    house.advance(5)
    house.hang_up(call.leg)
    call.refresh_from_db()
    assert (call.state, call.outcome) == (Call.State.ABANDONED, Call.Outcome.ABANDONED)
    assert Conference.objects.get().ended_at is not None
    house.check()


def test_his_longest_wait_ends_there_too(house: h.House) -> None:
    h.queue(max_wait_secs=20)
    call = waits(house)
    give_conference(house, call)
    house.advance(60)
    call.refresh_from_db()
    assert (call.outcome, call.end_reason) == (Call.Outcome.FLOW_OUT, "timeout")
    assert call.ended_at is not None
    house.check()


def test_an_agent_who_is_won_first_makes_the_conference(house: h.House) -> None:
    support = h.queue()
    call = waits(house)
    client = clients.key("conferences:write")
    anna = h.agent("anna", support)
    house.until(lambda: Offer.objects.filter(state__in=Offer.WON).exists())
    answer = client.post("/api/v1/conferences", {"call": str(call.pk)})
    assert answer.status_code == 409
    house.until(lambda: Offer.objects.filter(state=Offer.State.CONNECTED).exists())
    anna.refresh_from_db()
    assert anna.state == Agent.State.BUSY
    house.check()


@pytest.mark.parametrize("unheard", [True, False], ids=["before it is sent", "after it is sent"])
def test_both_at_once(house: h.House, unheard: bool) -> None:
    """The agent answers in the very moment: one conference holds both of them in the end."""
    support = h.queue()
    call = waits(house)
    h.agent("anna", support)
    house.until(lambda: Offer.objects.filter(state=Offer.State.RINGING).exists())
    gate = None if unheard else house.sim("POST", "gates", {"event_type": "conference.participant.joined"})["id"]
    clients.key("conferences:write").post("/api/v1/conferences", {"call": str(call.pk)})
    house.advance(2)
    if gate is not None:
        house.sim("DELETE", f"gates/{gate}")
    house.until(lambda: Offer.objects.filter(state=Offer.State.CONNECTED).exists(), within=30)
    offer = h.only_offer(call)
    assert house.hears(call.leg) == {offer.leg.call_control_id}
    house.advance(5)
    house.check()


def test_refused_he_waits_where_he_was(house: h.House) -> None:
    h.queue()
    call = waits(house)
    house.sim("PUT", "faults", {"api_5xx": {"share": 1.0, "match": {"operation": "conferences.create"}}})
    give_conference(house, call)
    house.advance(30)
    house.sim("PUT", "faults", {"api_5xx": 0.0})
    assert house.media(call.leg) == ["playback"]
    assert call.entries.get().state == QueueEntry.State.WAITING
    house.advance(10)
    house.check()
