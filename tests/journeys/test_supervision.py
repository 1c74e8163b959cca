"""Supervision by ear: exactly who hears whom, at every moment, switching included."""

import dataclasses
from collections.abc import Callable
from functools import partial
from itertools import permutations
from typing import Any

import pytest
from django.contrib.auth.models import User

from callcenter.simulator import endings
from conferences.models import Participant, SupervisionSession
from queues import services, supervision
from queues.errors import NotAllowed, QueueError
from queues.models import Agent, Call, Offer, Queue, SupervisorPhone
from tests.callcenter import clients
from tests.journeys import house as h
from tests.journeys.ears import Ears, Hearing, hearing, leg_of, token
from tests.journeys.mirror import agrees
from webhooks import inbox
from webhooks.models import AuditEntry, Command, WebhookEvent

pytestmark = pytest.mark.django_db(transaction=True)

Mode = SupervisionSession.Mode
State = SupervisionSession.State

NOBODY: Hearing = {}
TALK = hearing(caller="anna", anna="caller")
MONITORED = TALK | hearing(sue="caller anna")
WHISPERED = hearing(caller="anna", anna="caller sue", sue="caller anna")
BARGED = hearing(caller="anna sue", anna="caller sue", sue="caller anna")
TAKEN_OVER = hearing(caller="sue", sue="caller")
HEARING = {"monitor": MONITORED, "whisper": WHISPERED, "barge": BARGED}
MODES = tuple(HEARING)


class Stage:
    """Anna talks with a caller; sue may listen, and every ear is watched."""

    def __init__(self, house: h.House, **queue: Any) -> None:
        self.house = house
        self.support: Queue = h.queue(**queue)
        self.anna = h.agent("anna", self.support)
        self.sue = h.supervisor("sue")
        self.call = house.ring()
        self.until_connected("anna")
        house.advance(1)
        self.ears = Ears(house)
        assert self.ears.now == TALK

    def until_connected(self, name: str) -> None:
        connected = self.call.offers.filter(agent__name=name, state=Offer.State.CONNECTED)
        self.house.until(connected.exists)

    def ask(self, mode: str, user: User | None = None) -> SupervisionSession:
        return supervision.supervise(self.call.pk, mode, self.request(user))

    def request(self, user: User | None = None) -> supervision.Request:
        return h.request(user or self.sue, self.house)

    def listens(self, mode: str) -> SupervisionSession:
        """Sue is in the conversation, in this role, and that is all that has changed for any ear."""
        session = self.ask(mode)
        self.house.advance(3)
        assert self.ears.after() == [HEARING[mode]]
        session.refresh_from_db()
        assert session.state == State.ACTIVE
        self.agrees()
        return session

    def take_over(self) -> SupervisionSession:
        session = supervision.take_over(self.call.pk, self.request())
        self.house.advance(2)
        return session

    def agrees(self) -> None:
        """The mirror is true, and no invariant is violated while somebody listens."""
        agrees(self.house)
        self.house.check()

    def end(self) -> Call:
        """Whatever is left runs out; nothing is left behind."""
        self.call.refresh_from_db()
        if not self.call.is_over:
            self.house.hang_up(self.call.leg)
        self.house.advance(5)
        self.call.refresh_from_db()
        assert [leg for leg in self.house.sim("GET", "state")["legs"] if leg["is_alive"]] == []
        assert not SupervisionSession.objects.exclude(state=State.ENDED).exists()
        assert self.ears.now == NOBODY
        self.house.check()
        return self.call


@pytest.fixture
def stage(house: h.House) -> Stage:
    return Stage(house)


def seat_of(house: h.House, name: str) -> Participant:
    return Participant.objects.get(leg=leg_of(house, name))


# one role, and from one to another ---------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_who_hears_whom_from_the_click_to_the_stop(stage: Stage, mode: str) -> None:
    session = stage.listens(mode)
    seat = seat_of(stage.house, "sue")
    assert seat.supervisor_role == mode
    assert seat.whisper_call_control_ids == ([token(stage.house, "anna")] if mode == "whisper" else [])
    stage.agrees()
    supervision.stop_supervising(stage.call.pk, stage.request())
    stage.house.advance(2)
    assert stage.ears.after() == [TALK]
    session.refresh_from_db()
    assert (session.state, session.role, session.end_reason) == (State.ENDED, mode, "stopped")
    assert (session.supervisor, session.reason, session.role_changes) == (stage.sue, "coaching", 0)
    assert session.active_at is not None
    assert session.ended_at is not None
    assert session.requested_at < session.active_at < session.ended_at
    stage.agrees()
    assert stage.end().outcome == Call.Outcome.ANSWERED


SWITCHES = [
    ("monitor", "whisper"),
    ("monitor", "barge"),
    ("whisper", "monitor"),
    ("whisper", "barge"),
    ("barge", "monitor"),
    ("barge", "whisper"),
]


def test_every_switch_between_two_roles_is_in_the_table() -> None:
    assert sorted(SWITCHES) == sorted(permutations(MODES, 2))
    assert {*MODES, Mode.TAKEOVER} == set(Mode)


