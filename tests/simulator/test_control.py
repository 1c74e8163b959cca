"""The face for tests: what it shows, and the one clear line it answers nonsense with."""

from typing import Any
from urllib.parse import quote

import pytest

from callcenter.simulator.switches import Switches
from tests.simulator.rig import AGENT, CALLER, NUMBER, Rig, rigged


@pytest.mark.parametrize(
    ("method", "path", "body", "says"),
    [
        ("POST", "calls", {}, "from: found None, accepted is text"),
        ("POST", "calls", {"from": "me", "to": NUMBER}, "from: found 'me'"),
        ("POST", "calls", {"from": CALLER, "to": "anonymous"}, "to: found 'anonymous'"),
        ("POST", "calls", {"from": CALLER, "to": NUMBER, "patience": 3}, "patience: unknown; accepted are from, to"),
        ("POST", "calls", {"from": CALLER, "to": NUMBER, "patience_secs": -1}, "patience_secs: found -1"),
        ("POST", "calls", {"from": CALLER, "to": NUMBER, "talk_secs": "9"}, "talk_secs: found '9'"),
        ("PUT", "phones/ann", {}, "address: found 'ann'"),
        ("PUT", "phones/default", {"on_ring": "sing"}, "on_ring: found 'sing', accepted are answer, no_answer"),
        ("PUT", "phones/default", {"dtmf": "12x"}, "dtmf: found '12x'"),
        ("PUT", "phones/default", {"after_secs": True}, "after_secs: found True"),
        ("PUT", "phones/default", {"volume": 11}, "volume: unknown"),
        ("PUT", "faults", {"gremlins": 1}, "gremlins: no such fault; accepted are duplicate"),
        ("PUT", "faults", {"drop": 2}, "drop.share: found 2, accepted is a number from 0 to 1"),
        ("PUT", "faults", {"drop": {"share": 1, "secs": 2}}, "drop.secs: only delay and reorder"),
        ("PUT", "faults", {"delay": {"secs": -2}}, "delay.secs: found -2"),
        ("PUT", "faults", {"drop": {"chance": 1}}, "drop.chance: unknown; accepted are share, secs, match"),
        ("PUT", "faults", {"drop": {"match": {"number": "1"}}}, "drop.match.number: unknown"),
        ("PUT", "faults", {"drop": {"match": 5}}, "drop.match: found 5"),
        ("PUT", "faults", {"api_5xx": {"match": {"operation": "dial"}}}, "api_5xx.match.operation: found 'dial'"),
        ("POST", "gates", {"event_type": "call.sung"}, "event_type: found 'call.sung', accepted are call.answered"),
        ("POST", "gates", {"event_type": "call.hangup", "leg": 7}, "leg: found 7"),
        ("PUT", "switches", {"mood": "good"}, "mood: no such switch"),
        ("PUT", "switches", {"abandon_order": "both"}, "abandon_order: found 'both', accepted are dequeued_first"),
        ("PUT", "switches", {"unmute_opens_monitor": 1}, "unmute_opens_monitor: found 1, accepted are true and false"),
        ("PUT", "switches", {"empty_queue_bridge_code": "x"}, "empty_queue_bridge_code: found 'x'"),
        ("PUT", "switches", {"empty_queue_ttl_secs": "1"}, "empty_queue_ttl_secs: found '1'"),
        ("PUT", "switches", {"webhook_retry_delays_secs": [61]}, "webhook_retry_delays_secs: found [61]"),
        ("PUT", "switches", {"webhook_retry_delays_secs": [1] * 6}, "webhook_retry_delays_secs: found"),
        ("POST", "clock", {}, "advance_secs: missing"),
        ("POST", "clock", {"advance_secs": -5}, "advance_secs: found -5"),
        ("GET", "events?after=x", None, "after: found 'x'"),
    ],
)
def test_nonsense_is_answered_with_one_clear_line(
    rig: Rig, method: str, path: str, body: dict[str, Any] | None, says: str
) -> None:
    status, error = rig.sim_refused(method, path, body)
    assert status == 400
    assert says in error
    assert "\n" not in error


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff"])
def test_a_body_has_to_be_a_json_object(rig: Rig, content: bytes) -> None:
    response = rig.http.post("/_sim/calls", content=content)
    assert response.status_code == 400
    assert "the body is not" in response.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "nothing", None),
        ("DELETE", "calls", None),
        ("POST", "calls/v3:x/hangup", {}),
        ("POST", "calls/v3:x/sing", {}),
        ("DELETE", "gates/none", None),
        ("GET", "", None),
    ],
)
def test_what_is_not_there_is_not_found(rig: Rig, method: str, path: str, body: Any) -> None:
    assert rig.sim_refused(method, path, body)[0] == 404


