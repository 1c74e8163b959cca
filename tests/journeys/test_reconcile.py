"""Webhooks that never come, legs nobody knows, a house that was down: what the reconciler finds, and what it leaves."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db.models import F
from django.test import override_settings

from callcenter import reconcile
from callcenter.chaos.mirror import differences, ours, truth
from callcenter.models import Correction, Doubt, ReconcileRun
from callcenter.reconcile.compare import ids_of
from callcenter.reconcile.explain import orphan
from callcenter.reconcile.findings import Finding, HangUp, event_of
from callcenter.reconcile.mend import mend
from callcenter.simulator import resources
from conferences import services as mirror
from conferences.models import CallLeg, Participant, Recording
from queues import services, supervision
from queues.models import Agent, Call, Offer, QueueEntry
from tests.journeys import house as h
from tests.journeys.mirror import agrees
from webhooks import dispatch, inbox, references
from webhooks.models import Command, WebhookEvent

pytestmark = pytest.mark.django_db(transaction=True)

HEALED_WITHIN = 60


@pytest.fixture
def house(transactional_db: None) -> Iterator[h.House]:
    with h.House(reconciles=True) as house:
        yield house


def drop(house: h.House, event_type: str = "", *, leg: str = "") -> None:
    """From now on no such event is delivered, or none of this leg; without words, none at all."""
    match = {"event_type": event_type, "leg": leg}
    house.sim("PUT", "faults", {"drop": {"share": 1.0, "match": {key: said for key, said in match.items() if said}}})


def deliver(house: h.House) -> None:
    house.sim("PUT", "faults", {})


def fate(house: h.House, call: Call) -> tuple[str, str]:
    call.refresh_from_db()
    return call.state, call.outcome


def is_over(call: Call) -> bool:
    call.refresh_from_db()
    return call.is_over


def talks(call: Call) -> bool:
    return call.offers.filter(state=Offer.State.CONNECTED).exists()


def corrected(*kinds: str) -> list[str]:
    found = Correction.objects.order_by("at").values_list("kind", flat=True)
    return [kind for kind in found if not kinds or kind in kinds]


def live(house: h.House) -> set[str]:
    return {leg["call_control_id"] for leg in house.sim("GET", "state")["legs"] if leg["is_alive"]}


def stranger(house: h.House, **words: Any) -> str:
    """A leg dialled by somebody else on our connection, answered."""
    leg = house.client.calls.dial(
        connection_id=settings.TELNYX_CONNECTION_ID,
        to="sip:stranger@agents.example.com",
        from_=h.NUMBER,
        command_id="stranger",
        **words,
    )
    return leg.call_control_id


def gone_unheard(house: h.House) -> Call:
    """A waiting caller has hung up, and Telnyx's word of it is lost. Nothing is compared until a test does."""
    h.queue(max_wait_secs=600)
    call = house.ring()
    house.advance(20)
    house.reconciles = False
    drop(house, leg=call.leg.call_control_id)
    house.hang_up(call.leg)
    return call


# webhooks that never come ------------------------------------------------------------------------------------


def test_a_waiting_callers_lost_hang_up_is_healed_within_a_minute(house: h.House) -> None:
    h.queue(max_wait_secs=600)
    call = house.ring()
    house.advance(20)
    drop(house, leg=call.leg.call_control_id)
    house.hang_up(call.leg)
    gone_at = house.now
    house.until(lambda: is_over(call), within=HEALED_WITHIN)
    assert fate(house, call) == (Call.State.ABANDONED, Call.Outcome.ABANDONED)
    assert call.ended_at is not None
    assert abs((call.ended_at - gone_at).total_seconds()) < 1
    assert CallLeg.objects.get(pk=call.leg.pk).hangup_cause == "normal_clearing"
    deliver(house)
    house.advance(1)
    agrees(house)
    house.check()