@pytest.mark.parametrize(("first", "then"), SWITCHES)
def test_a_switch_changes_what_is_heard_and_nothing_in_between(stage: Stage, first: str, then: str) -> None:
    session = stage.listens(first)
    stage.ask(then)
    stage.house.work()  # not a moment passes: a switch is one command
    assert stage.ears.after() == [HEARING[then]]
    assert seat_of(stage.house, "sue").supervisor_role == then
    stage.house.advance(2)
    assert stage.ears.after() == []
    stage.agrees()
    session.refresh_from_db()
    assert (session.role, session.role_changes, session.state) == (then, 1, State.ACTIVE)
    assert SupervisionSession.objects.count() == 1
    stage.end()


def test_back_and_forth_through_every_role(stage: Stage) -> None:
    session = stage.listens("monitor")
    tour = ["whisper", "monitor", "barge", "whisper", "barge", "monitor"]
    for mode in tour:
        stage.ask(mode)
        stage.house.advance(1)
        assert stage.ears.after() == [HEARING[mode]]
        stage.agrees()
    session.refresh_from_db()
    assert session.role_changes == len(tour)
    stage.end()


def test_a_role_chosen_anew_while_the_phone_rings_is_the_one_he_joins_with(stage: Stage) -> None:
    stage.ask("barge")
    stage.house.work()
    stage.ask("whisper")
    stage.house.advance(3)
    assert stage.ears.after() == [WHISPERED]
    stage.end()


# take-over ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_a_take_over_hands_the_caller_over_without_a_moment_alone(stage: Stage, mode: str) -> None:
    session = stage.listens(mode)
    stage.take_over()
    assert [each for each in stage.ears.after() if each != BARGED] == [TAKEN_OVER]
    session.refresh_from_db()
    assert (session.role, session.role_changes, session.state) == (Mode.TAKEOVER, 1, State.ACTIVE)
    assert session.took_over_at is not None
    assert seat_of(stage.house, "sue").supervisor_role == "none"
    stage.anna.refresh_from_db()
    assert stage.anna.state == Agent.State.AVAILABLE
    stage.call.refresh_from_db()
    assert stage.call.state == Call.State.CONNECTED
    assert stage.call.entries.count() == 1
    stage.agrees()
    stage.house.advance(30)
    assert stage.ears.after() == []
    assert stage.end().outcome == Call.Outcome.ANSWERED


def test_after_a_take_over_the_agent_has_his_wrap_up(house: h.House) -> None:
    stage = Stage(house, wrap_up_secs=20)
    stage.listens("monitor")
    stage.take_over()
    stage.anna.refresh_from_db()
    assert stage.anna.state == Agent.State.WRAP_UP
    stage.end()


def test_when_the_owner_hangs_up_so_is_the_caller(stage: Stage) -> None:
    session = stage.listens("barge")
    stage.take_over()
    stage.house.hang_up(leg_of(stage.house, "sue"))
    stage.call.refresh_from_db()
    assert (stage.call.state, stage.call.outcome) == (Call.State.CLOSED, Call.Outcome.ANSWERED)
    session.refresh_from_db()
    assert (session.state, session.end_reason) == (State.ENDED, "normal_clearing")
    silence = stage.house.sim("GET", "silence")["callers"][stage.call.leg.call_control_id]
    assert silence <= 1
    stage.end()


def test_an_owner_who_stops_ends_the_call_as_if_he_had_hung_up(stage: Stage) -> None:
    stage.listens("barge")
    stage.take_over()
    supervision.stop_supervising(stage.call.pk, stage.request())
    stage.house.work()
    stage.call.refresh_from_db()
    assert (stage.call.state, stage.call.outcome) == (Call.State.CLOSED, Call.Outcome.ANSWERED)
    stage.end()


def test_a_take_over_from_an_agent_who_holds_brings_the_caller_back(stage: Stage) -> None:
    stage.listens("monitor")
    anna = token(stage.house, "anna")
    stage.house.sim("POST", f"calls/{anna}/hold")
    stage.house.work()
    assert stage.ears.after() == [hearing(sue="caller"), NOBODY]
    assert stage.house.media(stage.call.leg) == ["hold"]
    stage.take_over()
    assert stage.ears.now == TAKEN_OVER
    assert stage.house.media(stage.call.leg) == []
    stage.call.refresh_from_db()
    assert stage.call.state == Call.State.CONNECTED
    stage.agrees()
    stage.end()


def test_an_owner_whose_line_breaks_leaves_the_caller_to_the_next_agent(stage: Stage) -> None:
    stage.house.phone("sip:sue@supervisors.example.com", drop_after_secs=10)
    stage.listens("barge")
    stage.take_over()
    assert stage.ears.now == TAKEN_OVER
    services.log_out(stage.anna.pk, now=stage.house.now)
    stage.house.until(lambda: stage.call.entries.count() == 2)
    stage.house.advance(1)
    first, second = stage.call.entries.order_by("number")
    assert (second.state, second.rank_at) == ("waiting", first.rank_at)
    assert stage.house.media(stage.call.leg) == ["hold"]
    h.agent("ben", stage.support)
    stage.until_connected("ben")
    assert stage.end().outcome == Call.Outcome.ANSWERED


