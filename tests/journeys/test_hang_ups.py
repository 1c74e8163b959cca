"""The caller hangs up, at each moment of a call: whoever else was on the line is gone, and nobody is kept for him."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from conferences.models import Conference, Participant, SupervisionSession
from queues import services, supervision
from queues.models import Agent, Call, Offer, QueueEntry
from tests.journeys import house as h
from tests.journeys.mirror import agrees

pytestmark = pytest.mark.django_db(transaction=True)

WRAP_UP_SECS = 20


@dataclass(slots=True)
class Floor:
    """A queue with one agent, and a caller who is brought to some moment of his call."""

    house: h.House
    anna: Agent
    leg: str = ""
    opened: list[str] = field(default_factory=list)

    def rings(self) -> None:
        answer = self.house.sim("POST", "calls", {"from": h.CALLER, "to": h.NUMBER})
        self.leg = answer["call_control_id"]

    def phone(self, **habits: Any) -> None:
        self.house.phone(self.anna.address, **habits)

    def until(self, *states: str) -> Call:
        """His offer stands so."""
        self.rings()
        self.house.until(lambda: Offer.objects.filter(state__in=states).exists())
        return Call.objects.get()

    def hold_back(self, event_type: str) -> None:
        self.opened.append(self.house.sim("POST", "gates", {"event_type": event_type})["id"])


def before_the_answer(floor: Floor) -> None:
    floor.hold_back("call.initiated")
    floor.rings()


def in_the_greeting(floor: Floor) -> None:
    floor.rings()
    floor.house.work()
    assert Call.objects.get().state == Call.State.IN_FLOW


def queued(floor: Floor) -> None:
    Agent.objects.update(state=Agent.State.NOT_READY)
    floor.rings()
    floor.house.until(lambda: Call.objects.filter(state=Call.State.QUEUED).exists())
    floor.house.advance(2)


def while_the_agent_rings(floor: Floor) -> None:
    floor.phone(on_ring="no_answer")
    floor.until(Offer.State.RINGING)


def while_he_confirms(floor: Floor) -> None:
    Agent.objects.update(confirm="press_1")
    floor.phone(dtmf="")
    floor.until(Offer.State.CONFIRMING)


def while_connecting(floor: Floor) -> None:
    """The conference is made, he is in it, and the agent's join is on its way."""
    join = {"share": 1.0, "match": {"operation": "conferences.join"}}
    floor.house.sim("PUT", "faults", {"api_5xx": join})
    floor.until(Offer.State.CONNECTING)
    assert Participant.objects.present().get().leg.call_control_id == floor.leg


def in_conference(floor: Floor) -> None:
    floor.until(Offer.State.CONNECTED)
    floor.house.advance(1)


def on_hold(floor: Floor) -> None:
    call = floor.until(Offer.State.CONNECTED)
    floor.house.sim("POST", f"calls/{h.only_offer(call).leg.call_control_id}/hold")  # type: ignore[union-attr]
    floor.house.advance(2)
    assert floor.house.media(call.leg) == ["hold"]
    call.refresh_from_db()
    assert call.state == Call.State.ON_HOLD


def during_a_whisper(floor: Floor) -> None:
    call = floor.until(Offer.State.CONNECTED)
    floor.house.advance(1)
    supervision.supervise(call.pk, "whisper", h.request(h.supervisor("sue"), floor.house))
    floor.house.advance(3)
    assert Participant.objects.present().filter(supervisor_role="whisper").exists()


