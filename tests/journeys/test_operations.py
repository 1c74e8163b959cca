"""Every operation of a conversation, asked for over our own API, as far as the ear and back.

The command leaves through the real stack, the simulator's truth changes, the event comes back signed, and our
mirror says the same as the truth.
"""

from collections.abc import Iterable
from typing import Any

import pytest
from rest_framework.test import APIClient

from conferences import services as mirror
from conferences.models import CallLeg, Conference, Participant, Recording, Role
from queues import supervision
from queues.models import Call, Number, Offer, Queue, QueueEntry, SupervisorPhone
from tests.callcenter import clients
from tests.journeys import house as h
from tests.journeys.mirror import agrees
from webhooks.models import Command, WebhookEvent

pytestmark = pytest.mark.django_db(transaction=True)

EVERYONE = {"everyone": True}
FILE = "https://media.example.com/file.mp3?secs=4"


class Talk:
    """A caller talks with anna; a program of ours holds a key."""

    def __init__(self, house: h.House) -> None:
        self.house = house
        self.queue = h.queue(
            record=Queue.Record.ON_DEMAND, closing_text="All our lines are busy. Please call again later."
        )
        self.anna = h.agent("anna", self.queue)
        self.call = house.ring()
        house.until(lambda: Offer.objects.filter(state=Offer.State.CONNECTED).exists())
        house.advance(1)
        self.conference = Conference.objects.get()
        self.caller = self.call.leg
        self.agent: CallLeg = h.only_offer(self.call).leg  # type: ignore[assignment]
        self.client = clients.key()

    def ask(self, verb: str, words: Any = None, *, client: APIClient | None = None) -> Command:
        """Ask over the API and let the house work; returns the command, which must have been done."""
        path = f"/api/v1/conferences/{self.conference.pk}/{verb}"
        answer = (client or self.client).post(path, words or {})
        assert answer.status_code == 202, answer.json()
        self.house.work()
        command = Command.objects.get(command_id=answer.json()["command"])
        assert command.state == Command.State.ACCEPTED, command.error
        assert self.client.get(f"/api/v1/commands/{command.command_id}").json()["state"] == "accepted"
        return command

    def seat(self, leg: CallLeg) -> Any:
        """A participant as the API shows him."""
        seats = self.client.get(f"/api/v1/conferences/{self.conference.pk}/participants").json()["results"]
        return next(seat for seat in seats if seat["leg"] == str(leg.pk))

    def truth(self, leg: CallLeg) -> Any:
        """The same participant as the simulator knows him."""
        conferences = self.house.ask("GET", "state")["conferences"]
        seats = [seat for conference in conferences for seat in conference["participants"]]
        return next(seat for seat in seats if seat["call_control_id"] == leg.call_control_id)

    def agrees(self) -> None:
        agrees(self.house)
        self.house.check()


@pytest.fixture
def talk(house: h.House) -> Talk:
    return Talk(house)


def came(*event_types: str) -> None:
    """These events came signed and have been applied."""
    done = set(WebhookEvent.objects.filter(status=WebhookEvent.Status.DONE).values_list("event_type", flat=True))
    assert set(event_types) <= done


def events(*event_types: str) -> int:
    return WebhookEvent.objects.filter(event_type__in=event_types, status=WebhookEvent.Status.DONE).count()


def who(*legs: CallLeg) -> dict[str, Any]:
    return {"participants": [str(leg.pk) for leg in legs]}


# who is in ---------------------------------------------------------------------------------------------------


def test_list_and_retrieve(talk: Talk) -> None:
    page = talk.client.get(f"/api/v1/conferences?call={talk.call.pk}&status=in_progress").json()
    (seen,) = page["results"]
    assert seen == talk.client.get(f"/api/v1/conferences/{talk.conference.pk}").json()
    assert seen["call"] == str(talk.call.pk)
    seats = talk.client.get(f"/api/v1/conferences/{talk.conference.pk}/participants").json()
    assert {seat["role"]: seat["is_present"] for seat in seats["results"]} == {"customer": True, "agent": True}
    came("conference.created", "conference.participant.joined", "call.enqueued", "call.dequeued")
    talk.agrees()


def test_join(talk: Talk) -> None:
    """An expert whose phone belongs to the call; how he is dialled is a later issue's."""
    expert = talk.house.client.calls.dial(
        connection_id=talk.caller.connection_id, to="sip:expert@example.com", from_=h.NUMBER, command_id="expert"
    )
    talk.house.advance(2)
    leg = CallLeg.objects.get(call_control_id=expert.call_control_id)
    mirror.assign_leg(leg, call_id=talk.call.pk, role=Role.EXTERNAL)
    before = events("conference.participant.joined")
    talk.ask("join", {"leg": str(leg.pk)})
    assert events("conference.participant.joined") == before + 1
    assert talk.seat(leg)["is_present"]
    assert talk.house.hears(talk.caller) == {talk.agent.call_control_id, leg.call_control_id}
    talk.agrees()


