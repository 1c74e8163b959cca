"""One leg: how it rings, what it is answered, how it ends; bridges, transfers, supervised dials."""

from urllib.parse import quote

import pytest

from tests.simulator.rig import AGENT, NUMBER, Rig


@pytest.mark.parametrize(
    ("ended_by", "cause", "source", "sip"),
    [
        ("the caller gives up", "originator_cancel", "caller", "487"),
        ("we reject", "call_rejected", "callee", "603"),
        ("we are busy", "user_busy", "callee", "486"),
        ("the caller hangs up", "normal_clearing", "caller", "200"),
        ("we hang up", "normal_clearing", "callee", "200"),
        ("our agent's ringing is cancelled", "originator_cancel", "caller", "487"),
        ("the agent hangs up", "normal_clearing", "callee", "200"),
        ("we hang up on the agent", "normal_clearing", "caller", "200"),
    ],
)
def test_a_hangup_says_why_and_by_whom(rig: Rig, ended_by: str, cause: str, source: str, sip: str) -> None:
    match ended_by:
        case "the caller gives up":
            rig.on_phone(rig.ring_in(), "hangup")
        case "we reject":
            rig.call(rig.ring_in(), "reject", cause="CALL_REJECTED")
        case "we are busy":
            rig.call(rig.ring_in(), "reject", cause="USER_BUSY")
        case "the caller hangs up":
            rig.on_phone(rig.caller(), "hangup")
        case "we hang up":
            rig.call(rig.caller(), "hangup")
        case "our agent's ringing is cancelled":
            rig.call(rig.dial(), "hangup")
        case "the agent hangs up":
            rig.on_phone(rig.agent(), "hangup")
        case "we hang up on the agent":
            rig.call(rig.agent(), "hangup")
    hangup = rig.payload("call.hangup")
    assert (hangup["hangup_cause"], hangup["hangup_source"], hangup["sip_hangup_cause"]) == (cause, source, sip)
    assert hangup["state"] == "hangup"


@pytest.mark.parametrize(
    ("retry", "rings_secs", "cause"), [(True, 40, "timeout"), (None, 40, "timeout"), (False, 20, "no_answer")]
)
def test_a_phone_rings_twice_as_long_when_other_routes_are_tried(
    rig: Rig, retry: bool | None, rings_secs: int, cause: str
) -> None:
    rig.phone(AGENT, on_ring="no_answer")
    body = {} if retry is None else {"retry_on_timeout": retry}
    leg = rig.dial(timeout_secs=20, **body)
    rig.advance(rings_secs - 0.1)
    assert rig.leg(leg)["is_alive"]
    rig.advance(0.1)
    assert rig.leg(leg)["hangup_cause"] == cause


def test_an_answer_during_the_second_ring_counts(rig: Rig) -> None:
    rig.phone(AGENT, after_secs=7)
    leg = rig.dial(timeout_secs=5)
    rig.advance(7)
    assert rig.leg(leg)["state"] == "answered"


@pytest.mark.parametrize("limit", [30, None])
def test_a_leg_ends_at_its_time_limit(rig: Rig, limit: int | None) -> None:
    leg = rig.agent(**({} if limit is None else {"time_limit_secs": limit}))
    rig.advance((limit or 14_400) - 0.5)
    assert rig.leg(leg)["is_alive"]
    rig.advance(0.5)
    assert rig.leg(leg)["hangup_cause"] == "time_limit"


@pytest.mark.parametrize(
    ("enabled", "answered", "alive"), [(True, False, False), (True, True, True), (False, False, True)]
)
def test_an_incoming_call_nobody_commands_is_hung_up(rig: Rig, enabled: bool, answered: bool, alive: bool) -> None:
    application = {"first_command_timeout": enabled, "application_name": "x", "webhook_event_url": "http://x"}
    rig.request("PATCH", f"/call_control_applications/{rig.world.connection_id}", application)
    leg = rig.caller() if answered else rig.ring_in()
    rig.advance(30)
    assert rig.leg(leg)["is_alive"] == alive


def test_a_retrieve_tells_the_end_for_ten_minutes(rig: Rig) -> None:
    leg = rig.caller()
    path = f"/calls/{quote(leg, safe='')}"
    rig.advance(5)
    assert rig.get(path)["data"]["call_duration"] == 5
    rig.on_phone(leg, "hangup")
    ended = rig.get(path)["data"]
    assert (ended["is_alive"], "end_time" in ended) == (False, True)
    rig.advance(599)
    assert not rig.get(path)["data"]["is_alive"]
    rig.advance(1)
    assert rig.refused(path, "GET") == (422, "90015")


