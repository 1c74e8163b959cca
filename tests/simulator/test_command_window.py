"""A command_id takes effect once in a minute (CONTRACT §3)."""

import pytest

from tests.simulator.rig import AGENT, NUMBER, Rig


def test_a_repeat_within_a_minute_is_answered_and_ignored(rig: Rig) -> None:
    leg = rig.caller()
    rig.told()
    for _ in range(3):
        rig.call(leg, "enqueue", queue_name="support", command_id="c1")
        rig.advance(19)
    assert rig.told() == ["call.enqueued"]


def test_after_a_minute_the_same_id_is_a_new_command(rig: Rig) -> None:
    leg = rig.caller()
    rig.call(leg, "speak", payload="x" * 15, voice="f", command_id="c1")
    rig.advance(60)
    rig.told()
    rig.call(leg, "speak", payload="x" * 15, voice="f", command_id="c1")
    assert rig.told() == ["call.speak.started"]


def test_an_id_is_new_for_each_leg_but_not_for_each_operation(rig: Rig) -> None:
    first, second = rig.caller(), rig.caller()
    rig.told()
    rig.call(first, "speak", payload="hello", voice="f", command_id="c1")
    rig.call(second, "speak", payload="hello", voice="f", command_id="c1")
    rig.call(first, "enqueue", queue_name="support", command_id="c1")
    assert rig.told() == ["call.speak.started", "call.speak.started"]


def test_a_repeated_hangup_is_not_refused(rig: Rig) -> None:
    leg = rig.caller()
    rig.call(leg, "hangup", command_id="c1")
    rig.call(leg, "hangup", command_id="c1")
    assert rig.call_refused(leg, "hangup", command_id="c2") == "90018"


def test_a_refused_command_may_be_tried_again_under_its_id(rig: Rig) -> None:
    leg = rig.ring_in()
    assert rig.call_refused(leg, "enqueue", queue_name="support", command_id="c1") == "90034"
    rig.call(leg, "answer")
    rig.call(leg, "enqueue", queue_name="support", command_id="c1")
    assert rig.leg(leg)["queue"] == "support"


@pytest.mark.parametrize("response", ["original", "ok"])
def test_a_repeated_dial_rings_nobody_again(rig: Rig, response: str) -> None:
    rig.sim("PUT", "switches", {"duplicate_command_response": response})
    body = {"connection_id": rig.world.connection_id, "to": AGENT, "from": NUMBER, "command_id": "c1"}
    first = rig.post("/calls", **body)
    second = rig.post("/calls", **body | {"to": "+15550109999"})
    assert second == (first if response == "original" else {"result": "ok"})
    assert len(rig.world.legs) == 1


def test_a_recreated_conference_with_an_old_id_is_silently_ignored(rig: Rig) -> None:
    leg = rig.caller()
    first = rig.post("/conferences", call_control_id=leg, name="one", command_id="c1")
    rig.conference(first["id"], "leave", call_control_id=leg)
    again = rig.post("/conferences", call_control_id=leg, name="two", command_id="c1")
    assert again["id"] == first["id"]
    assert rig.leg(leg)["conference_id"] is None


def test_a_conference_is_the_same_by_name_and_by_id(rig: Rig) -> None:
    conference = rig.meeting(rig.caller(), name="room")
    rig.conference(conference, "record_start", format="mp3", command_id="c1")
    rig.conference("room", "record_start", format="mp3", command_id="c1")
    assert rig.sim("GET", "commands")["commands"][-1]["effect"] == "deduplicated"


def test_operations_without_a_command_id_ignore_it(rig: Rig) -> None:
    caller = rig.caller()
    conference = rig.meeting(caller)
    for action in ("mute", "unmute", "mute"):
        rig.conference(conference, action, command_id="c1")
    assert rig.participants(conference)[caller]["muted"]
