"""What is stuck comes loose by itself, and how soon: RELIABILITY §9, on the house's clock and on the database's."""

from collections.abc import Iterator, Mapping
from datetime import timedelta

import pytest
from django.db.models import Q

from conferences.models import CallLeg, Participant
from queues import services
from queues.engine.limits import RING_GRACE
from queues.models import Agent, Call, Offer, QueueEntry
from tests.journeys import house as h
from tests.journeys.checkpoints import Worker
from tests.journeys.clock import database_time
from tests.journeys.mirror import agrees
from tests.webhooks.counts import answer
from webhooks.models import Command, WebhookEvent

pytestmark = pytest.mark.django_db(transaction=True)

RING_SECS = 10


@pytest.fixture(autouse=True)
def _leases_pass_too() -> Iterator[None]:
    with database_time():
        yield


def lose(house: h.House, leg: CallLeg | None, *event_types: str) -> None:
    """These events of a leg never reach us."""
    assert leg is not None
    for event_type in event_types:
        house.sim("POST", "gates", {"event_type": event_type, "leg": leg.call_control_id})


def live_legs(house: h.House, address: str) -> list[str]:
    return [leg["to"] for leg in house.ask("GET", "state")["legs"] if leg["is_alive"] and leg["to"] == address]


@pytest.mark.parametrize(
    "operation", [pytest.param("", id="nothing is heard of the leg"), pytest.param("calls.dial", id="nor of the dial")]
)
def test_a_stuck_reservation_is_free_ten_seconds_after_the_ring(house: h.House, operation: str) -> None:
    anna = h.agent("anna", h.queue(ring_secs=RING_SECS, greeting_text=""))
    house.phone(anna.address, on_ring="no_answer")
    call = house.ring()
    for event_type in ("call.initiated", "call.answered", "call.hangup"):
        house.sim("POST", "gates", {"event_type": event_type})
    if operation:
        fault = {"share": 1.0, "match": {"operation": operation}}
        house.sim("PUT", "faults", {"api_timeout_after_effect": fault})
    house.until(lambda: Agent.objects.filter(state=Agent.State.RESERVED).exists())
    began = house.now
    house.until(lambda: not Agent.objects.filter(state=Agent.State.RESERVED).exists(), within=RING_SECS + 10)
    assert house.now - began >= timedelta(seconds=RING_SECS) + RING_GRACE - timedelta(seconds=1)
    assert h.only_offer(call).state == Offer.State.EXPIRED
    anna.refresh_from_db()
    assert anna.ready_at is not None
    call.refresh_from_db()
    assert (call.state, call.entries.get().state) == (Call.State.QUEUED, QueueEntry.State.WAITING)
    house.check()


@pytest.mark.parametrize(
    "lost",
    [
        pytest.param((), id="dropped"),
        pytest.param(("call.hangup",), id="dropped, and nobody says why"),
        pytest.param(("conference.participant.left",), id="dropped, and nobody says that he left"),
    ],
)
def test_a_caller_alone_in_a_conference_hears_music_and_is_in_line_within_ten_seconds(
    house: h.House, lost: tuple[str, ...]
) -> None:
    support = h.queue(greeting_text="")
    anna = h.agent("anna", support)
    house.phone(anna.address, drop_after_secs=5)
    call = house.ring()
    house.until(lambda: call.offers.filter(state=Offer.State.CONNECTED).exists())
    lose(house, h.only_offer(call).leg, *lost)
    place = call.entries.get().rank_at
    house.until(lambda: live_legs(house, anna.address) == [])
    house.until(lambda: call.entries.filter(number=2, state=QueueEntry.State.WAITING).exists(), within=10.5)
    assert house.media(call.leg) == ["hold"]
    assert call.entries.get(number=2).rank_at == place
    assert not call.offers.filter(state__in=Offer.LIVE).exists()
    house.check()
    ben = h.agent("ben", support)
    house.until(lambda: call.offers.filter(agent=ben, state=Offer.State.CONNECTED).exists())
    house.advance(1)
    assert house.media(call.leg) == []
    house.check()


def test_a_leg_that_is_heard_of_after_its_offer_is_over_is_down_within_ten_seconds(house: h.House) -> None:
    """The dial is not answered, though the phone rings; the agent goes for a break; then the leg is looked for."""
    anna = h.agent("anna", h.queue(ring_secs=60, greeting_text=""), ready=False)
    house.phone(anna.address, on_ring="no_answer")
    call = house.ring()
    house.sim("POST", "gates", {"event_type": "call.initiated"})
    house.sim("PUT", "faults", {"api_timeout_after_effect": {"share": 1.0, "match": {"operation": "calls.dial"}}})
    services.log_in(anna.pk, now=house.now, ready=True)
    house.until(lambda: live_legs(house, anna.address) != [])
    house.advance(2)
    services.go_not_ready(anna.pk, "break", now=house.now)
    house.work()
    offer = h.only_offer(call)
    assert (offer.state, offer.leg) == (Offer.State.RESCINDED, None)
    assert live_legs(house, anna.address) != []
    house.sim("PUT", "faults", {})
    house.until(lambda: Offer.objects.filter(pk=offer.pk, leg__isnull=False).exists(), within=30)
    house.until(lambda: live_legs(house, anna.address) == [], within=10)
    house.check()