def test_only_one_takes_a_call_over(stage: Stage) -> None:
    stage.listens("monitor")
    tom = h.supervisor("tom")
    stage.ask("monitor", tom)
    stage.house.advance(3)
    stage.take_over()
    with pytest.raises(QueueError) as refusal:
        supervision.take_over(stage.call.pk, stage.request(tom))
    assert refusal.value.code == "taken_over"
    assert stage.ears.now == hearing(caller="sue", sue="caller", tom="caller sue")
    stage.end()


def test_who_takes_over_second_is_told_who_was_first(stage: Stage) -> None:
    """The same click by two people: one of them has the call, the other reads how it stands."""
    tom = h.supervisor("tom")
    for who in (stage.sue, tom):
        stage.ask("monitor", who)
    stage.house.advance(3)
    path = f"/api/v1/conferences/{Participant.objects.present().first().conference_id}/take_over"  # type: ignore[union-attr]
    first, second = (clients.session(who).post(path) for who in (stage.sue, tom))
    assert (first.status_code, second.status_code) == (202, 409)
    assert (second.json()["code"], second.json()["detail"]) == (
        "taken_over",
        "sue has taken this call over already.",
    )
    stage.house.advance(2)
    assert stage.ears.now == hearing(caller="sue", sue="caller", tom="caller sue")
    assert AuditEntry.objects.filter(action="takeover", allowed=False, user=tom).count() == 1
    stage.agrees()
    stage.end()


def test_nobody_takes_over_who_is_not_in_the_conversation(stage: Stage) -> None:
    with pytest.raises(QueueError) as refusal:
        supervision.take_over(stage.call.pk, stage.request())
    assert refusal.value.code == "not_in_conversation"
    stage.ask("monitor")
    with pytest.raises(QueueError) as refusal:
        supervision.take_over(stage.call.pk, stage.request())
    assert refusal.value.code == "not_in_conversation"
    stage.house.advance(3)
    assert stage.ears.now == MONITORED
    stage.end()


@pytest.mark.parametrize("breaks", [False, True], ids=["hangs up", "line breaks"])
def test_an_owner_who_leaves_before_the_agent_has_gone_leaves_the_agent_the_call(stage: Stage, breaks: bool) -> None:
    """His leg and the click cross: the agent stays, and keeps what an agent has."""
    stage.listens("monitor")
    stage.house.sim("PUT", "faults", {"api_5xx": {"share": 1.0, "match": {"operation": "conferences.update"}}})
    supervision.take_over(stage.call.pk, stage.request())
    stage.house.work()
    if breaks:
        drop(stage, "sue")
    else:
        stage.house.hang_up(leg_of(stage.house, "sue"))
    stage.house.sim("PUT", "faults", {})
    stage.house.advance(5)
    assert stage.ears.now == TALK
    assert stage.call.entries.count() == 1
    ben = h.agent("ben", stage.support)
    stage.house.phone(stage.anna.address, on_ring="no_answer")
    drop(stage, "anna")
    stage.until_connected(ben.name)
    stage.house.advance(1)
    assert stage.ears.now == hearing(caller="ben", ben="caller")
    assert stage.call.entries.count() == 2
    stage.end()


# whispering through a change of agents -----------------------------------------------------------------------


def drop(stage: Stage, name: str) -> None:
    """The network takes an agent's leg."""
    world = stage.house.simulator.world
    with world.step():
        endings.hang_up(world, world.legs[token(stage.house, name)], "unspecified")
    stage.house.work()


def test_a_whisper_follows_the_agents(stage: Stage) -> None:
    session = stage.listens("whisper")
    stage.house.phone(stage.anna.address, on_ring="no_answer")
    drop(stage, "anna")
    assert [each for each in stage.ears.after() if each != hearing(sue="caller")] == [NOBODY]
    sue = seat_of(stage.house, "sue")
    assert (sue.supervisor_role, sue.whisper_call_control_ids) == ("monitor", [])
    assert stage.house.media(stage.call.leg) == ["hold"]
    stage.house.advance(1)
    stage.agrees()
    h.agent("ben", stage.support)
    stage.until_connected("ben")
    stage.house.advance(2)
    talk = hearing(caller="ben", ben="caller", sue="caller ben")
    assert stage.ears.now == talk | hearing(ben="caller sue")
    assert all("sue" not in each.get("caller", ()) for each in stage.ears.after())
    sue.refresh_from_db()
    assert (sue.supervisor_role, sue.whisper_call_control_ids) == ("whisper", [token(stage.house, "ben")])
    stage.agrees()
    session.refresh_from_db()
    assert (session.state, session.role, session.role_changes) == (State.ACTIVE, Mode.WHISPER, 0)
    stage.end()


@pytest.mark.parametrize("mode", MODES)
def test_a_listener_stays_while_the_caller_waits_for_the_next_agent(stage: Stage, mode: str) -> None:
    session = stage.listens(mode)
    stage.house.phone(stage.anna.address, on_ring="no_answer")
    drop(stage, "anna")
    stage.house.advance(3)
    assert stage.ears.now == NOBODY
    session.refresh_from_db()
    assert session.state == State.ACTIVE
    h.agent("ben", stage.support)
    stage.until_connected("ben")
    stage.house.advance(2)
    expected = {
        "monitor": hearing(caller="ben", ben="caller", sue="caller ben"),
        "whisper": hearing(caller="ben", ben="caller sue", sue="caller ben"),
        "barge": hearing(caller="ben sue", ben="caller sue", sue="caller ben"),
    }
    assert stage.ears.now == expected[mode]
    stage.agrees()
    stage.end()


