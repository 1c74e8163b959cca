"""Playback, speech, digits and recordings: what is told, how long it lasts, and what comes after what."""

from typing import Any

import pytest

from tests.simulator.rig import MUSIC, Rig


@pytest.mark.parametrize(
    ("action", "body", "secs"),
    [
        ("speak", {"payload": "x" * 45, "voice": "f"}, 3),
        ("speak", {"payload": "x" * 45, "voice": "f", "loop": 2}, 6),
        ("playback_start", {"audio_url": MUSIC}, 30),
        ("playback_start", {"audio_url": f"{MUSIC}?secs=4.5"}, 4.5),
        ("playback_start", {"audio_url": f"{MUSIC}?secs=nonsense"}, 30),
        ("playback_start", {"audio_url": f"{MUSIC}?secs=4", "loop": 3}, 12),
        ("playback_start", {"audio_url": f"{MUSIC}?secs=4", "loop": "3"}, 12),
        ("playback_start", {"media_name": "music"}, 30),
        ("playback_start", {"playback_content": "AAAA"}, 30),
    ],
)
def test_how_long_it_plays(rig: Rig, action: str, body: dict[str, Any], secs: float) -> None:
    leg = rig.caller()
    rig.told()
    kind = "speak" if action == "speak" else "playback"
    rig.call(leg, action, **body)
    rig.advance(secs - 0.01)
    assert rig.told() == [f"call.{kind}.started"]
    rig.advance(0.01)
    assert rig.told() == [f"call.{kind}.ended"]
    assert rig.payload(f"call.{kind}.ended")["status"] == "completed"


def test_a_file_is_named_as_it_was_given(rig: Rig) -> None:
    leg = rig.caller()
    rig.call(leg, "playback_start", audio_url=MUSIC, stop="all")
    assert rig.payload("call.playback.started")["media_url"] == MUSIC
    rig.call(leg, "playback_start", media_name="music", stop="all")
    assert rig.payload("call.playback.started")["media_name"] == "music"
    rig.call(leg, "playback_start", playback_content="AAAA", stop="all")
    assert not {"media_url", "media_name"} & set(rig.payload("call.playback.started"))


def test_behind_an_endless_loop_a_speech_never_comes(rig: Rig) -> None:
    leg = rig.caller()
    rig.call(leg, "playback_start", audio_url=MUSIC, loop="infinity")
    rig.call(leg, "speak", payload="Your turn", voice="f")
    rig.told()
    rig.advance(3600)
    assert rig.told() == []
    assert rig.media(leg) == [("playback", MUSIC)]


def test_stopping_all_lets_a_speech_through_at_once(rig: Rig) -> None:
    leg = rig.caller()
    rig.call(leg, "playback_start", audio_url=MUSIC, loop="infinity")
    rig.call(leg, "playback_start", audio_url=f"{MUSIC}?next")
    rig.told()
    rig.call(leg, "speak", payload="Your turn", voice="f", stop="all")
    assert rig.told() == ["call.playback.ended", "call.speak.started"]
    assert rig.payload("call.playback.ended")["status"] == "cancelled"
    rig.advance(60)
    assert rig.told() == ["call.speak.ended"]


def test_stopping_the_current_lets_the_next_in_line_play(rig: Rig) -> None:
    leg = rig.caller()
    rig.call(leg, "playback_start", audio_url="https://a.example.com/1.mp3")
    rig.call(leg, "playback_start", audio_url="https://a.example.com/2.mp3")
    rig.call(leg, "speak", payload="three", voice="f", stop="current")
    assert rig.media(leg) == [("playback", "https://a.example.com/2.mp3")]
    rig.call(leg, "playback_stop", stop="current")
    assert rig.media(leg) == [("speak", "three")]
    rig.call(leg, "playback_stop")
    assert rig.media(leg) == []
    assert rig.payload("call.speak.ended")["status"] == "completed"


