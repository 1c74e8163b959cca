"""Callers with patience, phones with habits, and a speed that divides only theirs."""

from typing import Any

import pytest

from tests.simulator.rig import AGENT, NUMBER, Rig, rigged


@pytest.mark.parametrize(
    ("on_ring", "state", "cause", "sip"),
    [
        ("answer", "answered", None, None),
        ("voicemail", "answered", None, None),
        ("busy", "hangup", "user_busy", "486"),
        ("decline", "hangup", "call_rejected", "603"),
        ("unreachable", "hangup", "unspecified", "480"),
        ("no_answer", "bridging", None, None),
    ],
)
def test_what_a_phone_does_when_it_rings(
    rig: Rig, on_ring: str, state: str, cause: str | None, sip: str | None
) -> None:
    rig.phone(AGENT, on_ring=on_ring, after_secs=3)
    leg = rig.dial()
    rig.advance(2.9)
    assert rig.leg(leg)["state"] == "bridging"
    rig.advance(0.1)
    assert (rig.leg(leg)["state"], rig.leg(leg)["hangup_cause"]) == (state, cause)
    if cause is not None:
        hangup = rig.payload("call.hangup")
        assert (hangup["sip_hangup_cause"], hangup["hangup_source"]) == (sip, "callee")


def test_before_any_word_phones_answer_after_a_second_and_press_one(rig: Rig) -> None:
    leg = rig.dial("+15550106666")
    rig.advance(0.9)
    assert rig.leg(leg)["state"] == "bridging"
    rig.advance(0.1)
    rig.call(leg, "gather", maximum_digits=1)
    rig.advance(1)
    assert rig.payload("call.gather.ended")["digits"] == "1"
    rig.advance(3600)
    assert rig.leg(leg)["is_alive"]


@pytest.mark.parametrize(
    ("habits", "digits"),
    [({"dtmf": "42"}, "42"), ({"dtmf": None}, ""), ({"dtmf": ""}, ""), ({"on_ring": "voicemail"}, "")],
)
def test_what_a_phone_presses(rig: Rig, habits: dict[str, Any], digits: str) -> None:
    rig.phone(AGENT, **habits)
    leg = rig.agent()
    rig.call(leg, "gather_using_speak", payload="Press", voice="f", maximum_digits=2, timeout_millis=5000)
    rig.advance(60)
    assert rig.payload("call.gather.ended")["digits"] == digits


def test_callers_press_nothing_by_themselves(rig: Rig) -> None:
    leg = rig.caller()
    rig.call(leg, "gather")
    rig.advance(60)
    assert rig.payload("call.gather.ended")["digits"] == ""


def test_a_phone_of_its_own_goes_before_the_default(rig: Rig) -> None:
    rig.phone(on_ring="busy")
    rig.phone("+15550106666", on_ring="decline")
    causes = {}
    for to in ("+15550106666", "+15550106666,200", "sip:any@example.com", AGENT):
        leg = rig.dial(to)
        rig.advance(1)
        causes[to] = rig.leg(leg)["hangup_cause"]
    assert causes == {
        "+15550106666": "call_rejected",
        "+15550106666,200": "call_rejected",
        "sip:any@example.com": "user_busy",
        AGENT: "user_busy",
    }
    assert rig.sim("GET", "phones")["default"]["on_ring"] == "busy"


def test_patience_runs_from_the_answer_until_a_human_is_heard(rig: Rig) -> None:
    impatient, lucky = rig.ring_in(patience_secs=10), rig.ring_in(patience_secs=10)
    rig.advance(20)
    rig.call(impatient, "answer")
    rig.call(lucky, "answer")
    rig.advance(5)
    rig.meeting(lucky, rig.agent())
    rig.advance(3.9)
    assert rig.leg(impatient)["is_alive"]
    rig.advance(0.1)
    assert rig.leg(impatient)["hangup_cause"] == "normal_clearing"
    rig.advance(100)
    assert rig.leg(lucky)["is_alive"]


def test_a_voicemail_is_not_what_a_caller_waits_for(rig: Rig) -> None:
    rig.phone(AGENT, on_ring="voicemail")
    caller = rig.caller(patience_secs=5)
    rig.meeting(caller, rig.agent())
    rig.advance(4)
    assert not rig.leg(caller)["is_alive"]


def test_music_does_not_stop_the_clock(rig: Rig) -> None:
    caller = rig.caller(patience_secs=5)
    rig.call(caller, "playback_start", media_name="music", loop="infinity")
    rig.advance(5)
    assert not rig.leg(caller)["is_alive"]


def test_talk_runs_from_the_first_human_and_ends_in_a_normal_hangup(rig: Rig) -> None:
    rig.phone(AGENT, talk_secs=8)
    caller, agent = rig.caller(talk_secs=20), rig.agent()
    rig.advance(30)
    rig.meeting(caller, agent)
    rig.advance(7.9)
    assert rig.leg(agent)["is_alive"]
    rig.advance(0.1)
    assert rig.leg(agent)["hangup_cause"] == "normal_clearing"
    assert rig.payload("call.hangup")["hangup_source"] == "callee"
    rig.advance(12)
    assert rig.leg(caller)["hangup_cause"] == "normal_clearing"


def test_a_drop_comes_after_connecting_and_looks_like_a_failure(rig: Rig) -> None:
    rig.phone(AGENT, drop_after_secs=4)
    caller, agent = rig.caller(), rig.agent()
    rig.advance(10)
    assert rig.leg(agent)["is_alive"]
    rig.meeting(caller, agent)
    rig.advance(4)
    assert rig.leg(agent)["hangup_cause"] == "unspecified"
    assert rig.leg(caller)["is_alive"]


def test_hanging_up_a_ringing_phone_declines(rig: Rig) -> None:
    rig.phone(AGENT, on_ring="no_answer")
    leg = rig.dial()
    rig.on_phone(leg, "hangup")
    assert rig.leg(leg)["hangup_cause"] == "call_rejected"


def test_speed_divides_only_the_seconds_of_people() -> None:
    with rigged(speed=10) as rig:
        rig.phone(AGENT, after_secs=20, talk_secs=40)
        caller, agent = rig.caller(patience_secs=50), rig.dial(timeout_secs=10)
        rig.advance(2)
        assert rig.leg(agent)["state"] == "answered"
        rig.call(caller, "speak", payload="x" * 30, voice="f")
        rig.advance(1.9)
        assert rig.media(caller) != []
        rig.meeting(caller, agent)
        rig.advance(4)
        assert not rig.leg(agent)["is_alive"]

        rig.phone(AGENT, on_ring="no_answer")
        ringing = rig.dial(timeout_secs=10, retry_on_timeout=False)
        rig.advance(9.9)
        assert rig.leg(ringing)["is_alive"]
        rig.advance(0.1)
        assert not rig.leg(ringing)["is_alive"]


def test_a_caller_may_hide_his_number(rig: Rig) -> None:
    leg = rig.sim("POST", "calls", {"from": "anonymous", "to": NUMBER})["call_control_id"]
    assert rig.leg(leg)["from"] == "anonymous"