def test_an_agent_who_hangs_up_unheard_is_not_kept_busy_by_a_call_that_is_over(house: h.House) -> None:
    """His leg's end is never told: the caller's is, and nobody is kept for him."""
    anna = h.agent("anna", h.queue(greeting_text=""))
    call = house.ring(talk_secs=5)
    house.until(lambda: call.offers.filter(state=Offer.State.CONNECTED).exists())
    lose(house, h.only_offer(call).leg, "call.hangup", "conference.participant.left")
    house.until(lambda: Call.objects.filter(ended_at__isnull=False).exists(), within=10)
    house.advance(5)
    anna.refresh_from_db()
    assert anna.state == Agent.State.AVAILABLE
    assert live_legs(house, anna.address) == []
    house.check()


def test_an_agents_leg_that_dies_between_answer_and_join_leaves_the_caller_first_in_line(house: h.House) -> None:
    support = h.queue(greeting_text="")
    anna = h.agent("anna", support)
    call = house.ring()
    house.until(call.offers.exists)
    join = {"share": 1.0, "match": {"operation": "conferences.join"}}
    house.sim("PUT", "faults", {"api_5xx": join})
    house.until(lambda: call.offers.filter(state=Offer.State.CONNECTING).exists())
    place = call.entries.get().rank_at
    leg = h.only_offer(call).leg
    assert leg is not None
    house.hang_up(leg)
    house.sim("PUT", "faults", {})
    house.advance(1)
    assert h.only_offer(call).state == Offer.State.LEG_FAILED
    entry = call.entries.get()
    assert (entry.state, entry.rank_at) == (QueueEntry.State.WAITING, place)
    assert house.media(call.leg) != []
    anna.refresh_from_db()
    assert (anna.state, anna.ready_at is not None) == (Agent.State.AVAILABLE, True)
    house.until(lambda: call.offers.filter(state=Offer.State.CONNECTED).exists(), within=15)
    house.advance(1)
    assert len(house.hears(call.leg)) == 1
    agrees(house)
    house.check()


def test_two_agents_who_answer_within_ten_milliseconds_are_one_winner(house: h.House) -> None:
    support = h.queue(greeting_text="", strategy="ring_all")
    people = {name: h.agent(name, support) for name in ("anna", "ben")}
    for secs, person in zip((1.1, 1.11), people.values(), strict=True):
        house.phone(person.address, after_secs=secs)
    call = house.ring()
    house.until(lambda: call.offers.filter(state=Offer.State.CONNECTED).exists())
    house.advance(1)
    won = call.offers.get(state=Offer.State.CONNECTED)
    lost = call.offers.exclude(pk=won.pk).get()
    assert won.leg is not None
    assert lost.leg is not None
    apart = max(won.leg.answered_at, lost.leg.answered_at) - min(won.leg.answered_at, lost.leg.answered_at)  # type: ignore[type-var]
    assert apart <= timedelta(milliseconds=10.1)
    assert lost.state == Offer.State.SUPERSEDED
    assert house.hears(call.leg) == {won.leg.call_control_id}
    assert live_legs(house, lost.agent.address) == []
    lost.agent.refresh_from_db()
    assert lost.agent.state == Agent.State.AVAILABLE
    assert Participant.objects.present().count() == 2
    assert (answer("double_answer_prevented_total"), answer("late_answer_total")) == (1, 0)
    hung_up = Q(kind="hang_up", state=Command.State.ACCEPTED)
    assert [command.target for command in Command.objects.filter(hung_up)] == [lost.leg.call_control_id]
    agrees(house)
    house.check()


def test_a_webhook_whose_process_dies_is_sent_again_and_applied_once(
    house: h.House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At its first statement, after its commit: the sender has no answer either time."""
    h.queue(greeting_text="")
    receive = house.simulator.delivery.post
    fates = iter(["before its commit", "after its commit"])

    def dying(url: str, body: bytes, headers: Mapping[str, str]) -> int:
        fate = next(fates, None)
        with Worker(0 if fate == "before its commit" else None).works():
            receive(url, body, headers)
        stored.append(WebhookEvent.objects.filter(event_type="call.initiated").count())
        if fate is not None:
            raise ConnectionResetError
        return 200

    stored: list[int] = []
    monkeypatch.setattr(house.simulator.delivery, "post", dying)
    leg = house.sim("POST", "calls", {"from": h.CALLER, "to": h.NUMBER})["call_control_id"]
    house.advance(8)
    assert stored[:3] == [0, 1, 1]
    call = Call.objects.get()
    assert (call.leg.call_control_id, call.state) == (leg, Call.State.QUEUED)
    house.check()