def test_leave_for_the_line(talk: Talk) -> None:
    said = talk.client.post(f"/api/v1/agents/{talk.anna.pk}/state", {"state": "not_ready", "reason": "break"})
    assert said.json()["pending_state"] == "not_ready"
    talk.ask("leave", {"then": "requeue"})
    came("conference.participant.left")
    talk.house.advance(5)
    assert not talk.seat(talk.caller)["is_present"]
    assert talk.house.media(talk.caller) == ["playback"]
    first, second = talk.call.entries.order_by("number")
    assert (second.state, second.rank_at) == (QueueEntry.State.WAITING, first.rank_at)
    seen = talk.client.get(f"/api/v1/agents/{talk.anna.pk}").json()
    assert (seen["state"], seen["reason"]) == ("not_ready", "break")
    came("conference.ended")
    talk.agrees()


def test_leave_that_is_not_done_leaves_him_talking_and_in_no_line(talk: Talk) -> None:
    """The right to ask for it is gone before it is sent; nobody else may be rung for him."""
    ben, boss = h.agent("ben", talk.queue), h.supervisor("boss")
    supervision.leave(talk.call.pk, h.request(boss, talk.house), then="requeue")
    assert talk.call.entries.count() == 2
    boss.user_permissions.clear()
    talk.house.advance(3)
    assert Command.objects.get(kind="leave").state == Command.State.CANCELLED
    assert talk.call.entries.count() == 1
    assert not talk.call.offers.filter(agent=ben).exists()
    assert talk.house.hears(talk.caller) == {talk.agent.call_control_id}
    talk.agrees()


def test_leave_with_a_word(talk: Talk) -> None:
    talk.ask("leave", {"then": "speak_and_hangup"})
    came("conference.participant.left")
    assert not talk.seat(talk.caller)["is_present"]
    assert talk.house.media(talk.caller) == ["speak"]
    talk.house.advance(10)
    assert Call.objects.get().is_over
    talk.agrees()


def test_leave_without_a_word(talk: Talk) -> None:
    """The hang-up overtakes the leaving."""
    path = f"/api/v1/conferences/{talk.conference.pk}/leave"
    assert talk.client.post(path, {"then": "hangup"}).status_code == 202
    talk.house.advance(5)
    came("conference.participant.left", "conference.ended")
    assert Call.objects.get().is_over
    talk.agrees()


def test_remove(talk: Talk) -> None:
    answer = talk.client.post(
        f"/api/v1/conferences/{talk.conference.pk}/remove", {"participant": talk.seat(talk.agent)["id"]}
    )
    assert answer.status_code == 202
    talk.house.advance(5)
    assert CallLeg.objects.get(pk=talk.agent.pk).hangup_at is not None
    assert Call.objects.get().is_over  # as if the agent had hung up
    talk.agrees()


def test_end(talk: Talk) -> None:
    talk.ask("end")
    came("conference.ended", "call.hangup")
    talk.house.advance(2)
    assert Call.objects.get().is_over
    assert Conference.objects.get().end_reason
    talk.agrees()


# who hears ---------------------------------------------------------------------------------------------------


def test_hold_and_unhold(talk: Talk) -> None:
    talk.ask("hold", who(talk.caller))
    assert (talk.seat(talk.caller)["on_hold"], talk.truth(talk.caller)["on_hold"]) == (True, True)
    assert talk.house.media(talk.caller) == ["hold"]
    assert talk.house.hears(talk.agent) == set()
    assert Call.objects.get().state == Call.State.ON_HOLD
    talk.agrees()
    talk.ask("unhold", who(talk.caller))
    assert (talk.seat(talk.caller)["on_hold"], talk.truth(talk.caller)["on_hold"]) == (False, False)
    assert talk.house.hears(talk.agent) == {talk.caller.call_control_id}
    talk.agrees()


def test_hold_unhold_hold_is_three_things(talk: Talk) -> None:
    for verb in ("hold", "unhold", "hold"):
        talk.ask(verb, EVERYONE)
    assert talk.truth(talk.caller)["on_hold"]
    assert talk.truth(talk.agent)["on_hold"]
    talk.agrees()


def test_mute_and_unmute(talk: Talk) -> None:
    talk.ask("mute", who(talk.agent))
    assert (talk.seat(talk.agent)["muted"], talk.truth(talk.agent)["muted"]) == (True, True)
    assert talk.house.hears(talk.caller) == set()
    talk.agrees()
    talk.ask("unmute", who(talk.agent))
    assert (talk.seat(talk.agent)["muted"], talk.truth(talk.agent)["muted"]) == (False, False)
    assert talk.house.hears(talk.caller) == {talk.agent.call_control_id}
    talk.agrees()


