"""How long anyone heard nothing, to the millisecond."""

from typing import Any

import pytest

from tests.simulator.rig import AGENT, MUSIC, Rig


def silence(rig: Rig, kind: str) -> dict[str, float]:
    found: dict[str, float] = rig.sim("GET", "silence")[kind]
    return found


def for_caller(rig: Rig, caller: str) -> list[dict[str, str]]:
    return [{"name": "X-Caller-Leg-Id", "value": rig.leg(caller)["call_leg_id"]}]


def test_ringing_is_not_silence_but_every_gap_after_the_answer_is(rig: Rig) -> None:
    leg = rig.ring_in()
    rig.advance(9)
    assert silence(rig, "callers") == {leg: 0}
    rig.call(leg, "answer")
    rig.advance(1.25)
    rig.call(leg, "speak", payload="x" * 30, voice="f")
    assert silence(rig, "callers") == {leg: 1.25}
    rig.advance(2 + 0.5)
    rig.call(leg, "playback_start", audio_url=MUSIC, loop="infinity")
    rig.advance(100)
    assert silence(rig, "callers") == {leg: 1.25}
    rig.call(leg, "playback_stop")
    rig.advance(2)
    assert silence(rig, "callers") == {leg: 2}
    rig.on_phone(leg, "hangup")
    rig.advance(50)
    assert silence(rig, "callers") == {leg: 2}


def test_a_gap_of_no_time_is_no_gap(rig: Rig) -> None:
    caller = rig.caller()
    rig.call(caller, "playback_start", audio_url=MUSIC, loop="infinity")
    agent = rig.agent()
    conference = rig.meeting(caller, start_conference_on_create=False, hold_audio_url=MUSIC)
    rig.call(caller, "playback_stop")
    rig.advance(3)
    rig.conference(conference, "join", call_control_id=agent, start_conference_on_enter=True)
    rig.advance(60)
    assert silence(rig, "callers") == {caller: 0}


@pytest.mark.parametrize(
    ("change", "silent"),
    [
        pytest.param(("hold", {}), True, id="held without music"),
        pytest.param(("hold", {"audio_url": MUSIC}), False, id="held with music"),
        pytest.param(("mute", {"only": "agent"}), True, id="the other is mute"),
        pytest.param(("mute", {"only": "caller"}), False, id="he is mute himself"),
    ],
)
def test_a_caller_in_a_conversation(rig: Rig, change: tuple[str, dict[str, Any]], silent: bool) -> None:
    legs = {"caller": rig.caller(), "agent": rig.agent()}
    conference = rig.meeting(*legs.values())
    caller = legs["caller"]
    before = silence(rig, "callers")[caller]
    rig.advance(5)
    action, body = change
    only = body.pop("only", "caller")
    rig.conference(conference, action, call_control_ids=[legs[only]], **body)
    rig.advance(7)
    assert silence(rig, "callers")[caller] == (7 if silent else before)


def test_the_agents_hold_key_leaves_the_caller_in_silence(rig: Rig) -> None:
    caller, agent = rig.caller(), rig.agent()
    rig.meeting(caller, agent)
    rig.on_phone(agent, "hold")
    rig.advance(4)
    assert silence(rig, "callers")[caller] == 4


def test_the_callers_own_hold_key_is_his_own_silence(rig: Rig) -> None:
    caller, agent = rig.caller(), rig.agent()
    rig.meeting(caller, agent)
    rig.on_phone(caller, "hold")
    rig.advance(4)
    assert silence(rig, "callers")[caller] == 1


def test_a_machine_is_no_company(rig: Rig) -> None:
    rig.phone(AGENT, on_ring="voicemail")
    caller, machine = rig.caller(), rig.agent()
    rig.meeting(caller, machine)
    rig.advance(6)
    assert rig.hears(caller) == {machine}
    assert silence(rig, "callers")[caller] == 7


def test_an_agent_waits_from_his_answer_to_the_first_sound(rig: Rig) -> None:
    caller = rig.caller()
    prompted = rig.agent(custom_headers=for_caller(rig, caller))
    connected = rig.agent(custom_headers=for_caller(rig, caller))
    forgotten = rig.agent(custom_headers=for_caller(rig, caller))
    unasked = rig.agent()
    rig.advance(1)
    rig.call(prompted, "gather_using_speak", payload="Press 1", voice="f")
    rig.advance(1)
    rig.meeting(caller, connected)
    rig.advance(5)
    rig.on_phone(forgotten, "hangup")
    rig.advance(100)
    found = silence(rig, "agents")
    # Each dial took its phone one second to answer, before the next was made.
    assert found == {prompted: 4, connected: 4, forgotten: 8}
    assert unasked not in found


def test_a_phone_that_never_answers_has_no_dead_air(rig: Rig) -> None:
    caller = rig.caller()
    rig.dial(custom_headers=for_caller(rig, caller))
    assert silence(rig, "agents") == {}


def test_a_phone_rings_on_for_a_caller_who_is_gone(rig: Rig) -> None:
    rig.phone(AGENT, on_ring="no_answer")
    caller, other = rig.caller(), rig.caller()
    ringing = rig.dial(custom_headers=for_caller(rig, caller))
    in_time = rig.dial(custom_headers=for_caller(rig, caller))
    for_other = rig.dial(custom_headers=for_caller(rig, other))
    rig.advance(4)
    rig.call(in_time, "hangup")
    rig.on_phone(caller, "hangup")
    rig.advance(1.5)
    assert silence(rig, "rang_for_gone_caller_secs") == {ringing: 1.5, in_time: 0, for_other: 0}
    rig.advance(1)
    rig.call(ringing, "hangup")
    rig.advance(9)
    assert silence(rig, "rang_for_gone_caller_secs") == {ringing: 2.5, in_time: 0, for_other: 0}


def test_a_phone_dialled_for_a_caller_already_gone_rings_for_nothing(rig: Rig) -> None:
    caller = rig.caller()
    headers = for_caller(rig, caller)
    rig.on_phone(caller, "hangup")
    rig.advance(30)
    leg = rig.dial(custom_headers=headers)
    rig.advance(10)
    assert silence(rig, "rang_for_gone_caller_secs") == {leg: 1}
