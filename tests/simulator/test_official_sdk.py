"""Telnyx's own SDK performs every operation on the simulator, one test each: the simulator's independent judge.

Each test asks the SDK for something and then looks at the simulator's truth, not at the answer alone.
"""

from collections.abc import Callable, Iterator

import httpx
import pytest

from callcenter.simulator.api import OPERATION_NAMES
from callcenter.simulator.transport import SimulatorTransport
from tests.simulator.rig import AGENT, CALLER, MUSIC, NUMBER, Rig, rigged

telnyx = pytest.importorskip("telnyx", reason="needs the official SDK: install requirements-dev.txt")

# Section 1 of the main job: every operation the product's client has.
WANTED = {
    "calls": """
        dial retrieve answer reject hangup speak playback_start playback_stop gather gather_using_speak
        gather_using_audio gather_stop send_dtmf bridge transfer record_start record_stop record_pause record_resume
        enqueue leave_queue switch_supervisor_role client_state_update active events
    """,
    "queues": "create list retrieve update delete list_calls retrieve_call update_call remove_call",
    "conferences": """
        list create retrieve hold unhold join leave mute unmute play stop speak record_start record_pause
        record_resume record_stop update list_participants end send_dtmf gather_using_audio retrieve_participant
        update_participant
    """,
    "recordings": "list retrieve delete",
    "applications": "retrieve",
}
PERFORMED: list[str] = []

Test = Callable[..., None]


def performs(operation: str) -> Callable[[Test], Test]:
    """Note that a test performs this operation."""

    def noted(test: Test) -> Test:
        PERFORMED.append(operation)
        return test

    return noted


@pytest.fixture
def rig() -> Iterator[Rig]:
    with rigged(api_key="KEY1") as made:
        made.http.headers["authorization"] = "Bearer KEY1"
        yield made


@pytest.fixture
def sdk(rig: Rig) -> Iterator["telnyx.Telnyx"]:
    with httpx.Client(transport=SimulatorTransport(rig.simulator)) as client:
        yield telnyx.Telnyx(api_key="KEY1", base_url="http://simulator/v2", http_client=client, max_retries=0)


def test_every_operation_of_the_main_job_is_performed() -> None:
    wanted = {f"{resource}.{name}" for resource, names in WANTED.items() for name in names.split()}
    assert sorted(PERFORMED) == sorted(wanted)
    assert wanted <= set(OPERATION_NAMES)


def test_a_wrong_key_is_the_sdks_authentication_error(rig: Rig) -> None:
    with httpx.Client(transport=SimulatorTransport(rig.simulator)) as client:
        stranger = telnyx.Telnyx(api_key="KEY2", base_url="http://simulator/v2", http_client=client, max_retries=0)
        with pytest.raises(telnyx.AuthenticationError):
            stranger.queues.retrieve("support")


def test_a_refusal_is_the_sdks_unprocessable_entity_with_our_code(rig: Rig, sdk: "telnyx.Telnyx") -> None:
    with pytest.raises(telnyx.UnprocessableEntityError) as refused:
        sdk.calls.actions.hangup("v3:nobody")
    assert refused.value.response.json()["errors"][0]["code"] == "90015"


# Calls


@performs("calls.dial")
def test_dial(rig: Rig, sdk: "telnyx.Telnyx") -> None:
    dialled = sdk.calls.dial(
        connection_id=rig.world.connection_id,
        to=AGENT,
        from_=NUMBER,
        timeout_secs=20,
        extra_body={"retry_on_timeout": False},
        custom_headers=[{"name": "X-Call-Id", "value": "7"}],
        client_state="YQ==",
        command_id="c1",
    ).data
    assert dialled is not None
    assert dialled.is_alive is False
    leg = rig.leg(dialled.call_control_id)
    assert (leg["to"], leg["call_leg_id"], leg["state"]) == (AGENT, dialled.call_leg_id, "bridging")
    assert leg["custom_headers"] == [{"name": "X-Call-Id", "value": "7"}]


