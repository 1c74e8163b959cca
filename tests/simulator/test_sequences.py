"""The canonical sequences of CONTRACT §8.3, told in this order."""

import pytest

from tests.simulator.rig import MUSIC, Rig


def test_an_inbound_call_is_initiated_answered_enqueued_and_played_to(rig: Rig) -> None:
    leg = rig.ring_in()
    assert rig.told() == ["call.initiated"]
    initiated = rig.payload("call.initiated")
    assert (initiated["direction"], initiated["state"]) == ("incoming", "parked")

    rig.call(leg, "answer")
    rig.call(leg, "enqueue", queue_name="support")
    rig.call(leg, "playback_start", audio_url=MUSIC, loop="infinity")
    assert rig.told() == ["call.answered", "call.enqueued", "call.playback.started"]
    assert rig.payload("call.enqueued")["current_position"] == 1


@pytest.mark.parametrize(
    ("order", "told"),
    [
        ("dequeued_first", ["call.playback.ended", "call.dequeued", "call.hangup"]),
        ("hangup_first", ["call.playback.ended", "call.hangup", "call.dequeued"]),
    ],
)
def test_a_caller_abandons(rig: Rig, order: str, told: list[str]) -> None:
    rig.sim("PUT", "switches", {"abandon_order": order})
    leg = rig.waiting()
    rig.call(leg, "playback_start", audio_url=MUSIC, loop="infinity")
    rig.told()
    rig.on_phone(leg, "hangup")
    assert rig.told() == told
    assert rig.payload("call.playback.ended")["status"] == "call_hangup"
    assert rig.payload("call.dequeued")["reason"] == "hangup"
    hangup = rig.payload("call.hangup")
    assert (hangup["hangup_cause"], hangup["hangup_source"]) == ("normal_clearing", "caller")


@pytest.mark.parametrize("reason", ["bridged", "bridging-in-process"])
def test_a_call_is_routed_through_a_conference(rig: Rig, reason: str) -> None:
    rig.sim("PUT", "switches", {"dequeue_reason_on_conference": reason})
    caller = rig.waiting()
    rig.told()
    agent = rig.agent()
    assert rig.told() == ["call.initiated", "call.answered"]
    assert rig.payload("call.initiated")["direction"] == "outgoing"

    conference = rig.meeting(caller)
    assert rig.told() == ["call.dequeued", "conference.created", "conference.participant.joined"]
    assert rig.payload("call.dequeued")["reason"] == reason

    rig.conference(conference, "join", call_control_id=agent)
    assert rig.told() == ["conference.participant.joined"]
    assert rig.payload("conference.participant.joined")["call_control_id"] == agent


def test_a_call_is_routed_by_a_bridge(rig: Rig) -> None:
    caller = rig.waiting()
    agent = rig.agent()
    rig.told()
    rig.call(agent, "bridge", call_control_id=caller)
    assert rig.told() == ["call.dequeued", "call.bridged", "call.bridged"]
    assert rig.payload("call.dequeued")["reason"] == "bridged"
    assert [leg["bridged_with"] for leg in (rig.leg(caller), rig.leg(agent))] == [agent, caller]


def test_a_supervisor_joins_and_leaves(rig: Rig) -> None:
    conference = rig.meeting(rig.caller(), rig.agent())
    rig.told()
    supervisor = rig.agent("sip:sue@agents.example.com")
    rig.conference(conference, "join", call_control_id=supervisor, supervisor_role="monitor")
    rig.conference(conference, "leave", call_control_id=supervisor)
    assert rig.told() == [
        "call.initiated",
        "call.answered",
        "conference.participant.joined",
        "conference.participant.left",
    ]
    assert rig.leg(supervisor)["state"] == "answered"


def test_the_agent_hangs_up_and_then_the_last_one_leaves(rig: Rig) -> None:
    caller, agent = rig.caller(), rig.agent()
    rig.meeting(caller, agent)
    rig.told()
    rig.on_phone(agent, "hangup")
    assert rig.told() == ["conference.participant.left", "call.hangup"]
    assert rig.hears(caller) == set()

    rig.on_phone(caller, "hangup")
    assert rig.told() == ["conference.participant.left", "call.hangup", "conference.ended"]
    assert rig.payload("conference.ended")["reason"] == "all_left"


@pytest.mark.parametrize("left_is_told", [True, False])
def test_a_conference_is_ended_by_api(rig: Rig, left_is_told: bool) -> None:
    rig.sim("PUT", "switches", {"participant_left_on_conference_end": left_is_told})
    conference = rig.meeting(rig.caller(), rig.agent())
    rig.told()
    rig.conference(conference, "end")
    left = ["conference.participant.left"] * 2 if left_is_told else []
    assert rig.told() == [*left, "call.hangup", "call.hangup", "conference.ended"]
    ended = rig.get(f"/conferences/{conference}")["data"]
    assert (ended["status"], ended["end_reason"]) == ("completed", "ended_via_api")


def test_the_queues_own_limit_ends_the_wait_but_not_the_call(rig: Rig) -> None:
    leg = rig.waiting(max_wait_time_secs=20)
    rig.told()
    rig.advance(19.9)
    assert rig.told() == []
    rig.advance(0.1)
    assert rig.told() == ["call.dequeued"]
    dequeued = rig.payload("call.dequeued")
    assert (dequeued["reason"], dequeued["wait_time_secs"]) == ("timeout", 20)
    assert rig.leg(leg)["is_alive"]


def test_instants_in_the_log_never_repeat_and_never_go_back(rig: Rig) -> None:
    conference = rig.meeting(rig.caller(), rig.agent())
    rig.conference(conference, "end")
    instants = [event.occurred_at for event in rig.world.events]
    assert instants == sorted(set(instants))


@pytest.mark.parametrize(
    ("enveloped", "keys"), [(True, {"data", "meta"}), (False, {"event_type", "id", "payload", "record_type"})]
)
def test_floor_changed_comes_with_or_without_its_envelope(rig: Rig, enveloped: bool, keys: set[str]) -> None:
    import json

    rig.sim("PUT", "switches", {"floor_changed_enveloped": enveloped})
    caller = rig.caller()
    rig.meeting(caller)
    rig.on_phone(caller, "talk", secs=2)
    rig.simulator.drain()
    assert set(json.loads(rig.posts[-1].body)) == keys
    assert rig.posts[-1].event_type == "conference.floor.changed"