def test_asking_to_whisper_while_the_caller_waits_is_only_listening_until_there_is_an_agent(stage: Stage) -> None:
    stage.listens("monitor")
    stage.house.phone(stage.anna.address, on_ring="no_answer")
    drop(stage, "anna")
    stage.house.advance(1)
    stage.ask("whisper")
    stage.house.advance(1)
    assert seat_of(stage.house, "sue").supervisor_role == "monitor"
    h.agent("ben", stage.support)
    stage.until_connected("ben")
    stage.house.advance(2)
    assert stage.ears.now == hearing(caller="ben", ben="caller sue", sue="caller ben")
    stage.end()


def test_a_take_over_while_the_caller_waits_is_refused(stage: Stage) -> None:
    stage.listens("monitor")
    stage.house.phone(stage.anna.address, on_ring="no_answer")
    drop(stage, "anna")
    stage.house.advance(1)
    with pytest.raises(QueueError) as refusal:
        supervision.take_over(stage.call.pk, stage.request())
    assert refusal.value.code == "no_conversation"
    stage.end()


def test_an_agent_who_drops_as_he_is_taken_over_from_leaves_the_caller_to_the_owner(stage: Stage) -> None:
    stage.listens("monitor")
    supervision.take_over(stage.call.pk, stage.request())
    drop(stage, "anna")
    stage.house.advance(15)
    assert stage.ears.now == TAKEN_OVER
    assert stage.call.entries.count() == 1
    stage.end()


def test_whispering_to_no_agent_is_refused(house: h.House) -> None:
    support = h.queue()
    h.agent("anna", support)
    house.phone("sip:anna@agents.example.com", on_ring="no_answer")
    sue = h.supervisor("sue")
    call = house.ring()
    house.until(lambda: call.offers.filter(state=Offer.State.RINGING).exists())
    for mode in MODES:
        with pytest.raises(QueueError) as refusal:
            supervision.supervise(call.pk, mode, h.request(sue, house))
        assert refusal.value.code == "no_conversation"
    house.advance(2)
    assert not Command.objects.filter(kind="dial_supervisor").exists()
    assert AuditEntry.objects.filter(allowed=False, call_id=call.pk).count() == len(MODES)
    house.check()


# unmuting ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["monitor", "whisper"])
def test_unmuting_everyone_never_opens_a_listener(stage: Stage, mode: str) -> None:
    """At Telnyx "everyone" would open his microphone to the caller: we say whom we mean."""
    stage.listens(mode)
    supervision.mute(stage.call.pk, stage.request(), everyone=True)
    stage.house.advance(1)
    stage.agrees()
    supervision.unmute(stage.call.pk, stage.request(), everyone=True)
    stage.house.advance(1)
    assert stage.ears.now == HEARING[mode]
    assert all("sue" not in each.get("caller", ()) for each in stage.ears.after())
    sent = stage.house.sim("GET", "commands")["commands"][-1]
    assert (sent["operation"], sent["effect"]) == ("conferences.unmute", "done")
    stage.agrees()
    stage.end()


def test_a_listener_cannot_be_unmuted_by_name(stage: Stage) -> None:
    for mode in ("monitor", "whisper"):
        stage.listens(mode)
        for ident in (leg_of(stage.house, "sue").pk, seat_of(stage.house, "sue").pk):
            with pytest.raises(QueueError) as refusal:
                supervision.unmute(stage.call.pk, stage.request(), legs=[ident])
            assert refusal.value.code == "supervisor_leg"
    stage.house.advance(1)
    assert stage.ears.now == WHISPERED
    stage.end()


def test_a_listener_whose_join_is_not_settled_yet_cannot_be_unmuted_either(stage: Stage) -> None:
    """Telnyx has told of his joining before it has answered the command that brought him in."""
    stage.house.sim(
        "PUT", "faults", {"api_timeout_after_effect": {"share": 1, "match": {"operation": "conferences.join"}}}
    )
    stage.ask("monitor")
    stage.house.until(lambda: Participant.objects.present().filter(leg__role="supervisor").exists())
    with pytest.raises(QueueError) as refusal:
        supervision.unmute(stage.call.pk, stage.request(), legs=[leg_of(stage.house, "sue").pk])
    assert refusal.value.code == "supervisor_leg"
    stage.house.sim("PUT", "faults", {})
    stage.house.advance(5)
    assert stage.ears.now == MONITORED
    stage.end()


def test_an_unmute_that_comes_too_late_does_not_open_a_listener(stage: Stage) -> None:
    """Asked for while he spoke, sent when he only listens."""
    stage.listens("barge")
    supervision.unmute(stage.call.pk, stage.request(), legs=[leg_of(stage.house, "sue").pk])
    stage.ask("monitor")
    stage.house.advance(2)
    assert stage.ears.after() == [MONITORED]
    assert Command.objects.get(kind="unmute").state == Command.State.CANCELLED
    stage.end()


# ways it ends ------------------------------------------------------------------------------------------------