# sound -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "words", "kind"),
    [("play", {"audio_url": FILE}, "playback"), ("speak", {"text": "You have four minutes left."}, "speak")],
)
@pytest.mark.parametrize("to", ["everyone", "the agent"])
def test_play_and_speak(talk: Talk, verb: str, words: dict[str, Any], kind: str, to: str) -> None:
    everyone = to == "everyone"
    family = f"conference.{kind}" if everyone else f"conference.participant.{kind}"
    talk.ask(verb, words | (EVERYONE if everyone else who(talk.agent)))
    assert kind in talk.house.media(talk.agent)
    assert (kind in talk.house.media(talk.caller)) == everyone
    came(f"{family}.started")
    talk.house.advance(10)
    came(f"{family}.ended")
    assert talk.house.media(talk.agent) == []
    row: Any = Conference.objects.get() if everyone else Participant.objects.get(leg=talk.agent)
    field = {"playback": "playback", "speak": "speak"}[kind]
    assert getattr(row, f"{field}_started_at") < getattr(row, f"{field}_ended_at")
    talk.agrees()


@pytest.mark.parametrize("to", ["everyone", "the agent"])
def test_stop(talk: Talk, to: str) -> None:
    whom = EVERYONE if to == "everyone" else who(talk.agent)
    talk.ask("play", {"audio_url": "https://media.example.com/long.mp3?secs=600"} | whom)
    talk.house.advance(1)
    assert talk.house.media(talk.agent) == ["playback"]
    talk.ask("stop", whom)
    assert talk.house.media(talk.agent) == []
    came("conference.playback.ended" if to == "everyone" else "conference.participant.playback.ended")
    talk.agrees()


def test_who_speaks(talk: Talk) -> None:
    """The floor is theirs to take: it is asked of nobody."""
    for leg in (talk.caller, talk.agent):
        talk.house.sim("POST", f"calls/{leg.call_control_id}/talk", {"secs": 1})
        talk.house.advance(1.5)
        assert talk.client.get(f"/api/v1/conferences/{talk.conference.pk}").json()["floor"] == str(leg.pk)
    came("conference.floor.changed")
    talk.agrees()


def test_a_recording_is_started_paused_resumed_and_stopped(talk: Talk) -> None:
    def state() -> tuple[str, Iterable[str]]:
        ours = talk.client.get(f"/api/v1/conferences/{talk.conference.pk}").json()["recording_state"]
        return ours, [recording["status"] for recording in talk.house.ask("GET", "state")["recordings"]]

    for verb, ours, truth in (
        ("record_start", "recording", "recording"),
        ("record_pause", "paused", "paused"),
        ("record_resume", "recording", "recording"),
        ("record_stop", "off", "completed"),
    ):
        talk.ask(verb)
        assert state() == (ours, [truth])
        talk.agrees()
        talk.house.advance(2)
    came("conference.recording.saved")
    (seen,) = talk.client.get(f"/api/v1/recordings?call={talk.call.pk}").json()["results"]
    assert (seen["channels"], seen["conference"]) == ("dual", str(talk.conference.pk))
    assert Recording.objects.get().conference == talk.conference
    talk.agrees()


def test_a_recording_ends_with_its_conference(talk: Talk) -> None:
    """Nobody announces it: no event and no command of ours."""
    talk.ask("record_start")
    talk.house.advance(2)
    talk.house.hang_up(talk.caller)
    talk.house.advance(2)
    assert talk.client.get(f"/api/v1/conferences/{talk.conference.pk}").json()["recording_state"] == "off"
    came("conference.recording.saved")
    talk.agrees()


# waiting -----------------------------------------------------------------------------------------------------


@pytest.fixture
def waiting(house: h.House) -> Call:
    h.queue()
    call = house.ring()
    house.until(lambda: QueueEntry.objects.filter(call=call).exists())
    house.advance(1)
    return call


def test_enqueue_elsewhere(house: h.House, waiting: Call) -> None:
    sales = h.queue("sales", number=None)
    answer = clients.key("calls:write").post(f"/api/v1/calls/{waiting.pk}/enqueue", {"queue": str(sales.pk)})
    assert answer.status_code == 202
    house.advance(2)
    old, new = waiting.entries.order_by("number")
    assert (old.end_reason, old.dequeue_reason, new.queue) == ("moved", "leave", sales)
    assert new.telnyx_enqueued_at is not None
    assert events("call.enqueued") == 2
    assert events("call.dequeued") == 1
    assert house.media(waiting.leg) == ["playback"]
    agrees(house)
    house.check()


