"""Telnyx is away, or answers nobody: callers wait with their music, nobody is rung twice, nothing rings on."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.db.models import F

from conferences.models import CallLeg
from queues import engine, services
from queues.models import Agent, Call, Offer
from tests.journeys import house as h
from webhooks import breaker
from webhooks.models import Command, TelnyxStatus

ANNA = "sip:anna@agents.example.com"
EVERYTHING = {"api_5xx": 1.0}


def advance(house: h.House, secs: int) -> None:
    """Let time pass on the database's clock too, which leases, waits and the breaker go by."""
    second = timedelta(seconds=1)
    for _ in range(secs):
        house.advance(1)
        Command.objects.filter(closed_at__isnull=True).update(
            lease_until=F("lease_until") - second,
            not_before=F("not_before") - second,
            first_sent_at=F("first_sent_at") - second,
        )
        Command.objects.filter(closed_at__isnull=False).update(first_sent_at=F("first_sent_at") - second)
        TelnyxStatus.objects.update(probe_at=F("probe_at") - second)
        breaker._Copy.seen = None
        cache.delete(breaker.KEY)


def rung(house: h.House, address: str = ANNA) -> list[str]:
    """Every leg that ever was dialled to a phone."""
    return [leg.call_control_id for leg in CallLeg.objects.filter(to_number=address)]


def dials(house: h.House) -> list[str]:
    commands = house.sim("GET", "commands")["commands"]
    return [each["effect"] for each in commands if each["operation"] == "calls.dial"]


def connected(call: Call) -> bool:
    return call.offers.filter(state=Offer.State.CONNECTED).exists()


@pytest.fixture(autouse=True)
def _nobody_is_blamed(house: h.House) -> Iterator[None]:
    yield
    house.check()


# the breaker -------------------------------------------------------------------------------------------------


def test_while_telnyx_is_away_callers_wait_and_nobody_is_offered(house: h.House) -> None:
    support = h.queue(greeting_text="", max_wait_secs=3600)
    waiting = [house.ring(from_=f"+4477009000{number:02}") for number in range(12)]
    house.advance(3)
    assert all(house.media(call.leg) == ["playback"] for call in waiting)
    house.sim("PUT", "faults", EVERYTHING)
    agents = [h.agent(f"agent{number}", support) for number in range(12)]
    advance(house, 8)
    assert breaker.look().is_open
    tried = len(dials(house))
    advance(house, 60)
    assert len(dials(house)) == tried
    assert not Offer.objects.live().exists()
    assert not Command.objects.filter(kind="dial_agent", state=Command.State.NEW).exists()
    assert set(Agent.objects.values_list("state", "device_failures")) == {(Agent.State.AVAILABLE, 0)}
    for call in waiting:
        call.refresh_from_db()
        assert call.state == Call.State.QUEUED
    house.sim("PUT", "faults", {})
    advance(house, 15)
    assert not breaker.look().is_open
    assert sum(map(connected, waiting)) == len(agents)


def test_callers_who_come_and_go_while_it_is_open_are_answered_and_hung_up(house: h.House) -> None:
    h.queue(greeting_text="", max_wait_secs=3600)
    for number in range(4):
        house.ring(from_=f"+4477009000{number:02}")
    house.advance(2)
    TelnyxStatus.objects.update_or_create(
        pk=TelnyxStatus.ONLY, defaults={"failures": breaker.THRESHOLD, "opened_at": house.now, "probe_at": None}
    )
    breaker._read()
    assert breaker.is_open()
    late = house.ring(from_="+447700900099")
    late.leg.refresh_from_db()
    assert late.leg.answered_at is not None
    assert not breaker.is_open()  # an answer is an answer


# a dial without an answer ------------------------------------------------------------------------------------


def lose_answers_of_dials(house: h.House, **more: object) -> None:
    lost = {"api_timeout_after_effect": {"share": 1.0, "match": {"operation": "calls.dial"}}}
    house.sim("PUT", "faults", lost | more)


def test_a_dial_whose_answer_is_lost_for_over_a_minute_rings_the_agent_once(house: h.House) -> None:
    support = h.queue(greeting_text="", ring_secs=30)
    house.phone(ANNA, on_ring="answer", after_secs=10)
    h.agent("anna", support)
    lose_answers_of_dials(house)
    call = house.ring()
    advance(house, 12)
    assert connected(call)
    advance(house, 70)
    assert connected(call)
    assert dials(house).count("done") == 1
    assert len(rung(house)) == 1
    dial = Command.objects.get(kind="dial_agent")
    assert (dial.state, dial.result["call_control_id"]) == (Command.State.ACCEPTED, rung(house)[0])


NO_EVENT = {"drop": {"share": 1.0, "match": {"event_type": "call.initiated"}}}


def phones(house: h.House) -> list[bool]:
    """Whether each leg ever dialled to the agent's phone still rings or talks, as Telnyx knows it."""
    return [leg["is_alive"] for leg in house.ask("GET", "state")["legs"] if leg["to"] == ANNA]


def test_a_dial_of_which_no_event_comes_either_is_found_among_the_active_calls(house: h.House) -> None:
    support = h.queue(greeting_text="", ring_secs=60)
    call = house.ring()
    house.phone(ANNA, on_ring="answer", after_secs=30)
    lose_answers_of_dials(house, **NO_EVENT)
    h.agent("anna", support)
    advance(house, 15)
    assert (phones(house), rung(house)) == ([True], [])
    advance(house, 10)
    assert rung(house) == [h.only_offer(call).leg.call_control_id]
    advance(house, 10)
    assert connected(call)
    assert dials(house).count("done") == 1