def test_a_supervisor_whose_caller_goes_back_into_line_is_not_left_alone(stage: Stage) -> None:
    session = stage.listens("monitor")
    services.go_not_ready(stage.anna.pk, "break", now=stage.house.now)
    supervision.leave(stage.call.pk, stage.request(h.supervisor("boss")), then="requeue")
    stage.house.advance(11)
    stage.house.check()
    session.refresh_from_db()
    assert (session.state, session.end_reason) == (State.ENDED, "conversation_over")
    stage.call.refresh_from_db()
    assert stage.call.state == Call.State.QUEUED
    stage.end()


def test_a_supervisor_whose_caller_goes_to_the_next_agent_listens_on(stage: Stage) -> None:
    session = stage.listens("monitor")
    services.go_not_ready(stage.anna.pk, "break", now=stage.house.now)
    h.agent("ben", stage.support)
    supervision.leave(stage.call.pk, stage.request(h.supervisor("boss")), then="requeue")
    stage.until_connected("ben")
    stage.house.advance(11)
    session.refresh_from_db()
    assert (session.state, session.expires_at) == (State.ACTIVE, None)
    assert stage.ears.now == hearing(caller="ben", ben="caller", sue="caller ben")
    stage.agrees()


@pytest.mark.parametrize("mode", MODES)
def test_a_supervisor_who_hangs_up_leaves_the_conversation_as_it_was(stage: Stage, mode: str) -> None:
    session = stage.listens(mode)
    stage.house.hang_up(leg_of(stage.house, "sue"))
    stage.house.advance(2)
    assert stage.ears.after() == [TALK]
    session.refresh_from_db()
    assert (session.state, session.end_reason) == (State.ENDED, "normal_clearing")
    stage.agrees()
    again = stage.listens(mode)
    assert again.pk != session.pk
    stage.end()


@pytest.mark.parametrize(
    ("phone", "reason"),
    [
        ({"on_ring": "no_answer"}, "no_answer"),
        ({"on_ring": "busy"}, "user_busy"),
        ({"on_ring": "decline"}, "call_rejected"),
        ({"on_ring": "unreachable"}, "unspecified"),
    ],
)
def test_a_supervisor_who_does_not_answer(stage: Stage, phone: dict[str, str], reason: str) -> None:
    stage.house.phone("sip:sue@supervisors.example.com", **phone)
    session = stage.ask("whisper")
    stage.house.advance(30)
    session.refresh_from_db()
    assert (session.state, session.end_reason, session.active_at) == (State.ENDED, reason, None)
    assert stage.ears.after() == []
    stage.end()


@pytest.mark.parametrize("mode", MODES)
def test_a_caller_who_hangs_up_takes_the_supervisor_along(stage: Stage, mode: str) -> None:
    session = stage.listens(mode)
    stage.house.hang_up(stage.call.leg)
    assert stage.ears.now == NOBODY
    session.refresh_from_db()
    assert (session.state, session.end_reason) == (State.ENDED, "call_over")
    assert stage.end().outcome == Call.Outcome.ANSWERED
    session.refresh_from_db()
    assert session.end_reason == "call_over"


MOBILE = "+447700900777"


@pytest.mark.parametrize("mode", MODES)
def test_a_supervisors_voicemail_hears_nothing(stage: Stage, mode: str) -> None:
    """It answers too; without a key pressed nobody is joined."""
    SupervisorPhone.objects.filter(user=stage.sue).update(address=MOBILE)
    stage.house.phone(MOBILE, on_ring="voicemail", after_secs=2)
    session = stage.ask(mode)
    stage.house.advance(20)
    session.refresh_from_db()
    assert (session.state, session.end_reason, session.active_at) == (State.ENDED, "not_confirmed", None)
    assert stage.ears.after() == []
    assert not Participant.objects.filter(leg=session.leg).exists()
    stage.end()


def test_a_supervisor_on_a_mobile_presses_the_key_and_listens(stage: Stage) -> None:
    SupervisorPhone.objects.filter(user=stage.sue).update(address=MOBILE)
    stage.house.phone(MOBILE, on_ring="answer", after_secs=1, dtmf="1")
    session = stage.ask("monitor")
    stage.house.until(lambda: SupervisionSession.objects.filter(pk=session.pk, state=State.ACTIVE).exists())
    assert stage.ears.now == TALK | hearing(**{MOBILE: "caller anna"})
    stage.end()


def test_a_supervisors_leg_that_is_heard_of_after_the_stop_is_hung_up(stage: Stage) -> None:
    """The dial rings him though nobody answered us; he stops; only then do we hear of his leg."""
    stage.house.phone("sip:sue@supervisors.example.com", on_ring="no_answer")
    gate = stage.house.sim("POST", "gates", {"event_type": "call.initiated"})["id"]
    stage.house.sim("PUT", "faults", {"api_timeout_after_effect": {"share": 1.0, "match": {"operation": "calls.dial"}}})
    session = stage.ask("monitor")
    stage.house.work()
    supervision.stop_supervising(stage.call.pk, stage.request())
    stage.house.work()
    session.refresh_from_db()
    assert (session.state, session.leg) == (State.ENDED, None)
    stage.house.sim("PUT", "faults", {})
    stage.house.sim("DELETE", f"gates/{gate}")
    stage.house.advance(1)
    assert leg_of(stage.house, "sue").hangup_at is not None
    stage.end()