@pytest.mark.parametrize(
    ("action", "body", "says"),
    [
        ("dtmf", {}, "digits: found None"),
        ("dtmf", {"digits": "1w"}, "digits: found '1w'"),
        ("talk", {}, "secs: missing"),
        ("hold", {"secs": 1}, "secs: unknown; accepted are no fields at all"),
    ],
)
def test_a_phones_keys_are_checked(rig: Rig, action: str, body: dict[str, Any], says: str) -> None:
    leg = quote(rig.caller(), safe="")
    status, error = rig.sim_refused("POST", f"calls/{leg}/{action}", body)
    assert (status, says in error) == (400, True)


def test_a_phone_that_is_not_in_a_call_does_nothing(rig: Rig) -> None:
    ringing, ended = rig.ring_in(), rig.caller()
    rig.on_phone(ended, "hangup")
    assert rig.sim_refused("POST", f"calls/{quote(ringing, safe='')}/hold", {})[0] == 409
    assert rig.sim_refused("POST", f"calls/{quote(ended, safe='')}/hangup", {})[0] == 409


def test_a_wrong_switch_or_fault_changes_nothing(rig: Rig) -> None:
    rig.sim("PUT", "faults", {"drop": 0.5})
    rig.sim_refused("PUT", "faults", {"duplicate": 1, "drop": 7})
    assert rig.sim("GET", "faults")["faults"] == {"drop": {"share": 0.5}}
    rig.sim_refused("PUT", "switches", {"abandon_order": "hangup_first", "mood": "good"})
    assert rig.sim("GET", "switches")["abandon_order"] == "dequeued_first"


def test_every_switch_can_be_read_and_put_back(rig: Rig) -> None:
    switches = rig.sim("GET", "switches")
    assert switches == Switches().as_json()
    assert rig.sim("PUT", "switches", switches) == switches


def test_events_come_in_the_order_of_truth_and_from_a_point_on(rig: Rig) -> None:
    leg = rig.caller()
    events = rig.sim("GET", "events")["events"]
    assert [(each["seq"], each["event_type"]) for each in events] == [(1, "call.initiated"), (2, "call.answered")]
    assert events[1]["call_control_id"] == leg
    assert events[1]["payload"]["state"] == "answered"
    assert rig.sim("GET", "events", after=1)["events"] == events[1:]


def test_the_state_is_five_lists(rig: Rig) -> None:
    caller, agent = rig.caller(), rig.agent(client_state="YQ==")
    conference = rig.meeting(caller, name="room")
    rig.conference(
        conference,
        "join",
        call_control_id=agent,
        supervisor_role="whisper",
        whisper_call_control_ids=[caller],
    )
    rig.conference(conference, "record_start", format="mp3")
    waiting = rig.waiting("support")
    pair = rig.caller(), rig.agent()
    rig.call(pair[0], "bridge", call_control_id=pair[1])
    state = rig.sim("GET", "state")
    assert set(state) == {"legs", "bridges", "queues", "conferences", "recordings"}
    assert state["bridges"] == [{"call_control_ids": list(pair), "park_after_unbridge": []}]
    assert [call["call_control_id"] for call in state["queues"][0]["calls"]] == [waiting]
    shown = {each["call_control_id"]: each for each in state["conferences"][0]["participants"]}
    assert (shown[caller]["supervisor_role"], shown[agent]["supervisor_role"]) == ("none", "whisper")
    assert shown[agent]["whisper_call_control_ids"] == [caller]
    assert state["recordings"][0]["status"] == "recording"
    legs = {leg["call_control_id"]: leg for leg in state["legs"]}
    assert (legs[agent]["to"], legs[agent]["client_state"], legs[agent]["state"]) == (AGENT, "YQ==", "answered")


def test_the_manual_clock_moves_only_by_hand(rig: Rig) -> None:
    before = rig.sim("GET", "clock")
    assert before == {"clock": "manual", "now": "2023-11-14T22:13:20.000Z"}
    leg = rig.dial()
    assert rig.leg(leg)["state"] == "bridging"
    assert rig.sim("POST", "clock", {"advance_secs": 1.5})["now"] == "2023-11-14T22:13:21.500Z"
    assert rig.leg(leg)["state"] == "answered"


def test_timers_of_one_advance_fire_at_their_own_instants(rig: Rig) -> None:
    leg = rig.dial()
    rig.advance(3600)
    answered = next(event for event in rig.world.events if event.event_type == "call.answered")
    assert answered.occurred_at == "2023-11-14T22:13:21.000000Z"
    assert rig.leg(leg)["call_duration"] == 3600


def test_a_real_clock_is_not_moved() -> None:
    with rigged(clock="real") as rig:
        assert rig.sim("GET", "clock")["clock"] == "real"
        assert rig.sim_refused("POST", "clock", {"advance_secs": 1})[0] == 409


def test_the_key_of_the_api_is_not_asked_for_here() -> None:
    with rigged(api_key="KEY1") as rig:
        assert rig.sim("GET", "state")["legs"] == []