def test_an_overlay_plays_on_top(rig: Rig) -> None:
    leg = rig.caller()
    rig.call(leg, "playback_start", audio_url=MUSIC, loop="infinity")
    rig.call(leg, "playback_start", media_name="whisper", overlay=True)
    assert rig.media(leg) == [("playback", MUSIC), ("playback", "whisper")]
    rig.call(leg, "playback_stop", overlay=True)
    assert rig.media(leg) == [("playback", MUSIC)]
    assert rig.payload("call.playback.ended")["overlay"] is True


def test_both_legs_of_a_bridge_can_be_played_to(rig: Rig) -> None:
    caller, agent = rig.caller(), rig.agent()
    rig.call(caller, "bridge", call_control_id=agent)
    rig.call(caller, "playback_start", media_name="tune", target_legs="both")
    rig.call(caller, "speak", payload="psst", voice="f", target_legs="opposite", stop="all")
    assert (rig.media(caller), rig.media(agent)) == ([("playback", "tune")], [("speak", "psst")])


@pytest.mark.parametrize(
    ("action", "body", "kind", "secs"),
    [
        ("play", {"audio_url": f"{MUSIC}?secs=5"}, "playback", 5),
        ("speak", {"payload": "x" * 30, "voice": "f"}, "speak", 2),
    ],
)
@pytest.mark.parametrize("to_some", [False, True])
def test_a_conference_is_played_to_as_a_whole_or_in_part(
    rig: Rig, action: str, body: dict[str, Any], kind: str, secs: float, to_some: bool
) -> None:
    caller, agent = rig.caller(), rig.agent()
    conference = rig.meeting(caller, agent)
    rig.told()
    rig.conference(conference, action, **body, **({"call_control_ids": [caller, agent]} if to_some else {}))
    rig.advance(secs)
    if to_some:
        names = [f"conference.participant.{kind}.started", f"conference.participant.{kind}.ended"]
        assert rig.told() == [names[0]] * 2 + [names[1]] * 2
        assert rig.payload(names[0])["call_control_id"] == agent
    else:
        assert rig.told() == [f"conference.{kind}.started", f"conference.{kind}.ended"]
        assert "call_control_id" not in rig.payload(f"conference.{kind}.started")


def test_what_plays_in_a_conference_is_stopped(rig: Rig) -> None:
    caller, agent = rig.caller(), rig.agent()
    conference = rig.meeting(caller, agent)
    rig.conference(conference, "play", audio_url=MUSIC, loop="infinity")
    rig.conference(conference, "play", audio_url=MUSIC, loop="infinity", call_control_ids=[caller, agent])
    rig.told()
    rig.conference(conference, "stop", call_control_ids=[caller])
    assert rig.told() == ["conference.participant.playback.ended"]
    rig.conference(conference, "stop")
    assert rig.told() == ["conference.playback.ended", "conference.participant.playback.ended"]


def test_what_plays_ends_with_its_conference(rig: Rig) -> None:
    caller = rig.caller()
    conference = rig.meeting(caller)
    rig.conference(conference, "play", audio_url=MUSIC, loop="infinity")
    rig.conference(conference, "play", audio_url=MUSIC, loop="infinity", call_control_ids=[caller])
    rig.told()
    rig.on_phone(caller, "hangup")
    assert rig.told() == [
        "conference.participant.playback.ended",
        "conference.participant.left",
        "call.hangup",
        "conference.playback.ended",
        "conference.ended",
    ]


# Digits

_FAST = {"inter_digit_timeout_millis": 2000, "timeout_millis": 10_000}