def test_set_priority(house: h.House, waiting: Call) -> None:
    """The number that was called says how urgent a call is, and somebody may say otherwise: the most urgent is first,
    also when his agent is lost.
    """
    support = Queue.objects.get()
    Number.objects.create(number="+442071838751", queue=support, priority=2)
    urgent = house.ring(to="+442071838751", talk_secs=5)
    last = house.ring()
    house.until(lambda: QueueEntry.objects.count() == 3)
    answer = clients.key("calls:write").post(f"/api/v1/calls/{last.pk}/set_priority", {"priority": 5})
    assert (answer.status_code, answer.json()["command"]) == (202, None)
    anna = h.agent("anna", support)
    house.phone(anna.address, drop_after_secs=5)
    house.until(lambda: last.entries.count() == 2, within=60)
    assert list(Offer.objects.values_list("call", flat=True)) == [last.pk]
    h.agent("ben", support)
    house.until(urgent.offers.exists, within=60)
    offered = Offer.objects.order_by("offered_at").values_list("call", flat=True)
    assert list(dict.fromkeys(offered)) == [last.pk, urgent.pk]
    assert [entry.priority for call in (waiting, urgent, last) for entry in call.entries.all()] == [0, 2, 5, 5]
    assert list(Call.objects.order_by("arrived_at").values_list("priority", flat=True)) == [0, 2, 5]
    house.check()


@pytest.mark.parametrize("then", ["requeue", "speak_and_hangup", "hangup"])
def test_leave_queue(house: h.House, waiting: Call, then: str) -> None:
    answer = clients.key("calls:write").post(f"/api/v1/calls/{waiting.pk}/leave_queue", {"then": then})
    assert answer.status_code == 202
    house.advance(1)
    came("call.dequeued")
    assert waiting.entries.order_by("number")[0].telnyx_dequeued_at is not None
    if then == "requeue":
        assert house.media(waiting.leg) == ["playback"]
        assert waiting.entries.count() == 2
    else:
        house.advance(10)
        waiting.refresh_from_db()
        assert (waiting.is_over, waiting.outcome) == (True, Call.Outcome.FLOW_OUT)
    agrees(house)
    house.check()


# a supervisor ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("then", ["speak_and_hangup", "hangup"])
def test_who_is_taken_out_of_the_line_is_offered_to_nobody_any_more(house: h.House, then: str) -> None:
    """An agent's phone is ringing for him: it stops."""
    anna = h.agent("anna", h.queue(closing_text="Please call again later."))
    house.phone(anna.address, on_ring="no_answer")
    call = house.ring()
    house.until(lambda: call.offers.filter(state=Offer.State.RINGING).exists())
    supervision.leave_queue(call.pk, h.request(h.supervisor("boss"), house), then=then)
    house.work()
    offer = h.only_offer(call)
    assert not offer.is_live
    assert offer.leg.hangup_at is not None  # type: ignore[union-attr]
    anna.refresh_from_db()
    assert anna.state == "available"
    house.until(lambda: Call.objects.filter(pk=call.pk, ended_at__isnull=False).exists())
    house.check()


def test_a_supervisors_whole_visit(talk: Talk) -> None:
    """Monitor, whisper, barge, take over, stop, each by the person; conferences.update is what switches."""
    sue = clients.user(
        *(f"conferences.{mode}_conference" for mode in ("monitor", "whisper", "barge", "take_over")), name="sue"
    )
    SupervisorPhone.objects.create(user=sue, address="sip:sue@example.com")
    client = clients.session(sue)
    talk.ask("monitor", {"reason": "training"}, client=client)
    talk.house.until(lambda: Participant.objects.present().filter(supervisor_role="monitor").exists())
    talk.house.advance(1)
    ear = Participant.objects.present().get(supervisor_role="monitor").leg
    assert talk.house.hears(ear) == {talk.caller.call_control_id, talk.agent.call_control_id}
    assert ear.call_control_id not in talk.house.hears(talk.agent)
    talk.agrees()

    switched = talk.ask("update", {"supervisor_role": "whisper"}, client=client)
    assert switched.operation == "conferences.update"
    assert talk.seat(ear)["whispers_to"] == [str(talk.agent.pk)]
    assert ear.call_control_id in talk.house.hears(talk.agent)
    assert ear.call_control_id not in talk.house.hears(talk.caller)
    talk.agrees()

    talk.ask("barge", client=client)
    assert ear.call_control_id in talk.house.hears(talk.caller)
    talk.agrees()

    path = f"/api/v1/conferences/{talk.conference.pk}"
    assert client.post(f"{path}/take_over").status_code == 202
    talk.house.advance(3)
    assert talk.house.hears(talk.caller) == {ear.call_control_id}
    assert CallLeg.objects.get(pk=talk.agent.pk).hangup_at is not None
    talk.agrees()

    assert client.post(f"{path}/stop_supervising").status_code == 202
    talk.house.advance(3)
    assert CallLeg.objects.get(pk=ear.pk).hangup_at is not None
    talk.agrees()