def test_a_caller_who_hangs_up_while_the_supervisor_rings_or_joins(stage: Stage) -> None:
    session = stage.ask("whisper")
    stage.house.work()
    stage.house.hang_up(stage.call.leg)
    stage.end()
    session.refresh_from_db()
    assert (session.state, session.end_reason, session.active_at) == (State.ENDED, "call_over", None)


def test_a_supervisor_who_answers_as_the_caller_hangs_up_is_alone_with_nobody(stage: Stage) -> None:
    gate = stage.house.sim("POST", "gates", {"event_type": "call.answered"})["id"]
    session = stage.ask("barge")
    stage.house.advance(2)
    stage.house.hang_up(stage.call.leg)
    stage.house.sim("DELETE", f"gates/{gate}")
    stage.end()
    session.refresh_from_db()
    assert (session.state, session.end_reason) == (State.ENDED, "call_over")


@pytest.mark.parametrize("mode", MODES)
def test_when_the_agent_ends_the_call_the_supervisor_goes_too(stage: Stage, mode: str) -> None:
    session = stage.listens(mode)
    stage.house.hang_up(leg_of(stage.house, "anna"))
    session.refresh_from_db()
    assert (session.state, session.end_reason) == (State.ENDED, "call_over")
    assert stage.end().outcome == Call.Outcome.ANSWERED


def test_stopping_while_the_phone_rings_stops_the_ringing(stage: Stage) -> None:
    stage.house.phone("sip:sue@supervisors.example.com", on_ring="no_answer")
    session = stage.ask("monitor")
    stage.house.advance(2)
    supervision.stop_supervising(stage.call.pk, stage.request())
    stage.house.work()
    session.refresh_from_db()
    assert (session.state, session.end_reason) == (State.ENDED, "stopped")
    assert leg_of(stage.house, "sue").hangup_at is not None
    stage.end()


# rights ------------------------------------------------------------------------------------------------------


def test_a_right_removed_between_click_and_dial_cancels_the_dial(stage: Stage) -> None:
    session = stage.ask("monitor")
    stage.sue.user_permissions.clear()
    stage.house.advance(3)
    assert Command.objects.get(kind="dial_supervisor").state == Command.State.CANCELLED
    session.refresh_from_db()
    assert (session.state, session.end_reason) == (State.ENDED, "refused:cancelled")
    assert stage.ears.after() == []
    assert all(leg["to"] != "sip:sue@supervisors.example.com" for leg in stage.house.sim("GET", "state")["legs"])
    stage.end()


def test_a_right_removed_between_answer_and_join_cancels_the_join_and_hangs_up(stage: Stage) -> None:
    gate = stage.house.sim("POST", "gates", {"event_type": "call.answered"})["id"]
    session = stage.ask("monitor")
    stage.house.advance(2)
    stage.house.sim("DELETE", f"gates/{gate}")
    stage.house.simulator.drain()
    for event in WebhookEvent.objects.filter(status=WebhookEvent.Status.NEW):
        inbox.apply(event.pk, now=stage.house.now)
    stage.sue.user_permissions.clear()
    stage.house.work()
    assert Command.objects.get(kind="join_supervisor").state == Command.State.CANCELLED
    session.refresh_from_db()
    assert (session.state, session.end_reason) == (State.ENDED, "refused:cancelled")
    assert leg_of(stage.house, "sue").hangup_at is not None
    assert stage.ears.after() == []
    stage.end()


def test_a_right_removed_while_the_phone_rings_stops_the_ringing(stage: Stage) -> None:
    stage.house.phone("sip:sue@supervisors.example.com", on_ring="no_answer")
    session = stage.ask("monitor")
    stage.house.advance(2)
    stage.sue.user_permissions.clear()
    stage.house.advance(5)
    session.refresh_from_db()
    assert (session.state, session.end_reason) == (State.ENDED, "not_allowed")
    assert leg_of(stage.house, "sue").hangup_at is not None
    stage.end()


def test_a_right_removed_before_a_switch_is_sent_ends_the_session(stage: Stage) -> None:
    session = stage.listens("whisper")
    stage.ask("barge")
    stage.sue.user_permissions.remove(*stage.sue.user_permissions.filter(codename="barge_conference"))
    stage.house.advance(2)
    assert stage.ears.after() == [TALK]
    session.refresh_from_db()
    assert (session.state, session.end_reason) == (State.ENDED, "refused:cancelled")
    assert leg_of(stage.house, "sue").hangup_at is not None
    stage.end()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("how", ["permission", "inactive"])
def test_a_right_removed_while_he_listens_ends_the_session_within_five_seconds(
    stage: Stage, mode: str, how: str
) -> None:
    session = stage.listens(mode)
    if how == "permission":
        stage.sue.user_permissions.remove(*stage.sue.user_permissions.filter(codename=f"{mode}_conference"))
    else:
        User.objects.filter(pk=stage.sue.pk).update(is_active=False)
    stage.house.advance(5)
    assert stage.ears.after() == [TALK]
    session.refresh_from_db()
    assert (session.state, session.end_reason) == (State.ENDED, "not_allowed")
    stage.end()