@pytest.mark.parametrize(
    ("wanted", "pressed", "status", "digits"),
    [
        ({"maximum_digits": 1}, "1", "valid", "1"),
        ({"maximum_digits": 3}, "1234", "valid", "123"),
        ({}, "12#", "valid", "12"),
        ({"terminating_digit": "*"}, "12*", "valid", "12"),
        ({"minimum_digits": 3}, "12#", "invalid", "12"),
        ({"minimum_digits": 3}, "12", "invalid", "12"),
        ({}, "12", "valid", "12"),
        ({"valid_digits": "12", "maximum_digits": 2}, "9192", "valid", "12"),
        ({}, "", "timeout", ""),
    ],
)
def test_a_gather_ends(rig: Rig, wanted: dict[str, Any], pressed: str, status: str, digits: str) -> None:
    leg = rig.caller()
    rig.told()
    rig.call(leg, "gather", **_FAST, **wanted)
    if pressed:
        rig.on_phone(leg, "dtmf", digits=pressed)
    rig.advance(20)
    ended = rig.payload("call.gather.ended")
    assert (ended["status"], ended["digits"]) == (status, digits)
    assert rig.told().count("call.dtmf.received") == len(pressed)


def test_the_first_digit_has_its_own_limit(rig: Rig) -> None:
    leg = rig.caller()
    rig.call(leg, "gather", initial_timeout_millis=3000, timeout_millis=60_000)
    rig.advance(3)
    assert rig.payload("call.gather.ended")["status"] == "timeout"


@pytest.mark.parametrize(("end", "status"), [("gather_stop", "cancelled"), ("hangup", "call_hangup")])
def test_a_gather_is_cut_short(rig: Rig, end: str, status: str) -> None:
    leg = rig.caller()
    rig.call(leg, "gather")
    rig.call(leg, end)
    assert rig.payload("call.gather.ended")["status"] == status


def test_an_audio_prompt_is_told_and_a_key_interrupts_it(rig: Rig) -> None:
    leg = rig.caller()
    rig.told()
    rig.call(leg, "gather_using_audio", audio_url=MUSIC, maximum_digits=1)
    rig.advance(2)
    assert rig.media(leg) == [("playback", MUSIC)]
    rig.on_phone(leg, "dtmf", digits="5")
    assert rig.told() == [
        "call.playback.started",
        "call.dtmf.received",
        "call.playback.ended",
        "call.gather.ended",
    ]
    assert rig.media(leg) == []


def test_a_spoken_prompt_is_repeated_and_has_no_events_of_its_own(rig: Rig) -> None:
    leg = rig.caller()
    rig.told()
    rig.call(
        leg,
        "gather_using_speak",
        payload="x" * 30,
        voice="f",
        maximum_tries=2,
        timeout_millis=3000,
        invalid_payload="Again.",
    )
    rig.advance(2.5)
    assert rig.media(leg) == []
    rig.advance(3)
    assert rig.media(leg) == [("speak", "Again. " + "x" * 30)]
    rig.advance(20)
    assert rig.told() == ["call.gather.ended"]
    assert rig.payload("call.gather.ended")["status"] == "timeout"


def test_a_new_gather_cancels_the_old_one(rig: Rig) -> None:
    leg = rig.caller()
    rig.call(leg, "gather")
    rig.call(leg, "gather", maximum_digits=1)
    assert rig.payload("call.gather.ended")["status"] == "cancelled"
    rig.on_phone(leg, "dtmf", digits="1")
    assert rig.payload("call.gather.ended")["status"] == "valid"


def test_a_participant_is_asked_for_digits(rig: Rig) -> None:
    caller = rig.caller()
    conference = rig.meeting(caller)
    rig.conference(conference, "gather_using_audio", call_control_id=caller, audio_url=MUSIC, maximum_digits=1)
    rig.on_phone(caller, "dtmf", digits="7")
    assert rig.payload("call.gather.ended")["digits"] == "7"


def test_digits_are_told_even_when_nobody_asked(rig: Rig) -> None:
    leg = rig.caller()
    rig.told()
    rig.on_phone(leg, "dtmf", digits="1*#")
    assert rig.told() == ["call.dtmf.received"] * 3


# Recordings