@pytest.mark.parametrize("drops", [False, True], ids=["hung up", "dropped"])
def test_an_agents_lost_hang_up_keeps_its_cause(house: h.House, drops: bool) -> None:
    """Whether he hung up or was dropped decides what becomes of the caller: hung up, or back in line."""
    support = h.queue()
    anna = h.agent("anna", support)
    house.phone(anna.address, **({"drop_after_secs": 20} if drops else {"talk_secs": 20}))
    call = house.ring()
    house.until(lambda: talks(call))
    drop(house, leg=h.only_offer(call).leg.call_control_id)
    if drops:
        house.until(lambda: call.entries.count() == 2, within=20 + HEALED_WITHIN)
        deliver(house)
        ben = h.agent("ben", support)
        house.until(lambda: call.offers.filter(agent=ben, state=Offer.State.CONNECTED).exists())
    else:
        house.until(lambda: is_over(call), within=20 + HEALED_WITHIN)
        deliver(house)
        house.advance(2)
        assert fate(house, call) == (Call.State.CLOSED, Call.Outcome.ANSWERED)
        assert live(house) == set()
    anna.refresh_from_db()
    assert anna.state != Agent.State.BUSY
    house.check()


def test_an_agents_lost_answer_costs_him_the_time_of_a_ring(house: h.House) -> None:
    support = h.queue(ring_secs=10)
    h.agent("anna", support)
    call = house.ring()
    drop(house, "call.answered")
    house.until(call.offers.exists)
    offered_at = house.now
    house.until(lambda: talks(call), within=20)
    assert 10 <= (house.now - offered_at).total_seconds() <= 17
    deliver(house)
    house.advance(2)
    assert len(house.hears(call.leg)) == 1
    house.check()