@performs("calls.retrieve")
def test_retrieve_a_call(rig: Rig, sdk: "telnyx.Telnyx") -> None:
    leg = rig.caller()
    rig.advance(9)
    found = sdk.calls.retrieve_status(leg).data
    assert (found.is_alive, found.call_duration, found.call_leg_id) == (True, 9, rig.leg(leg)["call_leg_id"])


@performs("calls.answer")
def test_answer(rig: Rig, sdk: "telnyx.Telnyx") -> None:
    leg = rig.ring_in()
    answered = sdk.calls.actions.answer(leg, record="record-from-answer").data
    assert answered.result == "ok"
    assert rig.leg(leg)["state"] == "answered"
    assert rig.leg(leg)["recording_id"] == answered.recording_id


@performs("calls.reject")
def test_reject(rig: Rig, sdk: "telnyx.Telnyx") -> None:
    leg = rig.ring_in()
    sdk.calls.actions.reject(leg, cause="USER_BUSY")
    assert rig.leg(leg)["hangup_cause"] == "user_busy"


@performs("calls.hangup")
def test_hangup(rig: Rig, sdk: "telnyx.Telnyx") -> None:
    leg = rig.caller()
    sdk.calls.actions.hangup(leg, command_id="c1")
    assert not rig.leg(leg)["is_alive"]


@performs("calls.speak")
def test_speak(rig: Rig, sdk: "telnyx.Telnyx") -> None:
    leg = rig.caller()
    rig.call(leg, "playback_start", audio_url=MUSIC, loop="infinity")
    sdk.calls.actions.speak(leg, payload="Hello there", voice="AWS.Polly.Amy", stop="all")
    assert rig.media(leg) == [("speak", "Hello there")]


@performs("calls.playback_start")
def test_start_playback(rig: Rig, sdk: "telnyx.Telnyx") -> None:
    leg = rig.caller()
    sdk.calls.actions.start_playback(leg, audio_url=MUSIC, loop="infinity")
    assert rig.media(leg) == [("playback", MUSIC)]


@performs("calls.playback_stop")
def test_stop_playback(rig: Rig, sdk: "telnyx.Telnyx") -> None:
    leg = rig.caller()
    rig.call(leg, "playback_start", audio_url=MUSIC, loop="infinity")
    sdk.calls.actions.stop_playback(leg, stop="all")
    assert rig.media(leg) == []


@performs("calls.gather")
def test_gather(rig: Rig, sdk: "telnyx.Telnyx") -> None:
    leg = rig.agent()
    sdk.calls.actions.gather(leg, maximum_digits=1, timeout_millis=5000)
    assert rig.leg(leg)["gathering"]
    rig.advance(1)
    assert rig.payload("call.gather.ended")["digits"] == "1"


@performs("calls.gather_using_speak")
def test_gather_using_speak(rig: Rig, sdk: "telnyx.Telnyx") -> None:
    leg = rig.agent()
    sdk.calls.actions.gather_using_speak(leg, payload="Press 1", voice="female", maximum_digits=1)
    assert rig.media(leg) == [("speak", "Press 1")]
    rig.advance(1)
    assert rig.payload("call.gather.ended")["status"] == "valid"


@performs("calls.gather_using_audio")
def test_gather_using_audio(rig: Rig, sdk: "telnyx.Telnyx") -> None:
    leg = rig.agent()
    sdk.calls.actions.gather_using_audio(leg, audio_url=MUSIC, maximum_digits=1)
    assert rig.media(leg) == [("playback", MUSIC)]
    rig.advance(1)
    assert rig.payload("call.gather.ended")["status"] == "valid"


@performs("calls.gather_stop")
def test_stop_gather(rig: Rig, sdk: "telnyx.Telnyx") -> None:
    leg = rig.caller()
    rig.call(leg, "gather")
    sdk.calls.actions.stop_gather(leg)
    assert not rig.leg(leg)["gathering"]


@performs("calls.send_dtmf")
def test_send_dtmf(rig: Rig, sdk: "telnyx.Telnyx") -> None:
    leg = rig.caller()
    sdk.calls.actions.send_dtmf(leg, digits="1www2WABCDw9", duration_millis=200)
    assert rig.sim("GET", "commands")["commands"][-1]["effect"] == "done"