@pytest.mark.parametrize("mode", MODES)
def test_each_mode_needs_its_own_right(stage: Stage, mode: str) -> None:
    others = [f"{each}" for each in (*MODES, "take_over") if each != mode]
    tom = h.supervisor("tom", *others)
    with pytest.raises(NotAllowed) as refusal:
        stage.ask(mode, tom)
    assert refusal.value.code == "permission_denied"
    audit = AuditEntry.objects.get(user=tom)
    assert (audit.action, audit.allowed, audit.call_id, audit.detail) == (
        mode,
        False,
        stage.call.pk,
        {"code": "permission_denied"},
    )
    stage.house.advance(3)
    assert stage.ears.after() == []
    stage.end()


def test_a_switch_without_the_right_changes_nothing(stage: Stage) -> None:
    tom = h.supervisor("tom", "monitor")
    session = stage.ask("monitor", tom)
    stage.house.advance(3)
    listening = TALK | hearing(tom="caller anna")
    assert stage.ears.after() == [listening]
    for attempt in ("whisper", "barge"):
        with pytest.raises(NotAllowed):
            stage.ask(attempt, tom)
    with pytest.raises(NotAllowed):
        supervision.take_over(stage.call.pk, stage.request(tom))
    stage.house.advance(2)
    assert stage.ears.after() == []
    session.refresh_from_db()
    assert (session.role, session.role_changes, session.state) == ("monitor", 0, State.ACTIVE)
    stage.end()


def test_a_key_never_listens(stage: Stage) -> None:
    key = dataclasses.replace(stage.request(), actor=supervision.Actor(name="key:abcd1234"))
    acts: list[Callable[[], object]] = [partial(supervision.supervise, stage.call.pk, mode, key) for mode in MODES]
    acts += [partial(verb, stage.call.pk, key) for verb in (supervision.take_over, supervision.stop_supervising)]
    for act in acts:
        with pytest.raises(NotAllowed) as refusal:
            act()
        assert refusal.value.code == "user_required"
    stage.house.advance(3)
    assert stage.ears.after() == []
    assert not SupervisionSession.objects.exists()
    denied = AuditEntry.objects.filter(actor="key:abcd1234", allowed=False, user=None)
    assert set(denied.values_list("action", flat=True)) == {*MODES, "takeover", "stop"}
    stage.end()


def test_what_was_done_and_by_whom_is_kept(stage: Stage) -> None:
    stage.listens("monitor")
    stage.ask("whisper")
    stage.house.advance(1)
    stage.take_over()
    supervision.stop_supervising(stage.call.pk, stage.request())
    stage.house.advance(1)
    kept = AuditEntry.objects.filter(call_id=stage.call.pk).order_by("at")
    assert [(each.action, each.allowed, each.user, each.actor, each.reason) for each in kept] == [
        (action, True, stage.sue, "sue", "coaching") for action in ("monitor", "whisper", "takeover", "stop")
    ]
    stage.end()


# two at once, and twice the same -----------------------------------------------------------------------------


@pytest.mark.parametrize("one", MODES)
@pytest.mark.parametrize("other", MODES)
def test_two_supervisors_at_once(stage: Stage, one: str, other: str) -> None:
    """A listener hears who speaks to all, never another's whisper."""
    stage.listens(one)
    tom = h.supervisor("tom")
    stage.ask(other, tom)
    stage.house.advance(3)
    expected = {name: set(speakers) for name, speakers in HEARING[one].items()} | hearing(tom="caller anna")
    if other != "monitor":
        expected["anna"].add("tom")
    if other == "barge":
        expected["caller"].add("tom")
        expected["sue"].add("tom")
    if one == "barge":
        expected["tom"].add("sue")
    assert stage.ears.after() == [expected]
    stage.agrees()
    assert SupervisionSession.objects.filter(state=State.ACTIVE).count() == 2
    stage.end()


@pytest.mark.parametrize("mode", MODES)
def test_the_same_click_twice_rings_once(stage: Stage, mode: str) -> None:
    click = stage.request()
    first = supervision.supervise(stage.call.pk, mode, click)
    assert supervision.supervise(stage.call.pk, mode, click) == first
    stage.house.advance(3)
    assert supervision.supervise(stage.call.pk, mode, click) == first
    stage.house.advance(1)
    assert stage.ears.after() == [HEARING[mode]]
    assert Command.objects.filter(kind="dial_supervisor").count() == 1
    assert not Command.objects.filter(kind="set_supervisor_role").exists()
    stage.end()


def test_a_click_that_is_repeated_late_does_not_take_a_later_one_back(stage: Stage) -> None:
    click = stage.request()
    session = supervision.supervise(stage.call.pk, "monitor", click)
    stage.house.advance(3)
    stage.ask("whisper")
    stage.house.advance(1)
    assert stage.ears.after() == [MONITORED, WHISPERED]
    assert supervision.supervise(stage.call.pk, "monitor", click) == session
    stage.house.advance(1)
    assert stage.ears.after() == []
    stop = stage.request()
    supervision.stop_supervising(stage.call.pk, stop)
    stage.house.advance(1)
    assert supervision.supervise(stage.call.pk, "monitor", click) == session
    assert supervision.stop_supervising(stage.call.pk, stop) == session
    stage.house.advance(3)
    assert stage.ears.after() == [TALK]
    stage.end()


