"""An agent answers or fails in every way, a wait runs out: the outcomes PRODUCT names."""

import pytest

from conferences.models import CallLeg, Participant
from queues import engine
from queues.models import Agent, Call, Offer, QueueEntry
from tests.journeys import house as h
from webhooks.models import Command

pytestmark = pytest.mark.django_db(transaction=True)


def waiting(house: h.House, call: Call) -> bool:
    call.refresh_from_db()
    return call.state in (Call.State.QUEUED, Call.State.OFFERING)


def over(house: h.House, call: Call) -> bool:
    call.refresh_from_db()
    return call.is_over


def live_legs(house: h.House) -> list[str]:
    return [leg["call_control_id"] for leg in house.sim("GET", "state")["legs"] if leg["is_alive"]]


@pytest.mark.parametrize(
    ("phone", "confirm", "state", "agent_state"),
    [
        ({"on_ring": "no_answer"}, "none", Offer.State.TIMED_OUT, Agent.State.NOT_READY),
        ({"on_ring": "busy"}, "none", Offer.State.DECLINED, Agent.State.AVAILABLE),
        ({"on_ring": "decline"}, "none", Offer.State.DECLINED, Agent.State.AVAILABLE),
        ({"on_ring": "unreachable"}, "none", Offer.State.LEG_FAILED, Agent.State.AVAILABLE),
        ({"on_ring": "voicemail"}, "press_1", Offer.State.TIMED_OUT, Agent.State.NOT_READY),
    ],
)
def test_an_offer_that_fails_leaves_the_caller_at_his_place(
    house: h.House, phone: dict[str, object], confirm: str, state: str, agent_state: str
) -> None:
    support = h.queue(ring_secs=10)
    anna = h.agent("anna", support, confirm=confirm)
    ben = h.agent("ben", support, penalty=1)
    house.phone(anna.address, **phone)
    call = house.ring()
    house.until(lambda: call.offers.filter(agent=anna).exists())
    entry = call.entries.get()
    place = entry.rank_at
    house.until(lambda: not call.offers.filter(agent=anna, state__in=Offer.LIVE).exists())
    assert call.offers.get(agent=anna).state == state
    anna.refresh_from_db()
    assert anna.state == agent_state
    if anna.state == Agent.State.AVAILABLE:
        assert anna.ready_at is not None
    else:
        assert anna.reason == "rona"
    house.until(lambda: call.offers.filter(agent=ben, state=Offer.State.CONNECTED).exists())
    entry.refresh_from_db()
    assert (entry.rank_at, entry.number) == (place, 1)
    assert call.entries.count() == 1
    assert len(live_legs(house)) == 2
    house.check()


def test_an_agent_who_drops_leaves_the_caller_first_in_line(house: h.House) -> None:
    support = h.queue()
    anna = h.agent("anna", support)
    house.phone(anna.address, drop_after_secs=5)
    call = house.ring()
    house.until(lambda: call.offers.filter(state=Offer.State.CONNECTED).exists())
    first = call.entries.get()
    conference = Participant.objects.get(leg=call.leg).conference
    ben = h.agent("ben", support)
    house.until(lambda: call.entries.count() == 2)
    second = call.entries.get(number=2)
    assert second.rank_at == first.rank_at
    first.refresh_from_db()
    assert first.outcome == QueueEntry.Outcome.ANSWERED
    house.until(lambda: call.offers.filter(agent=ben, state=Offer.State.CONNECTED).exists())
    house.advance(1)
    offer = call.offers.get(agent=ben)
    assert house.hears(call.leg) == {offer.leg.call_control_id}
    assert Participant.objects.get(leg=offer.leg).conference == conference
    assert house.media(call.leg) == []
    silence = house.sim("GET", "silence")
    assert silence["callers"][call.leg.call_control_id] <= 1
    house.check()


def test_a_join_that_fails_leaves_the_caller_in_line_with_music(house: h.House) -> None:
    support = h.queue()
    anna = h.agent("anna", support)
    call = house.ring()
    house.until(call.offers.exists)
    gate = house.sim("POST", "gates", {"event_type": "call.answered"})["id"]
    house.advance(3)
    leg = CallLeg.objects.get(role="agent")
    house.sim("PUT", "faults", {"api_5xx": {"share": 1.0, "match": {"operation": "conferences.join"}}})
    house.sim("DELETE", f"gates/{gate}")
    house.work()
    assert Participant.objects.filter(leg=call.leg).exists()
    house.hang_up(leg)
    house.sim("PUT", "faults", {})
    house.advance(2)
    anna.refresh_from_db()
    offer = h.only_offer(call)
    assert offer.state == Offer.State.LEG_FAILED
    call.refresh_from_db()
    assert call.state == Call.State.QUEUED
    assert house.media(call.leg) == ["hold"]
    house.until(lambda: call.offers.filter(state=Offer.State.CONNECTED).exists(), within=15)
    house.advance(1)
    assert house.media(call.leg) == []
    assert len(house.hears(call.leg)) == 1
    house.check()


def test_nobody_waits_longer_than_the_longest_wait(house: h.House) -> None:
    h.queue(max_wait_secs=20, closing_text="Please call again later.")
    call = house.ring()
    house.advance(22)
    call.refresh_from_db()
    assert call.state == Call.State.CLOSING
    assert house.media(call.leg) == ["speak"]
    house.advance(8)
    call.refresh_from_db()
    entry = call.entries.get()
    assert (call.state, call.end_reason) == (Call.State.OVERFLOWED, "timeout")
    assert (entry.outcome, entry.end_reason) == (QueueEntry.Outcome.FLOW_OUT, "timeout")
    house.check()