Moment = Callable[[Floor], None]
BEFORE, ABANDONED, ANSWERED = Call.Outcome.BEFORE_QUEUE, Call.Outcome.ABANDONED, Call.Outcome.ANSWERED
# When, how the call counts, and what became of the offer.
MOMENTS: dict[str, tuple[Moment, str, str | None]] = {
    "before the answer": (before_the_answer, BEFORE, None),
    "in the greeting": (in_the_greeting, BEFORE, None),
    "queued": (queued, ABANDONED, None),
    "while the agent rings": (while_the_agent_rings, ABANDONED, Offer.State.CALLER_LEFT),
    "while he confirms": (while_he_confirms, ABANDONED, Offer.State.CALLER_LEFT),
    "while connecting": (while_connecting, ABANDONED, Offer.State.CALLER_LEFT),
    "in conference": (in_conference, ANSWERED, Offer.State.ENDED),
    "on hold": (on_hold, ANSWERED, Offer.State.ENDED),
    "during a whisper": (during_a_whisper, ANSWERED, Offer.State.ENDED),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_when_the_caller_hangs_up_every_leg_is_down_within_five_seconds(house: h.House, moment: str) -> None:
    bring, outcome, offer_state = MOMENTS[moment]
    floor = Floor(house, h.agent("anna", h.queue(wrap_up_secs=WRAP_UP_SECS)))
    bring(floor)
    house.sim("POST", f"calls/{floor.leg}/hangup")
    for gate in floor.opened:
        house.sim("DELETE", f"gates/{gate}")
    house.until(lambda: not any(leg["is_alive"] for leg in house.ask("GET", "state")["legs"]), within=5)
    house.advance(1)

    call = Call.objects.get()
    assert (call.is_over, call.outcome) == (True, outcome)
    assert [offer.state for offer in call.offers.all()] == ([offer_state] if offer_state else [])
    assert not QueueEntry.objects.exclude(state=QueueEntry.State.ENDED).exists()
    assert not Conference.objects.filter(ended_at__isnull=True).exists()
    assert all(each["status"] == "completed" for each in house.ask("GET", "state")["conferences"])
    assert not SupervisionSession.objects.exclude(state="ended").exists()
    floor.anna.refresh_from_db()
    talked = offer_state == Offer.State.ENDED
    free = Agent.State.NOT_READY if moment == "queued" else Agent.State.AVAILABLE
    assert floor.anna.state == (Agent.State.WRAP_UP if talked else free)
    agrees(house)
    house.check()
    house.advance(WRAP_UP_SECS)
    floor.anna.refresh_from_db()
    assert floor.anna.state == free


def test_every_moment_of_a_call_is_in_the_table() -> None:
    """As the issue lists them."""
    assert len(MOMENTS) == 9


@pytest.mark.parametrize("is_told", [pytest.param(True, id="hung up late"), pytest.param(False, id="never heard of")])
@pytest.mark.parametrize(
    ("habit", "state", "end"),
    [("no_answer", Offer.State.RINGING, Offer.State.CALLER_LEFT), ("answer", Offer.State.CONNECTED, Offer.State.ENDED)],
)
def test_nobody_is_rung_while_his_phone_may_be_up_from_the_call_before(
    house: h.House, is_told: bool, habit: str, state: str, end: str
) -> None:
    """The caller goes; the next waits until the agent's phone is known to be quiet, or ten seconds."""
    anna = h.agent("anna", h.queue(greeting_text="", wrap_up_secs=0))
    floor = Floor(house, anna)
    floor.phone(on_ring=habit)
    first = floor.until(state)
    leg = Offer.objects.get().leg
    assert leg is not None
    gate = house.sim("POST", "gates", {"event_type": "call.hangup", "leg": leg.call_control_id})["id"]
    house.hang_up(first.leg)
    house.until(lambda: Offer.objects.filter(state=end).exists())
    began = house.now
    house.ring()
    house.advance(3)
    assert not Offer.objects.live().exists()
    if is_told:
        house.sim("DELETE", f"gates/{gate}")
    house.until(lambda: Offer.objects.count() == 2, within=10)
    assert (house.now - began).total_seconds() == pytest.approx(3 if is_told else 11, abs=1)


def test_nobody_is_rung_before_his_phone_is_quiet_however_late_the_callers_end_is_told(house: h.House) -> None:
    """By its instant the caller had gone before the agent was even offered to him."""
    anna = h.agent("anna", h.queue(greeting_text="", wrap_up_secs=0), state=Agent.State.NOT_READY)
    house.phone(anna.address, on_ring="no_answer")
    first = house.ring()
    house.until(lambda: Call.objects.filter(state=Call.State.QUEUED).exists())
    gate = house.sim("POST", "gates", {"event_type": "call.hangup", "leg": first.leg.call_control_id})["id"]
    house.hang_up(first.leg)
    house.advance(15)
    services.go_ready(anna.pk, now=house.now)
    house.until(lambda: Offer.objects.filter(state=Offer.State.RINGING).exists())
    offer = Offer.objects.select_related("leg").get()
    assert offer.leg is not None
    house.sim("POST", "gates", {"event_type": "call.hangup", "leg": offer.leg.call_control_id})
    house.sim("DELETE", f"gates/{gate}")
    house.advance(1)
    offer.refresh_from_db()
    assert (offer.state, offer.ended_at) == (Offer.State.CALLER_LEFT, offer.offered_at)
    house.ring()
    house.advance(8)
    assert Offer.objects.count() == 1
    house.until(lambda: Offer.objects.count() == 2, within=3)


def test_nobody_is_rung_whose_phone_telnyx_cannot_hang_up(house: h.House) -> None:
    """Half a minute at most: then the next caller has waited long enough for a phone of which nothing is heard."""
    anna = h.agent("anna", h.queue(greeting_text="", wrap_up_secs=0))
    house.phone(anna.address, on_ring="no_answer", after_secs=60)
    first = house.ring()
    house.until(lambda: Offer.objects.filter(state=Offer.State.RINGING).exists())
    house.sim("PUT", "faults", {"api_5xx": {"share": 1.0, "match": {"operation": "calls.hangup"}}})
    house.hang_up(first.leg)
    house.ring()
    house.advance(13)
    assert Offer.objects.count() == 1
    house.sim("PUT", "faults", {})
    house.until(lambda: Offer.objects.count() == 2, within=10)
    [before, _] = Offer.objects.select_related("leg").order_by("offered_at")
    assert before.leg is not None
    assert before.leg.hangup_at is not None


def test_a_phone_of_whose_end_nothing_is_ever_heard_rings_again_after_half_a_minute(house: h.House) -> None:
    anna = h.agent("anna", h.queue(greeting_text="", wrap_up_secs=0))
    house.phone(anna.address, on_ring="no_answer")
    first = house.ring()
    house.until(lambda: Offer.objects.filter(state=Offer.State.RINGING).exists())
    rung = Offer.objects.select_related("leg").get().leg
    assert rung is not None
    house.sim("POST", "gates", {"event_type": "call.hangup", "leg": rung.call_control_id})
    house.sim("PUT", "faults", {"api_5xx": {"share": 1.0, "match": {"operation": "calls.hangup"}}})
    house.hang_up(first.leg)
    house.until(lambda: Offer.objects.filter(released_at__isnull=False).exists(), within=3)
    house.ring()
    began = house.now
    house.until(lambda: Offer.objects.count() == 2, within=35)
    assert (house.now - began).total_seconds() == pytest.approx(30, abs=2)