@performs("calls.bridge")
def test_bridge(rig: Rig, sdk: "telnyx.Telnyx") -> None:
    caller, agent = rig.caller(), rig.agent()
    sdk.calls.actions.bridge(caller, call_control_id_to_bridge_with=agent, park_after_unbridge="self")
    assert rig.sim("GET", "state")["bridges"] == [
        {"call_control_ids": [caller, agent], "park_after_unbridge": [caller]}
    ]


@performs("calls.transfer")
def test_transfer(rig: Rig, sdk: "telnyx.Telnyx") -> None:
    leg = rig.caller()
    sdk.calls.actions.transfer(leg, to=AGENT, timeout_secs=20, target_leg_client_state="YQ==")
    rig.advance(1)
    assert rig.leg(rig.leg(leg)["bridged_with"])["to"] == AGENT


@performs("calls.record_start")
def test_start_recording(rig: Rig, sdk: "telnyx.Telnyx") -> None:
    leg = rig.caller()
    sdk.calls.actions.start_recording(leg, channels="dual", format="wav", custom_file_name="mine")
    assert [(each["channels"], each["status"]) for each in rig.sim("GET", "state")["recordings"]] == [
        ("dual", "recording")
    ]


def recording(rig: Rig) -> str:
    leg = rig.caller()
    rig.call(leg, "record_start", channels="single", format="mp3")
    return leg


def recording_status(rig: Rig) -> str:
    status: str = rig.sim("GET", "state")["recordings"][-1]["status"]
    return status


@performs("calls.record_stop")
def test_stop_recording(rig: Rig, sdk: "telnyx.Telnyx") -> None:
    sdk.calls.actions.stop_recording(recording(rig))
    assert recording_status(rig) == "completed"


@performs("calls.record_pause")
def test_pause_recording(rig: Rig, sdk: "telnyx.Telnyx") -> None:
    sdk.calls.actions.pause_recording(recording(rig))
    assert recording_status(rig) == "paused"


@performs("calls.record_resume")
def test_resume_recording(rig: Rig, sdk: "telnyx.Telnyx") -> None:
    leg = recording(rig)
    rig.call(leg, "record_pause")
    sdk.calls.actions.resume_recording(leg)
    assert recording_status(rig) == "recording"


@performs("calls.enqueue")
def test_enqueue(rig: Rig, sdk: "telnyx.Telnyx") -> None:
    leg = rig.caller()
    sdk.calls.actions.enqueue(leg, queue_name="support", max_wait_time_secs=60, max_size=5)
    queue = rig.sim("GET", "state")["queues"][0]
    assert (queue["name"], queue["max_size"], queue["calls"][0]["call_control_id"]) == ("support", 5, leg)


@performs("calls.leave_queue")
def test_leave_queue(rig: Rig, sdk: "telnyx.Telnyx") -> None:
    leg = rig.waiting()
    sdk.calls.actions.leave_queue(leg)
    assert rig.leg(leg)["queue"] is None


@performs("calls.switch_supervisor_role")
def test_switch_supervisor_role(rig: Rig, sdk: "telnyx.Telnyx") -> None:
    caller, agent = rig.caller(), rig.agent()
    rig.call(caller, "bridge", call_control_id=agent)
    supervisor = sdk.calls.dial(
        connection_id=rig.world.connection_id,
        to="sip:sue@example.com",
        from_=NUMBER,
        supervise_call_control_id=agent,
        supervisor_role="monitor",
    ).data.call_control_id
    rig.advance(1)
    assert rig.hears(agent) == {caller}
    sdk.calls.actions.switch_supervisor_role(supervisor, role="whisper")
    assert (rig.hears(agent), rig.hears(caller)) == ({caller, supervisor}, {agent})