def test_a_full_line_sends_the_next_caller_away(house: h.House) -> None:
    h.queue(max_size=1)
    first = house.ring()
    house.until(lambda: waiting(house, first))
    second = house.ring(from_="+447700900002")
    house.until(lambda: over(house, second), within=15)
    assert (second.outcome, second.end_reason) == (Call.Outcome.BEFORE_QUEUE, "queue_full")
    assert second.entries.count() == 0
    assert waiting(house, first)
    house.check()


def test_a_number_of_no_queue_is_refused(house: h.House) -> None:
    call = house.ring(to="+442079460000")
    house.advance(2)
    call.refresh_from_db()
    assert (call.state, call.outcome) == (Call.State.FAILED, Call.Outcome.BEFORE_QUEUE)
    assert call.end_reason == "unknown_number"
    commands = house.sim("GET", "commands")["commands"]
    assert [(c["operation"], c["effect"]) for c in commands] == [("calls.reject", "done")]


def test_an_agent_who_answers_too_late_is_hung_up_and_nobody_hears_him(house: h.House) -> None:
    """The caller leaves and the agent answers at the same moment, told in the other order."""
    support = h.queue()
    anna = h.agent("anna", support)
    call = house.ring()
    house.until(call.offers.exists)
    gate = house.sim("POST", "gates", {"event_type": "call.answered"})["id"]
    house.advance(2)
    offer = h.only_offer(call)
    house.hang_up(call.leg)
    house.sim("DELETE", f"gates/{gate}")
    house.advance(3)
    offer.refresh_from_db()
    assert offer.state == Offer.State.CALLER_LEFT
    assert live_legs(house) == []
    anna.refresh_from_db()
    assert anna.state == Agent.State.AVAILABLE
    house.check()


def test_wrap_up_keeps_the_agent_from_the_next_call_until_its_deadline(house: h.House) -> None:
    support = h.queue(wrap_up_secs=10)
    anna = h.agent("anna", support)
    first = house.ring(talk_secs=3)
    house.until(lambda: over(house, first))
    anna.refresh_from_db()
    assert anna.state == Agent.State.WRAP_UP
    second = house.ring(from_="+447700900002")
    house.advance(6)
    assert not second.offers.exists()
    house.until(lambda: second.offers.filter(state=Offer.State.CONNECTED).exists(), within=15)
    house.check()


# Telnyx in no state to do as it is told ----------------------------------------------------------------------


def nobody_answers(house: h.House, operation: str) -> None:
    """Its 20 s pass, which are of the database's clock, and a look finds nothing."""
    waiting = Command.objects.filter(operation=operation, state=Command.State.SENT)
    assert waiting.exists()
    waiting.update(first_sent_at=house.now.replace(year=2000), not_before=None, lease_until=None)
    house.work(sweeping=True)


@pytest.mark.parametrize("operation", ["calls.answer", "calls.playback_start", "calls.enqueue"])
def test_what_telnyx_could_not_do_for_a_while_is_asked_again(house: h.House, operation: str) -> None:
    support = h.queue(greeting_text="")
    house.sim("PUT", "faults", {"api_5xx": {"share": 1.0, "match": {"operation": operation}}})
    call = house.ring()
    nobody_answers(house, operation)
    assert Command.objects.get(operation=operation).code == Command.LOST
    house.sim("PUT", "faults", {})
    h.agent("anna", support)
    house.until(lambda: call.offers.filter(state=Offer.State.CONNECTED).exists(), within=20)
    house.advance(1)
    assert len(house.hears(call.leg)) == 1
    house.check()


def test_agents_are_not_blamed_for_dials_that_telnyx_could_not_make(house: h.House) -> None:
    """Three failures of his phone make an agent not ready; these are none of his."""
    anna = h.agent("anna", h.queue(max_wait_secs=600))
    house.sim("PUT", "faults", {"api_5xx": {"share": 1.0, "match": {"operation": "calls.dial"}}})
    call = house.ring()
    for times in range(1, 5):
        house.until(lambda times=times: call.offers.count() == times)
        nobody_answers(house, "calls.dial")
    undone = call.offers.filter(state=Offer.State.RESCINDED, end_reason="telnyx_unavailable")
    assert undone.count() == 4
    anna.refresh_from_db()
    assert (anna.state in ("available", "reserved"), anna.device_failures) == (True, 0)
    house.sim("PUT", "faults", {})
    house.until(lambda: call.offers.filter(state=Offer.State.CONNECTED).exists(), within=60)
    house.check()


def test_music_that_breaks_off_at_once_is_no_storm_of_commands(house: h.House) -> None:
    h.queue(greeting_text="")
    call = house.ring()
    house.advance(1)
    broken = 0
    played = Command.objects.filter(kind="play_music", call_id=call.pk)
    for _ in range(40):
        if played.count() > broken:
            broken = played.count()
            CallLeg.objects.filter(pk=call.leg.pk).update(playback_started_at=house.now, playback_ended_at=house.now)
        engine.settle(call.pk, now=house.now)
        house.advance(0.5)
    assert 3 <= played.count() <= 6