def test_a_dialled_leg_is_alive_only_once_it_is_up(rig: Rig) -> None:
    leg = rig.dial()
    path = f"/calls/{quote(leg, safe='')}"
    ringing = rig.get(path)["data"]
    assert (ringing["is_alive"], "end_time" in ringing) == (False, False)
    active = rig.get(f"/connections/{rig.world.connection_id}/active_calls")["data"]
    assert [call["call_control_id"] for call in active] == [leg]
    rig.advance(1)
    assert rig.get(path)["data"]["is_alive"]


def test_client_state_is_echoed_and_the_last_writer_wins(rig: Rig) -> None:
    leg = rig.dial(client_state="b25l")
    assert rig.payload("call.initiated")["client_state"] == "b25l"
    rig.advance(1)
    assert rig.payload("call.answered")["client_state"] == "b25l"
    rig.call(leg, "speak", payload="x", voice="f", client_state="dHdv")
    assert rig.payload("call.speak.started")["client_state"] == "dHdv"
    path = f"/calls/{quote(leg, safe='')}/actions/client_state_update"
    assert rig.request("PUT", path, {"client_state": "dGhyZWU="}).status_code == 200
    rig.call(leg, "hangup")
    assert rig.payload("call.hangup")["client_state"] == "dGhyZWU="


def test_custom_headers_and_the_display_name_reach_the_webhook(rig: Rig) -> None:
    headers = [{"name": "X-Call-Id", "value": "42"}]
    rig.dial(custom_headers=headers, from_display_name="Support")
    initiated = rig.payload("call.initiated")
    assert (initiated["custom_headers"], initiated["caller_id_name"]) == (headers, "Support")


def test_a_linked_leg_shares_the_session(rig: Rig) -> None:
    caller = rig.caller()
    session = rig.leg(caller)["call_session_id"]
    assert rig.leg(rig.dial(link_to=caller))["call_session_id"] == session
    assert rig.leg(rig.dial())["call_session_id"] != session


def test_a_linked_leg_can_be_bridged_on_its_answer(rig: Rig) -> None:
    caller = rig.caller()
    agent = rig.agent(link_to=caller, bridge_on_answer=True)
    assert rig.leg(caller)["bridged_with"] == agent


def test_a_second_answer_changes_nothing(rig: Rig) -> None:
    leg = rig.caller()
    rig.told()
    rig.call(leg, "answer")
    assert rig.told() == []


@pytest.mark.parametrize(
    ("detection", "machine", "told"),
    [
        ("detect", False, [("call.machine.detection.ended", "human")]),
        ("detect", True, [("call.machine.detection.ended", "machine")]),
        ("greeting_end", True, [("call.machine.detection.ended", "machine"), ("call.machine.greeting.ended", "ended")]),
        (
            "detect_beep",
            True,
            [("call.machine.detection.ended", "machine"), ("call.machine.greeting.ended", "beep_detected")],
        ),
        ("premium", False, [("call.machine.premium.detection.ended", "human_residence")]),
        (
            "premium",
            True,
            [
                ("call.machine.premium.detection.ended", "machine"),
                ("call.machine.premium.greeting.ended", "beep_detected"),
            ],
        ),
        ("disabled", True, []),
    ],
)
def test_machine_detection(rig: Rig, detection: str, machine: bool, told: list[tuple[str, str]]) -> None:
    rig.phone(AGENT, on_ring="voicemail" if machine else "answer")
    rig.agent(answering_machine_detection=detection)
    rig.advance(10)
    machines = [event for event in rig.world.events if event.event_type.startswith("call.machine")]
    assert [(event.event_type, event.payload["result"]) for event in machines] == told


# Bridges


@pytest.mark.parametrize(("park", "alive"), [({}, False), ({"park_after_unbridge": "self"}, True)])
def test_the_survivor_of_a_bridge_is_hung_up_unless_it_parks(rig: Rig, park: dict[str, str], alive: bool) -> None:
    caller, agent = rig.caller(), rig.agent()
    rig.call(caller, "bridge", call_control_id=agent, **park)
    rig.on_phone(agent, "hangup")
    assert rig.leg(caller)["is_alive"] == alive


def test_parking_protects_only_the_leg_that_was_commanded(rig: Rig) -> None:
    caller, agent = rig.caller(), rig.agent()
    rig.call(caller, "bridge", call_control_id=agent, park_after_unbridge="self")
    rig.on_phone(caller, "hangup")
    assert not rig.leg(agent)["is_alive"]