@performs("calls.client_state_update")
def test_update_client_state(rig: Rig, sdk: "telnyx.Telnyx") -> None:
    leg = rig.caller()
    sdk.calls.actions.update_client_state(leg, client_state="bmV3")
    assert rig.leg(leg)["client_state"] == "bmV3"


@performs("calls.active")
def test_active_calls_page_by_page(rig: Rig, sdk: "telnyx.Telnyx") -> None:
    legs = [rig.ring_in() for _ in range(45)]
    rig.on_phone(legs.pop(), "hangup")
    found = list(sdk.connections.list_active_calls(rig.world.connection_id))
    assert [call.call_control_id for call in found] == legs


@performs("calls.events")
def test_call_events_page_by_page(rig: Rig, sdk: "telnyx.Telnyx") -> None:
    leg = rig.caller()
    rig.caller()
    for _ in range(30):
        rig.on_phone(leg, "dtmf", digits="1")
    found = list(sdk.call_events.list(filter={"leg_id": rig.leg(leg)["call_leg_id"]}))
    assert len(found) == 32
    assert found[-1].name == "call.initiated"
    assert found[-1].metadata == rig.world.events[0].payload


# Queues


@performs("queues.create")
def test_create_a_queue(rig: Rig, sdk: "telnyx.Telnyx") -> None:
    made = sdk.queues.create(queue_name="support", max_size=9).data
    assert [(queue["id"], queue["max_size"]) for queue in rig.sim("GET", "state")["queues"]] == [(made.id, 9)]


@performs("queues.list")
def test_list_queues_page_by_page(rig: Rig, sdk: "telnyx.Telnyx") -> None:
    for number in range(45):
        rig.post("/queues", queue_name=f"queue {number:02}")
    assert [queue.name for queue in sdk.queues.list()] == [f"queue {number:02}" for number in range(45)]


@performs("queues.retrieve")
def test_retrieve_a_queue(rig: Rig, sdk: "telnyx.Telnyx") -> None:
    rig.waiting("sales & more/1")
    found = sdk.queues.retrieve("sales & more/1").data
    assert (found.name, found.current_size) == ("sales & more/1", 1)


@performs("queues.update")
def test_update_a_queue(rig: Rig, sdk: "telnyx.Telnyx") -> None:
    rig.waiting()
    assert sdk.queues.update("support", max_size=12).data.max_size == 12
    assert rig.sim("GET", "state")["queues"][0]["max_size"] == 12


@performs("queues.delete")
def test_delete_a_queue(rig: Rig, sdk: "telnyx.Telnyx") -> None:
    rig.post("/queues", queue_name="support")
    sdk.queues.delete("support")
    assert rig.sim("GET", "state")["queues"] == []


@performs("queues.list_calls")
def test_list_the_calls_of_a_queue_page_by_page(rig: Rig, sdk: "telnyx.Telnyx") -> None:
    legs = [rig.waiting() for _ in range(45)]
    found = list(sdk.queues.calls.list("support"))
    assert [(call.call_control_id, call.queue_position) for call in found] == [
        (leg, position) for position, leg in enumerate(legs, start=1)
    ]


@performs("queues.retrieve_call")
def test_retrieve_a_call_of_a_queue(rig: Rig, sdk: "telnyx.Telnyx") -> None:
    rig.waiting()
    leg = rig.waiting()
    found = sdk.queues.calls.retrieve(leg, queue_name="support").data
    assert (found.queue_position, found.from_, found.is_alive) == (2, CALLER, True)


@performs("queues.update_call")
def test_update_a_call_of_a_queue(rig: Rig, sdk: "telnyx.Telnyx") -> None:
    leg = rig.waiting()
    sdk.queues.calls.update(leg, queue_name="support", keep_after_hangup=True)
    rig.on_phone(leg, "hangup")
    assert [call["is_alive"] for call in rig.sim("GET", "state")["queues"][0]["calls"]] == [False]


@performs("queues.remove_call")
def test_remove_a_call_of_a_queue(rig: Rig, sdk: "telnyx.Telnyx") -> None:
    leg = rig.waiting(keep_after_hangup=True)
    rig.on_phone(leg, "hangup")
    sdk.queues.calls.remove(leg, queue_name="support")
    assert rig.sim("GET", "state")["queues"][0]["calls"] == []