def test_an_offer_that_ends_with_its_dial_unanswered_leaves_no_phone_ringing(house: h.House) -> None:
    """The caller gives up; the phone that nobody told us of is silent soon after, not at its ring limit."""
    support = h.queue(greeting_text="", ring_secs=60)
    call = house.ring()
    house.phone(ANNA, on_ring="no_answer")
    lose_answers_of_dials(house, **NO_EVENT)
    anna = h.agent("anna", support)
    advance(house, 3)
    assert (phones(house), rung(house)) == ([True], [])
    house.hang_up(call.leg)
    advance(house, 5)
    assert phones(house) == [False]
    assert dials(house).count("done") == 1
    anna.refresh_from_db()
    assert anna.state == Agent.State.AVAILABLE


@pytest.mark.parametrize("look", [{}, {"api_timeout": {"share": 1.0, "match": {"operation": "calls.active"}}}])
def test_a_phone_that_a_lost_dial_may_ring_is_not_dialled_for_the_next_caller(
    house: h.House, look: dict[str, object]
) -> None:
    """The dial took effect and we do not know it; nor, in the one case, for some time after its caller has gone."""
    support = h.queue(greeting_text="", ring_secs=20)
    house.phone(ANNA, on_ring="no_answer")
    first = house.ring()
    house.advance(1)
    second = house.ring(from_="+447700900002")
    lose_answers_of_dials(house, **NO_EVENT, **look)
    anna = h.agent("anna", support)
    advance(house, 1)
    assert (phones(house), rung(house)) == ([True], [])
    at_once: list[int] = []
    house.watch(lambda: at_once.append(sum(phones(house))))
    house.hang_up(first.leg)
    anna.refresh_from_db()
    assert (anna.state, anna.ready_at is not None) == (Agent.State.AVAILABLE, True)
    advance(house, 12 if look else 0)
    house.phone(ANNA, on_ring="answer", after_secs=1)
    house.sim("PUT", "faults", {})
    house.until(lambda: connected(second), within=12)
    assert max(at_once) == 1
    assert phones(house) == [False, True]


def test_who_says_that_he_is_ready_is_rung_once_his_phone_is_quiet(house: h.House) -> None:
    """He leaves as it rings and comes back at once, while Telnyx does not take our hang-up."""
    support = h.queue(greeting_text="", ring_secs=20)
    house.phone(ANNA, on_ring="no_answer")
    anna = h.agent("anna", support)
    call = house.ring()
    advance(house, 1)
    assert len(rung(house)) == 1
    at_once: list[int] = []
    house.watch(lambda: at_once.append(sum(phones(house))))
    house.sim("PUT", "faults", {"api_429": {"share": 1.0, "match": {"operation": "calls.hangup"}}})
    services.go_not_ready(anna.pk, "break", now=house.now)
    services.go_ready(anna.pk, now=house.now)
    advance(house, 3)
    house.phone(ANNA, on_ring="answer", after_secs=1)
    house.sim("PUT", "faults", {})
    advance(house, 5)
    assert connected(call)
    assert max(at_once) == 1
    assert phones(house) == [False, True]


def test_who_was_not_dialled_yet_is_free_for_the_next_caller_at_once(house: h.House) -> None:
    support = h.queue(greeting_text="")
    first = house.ring()
    house.advance(1)
    second = house.ring(from_="+447700900002")
    anna = h.agent("anna", support)
    engine.route(support.pk, now=house.now)
    house.sim("POST", f"calls/{first.leg.call_control_id}/hangup")
    house.simulator.drain()
    for job in house.jobs():
        if job[0] == "webhooks.apply":  # before anything is sent
            house.run(job)
    anna.refresh_from_db()
    assert (anna.state, anna.ready_at) == (Agent.State.AVAILABLE, None)
    house.until(lambda: connected(second))
    assert len(rung(house)) == 1


def test_a_dial_that_comes_to_nothing_while_nobody_answers_frees_the_agent(house: h.House) -> None:
    """The look itself is not answered for more than a minute: whoever was to be rung is not kept for it."""
    support = h.queue(greeting_text="", ring_secs=20, max_wait_secs=3600)
    call = house.ring()
    house.phone(ANNA, on_ring="no_answer")
    anna = h.agent("anna", support)
    house.sim("PUT", "faults", {"api_timeout": 1.0})
    advance(house, 90)
    assert phones(house) == []
    anna.refresh_from_db()
    assert (anna.state, anna.device_failures) == (Agent.State.AVAILABLE, 0)
    house.phone(ANNA, on_ring="answer", after_secs=1)
    house.sim("PUT", "faults", {})
    advance(house, 30)
    assert connected(call)


# facts -------------------------------------------------------------------------------------------------------


def test_a_refusal_that_says_a_leg_is_over_has_the_leg_verified(house: h.House) -> None:
    """Its hang-up was lost: the refusal frees nobody by itself, it has Telnyx asked."""
    h.queue(greeting_text="", max_wait_secs=3600)
    call = house.ring()
    house.advance(2)
    house.sim("PUT", "faults", {"drop": {"share": 1.0, "match": {"event_type": "call.hangup"}}})
    house.hang_up(call.leg)
    advance(house, 40)  # until his music is to go on
    call.leg.refresh_from_db()
    refused = Command.objects.filter(code="90018", call_id=call.pk)
    assert refused.exists()
    assert (call.leg.hangup_at, call.leg.suspected_at is None) == (None, False)
    first = call.leg.suspected_at
    advance(house, 40)
    call.leg.refresh_from_db()
    assert call.leg.suspected_at == first
    house.sim("PUT", "faults", {})