@pytest.mark.parametrize("move", ["conference", "enqueue", "bridge"])
def test_moving_out_of_a_bridge_hangs_up_the_other(rig: Rig, move: str) -> None:
    caller, agent = rig.caller(), rig.agent()
    rig.call(caller, "bridge", call_control_id=agent)
    if move == "conference":
        rig.meeting(caller)
    elif move == "enqueue":
        rig.call(caller, "enqueue", queue_name="support")
    else:
        rig.call(caller, "bridge", call_control_id=rig.agent())
    assert rig.leg(caller)["is_alive"]
    assert not rig.leg(agent)["is_alive"]


def test_a_bridge_with_a_ringing_leg_waits_for_its_answer(rig: Rig) -> None:
    caller, agent = rig.caller(), rig.dial()
    rig.call(caller, "bridge", call_control_id=agent, play_ringtone=True)
    assert rig.media(caller) == [("ringback", AGENT)]
    assert rig.leg(caller)["bridged_with"] is None
    rig.advance(1)
    assert rig.media(caller) == []
    assert rig.hears(caller) == {agent}


def test_a_bridge_answers_a_call_that_rings_in(rig: Rig) -> None:
    agent, caller = rig.agent(), rig.ring_in()
    rig.told()
    rig.call(agent, "bridge", call_control_id=caller)
    assert rig.told() == ["call.answered", "call.bridged", "call.bridged"]


def test_a_leg_is_not_bridged_twice_if_that_is_prevented(rig: Rig) -> None:
    caller, agent = rig.caller(), rig.agent()
    rig.call(caller, "bridge", call_control_id=agent)
    third = rig.agent()
    assert rig.call_refused(third, "bridge", call_control_id=caller, prevent_double_bridge=True) == "10015"
    assert rig.leg(agent)["is_alive"]


def test_a_transfer_bridges_when_the_target_answers(rig: Rig) -> None:
    caller = rig.caller()
    rig.told()
    rig.call(caller, "transfer", to=AGENT, target_leg_client_state="dGFyZ2V0")
    assert rig.media(caller) == [("ringback", AGENT)]
    rig.advance(1)
    assert rig.told() == ["call.initiated", "call.answered", "call.bridged", "call.bridged"]
    target = rig.leg(rig.leg(caller)["bridged_with"])
    assert (target["from"], target["to"], target["client_state"]) == (NUMBER, AGENT, "dGFyZ2V0")
    assert target["call_session_id"] == rig.leg(caller)["call_session_id"]


def test_a_transfer_that_fails_leaves_the_caller_alive(rig: Rig) -> None:
    rig.phone(AGENT, on_ring="busy")
    caller = rig.caller()
    rig.call(caller, "transfer", to=AGENT)
    rig.advance(1)
    assert rig.payload("call.hangup")["to"] == AGENT
    assert rig.leg(caller)["is_alive"]
    assert rig.media(caller) == []


def test_a_caller_who_goes_cancels_his_transfer(rig: Rig) -> None:
    caller = rig.caller()
    rig.call(caller, "transfer", to=AGENT)
    rig.on_phone(caller, "hangup")
    assert [leg["hangup_cause"] for leg in rig.sim("GET", "state")["legs"]] == ["normal_clearing", "originator_cancel"]


# Supervised dials


def test_a_supervising_leg_obeys_little_and_ends_with_the_supervised(rig: Rig) -> None:
    caller, agent = rig.caller(), rig.agent()
    rig.call(caller, "bridge", call_control_id=agent, park_after_unbridge="self")
    supervisor = rig.agent("sip:sue@example.com", supervise_call_control_id=agent, supervisor_role="monitor")
    assert rig.call_refused(supervisor, "bridge", call_control_id=caller) == "10015"
    rig.call(supervisor, "switch_supervisor_role", role="whisper")
    assert rig.leg(supervisor)["supervisor_role"] == "whisper"
    rig.on_phone(agent, "hangup")
    assert not rig.leg(supervisor)["is_alive"]
    assert rig.leg(caller)["is_alive"]


def test_the_phones_own_hold_key_is_told(rig: Rig) -> None:
    agent = rig.agent()
    rig.told()
    for action in ("hold", "hold", "unhold", "unhold"):
        rig.on_phone(agent, action)
    assert rig.told() == ["call.hold", "call.unhold"]


def test_a_caller_who_is_moved_meanwhile_is_not_pulled_into_the_transfer(rig: Rig) -> None:
    caller = rig.caller()
    rig.call(caller, "transfer", to=AGENT)
    conference = rig.meeting(caller)
    rig.advance(1)
    assert rig.leg(caller)["conference_id"] == conference
    assert [leg["hangup_cause"] for leg in rig.sim("GET", "state")["legs"]] == [None, "originator_cancel"]