@pytest.mark.parametrize(("channels", "kind"), [("single", "mp3"), ("dual", "wav")])
def test_a_leg_is_recorded_and_paused(rig: Rig, channels: str, kind: str) -> None:
    leg = rig.caller()
    rig.told()
    rig.call(leg, "record_start", channels=channels, format=kind, custom_file_name="mine")
    rig.advance(10)
    rig.call(leg, "record_pause")
    assert [each["status"] for each in rig.sim("GET", "state")["recordings"]] == ["paused"]
    rig.advance(5)
    rig.call(leg, "record_resume")
    rig.advance(10)
    assert rig.get("/recordings")["data"] == []
    rig.call(leg, "record_stop")
    assert rig.told() == ["call.recording.saved"]
    saved = rig.payload("call.recording.saved")
    assert saved["channels"] == channels
    assert saved["recording_urls"][kind].endswith(f".{kind}")
    assert "mine" in saved["recording_urls"][kind]
    assert "call_control_id" not in saved
    recorded = rig.get("/recordings")["data"][0]
    assert (recorded["duration_millis"], recorded["source"], recorded["call_control_id"]) == (20_000, "call", leg)


def test_a_recording_runs_until_the_hangup_or_its_own_limit(rig: Rig) -> None:
    first, second = rig.caller(), rig.caller()
    for leg in (first, second):
        rig.call(leg, "record_start", channels="single", format="mp3", max_length=60)
    rig.told()
    rig.on_phone(first, "hangup")
    assert rig.told() == ["call.hangup", "call.recording.saved"]
    rig.advance(60)
    assert rig.told() == ["call.recording.saved"]


def test_one_recording_at_a_time(rig: Rig) -> None:
    leg = rig.caller()
    rig.call(leg, "record_start", channels="single", format="mp3")
    assert rig.call_refused(leg, "record_start", channels="single", format="mp3") == "90053"
    assert rig.call_refused(leg, "record_stop", recording_id="another") == "10005"


def test_recording_from_the_answer_promises_an_id(rig: Rig) -> None:
    incoming = rig.ring_in()
    promised = rig.call(incoming, "answer", record="record-from-answer")["recording_id"]
    dialled = rig.post(
        "/calls",
        connection_id=rig.world.connection_id,
        to="+15550107777",
        record="record-from-answer",
        **{"from": "+15550100002"},
    )
    rig.advance(1)
    assert {each["id"] for each in rig.sim("GET", "state")["recordings"]} == {promised, dialled["recording_id"]}


def test_a_conference_is_recorded_until_it_ends(rig: Rig) -> None:
    caller, agent = rig.caller(), rig.agent()
    conference = rig.meeting(caller, agent)
    rig.conference(conference, "record_start", format="mp3", channels="dual")
    assert rig.conference_refused(conference, "record_start", format="mp3") == "90053"
    rig.advance(8)
    rig.conference(conference, "record_pause")
    rig.advance(8)
    rig.conference(conference, "record_resume")
    rig.told()
    rig.conference(conference, "end")
    assert rig.told()[-2:] == ["conference.ended", "conference.recording.saved"]
    saved = rig.payload("conference.recording.saved")
    recorded = rig.get(f"/recordings/{saved['recording_id']}")["data"]
    assert (recorded["conference_id"], recorded["source"]) == (conference, "conference")
    assert recorded["duration_millis"] == 8000


def test_recordings_are_filtered_and_deleted(rig: Rig) -> None:
    legs = [rig.caller() for _ in range(3)]
    for leg in legs:
        rig.call(leg, "record_start", channels="single", format="mp3")
        rig.call(leg, "record_stop")
    found = rig.get("/recordings", **{"filter[call_control_id]": legs[1]})["data"]
    assert [each["call_control_id"] for each in found] == [legs[1]]
    assert rig.request("DELETE", f"/recordings/{found[0]['id']}").json()["data"]["id"] == found[0]["id"]
    rest = [each["id"] for each in rig.get("/recordings")["data"]]
    assert len(rest) == 2
    response = rig.request("POST", "/recordings/actions/delete", {"ids": rest})
    assert (response.status_code, response.json()) == (200, {"status": "ok"})
    assert rig.get("/recordings")["data"] == []