def test_a_phone_that_is_alive_while_it_rings_has_not_answered(house: h.House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether Telnyx says so of a ringing leg is written nowhere."""
    says = resources.call
    monkeypatch.setattr(resources, "call", lambda leg, now: says(leg, now=now) | {"is_alive": leg.is_live})
    support = h.queue(ring_secs=20)
    anna = h.agent("anna", support)
    house.phone(anna.address, on_ring="no_answer")
    call = house.ring()
    house.until(call.offers.exists)
    leg = h.only_offer(call).leg.call_control_id
    for _ in range(24):
        house.advance(1)
        mirror.suspect(leg, house.now)
        reconcile.full(house.line, clock=lambda: house.now)
        assert not CallLeg.objects.filter(call_control_id=leg, answered_at__isnull=False).exists()
    assert not talks(call)
    assert "untold" not in corrected()


def test_a_callers_lost_answer_costs_him_seconds(house: h.House) -> None:
    h.queue()
    drop(house, "call.answered")
    call = house.ring()
    house.until(lambda: fate(house, call)[0] == Call.State.QUEUED, within=20)
    assert corrected() == ["untold"]
    house.check()


@pytest.mark.parametrize("log", [True, False], ids=["in Telnyx's log", "nowhere"])
def test_a_lost_join_does_not_part_who_talks(house: h.House, log: bool) -> None:
    support = h.queue()
    h.agent("anna", support)
    call = house.ring()
    house.until(call.offers.exists)
    drop(house, "conference.participant.joined")
    if not log:
        house.simulator.world.events.clear()
    house.until(lambda: talks(call), within=20)
    deliver(house)
    house.advance(20)
    assert talks(call)
    assert set(corrected()) == {"joined"}
    assert len(house.hears(call.leg)) == 1
    agrees(house)
    house.check()


def test_lost_words_of_queue_and_conference_are_made_up_for(house: h.House) -> None:
    h.queue(max_wait_secs=600)
    drop(house, "call.enqueued")
    call = house.ring()
    house.until(lambda: call.entries.filter(telnyx_enqueued_at__isnull=False).exists(), within=HEALED_WITHIN)
    drop(house, "call.dequeued")
    house.client.calls.leave_queue(call.leg.call_control_id, command_id="out")
    house.until(lambda: call.entries.filter(telnyx_dequeued_at__isnull=False).exists(), within=HEALED_WITHIN)
    deliver(house)
    assert corrected() == ["enqueued", "dequeued"]
    agrees(house)
    house.check()


@pytest.mark.parametrize("lists", [False, True], ids=["listed no more", "listed as having left"])
def test_a_leave_that_was_not_told_frees_the_seat(house: h.House, lists: bool) -> None:
    house.sim("PUT", "switches", {"lists_who_left": lists})
    support = h.queue()
    h.agent("anna", support)
    call = house.ring()
    house.until(lambda: talks(call))
    house.advance(10)
    seat = Participant.objects.get(leg=call.leg)
    drop(house, "conference.participant.left")
    house.client.conferences.leave(
        seat.conference.conference_id, call_control_id=call.leg.call_control_id, command_id="out"
    )
    house.until(lambda: not Participant.objects.present().filter(pk=seat.pk).exists(), within=HEALED_WITHIN)
    assert "left" in corrected()
    assert "joined" not in corrected()


def test_holds_and_mutes_that_nobody_told_us_of_are_noted(house: h.House) -> None:
    support = h.queue()
    h.agent("anna", support)
    call = house.ring()
    house.until(lambda: talks(call))
    house.advance(10)
    seat = Participant.objects.get(leg=call.leg)
    where, who = seat.conference.conference_id, [call.leg.call_control_id]
    house.client.conferences.mute(where, call_control_ids=who)
    house.until(lambda: Participant.objects.get(pk=seat.pk).muted, within=HEALED_WITHIN)
    assert corrected() == ["unannounced"]
    agrees(house)
    house.check()


# a leg that Telnyx says has ended ----------------------------------------------------------------------------


def test_a_refusal_that_says_the_call_is_over_is_followed_up_at_once(house: h.House) -> None:
    support = h.queue(max_wait_secs=600)
    call = house.ring()
    house.until(lambda: fate(house, call)[0] == Call.State.QUEUED)
    house.advance(8)
    drop(house, leg=call.leg.call_control_id)
    house.hang_up(call.leg)
    anna = h.agent("anna", support)
    house.until(call.offers.exists)
    house.until(lambda: is_over(call), within=15)
    assert fate(house, call) == (Call.State.ABANDONED, Call.Outcome.ABANDONED)
    deliver(house)
    house.advance(5)
    anna.refresh_from_db()
    assert anna.state == Agent.State.AVAILABLE
    assert live(house) == set()
    house.check()


def test_one_absence_is_not_enough(house: h.House) -> None:
    """The list forgets a leg once. Nothing is told, and the leg is as it was."""
    h.queue(max_wait_secs=600)
    call = house.ring()
    house.advance(20)
    house.reconciles = False
    leg = house.simulator.world.legs[call.leg.call_control_id]
    ours = leg.connection_id
    leg.connection_id = "another"
    reconcile.full(house.line, clock=lambda: house.now)
    assert Doubt.objects.filter(missed_at__isnull=False).exists()
    assert not WebhookEvent.objects.filter(source="reconcile").exists()
    reconcile.look(house.line, clock=lambda: house.now)
    leg.connection_id = ours
    house.advance(3)
    reconcile.look(house.line, clock=lambda: house.now)
    assert not Doubt.objects.filter(missed_at__isnull=False).exists()
    assert corrected() == []
    assert ReconcileRun.objects.filter(kind="full").latest("created_at").state == ReconcileRun.State.DONE


def test_a_leg_missing_twice_that_is_alive_when_asked_is_alive(house: h.House) -> None:
    h.queue(max_wait_secs=600)
    call = house.ring()
    house.advance(20)
    house.simulator.world.legs[call.leg.call_control_id].connection_id = "another"
    house.advance(45)
    assert corrected() == []
    assert not is_over(call)


def long_ago(by: timedelta) -> None:
    """All that was heard is so much older, as in a long conversation in which nothing more is heard."""
    for instant in ("initiated_at", "answered_at", "enqueued_at", "dequeued_at", "playback_started_at"):
        CallLeg.objects.exclude(**{instant: None}).update(**{instant: F(instant) - by})
    Participant.objects.exclude(joined_at=None).update(joined_at=F("joined_at") - by)
    WebhookEvent.objects.update(occurred_at=F("occurred_at") - by)


def test_a_long_conversation_outlives_lists_and_answers_that_forget_it_for_a_while(house: h.House) -> None:
    """What was listed seconds before cannot have ended so long ago that Telnyx does not keep it any more."""
    support = h.queue(greeting_text="")
    h.agent("anna", support)
    call = house.ring()
    house.until(lambda: talks(call))
    house.advance(12)
    long_ago(timedelta(minutes=15))
    house.simulator.world.events.clear()
    leg = house.simulator.world.legs.pop(call.leg.call_control_id)
    house.advance(15)
    assert Doubt.objects.filter(missed_at__isnull=False).exists()
    house.simulator.world.legs[leg.call_control_id] = leg
    house.advance(12)
    assert talks(call)
    assert corrected("leg_gone") == []
    assert not Doubt.objects.filter(missed_at__isnull=False).exists()


# a caller who is over here and nowhere else -------------------------------------------------------------------


def conclude_end(house: h.House, leg: CallLeg) -> None:
    """We take it to be gone, and we are wrong."""
    event = event_of("call.hangup", house.now, ids_of(leg) | {"hangup_cause": "unspecified"}, leg.call_control_id)
    inbox.store(event, received_at=house.now, source=WebhookEvent.Source.RECONCILE)
    house.work()
    assert CallLeg.objects.get(pk=leg.pk).hangup_at == house.now


@pytest.mark.parametrize("place", ["in conversation", "in line", "greeted"])
def test_a_caller_who_lives_on_is_taken_in_again_as_another_call(house: h.House, place: str) -> None:
    support = h.queue()
    anna = h.agent("anna", support, ready=place == "in conversation")
    call = house.ring()
    token = call.leg.call_control_id
    if place == "in conversation":
        house.until(lambda: talks(call))
        house.advance(10)
    elif place == "in line":
        house.advance(20)
    else:
        house.advance(1)
    conclude_end(house, call.leg)
    ended = fate(house, call)
    house.until(lambda: Call.objects.filter(leg__call_control_id=token).exclude(pk=call.pk).exists(), within=30)
    again = Call.objects.get(leg__call_control_id=token)
    house.until(again.entries.exists, within=20)
    assert (again.queue, again.from_number) == (support, h.CALLER)
    if place != "in conversation":
        house.advance(3)
        assert "playback" in house.media(again.leg)
        services.log_in(anna.pk, now=house.now, ready=True)
    house.until(lambda: talks(again), within=30)
    house.advance(15)
    assert len(house.hears(again.leg)) == 1
    assert fate(house, call) == ended
    house.hang_up(again.leg)
    house.until(lambda: is_over(again), within=5)
    house.advance(2)
    assert live(house) == set()
    assert corrected("caller_lives_on")
    assert Call.objects.count() == 2
    assert differences(ours(), truth(house.ask("GET", "state"))) == []
    house.check()


def test_a_caller_who_was_sent_away_and_lives_on_is_hung_up(house: h.House) -> None:
    h.queue(closing_text="Nobody is there." * 20, max_wait_secs=5)
    call = house.ring()
    house.until(lambda: fate(house, call)[0] == Call.State.CLOSING)
    conclude_end(house, call.leg)
    house.until(lambda: live(house) == set(), within=30)
    assert Call.objects.get() == call
    house.check()


def test_an_agents_leg_that_lives_on_is_hung_up_and_his_caller_waits_for_another(house: h.House) -> None:
    support = h.queue()
    h.agent("anna", support)
    call = house.ring()
    house.until(lambda: talks(call))
    house.advance(10)
    leg = h.only_offer(call).leg
    conclude_end(house, leg)
    assert call.entries.count() == 2
    house.until(lambda: leg.call_control_id not in live(house), within=30)
    assert call.leg.call_control_id in live(house)
    house.check()


def test_a_caller_of_whose_end_telnyx_told_us_stays_ended(house: h.House) -> None:
    h.queue(max_wait_secs=600)
    call = house.ring()
    house.advance(15)
    conclude_end(house, call.leg)
    WebhookEvent.objects.filter(event_type="call.hangup").update(source=WebhookEvent.Source.TELNYX)
    house.advance(35)
    assert Call.objects.get() == call
    assert corrected() == []


# legs nobody knows -------------------------------------------------------------------------------------------


def ring_unheard(house: h.House, to: str = h.NUMBER) -> str:
    """A caller of whose arrival nobody is told."""
    drop(house, "call.initiated")
    leg = house.sim("POST", "calls", {"from": h.CALLER, "to": to})["call_control_id"]
    house.work()
    deliver(house)
    return str(leg)


def test_a_caller_we_were_not_told_of_is_adopted_and_queued(house: h.House) -> None:
    support = h.queue()
    leg = ring_unheard(house)
    house.until(lambda: QueueEntry.objects.filter(call__leg__call_control_id=leg).exists(), within=HEALED_WITHIN)
    call = Call.objects.get()
    assert (call.queue, call.from_number, call.to_number) == (support, h.CALLER, h.NUMBER)
    assert corrected() == ["adopted"]
    h.agent("anna", support)
    house.until(lambda: talks(call))
    house.check()


def test_a_caller_just_adopted_is_not_asked_about_again(house: h.House) -> None:
    """After a time of darkness there are many of them, and what is asked about each keeps everybody waiting."""
    h.queue()
    ring_unheard(house)
    house.reconciles = False
    house.advance(8)

    def asked() -> int:
        """How many requests a full run takes, by what Telnyx says is left in this window."""
        house.line.queues()
        before = house.client.rate_limit
        reconcile.full(house.line, clock=lambda: house.now)
        after = house.client.rate_limit
        assert before is not None
        assert after is not None
        return (before.remaining or 0) - (after.remaining or 0)

    first = asked()
    for event in WebhookEvent.objects.filter(status=WebhookEvent.Status.NEW):
        inbox.apply(event.pk)
    assert Call.objects.get().leg.answered_at is None
    assert asked() == first - 1


def test_a_caller_of_whom_nothing_is_told_goes_to_the_queue_for_such(house: h.House) -> None:
    h.queue()
    other = h.queue("lost and found", number=None)
    leg = ring_unheard(house)
    house.simulator.world.events.clear()
    house.advance(8)
    reconcile.full(house.line, clock=lambda: house.now)
    house.work()
    assert not Call.objects.exists()  # nothing says what it is, and nothing is done to it
    assert leg in live(house)
    with override_settings(ADOPT_QUEUE="lost and found"):
        reconcile.full(house.line, clock=lambda: house.now)
        house.until(lambda: QueueEntry.objects.filter(queue=other).exists(), within=20)
    assert leg in live(house)
    house.check()


def test_an_orphan_of_ours_is_hung_up(house: h.House) -> None:
    """It bears our reference to an offer that is over, and no offer of ours ever heard of it."""
    support = h.queue()
    anna = h.agent("anna", support)
    house.phone(anna.address, on_ring="decline")
    call = house.ring()
    house.until(lambda: call.offers.filter(state=Offer.State.DECLINED).exists())
    house.phone("sip:stranger@agents.example.com", on_ring="no_answer")
    drop(house)
    leg = stranger(house, client_state=references.write("offer", h.only_offer(call).pk), timeout_secs=300)
    house.until(lambda: leg not in live(house), within=HEALED_WITHIN)
    assert corrected() == ["orphan_leg"]


def test_a_dial_whose_answer_comes_late_keeps_its_leg(house: h.House) -> None:
    """Between the comparison and the hang-up the offer learns of its leg, and it rings on."""
    support = h.queue(ring_secs=30)
    anna = h.agent("anna", support)
    house.phone(anna.address, on_ring="no_answer")
    call = house.ring()
    house.until(lambda: call.offers.filter(leg__isnull=False).exists())
    offer = h.only_offer(call)
    active = house.line.legs()[offer.leg.call_control_id]
    assert orphan(active) is None
    run = ReconcileRun.objects.create(kind="full", state="running", created_at=house.now)
    remedy = HangUp(call_control_id=active.call_control_id)
    for call_id in (None, call.pk):
        assert mend(Finding(kind="orphan_leg", detail="", call_id=call_id, remedies=(remedy,)), run, now=house.now) == 0
    assert not Command.objects.filter(kind="hang_up", target=active.call_control_id).exists()


def test_a_hang_up_to_no_effect_is_asked_for_again(house: h.House) -> None:
    run = ReconcileRun.objects.create(kind="full", state="running", created_at=house.now)
    finding = Finding(kind="orphan_leg", detail="", remedies=(HangUp(call_control_id="v3:a"),))
    assert mend(finding, run, now=house.now) == 1
    assert mend(finding, run, now=house.now) == 0
    later = house.now + timedelta(seconds=11)
    Command.objects.update(state=Command.State.REJECTED, closed_at=house.now)
    assert mend(finding, run, now=house.now) == 0
    assert mend(finding, run, now=later) == 1
    assert Command.objects.filter(kind="hang_up", target="v3:a").count() == 2


def test_a_leg_of_somebody_else_is_left_alone(house: h.House) -> None:
    h.queue()
    house.phone("sip:stranger@agents.example.com", on_ring="no_answer")
    drop(house)
    leg = stranger(house, timeout_secs=300)
    house.advance(40)
    assert leg in live(house)
    assert (corrected(), Call.objects.count()) == ([], 0)


@override_settings(ADOPT_QUEUE="")
def test_of_whom_nothing_is_told_yet_more_is_asked_in_a_moment(house: h.House, monkeypatch: pytest.MonkeyPatch) -> None:
    """He may be a caller whose events stand in Telnyx's log a little later."""
    h.queue()
    house.reconciles = False
    leg = ring_unheard(house)
    house.advance(8)
    with monkeypatch.context() as patch:
        patch.setattr(house.line, "story", lambda call_leg_id: [])
        reconcile.full(house.line, clock=lambda: house.now)
    house.advance(5)
    reconcile.legs(house.line, clock=lambda: house.now)
    house.work()
    assert Call.objects.filter(leg__call_control_id=leg).exists()


def test_who_is_none_of_ours_is_asked_about_seldom(house: h.House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which legs live is looked at every five seconds, and a caller's place in line is not to wait for strangers."""
    h.queue()
    house.phone("sip:stranger@agents.example.com", on_ring="no_answer")
    drop(house)
    stranger(house, timeout_secs=300)
    house.reconciles = False
    asked: list[str] = []
    ask = house.line.story
    monkeypatch.setattr(house.line, "story", lambda call_leg_id: asked.append(call_leg_id) or ask(call_leg_id))
    for _ in range(8):
        reconcile.legs(house.line, clock=lambda: house.now)
        house.advance(5)
    assert len(asked) == 2  # half a minute


def test_a_stranger_is_removed_from_a_conference_of_ours(house: h.House) -> None:
    support = h.queue()
    h.agent("anna", support)
    call = house.ring()
    house.until(lambda: talks(call))
    leg = stranger(house)
    house.advance(4)
    conference = Participant.objects.get(leg=call.leg).conference.conference_id
    house.client.conferences.join(conference, call_control_id=leg, command_id="in", start_conference_on_enter=True)
    assert leg in house.hears(call.leg)
    house.until(lambda: leg not in house.hears(call.leg), within=HEALED_WITHIN)
    assert leg in live(house)
    assert talks(call)
    assert "stranger" in corrected()


# the house was down ------------------------------------------------------------------------------------------


def test_after_a_blackout_nobody_is_dialled_before_all_is_known(house: h.House) -> None:
    support = h.queue(max_wait_secs=1200)
    h.agent("anna", support)
    h.agent("ben", support, penalty=1)
    talking = house.ring()
    house.until(lambda: talks(talking))
    kept = house.ring(from_="+447700900002")
    house.until(lambda: talks(kept))
    waiting = [house.ring(from_=f"+44770090001{number}") for number in range(4)]
    house.advance(15)
    dials = Command.objects.filter(operation="calls.dial").count()
    with house.darkness() as wait:
        for call in (talking, *waiting[:2]):
            house.hang_up(call.leg)
        wait(100)
        house.hang_up(waiting[2].leg)
        arrived = house.sim("POST", "calls", {"from": "+447700900099", "to": h.NUMBER})["call_control_id"]
        wait(20)

    house.reconciles = False
    house.advance(3)
    assert not dispatch.is_open()
    assert Command.objects.filter(operation="calls.dial").count() == dials
    back_at = house.now
    house.reconciles = True
    house.until(dispatch.is_open, within=30)
    assert (house.now - back_at).total_seconds() < 10
    gone = [talking, *waiting[:3]]
    assert all(is_over(call) for call in gone)
    assert not is_over(kept)
    assert not is_over(waiting[3])
    house.until(lambda: talks(waiting[3]), within=30)
    call = Call.objects.get(leg__call_control_id=arrived)
    house.until(lambda: call.entries.exists() or talks(call), within=30)
    dialled = Command.objects.filter(operation="calls.dial").values_list("call_id", flat=True)
    assert not {call.pk for call in waiting[:3]} & set(dialled)
    house.advance(1)
    agrees(house)
    house.check()


def test_while_telnyx_is_away_nobody_is_dialled_and_hang_ups_go_on(house: h.House) -> None:
    support = h.queue(max_wait_secs=1200)
    call = house.ring()
    house.advance(10)
    with house.darkness() as wait:
        wait(30)
    h.agent("anna", support)
    house.sim("PUT", "faults", {"api_5xx": {"share": 1.0, "match": {"operation": "conferences.list"}}})
    house.advance(20)
    assert not dispatch.is_open()
    assert not call.offers.exists()
    failed = ReconcileRun.objects.filter(kind="full", state=ReconcileRun.State.FAILED, in_the_dark=True)
    assert failed.count() >= 3
    assert failed[0].error
    other = house.ring(from_="+447700900002")
    house.advance(5)
    house.hang_up(other.leg)
    house.until(lambda: is_over(other), within=5)
    deliver(house)
    house.until(lambda: talks(call), within=30)
    house.check()


def test_who_is_there_unknown_is_taken_in_before_anything_else_is_asked(
    house: h.House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Telnyx hangs up in 30 s whom nobody answers; what else is in doubt may take as long to be looked at."""
    missing = gone_unheard(house)
    mirror.suspect(missing.leg.call_control_id, house.now)
    drop(house, event_type="call.initiated")
    unknown = house.sim("POST", "calls", {"from": "+447700900222", "to": h.NUMBER})["call_control_id"]
    house.advance(6)
    asked_about: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(house.line, "leg", asked_about.append)
        run = reconcile.legs(house.line, clock=lambda: house.now)
    assert asked_about == []
    run.refresh_from_db()
    assert (run.kind, run.state, corrected()) == (ReconcileRun.Kind.LEGS, ReconcileRun.State.DONE, ["adopted"])
    house.work()
    assert Call.objects.filter(leg__call_control_id=unknown).exists()
    again = Doubt.objects.get(subject=f"leg {missing.leg.call_control_id}")
    assert again.not_before == house.now + reconcile.SECOND_LOOK
    house.reconciles = True
    house.until(lambda: is_over(missing), within=10)
    house.check()


def test_who_is_there_unknown_is_taken_in_first_of_all_that_is_compared(
    house: h.House, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = gone_unheard(house)
    missed_at = house.now - timedelta(seconds=3)  # its second look is due
    Doubt.objects.create(subject=f"leg {missing.leg.call_control_id}", missed_at=missed_at, not_before=house.now)
    drop(house, event_type="call.initiated")
    unknown = house.sim("POST", "calls", {"from": "+447700900222", "to": h.NUMBER})
    house.advance(6)
    asked: list[str] = []
    for question in ("leg", "story"):
        ask = getattr(house.line, question)
        monkeypatch.setattr(house.line, question, lambda ident, ask=ask: asked.append(ident) or ask(ident))
    reconcile.full(house.line, clock=lambda: house.now)
    assert asked[0] == unknown["call_leg_id"]
    assert missing.leg.call_control_id in asked


# nothing is done that is not needed --------------------------------------------------------------------------


def test_half_a_snapshot_changes_nothing(house: h.House) -> None:
    call = gone_unheard(house)
    for operation in ("conferences.list", "queues.list", "calls.active"):
        house.sim("PUT", "faults", {"api_5xx": {"share": 1.0, "match": {"operation": operation}}})
        run = reconcile.full(house.line, clock=lambda: house.now)
        run.refresh_from_db()
        assert run.state == ReconcileRun.State.FAILED
    assert not Doubt.objects.exists()
    assert not WebhookEvent.objects.filter(source="reconcile").exists()
    deliver(house)
    reconcile.full(house.line, clock=lambda: house.now)
    house.advance(3)
    house.sim("PUT", "faults", {"api_5xx": {"share": 1.0, "match": {"operation": "calls.retrieve"}}})
    look = reconcile.look(house.line, clock=lambda: house.now)
    assert look is not None
    look.refresh_from_db()
    assert look.state == ReconcileRun.State.DONE  # the lists were whole; what could not be asked stays in doubt
    assert Doubt.objects.filter(missed_at__isnull=False, not_before__gt=house.now).exists()
    assert not WebhookEvent.objects.filter(source="reconcile").exists()
    deliver(house)
    house.reconciles = True
    house.until(lambda: is_over(call), within=HEALED_WITHIN)


def test_a_dry_run_says_what_it_would_do_and_writes_nothing(house: h.House) -> None:
    call = gone_unheard(house)
    before = ReconcileRun.objects.count()
    found = reconcile.drift(house.line, clock=lambda: house.now, wait=house.advance)
    assert [finding.kind for finding in found] == ["leg_gone"]
    assert "call.hangup" in str(found[0])
    assert ReconcileRun.objects.count() == before
    assert not Doubt.objects.exists()
    assert not Correction.objects.exists()
    assert not WebhookEvent.objects.filter(source="reconcile").exists()
    assert not is_over(call)


def test_two_who_reconcile_at_once_tell_everything_once(house: h.House) -> None:
    gone_unheard(house)
    reconcile.full(house.line, clock=lambda: house.now)
    house.advance(3)
    found = reconcile.drift(house.line, clock=lambda: house.now, wait=house.advance)
    told = {remedy.event.id for finding in found for remedy in finding.remedies}  # type: ignore[union-attr]
    reconcile.look(house.line, clock=lambda: house.now)
    kept = set(WebhookEvent.objects.filter(source="reconcile").values_list("event_id", flat=True))
    assert kept == told
    house.advance(1)
    reconcile.full(house.line, clock=lambda: house.now)
    assert WebhookEvent.objects.filter(source="reconcile").count() == len(kept)


@pytest.mark.long
def test_where_supervisors_are_at_work_there_is_nothing_to_correct(house: h.House) -> None:
    """Monitor, whisper, barge, mute, hold, take-over: compared after each second of it."""
    support = h.queue()
    h.agent("anna", support)
    sue = h.supervisor("sue")
    call = house.ring()
    house.until(lambda: talks(call))

    def quiet(secs: int) -> None:
        for _ in range(secs):
            house.advance(1)
            reconcile.full(house.line, clock=lambda: house.now)
            assert corrected() == []

    for mode in ("monitor", "whisper", "barge"):
        supervision.supervise(call.pk, mode, h.request(sue, house))
        quiet(12)
    for verb in (supervision.mute, supervision.unmute, supervision.hold, supervision.unhold):
        verb(call.pk, h.request(sue, house), legs=[], everyone=True)
        quiet(8)
    supervision.take_over(call.pk, h.request(sue, house))
    quiet(12)
    house.check()


@pytest.mark.long
@pytest.mark.parametrize("confirm", ["none", "press_1"])
def test_on_a_healthy_day_there_is_nothing_to_correct(house: h.House, confirm: str) -> None:
    """A whole journey, compared after every second of it: greeting, line, offer, talk, hold, wrap-up, the next call."""
    support = h.queue(wrap_up_secs=3, record="always")
    anna = h.agent("anna", support, confirm=confirm)
    ben = h.agent("ben", support, penalty=1)
    house.phone(ben.address, on_ring="no_answer")
    first = house.ring()
    second = house.ring(from_="+447700900002", patience_secs=25)
    for second_of_it in range(70):
        house.advance(1)
        reconcile.full(house.line, clock=lambda: house.now)
        assert corrected() == [], second_of_it
        talking = (
            Offer.objects.filter(agent=anna, state=Offer.State.CONNECTED).select_related("leg", "call__leg").first()
        )
        if second_of_it in (20, 30):
            assert talking is not None
            house.sim("POST", f"calls/{talking.leg.call_control_id}/{'hold' if second_of_it == 20 else 'unhold'}")
        if second_of_it == 40:
            assert talking is not None
            house.hang_up(talking.call.leg)
    assert is_over(first) or is_over(second)
    house.check()


def test_a_recording_of_which_nobody_told_us_is_found(house: h.House) -> None:
    """And one of which Telnyx did tell is not found again."""
    anna = h.agent("anna", h.queue(record="always", wrap_up_secs=0))
    house.phone(anna.address, on_ring="answer", after_secs=1)
    for is_told in (True, False):
        call = house.ring(talk_secs=10)
        house.until(lambda call=call: talks(call))
        if not is_told:
            drop(house, "conference.recording.saved")
        house.until(lambda call=call: is_over(call))
    house.until(lambda: Recording.objects.count() == 2, within=HEALED_WITHIN)
    assert corrected("recording_missed") == ["recording_missed"]
    told, found = Recording.objects.order_by("recording_started_at")
    same = ("source", "channels", "call_leg_id")
    assert [getattr(found, name) for name in same] == [getattr(told, name) for name in same]
    assert found.call_id == call.pk
    assert found.recording_urls