# Conferences


@performs("conferences.list")
def test_list_conferences_page_by_page(rig: Rig, sdk: "telnyx.Telnyx") -> None:
    made = {rig.meeting(rig.caller(), name=f"room {number}") for number in range(45)}
    found = list(sdk.conferences.list(filter={"status": "in_progress"}))
    assert len(found) == 45
    assert {conference.id for conference in found} == made
    assert [each.name for each in sdk.conferences.list(filter={"name": "room 7"})] == ["room 7"]


@performs("conferences.create")
def test_create_a_conference(rig: Rig, sdk: "telnyx.Telnyx") -> None:
    leg = rig.waiting()
    made = sdk.conferences.create(
        call_control_id=leg, name="room", start_conference_on_create=False, hold_audio_url=MUSIC, max_participants=5
    ).data
    assert (made.name, made.status) == ("room", "init")
    assert (rig.leg(leg)["conference_id"], rig.leg(leg)["queue"]) == (made.id, None)
    assert rig.media(leg) == [("hold", MUSIC)]


@performs("conferences.retrieve")
def test_retrieve_a_conference(rig: Rig, sdk: "telnyx.Telnyx") -> None:
    conference = rig.meeting(rig.caller(), region="Europe")
    found = sdk.conferences.retrieve(conference, region="Europe").data
    assert (found.id, found.region) == (conference, "Europe")


@pytest.fixture
def room(rig: Rig) -> tuple[str, str, str]:
    """A conference with a caller and an agent."""
    caller, agent = rig.caller(), rig.agent()
    return rig.meeting(caller, agent), caller, agent


Room = tuple[str, str, str]


@performs("conferences.hold")
def test_hold(rig: Rig, sdk: "telnyx.Telnyx", room: Room) -> None:
    conference, caller, _ = room
    sdk.conferences.actions.hold(conference, call_control_ids=[caller], audio_url=MUSIC)
    assert rig.media(caller) == [("hold", MUSIC)]


@performs("conferences.unhold")
def test_unhold(rig: Rig, sdk: "telnyx.Telnyx", room: Room) -> None:
    conference, caller, agent = room
    rig.conference(conference, "hold")
    sdk.conferences.actions.unhold(conference, call_control_ids=[caller, agent])
    assert rig.hears(caller) == {agent}


@performs("conferences.join")
def test_join(rig: Rig, sdk: "telnyx.Telnyx", room: Room) -> None:
    conference, caller, agent = room
    supervisor = rig.agent()
    sdk.conferences.actions.join(
        conference, call_control_id=supervisor, supervisor_role="whisper", whisper_call_control_ids=[agent]
    )
    assert rig.hears(agent) == {caller, supervisor}
    assert rig.hears(caller) == {agent}


@performs("conferences.leave")
def test_leave(rig: Rig, sdk: "telnyx.Telnyx", room: Room) -> None:
    conference, caller, agent = room
    sdk.conferences.actions.leave(conference, call_control_id=agent)
    assert set(rig.participants(conference)) == {caller}
    assert rig.leg(agent)["state"] == "answered"


@performs("conferences.mute")
def test_mute(rig: Rig, sdk: "telnyx.Telnyx", room: Room) -> None:
    conference, caller, agent = room
    sdk.conferences.actions.mute(conference, call_control_ids=[agent])
    assert rig.hears(caller) == set()


@performs("conferences.unmute")
def test_unmute(rig: Rig, sdk: "telnyx.Telnyx", room: Room) -> None:
    conference, caller, agent = room
    rig.conference(conference, "mute")
    sdk.conferences.actions.unmute(conference)
    assert rig.hears(caller) == {agent}


@performs("conferences.play")
def test_play(rig: Rig, sdk: "telnyx.Telnyx", room: Room) -> None:
    conference, caller, agent = room
    sdk.conferences.actions.play(conference, audio_url=MUSIC, loop="infinity", call_control_ids=[caller])
    assert (rig.media(caller), rig.media(agent)) == ([("playback", MUSIC)], [])


