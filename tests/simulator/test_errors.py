"""Every refusal with Telnyx's status and code, and a refused command leaving no trace."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.simulator.rig import AGENT, CALLER, NUMBER, Rig, rigged

DIAL = {"connection_id": "1684641123236054244", "to": AGENT, "from": NUMBER}


@pytest.mark.parametrize(
    ("path", "body", "code", "pointer"),
    [
        pytest.param("/calls", {"to": AGENT, "from": NUMBER}, "10004", "/connection_id", id="missing"),
        pytest.param("/calls", DIAL | {"to": ""}, "10004", "/to", id="blank"),
        pytest.param("/calls", DIAL | {"to": []}, "10004", "/to", id="empty list"),
        pytest.param("/calls", DIAL | {"to": None}, "10004", "/to", id="null"),
        pytest.param("/calls", DIAL | {"connection_id": "1"}, "10015", "/connection_id", id="connection"),
        pytest.param("/calls", DIAL | {"to": "0123"}, "10016", "/to", id="not E.164"),
        pytest.param("/calls", DIAL | {"to": [AGENT, "ann"]}, "10016", "/to", id="one of several not E.164"),
        pytest.param("/calls", DIAL | {"from": "sip:a@b"}, "10016", "/from", id="from"),
        pytest.param("/calls", DIAL | {"timeout_secs": "30"}, "10026", "/timeout_secs", id="type"),
        pytest.param("/calls", DIAL | {"retry_on_timeout": 1}, "10026", "/retry_on_timeout", id="not a boolean"),
        pytest.param("/calls", DIAL | {"timeout_secs": True}, "10026", "/timeout_secs", id="a boolean is no number"),
        pytest.param("/calls", DIAL | {"timeout_secs": 4}, "10033", "/timeout_secs", id="ring below 5"),
        pytest.param("/calls", DIAL | {"timeout_secs": 601}, "10033", "/timeout_secs", id="ring above 600"),
        pytest.param("/calls", DIAL | {"time_limit_secs": 29}, "10033", "/time_limit_secs", id="limit below 30"),
        pytest.param("/calls", DIAL | {"time_limit_secs": 14_401}, "10033", "/time_limit_secs", id="limit above 4 h"),
        pytest.param("/calls", DIAL | {"supervisor_role": "none"}, "10032", "/supervisor_role", id="enum"),
        pytest.param("/calls", DIAL | {"client_state": "ä"}, "90017", "/client_state", id="client_state"),
        pytest.param("/calls", DIAL | {"link_to": "v3:x"}, "90015", "/link_to", id="link to nothing"),
        pytest.param("/calls", DIAL | {"bridge_on_answer": True}, "10004", "/link_to", id="bridge without link"),
        pytest.param(
            "/calls", DIAL | {"supervise_call_control_id": "x"}, "90015", "/supervise_call_control_id", id="supervise"
        ),
        pytest.param(
            "/calls",
            DIAL | {"conference_config": {"supervisor_role": "boss"}},
            "10032",
            "/conference_config/supervisor_role",
            id="nested enum",
        ),
        pytest.param(
            "/calls",
            DIAL | {"webhook_retries_policies": {"call.hangup": {"retries_ms": [1, 2, 3, 4, 5, 6]}}},
            "10015",
            "/webhook_retries_policies/call.hangup",
            id="six retries",
        ),
        pytest.param("/queues", {}, "10004", "/queue_name", id="queue without a name"),
        pytest.param("/queues", {"queue_name": "x" * 256}, "10033", "/queue_name", id="queue name too long"),
        pytest.param("/queues", {"queue_name": "x", "max_size": 0}, "10033", "/max_size", id="queue for nobody"),
        pytest.param("/conferences", {"name": "x"}, "10004", "/call_control_id", id="conference of no leg"),
        pytest.param(
            "/conferences",
            {"call_control_id": "v3:x", "name": "x", "max_participants": 801},
            "10033",
            "/max_participants",
            id="conference too large",
        ),
        pytest.param(
            "/conferences", {"call_control_id": "v3:x", "name": "x"}, "90015", "/call_control_id", id="unknown leg"
        ),
    ],
)
def test_a_body_is_checked(rig: Rig, path: str, body: dict[str, Any], code: str, pointer: str) -> None:
    response = rig.request("POST", path, body)
    error = response.json()["errors"][0]
    assert (response.status_code, error["code"], error["source"]["pointer"]) == (422, code, pointer)
    assert error["title"]
    assert error["detail"]
    assert rig.world.legs == {}
    assert rig.world.queues == {}


def test_every_fault_of_a_body_is_named_at_once(rig: Rig) -> None:
    errors = rig.request("POST", "/calls", {"to": "x", "timeout_secs": 1}).json()["errors"]
    assert [(error["code"], error["source"]["pointer"]) for error in errors] == [
        ("10033", "/timeout_secs"),
        ("10004", "/connection_id"),
        ("10016", "/to"),
        ("10004", "/from"),
    ]


@pytest.mark.parametrize(
    ("action", "body", "code"),
    [
        ("speak", {"voice": "female"}, "10004"),
        ("speak", {"payload": "x" * 3001, "voice": "female"}, "10033"),
        ("speak", {"payload": "x", "voice": "female", "stop": "now"}, "10032"),
        ("playback_start", {}, "10004"),
        ("playback_start", {"audio_url": "x", "media_name": "y"}, "10015"),
        ("playback_start", {"audio_url": "x", "loop": "for ever"}, "10026"),
        ("playback_start", {"audio_url": "x", "loop": 0}, "10026"),
        ("playback_start", {"audio_url": "x", "target_legs": "opposite"}, "10015"),
        ("record_start", {"channels": "single"}, "10004"),
        ("record_start", {"channels": "both", "format": "mp3"}, "10032"),
        ("record_start", {"channels": "dual", "format": "mp3", "custom_file_name": "x" * 41}, "10033"),
        ("record_stop", {}, "10005"),
        ("record_pause", {}, "10005"),
        ("record_resume", {}, "10005"),
        ("enqueue", {"max_size": 10}, "10004"),
        ("leave_queue", {}, "90035"),
        ("reject", {"cause": "BORED"}, "10032"),
        ("reject", {"cause": "USER_BUSY"}, "10015"),
        ("gather", {"minimum_digits": 0}, "10033"),
        ("gather_using_speak", {"voice": "female"}, "10004"),
        ("switch_supervisor_role", {"role": "none"}, "10032"),
        ("switch_supervisor_role", {"role": "barge"}, "10015"),
        ("bridge", {}, "10004"),
        ("bridge", {"call_control_id": "v3:x"}, "90015"),
        ("bridge", {"call_control_id": "v3:x", "queue": "y"}, "10015"),
        ("bridge", {"queue": "nobody here"}, "10005"),
        ("transfer", {"to": "nowhere"}, "10016"),
        ("send_dtmf", {}, "10004"),
        ("hangup", {"client_state": "%%"}, "90017"),
    ],
)
def test_a_command_to_a_leg_is_checked(rig: Rig, action: str, body: dict[str, Any], code: str) -> None:
    leg = rig.caller()
    rig.told()
    assert rig.call_refused(leg, action, **body) == code
    assert rig.told() == []


# Each with a body that would be accepted on a live, answered leg.
LEG_COMMANDS: dict[str, dict[str, Any]] = {
    "answer": {},
    "bridge": {"call_control_id": "v3:other"},
    "enqueue": {"queue_name": "support"},
    "gather": {},
    "gather_stop": {},
    "gather_using_audio": {"audio_url": "x"},
    "gather_using_speak": {"payload": "x", "voice": "y"},
    "hangup": {},
    "leave_queue": {},
    "playback_start": {"audio_url": "x"},
    "playback_stop": {},
    "record_pause": {},
    "record_resume": {},
    "record_start": {"channels": "dual", "format": "mp3"},
    "record_stop": {},
    "reject": {"cause": "USER_BUSY"},
    "send_dtmf": {"digits": "1"},
    "speak": {"payload": "x", "voice": "y"},
    "switch_supervisor_role": {"role": "barge"},
    "transfer": {"to": AGENT},
}
WITHOUT_ANSWER = {"answer", "hangup", "leave_queue", "reject", "switch_supervisor_role"}


@pytest.mark.parametrize("action", sorted(LEG_COMMANDS))
def test_an_ended_leg_takes_no_command(rig: Rig, action: str) -> None:
    leg = rig.caller()
    rig.call(leg, "hangup")
    assert rig.call_refused(leg, action, **LEG_COMMANDS[action]) == "90018"


@pytest.mark.parametrize("action", sorted(LEG_COMMANDS))
def test_an_unknown_leg_is_not_valid(rig: Rig, action: str) -> None:
    assert rig.call_refused("v3:nobody/at=all", action, **LEG_COMMANDS[action]) == "90015"


@pytest.mark.parametrize("action", sorted(set(LEG_COMMANDS) - WITHOUT_ANSWER))
def test_a_leg_has_to_be_answered_first(rig: Rig, action: str) -> None:
    code = "90020" if action == "record_start" else "90034"
    assert rig.call_refused(rig.ring_in(), action, **LEG_COMMANDS[action]) == code
    assert rig.call_refused(rig.dial(), action, **LEG_COMMANDS[action]) == code


def test_only_an_incoming_leg_is_answered(rig: Rig) -> None:
    assert rig.call_refused(rig.dial(), "answer") == "90102"


@pytest.mark.parametrize(
    ("answered", "code"), [(False, "90034"), (True, None)], ids=["an unanswered leg", "an answered leg"]
)
def test_a_conference_needs_an_answered_leg(rig: Rig, answered: bool, code: str | None) -> None:
    leg = rig.caller() if answered else rig.ring_in()
    response = rig.request("POST", "/conferences", {"call_control_id": leg, "name": "room"})
    assert response.json().get("errors", [{"code": None}])[0]["code"] == code


CONFERENCE_COMMANDS: dict[str, dict[str, Any]] = {
    "end": {},
    "gather_using_audio": {"call_control_id": "v3:x"},
    "hold": {},
    "join": {"call_control_id": "v3:x"},
    "leave": {"call_control_id": "v3:x"},
    "mute": {},
    "play": {"audio_url": "x"},
    "record_pause": {},
    "record_resume": {},
    "record_start": {"format": "mp3"},
    "record_stop": {},
    "send_dtmf": {"digits": "1"},
    "speak": {"payload": "x", "voice": "y"},
    "stop": {},
    "unhold": {"call_control_ids": ["v3:x"]},
    "unmute": {},
    "update": {"call_control_id": "v3:x", "supervisor_role": "monitor"},
}


@pytest.mark.parametrize("action", sorted(CONFERENCE_COMMANDS))
def test_an_unknown_conference_does_not_exist(rig: Rig, action: str) -> None:
    assert rig.refused(f"/conferences/nope/actions/{action}", **CONFERENCE_COMMANDS[action]) == (404, "90058")


@pytest.mark.parametrize("action", sorted(CONFERENCE_COMMANDS))
def test_an_ended_conference_takes_no_command(rig: Rig, action: str) -> None:
    caller = rig.caller()
    conference = rig.meeting(caller)
    rig.conference(conference, "end")
    assert rig.conference_refused(conference, action, **CONFERENCE_COMMANDS[action]) == "90019"


@pytest.mark.parametrize("action", ["leave", "update", "gather_using_audio"])
def test_a_leg_that_is_not_in_the_conference_is_not_found(rig: Rig, action: str) -> None:
    conference = rig.meeting(rig.caller())
    body = CONFERENCE_COMMANDS[action] | {"call_control_id": rig.caller()}
    assert rig.refused(f"/conferences/{conference}/actions/{action}", **body) == (404, "10005")


@pytest.mark.parametrize("action", ["hold", "unhold", "mute", "unmute", "play", "speak", "stop", "send_dtmf"])
def test_a_list_of_strangers_is_not_found(rig: Rig, action: str) -> None:
    conference = rig.meeting(rig.caller())
    body = CONFERENCE_COMMANDS[action] | {"call_control_ids": [rig.caller()]}
    assert rig.refused(f"/conferences/{conference}/actions/{action}", **body) == (404, "10005")


@pytest.mark.parametrize("legs", [None, []], ids=["missing", "empty"])
def test_unhold_needs_its_list(rig: Rig, legs: list[str] | None) -> None:
    conference = rig.meeting(rig.caller())
    assert rig.conference_refused(conference, "unhold", call_control_ids=legs) == "10004"


@pytest.mark.parametrize("region", ["US", None])
def test_a_conference_of_another_region_is_not_found(rig: Rig, region: str | None) -> None:
    caller = rig.caller()
    conference = rig.meeting(caller, region="Europe")
    body = {"region": region} if region else {}
    assert rig.conference_refused(conference, "mute", **body) == "90058"
    rig.conference(conference, "mute", region="Europe")
    assert rig.refused(f"/conferences/{conference}", "GET")[1] == "90058"
    assert rig.get(f"/conferences/{conference}", region="Europe")["data"]["region"] == "Europe"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/queues/none", 404, "10005"),
        ("DELETE", "/queues/none", 404, "10005"),
        ("GET", "/queues/none/calls", 404, "10005"),
        ("GET", "/queues/none/calls/v3:x", 404, "10005"),
        ("GET", "/conferences/none", 404, "90058"),
        ("GET", "/conferences/none/participants", 404, "90058"),
        ("GET", "/recordings/none", 404, "10005"),
        ("DELETE", "/recordings/none", 404, "10005"),
        ("GET", "/call_control_applications/1", 404, "10005"),
        ("GET", "/calls/v3:x", 422, "90015"),
        ("GET", "/nothing/like/this", 404, "10005"),
    ],
)
def test_what_is_not_there_is_not_found(rig: Rig, method: str, path: str, status: int, code: str) -> None:
    assert rig.refused(path, method) == (status, code)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"page[size]": "251"}, "10033"),
        ({"page[size]": "0"}, "10033"),
        ({"page[number]": "0"}, "10033"),
        ({"page[number]": "two"}, "10026"),
    ],
)
def test_a_page_is_checked(rig: Rig, query: dict[str, str], code: str) -> None:
    response = rig.request("GET", "/queues", **query)
    assert (response.status_code, response.json()["errors"][0]["code"]) == (422, code)


@pytest.mark.parametrize(
    ("key", "status"), [("KEY1", 200), ("KEY2", 401), (None, 401), ("kéy", 401)], ids=["right", "wrong", "none", "odd"]
)
def test_only_the_right_key_is_let_in(key: str | None, status: int) -> None:
    with rigged(api_key="KEY1") as rig:
        headers = {} if key is None else {"authorization": f"Bearer {key}".encode()}
        response = rig.http.get("/v2/queues", headers=headers)
        assert response.status_code == status
        if status == 401:
            assert response.json()["errors"][0]["code"] == "10009"


@pytest.mark.parametrize(
    ("content", "code"), [(b"{", "10023"), (b"[1]", "10015"), (b'"x"', "10015"), (b"\xff\xfe\x00x", "10028")]
)
def test_a_body_that_is_no_object_is_a_bad_request(rig: Rig, content: bytes, code: str) -> None:
    response = rig.http.post("/v2/queues", content=content)
    assert (response.status_code, response.json()["errors"][0]["code"]) == (400, code)


def _dial_by_the_dozen(rig: Rig, dials: int) -> list[int]:
    return [rig.request("POST", "/calls", DIAL).status_code for _ in range(dials)]


def test_more_than_150_dials_in_five_seconds_are_too_many(rig: Rig) -> None:
    assert set(_dial_by_the_dozen(rig, 150)) == {200}
    response = rig.request("POST", "/calls", DIAL)
    assert (response.status_code, response.json()["errors"][0]["code"]) == (429, "90103")
    assert response.headers["x-ratelimit-remaining"] == "0"
    assert response.headers["x-ratelimit-limit"] == "150"
    assert 1 <= int(response.headers["x-ratelimit-reset"]) <= 5
    assert len(rig.world.legs) == 150
    rig.advance(5)
    assert _dial_by_the_dozen(rig, 1) == [200]


@pytest.mark.parametrize(
    "refused",
    [
        lambda rig, leg: rig.call_refused(leg, "enqueue", queue_name="full", client_state="bmV3"),
        lambda rig, leg: rig.refused("/conferences", call_control_id=leg, name="taken", client_state="bmV3"),
    ],
    ids=["enqueue", "conference create"],
)
def test_a_refused_command_leaves_no_trace(rig: Rig, refused: Callable[[Rig, str], Any]) -> None:
    rig.meeting(rig.caller(), name="taken")
    rig.waiting("full", max_size=1)
    leg = rig.caller()
    rig.call(leg, "playback_start", audio_url="https://media.example.com/a.mp3", client_state="b2xk")
    rig.told()
    refused(rig, leg)
    assert rig.told() == []
    assert rig.leg(leg)["client_state"] == "b2xk"


def test_a_command_says_what_became_of_it(rig: Rig) -> None:
    leg = rig.caller()
    rig.call(leg, "speak", payload="hello", voice="female", command_id="one")
    rig.call(leg, "speak", payload="hello", voice="female", command_id="one")
    rig.call_refused(leg, "leave_queue")
    commands = rig.sim("GET", "commands")["commands"]
    assert [(each["operation"], each["effect"], each["status"]) for each in commands] == [
        ("calls.answer", "done", 200),
        ("calls.speak", "done", 200),
        ("calls.speak", "deduplicated", 200),
        ("calls.leave_queue", "rejected:90035", 422),
    ]
    assert commands[1]["call_control_id"] == leg
    assert commands[1]["command_id"] == "one"
    later = rig.sim("GET", "commands", after=commands[2]["seq"])["commands"]
    assert [each["operation"] for each in later] == ["calls.leave_queue"]


def test_a_caller_rings_without_our_help(rig: Rig) -> None:
    leg = rig.ring_in()
    assert rig.get(f"/calls/{leg}")["data"]["is_alive"]
    assert (rig.leg(leg)["from"], rig.leg(leg)["to"]) == (CALLER, NUMBER)