def test_the_same_take_over_twice_is_one(stage: Stage) -> None:
    session = stage.listens("monitor")
    click = stage.request()
    supervision.take_over(stage.call.pk, click)
    assert supervision.take_over(stage.call.pk, click) == session
    stage.house.advance(1)
    assert supervision.take_over(stage.call.pk, click) == session
    session.refresh_from_db()
    assert session.role_changes == 1
    assert stage.ears.now == TAKEN_OVER
    stage.end()


# one phone ---------------------------------------------------------------------------------------------------


def refusal(stage: Stage, call: Call) -> QueueError:
    with pytest.raises(QueueError) as refused:
        supervision.supervise(call.pk, "monitor", stage.request())
    assert not SupervisionSession.objects.filter(call_id=call.pk).exists()
    return refused.value


def second_call(stage: Stage) -> Call:
    h.agent("ben", stage.support)
    call = stage.house.ring(from_="+447700900222")
    stage.house.until(call.offers.filter(state=Offer.State.CONNECTED).exists)
    return call


def test_a_supervisor_is_on_one_call_at_a_time(stage: Stage) -> None:
    """A phone that rings while it is on a call is a listener who drops out of one of the two."""
    other = second_call(stage)
    stage.ask("whisper")
    stage.house.advance(3)
    refused = refusal(stage, other)
    assert (refused.status, refused.code) == (409, "on_another_call")
    assert refused.detail == f"You are on the call of {stage.call.from_number} already; stop there first, or hang up."
    supervision.stop_supervising(stage.call.pk, stage.request())
    refused = refusal(stage, other)
    assert (refused.status, refused.code) == (409, "phone_busy")  # it is just being hung up
    stage.house.advance(2)
    supervision.supervise(other.pk, "monitor", stage.request())
    stage.house.advance(3)
    [session] = SupervisionSession.objects.filter(state=State.ACTIVE)
    assert session.call_id == other.pk
    stage.house.hang_up(other.leg)
    stage.end()


def test_a_supervisors_phone_of_whose_end_nothing_is_ever_heard_rings_again_after_half_a_minute(stage: Stage) -> None:
    other = second_call(stage)
    stage.ask("monitor")
    stage.house.advance(3)
    leg = SupervisionSession.objects.get().leg
    assert leg is not None
    gate = stage.house.sim("POST", "gates", {"event_type": "call.hangup", "leg": leg.call_control_id})["id"]
    supervision.stop_supervising(stage.call.pk, stage.request())
    stage.house.advance(28)
    assert refusal(stage, other).code == "phone_busy"
    stage.house.advance(3)
    supervision.supervise(other.pk, "monitor", stage.request())
    stage.house.sim("DELETE", f"gates/{gate}")
    stage.house.hang_up(other.leg)
    stage.end()


def test_a_supervisors_phone_that_a_lost_dial_may_ring_is_let_be(stage: Stage) -> None:
    """For as long as an agent's: its sending is given up after 20 s, and the leg has 10 s to be told of and hung up."""
    other = second_call(stage)
    stage.house.simulator.faults.replace({"api_timeout": 1.0})
    stage.ask("monitor")
    stage.house.advance(1)
    supervision.stop_supervising(stage.call.pk, stage.request())
    stage.house.advance(1)
    assert SupervisionSession.objects.get().state == State.ENDED
    assert refusal(stage, other).code == "phone_busy"
    stage.house.simulator.faults.replace({})
    stage.house.advance(30)
    supervision.supervise(other.pk, "monitor", stage.request())
    stage.house.advance(3)
    assert SupervisionSession.objects.filter(call_id=other.pk, state=State.ACTIVE).exists()
    stage.house.hang_up(other.leg)
    stage.end()


# what Telnyx makes of it -------------------------------------------------------------------------------------


def test_a_role_that_telnyx_refuses_ends_the_session(stage: Stage) -> None:
    """Nobody may rely on it: the supervisor's leg goes."""
    session = stage.listens("barge")
    sue = leg_of(stage.house, "sue")
    world = stage.house.simulator.world
    with world.step():
        endings.leave_conference(world, world.legs[sue.call_control_id])
    stage.ask("whisper")
    stage.house.advance(2)
    session.refresh_from_db()
    assert session.state == State.ENDED
    assert stage.ears.now == TALK
    sue.refresh_from_db()
    assert sue.hangup_at is not None
    stage.end()


def test_a_whisper_that_reached_others_than_agents_is_cut(stage: Stage) -> None:
    """Read back after every role: what Telnyx lists is believed more than what it answered."""
    stage.listens("monitor")
    caller = stage.call.leg.call_control_id
    world = stage.house.simulator.world

    def misheard() -> None:
        seat = world.legs[token(stage.house, "sue")].participant
        if seat is not None and seat.supervisor_role == "whisper":
            seat.whisper_call_control_ids = [caller]

    stage.house.watch(misheard)
    session = stage.ask("whisper")
    stage.house.work()
    session.refresh_from_db()
    assert (session.state, session.end_reason) == (State.ENDED, "whisper_mismatch")
    assert stage.ears.now == TALK
    stage.end()