@performs("conferences.stop")
def test_stop(rig: Rig, sdk: "telnyx.Telnyx", room: Room) -> None:
    conference, caller, _ = room
    rig.conference(conference, "play", audio_url=MUSIC, loop="infinity")
    sdk.conferences.actions.stop(conference)
    assert rig.media(caller) == []


@performs("conferences.speak")
def test_speak_to_a_conference(rig: Rig, sdk: "telnyx.Telnyx", room: Room) -> None:
    conference, caller, _ = room
    sdk.conferences.actions.speak(conference, payload="This call is recorded", voice="female")
    assert rig.media(caller) == [("speak", "This call is recorded")]


@performs("conferences.record_start")
def test_record_a_conference(rig: Rig, sdk: "telnyx.Telnyx", room: Room) -> None:
    sdk.conferences.actions.record_start(room[0], format="mp3", extra_body={"channels": "dual"})
    assert recording_status(rig) == "recording"
    assert rig.sim("GET", "state")["recordings"][0]["conference_id"] == room[0]


@performs("conferences.record_pause")
def test_pause_a_conferences_recording(rig: Rig, sdk: "telnyx.Telnyx", room: Room) -> None:
    rig.conference(room[0], "record_start", format="mp3")
    sdk.conferences.actions.record_pause(room[0])
    assert recording_status(rig) == "paused"


@performs("conferences.record_resume")
def test_resume_a_conferences_recording(rig: Rig, sdk: "telnyx.Telnyx", room: Room) -> None:
    rig.conference(room[0], "record_start", format="mp3")
    rig.conference(room[0], "record_pause")
    sdk.conferences.actions.record_resume(room[0])
    assert recording_status(rig) == "recording"


@performs("conferences.record_stop")
def test_stop_a_conferences_recording(rig: Rig, sdk: "telnyx.Telnyx", room: Room) -> None:
    rig.conference(room[0], "record_start", format="mp3")
    sdk.conferences.actions.record_stop(room[0])
    assert recording_status(rig) == "completed"
    assert rig.payload("conference.recording.saved")["conference_id"] == room[0]


@performs("conferences.update")
def test_update_a_supervisors_role(rig: Rig, sdk: "telnyx.Telnyx", room: Room) -> None:
    conference, caller, agent = room
    sdk.conferences.actions.update(conference, call_control_id=agent, supervisor_role="monitor")
    assert rig.hears(caller) == set()
    sdk.conferences.actions.update(
        conference, call_control_id=agent, supervisor_role="whisper", whisper_call_control_ids=[caller]
    )
    assert rig.hears(caller) == {agent}


@performs("conferences.list_participants")
def test_list_participants_page_by_page(rig: Rig, sdk: "telnyx.Telnyx") -> None:
    legs = [rig.caller() for _ in range(45)]
    conference = rig.meeting(*legs)
    rig.conference(conference, "mute", call_control_ids=legs[:25])
    found = list(sdk.conferences.list_participants(conference))
    assert [participant.call_control_id for participant in found] == legs
    muted = list(sdk.conferences.list_participants(conference, filter={"muted": True}))
    assert [participant.call_control_id for participant in muted] == legs[:25]


@performs("conferences.end")
def test_end_a_conference(rig: Rig, sdk: "telnyx.Telnyx", room: Room) -> None:
    conference, caller, agent = room
    sdk.conferences.actions.end_conference(conference, command_id="c1")
    assert not rig.leg(caller)["is_alive"]
    assert not rig.leg(agent)["is_alive"]
    assert sdk.conferences.retrieve(conference).data.end_reason == "ended_via_api"


@performs("conferences.send_dtmf")
def test_send_dtmf_to_a_conference(rig: Rig, sdk: "telnyx.Telnyx", room: Room) -> None:
    sdk.conferences.actions.send_dtmf(room[0], digits="1#", call_control_ids=[room[1]])
    assert rig.sim("GET", "commands")["commands"][-1]["effect"] == "done"


@performs("conferences.gather_using_audio")
def test_gather_from_a_participant(rig: Rig, sdk: "telnyx.Telnyx", room: Room) -> None:
    conference, _, agent = room
    sdk.conferences.actions.gather_dtmf_audio(conference, call_control_id=agent, audio_url=MUSIC, maximum_digits=1)
    assert rig.leg(agent)["gathering"]
    rig.advance(1)
    assert rig.payload("call.gather.ended")["digits"] == "1"


@performs("conferences.retrieve_participant")
def test_retrieve_a_participant(rig: Rig, sdk: "telnyx.Telnyx", room: Room) -> None:
    conference, _, agent = room
    participant = rig.participants(conference)[agent]
    found = sdk.conferences.retrieve_participant(participant["id"], id=conference).data
    assert (found.call_control_id, found.conference_id, found.status) == (agent, conference, "joined")


@performs("conferences.update_participant")
def test_update_a_participant(rig: Rig, sdk: "telnyx.Telnyx", room: Room) -> None:
    conference, caller, agent = room
    participant = rig.participants(conference)[agent]
    changed = sdk.conferences.update_participant(participant["id"], id=conference, end_conference_on_exit=True).data
    assert changed.end_conference_on_exit is True
    rig.on_phone(agent, "hangup")
    assert not rig.leg(caller)["is_alive"]


# Recordings and applications


def recorded(rig: Rig) -> str:
    """The id of a finished recording."""
    rig.call(recording(rig), "record_stop")
    newest: str = rig.sim("GET", "state")["recordings"][-1]["id"]
    return newest


@performs("recordings.list")
def test_list_recordings_page_by_page(rig: Rig, sdk: "telnyx.Telnyx") -> None:
    made = [recorded(rig) for _ in range(45)]
    assert [each.id for each in sdk.recordings.list()] == list(reversed(made))
    legs = [leg["call_control_id"] for leg in rig.sim("GET", "state")["legs"]]
    assert [each.id for each in sdk.recordings.list(filter={"call_control_id": legs[3]})] == [made[3]]


@performs("recordings.retrieve")
def test_retrieve_a_recording(rig: Rig, sdk: "telnyx.Telnyx") -> None:
    recording_id = recorded(rig)
    found = sdk.recordings.retrieve(recording_id).data
    assert (found.id, found.channels, found.status, found.source) == (recording_id, "single", "completed", "call")


@performs("recordings.delete")
def test_delete_a_recording(rig: Rig, sdk: "telnyx.Telnyx") -> None:
    recording_id = recorded(rig)
    assert sdk.recordings.delete(recording_id).data.id == recording_id
    assert rig.sim("GET", "state")["recordings"] == []


def test_delete_several_recordings(rig: Rig, sdk: "telnyx.Telnyx") -> None:
    sdk.recordings.actions.delete(ids=[recorded(rig), recorded(rig)])
    assert rig.sim("GET", "state")["recordings"] == []


@performs("applications.retrieve")
def test_retrieve_the_application(rig: Rig, sdk: "telnyx.Telnyx") -> None:
    found = sdk.call_control_applications.retrieve(rig.world.connection_id).data
    assert (found.webhook_api_version, found.webhook_event_url) == ("2", "http://testserver/webhooks/telnyx")


def test_change_the_application(rig: Rig, sdk: "telnyx.Telnyx") -> None:
    sdk.call_control_applications.update(
        rig.world.connection_id,
        application_name="ours",
        webhook_event_url="http://elsewhere/hook",
        webhook_event_failover_url="http://spare/hook",
        outbound={"channel_limit": 5},
    )
    found = sdk.call_control_applications.retrieve(rig.world.connection_id).data
    assert (found.application_name, found.webhook_event_failover_url) == ("ours", "http://spare/hook")
    assert found.outbound.channel_limit == 5
    rig.ring_in()
    rig.simulator.drain()
    assert rig.posts[0].url == "http://elsewhere/hook"
    assert [each.application_name for each in sdk.call_control_applications.list()] == ["ours"]
