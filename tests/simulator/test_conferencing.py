"""Conferences: who is in, who is held, who is mute, and how they end (CONTRACT §5)."""

import pytest

from tests.simulator.rig import MUSIC, Rig


def test_a_name_belongs_to_one_active_conference(rig: Rig) -> None:
    first = rig.meeting(rig.caller(), name="room")
    assert rig.refused("/conferences", call_control_id=rig.caller(), name="room") == (422, "90033")
    rig.conference(first, "end")
    second = rig.meeting(rig.caller(), name="room")
    assert second != first
    rig.conference("room", "mute")
    assert all(each["muted"] for each in rig.participants(second).values())


def test_nobody_joins_the_same_conference_twice(rig: Rig) -> None:
    caller = rig.caller()
    conference = rig.meeting(caller)
    assert rig.conference_refused(conference, "join", call_control_id=caller) == "90044"


def test_a_full_conference_takes_nobody(rig: Rig) -> None:
    conference = rig.meeting(rig.caller(), rig.caller(), max_participants=2)
    assert rig.conference_refused(conference, "join", call_control_id=rig.caller()) == "90032"


def test_an_unstarted_conference_holds_everyone_until_someone_starts_it(rig: Rig) -> None:
    caller, agent, other = rig.caller(), rig.agent(), rig.agent()
    conference = rig.meeting(caller, start_conference_on_create=False, hold_audio_url=MUSIC)
    assert rig.get(f"/conferences/{conference}")["data"]["status"] == "init"
    rig.conference(conference, "join", call_control_id=other)
    assert rig.media(caller) == [("hold", MUSIC)]
    assert rig.hears(caller) == set()
    assert all(each["on_hold"] for each in rig.participants(conference).values())

    rig.conference(conference, "join", call_control_id=agent, start_conference_on_enter=True)
    assert rig.get(f"/conferences/{conference}")["data"]["status"] == "in_progress"
    assert rig.media(caller) == []
    assert rig.hears(caller) == {agent, other}
    assert not any(each["on_hold"] for each in rig.participants(conference).values())


def test_whether_a_start_releases_the_held_is_a_switch(rig: Rig) -> None:
    rig.sim("PUT", "switches", {"start_releases_held": False})
    caller, agent = rig.caller(), rig.agent()
    conference = rig.meeting(caller, start_conference_on_create=False, hold_audio_url=MUSIC)
    rig.conference(conference, "join", call_control_id=agent, start_conference_on_enter=True)
    assert rig.participants(conference)[caller]["on_hold"]
    rig.conference(conference, "unhold", call_control_ids=[caller, agent])
    assert rig.hears(caller) == {agent}


def test_joining_held_stays_held_when_the_conference_starts(rig: Rig) -> None:
    caller, agent, other = rig.caller(), rig.agent(), rig.agent()
    conference = rig.meeting(caller, start_conference_on_create=False)
    rig.conference(conference, "join", call_control_id=other, hold=True, hold_audio_url=MUSIC)
    rig.conference(conference, "join", call_control_id=agent, start_conference_on_enter=True)
    assert rig.media(other) == [("hold", MUSIC)]
    assert rig.hears(caller) == {agent}


@pytest.mark.parametrize(("action", "undo", "field"), [("hold", "unhold", "on_hold"), ("mute", "unmute", "muted")])
def test_a_list_names_some_and_no_list_means_everyone(rig: Rig, action: str, undo: str, field: str) -> None:
    caller, agent = rig.caller(), rig.agent()
    conference = rig.meeting(caller, agent)
    rig.told()

    def marked() -> set[str]:
        return {leg for leg, each in rig.participants(conference).items() if each[field]}

    rig.conference(conference, action, call_control_ids=[caller])
    assert marked() == {caller}
    listed = rig.get(f"/conferences/{conference}/participants", **{f"filter[{field}]": "true"})
    assert [each["call_control_id"] for each in listed["data"]] == [caller]
    rig.conference(conference, action, call_control_ids=[])
    assert marked() == {caller, agent}
    rig.conference(conference, undo, call_control_ids=[agent])
    assert marked() == {caller}
    rig.conference(conference, undo, call_control_ids=[caller])
    rig.conference(conference, action)
    assert marked() == {caller, agent}
    assert rig.told() == []


def test_hold_events_in_conferences_are_a_switch(rig: Rig) -> None:
    rig.sim("PUT", "switches", {"conference_hold_events": True})
    caller = rig.caller()
    conference = rig.meeting(caller)
    rig.told()
    rig.conference(conference, "hold", call_control_ids=[caller])
    rig.conference(conference, "hold", call_control_ids=[caller])
    rig.conference(conference, "unhold", call_control_ids=[caller])
    assert rig.told() == ["call.hold", "call.unhold"]


def test_moving_to_another_conference_leaves_the_first(rig: Rig) -> None:
    caller, agent = rig.caller(), rig.agent()
    first = rig.meeting(caller, agent, name="first")
    second = rig.meeting(rig.caller(), name="second")
    rig.told()
    rig.conference(second, "join", call_control_id=agent)
    assert rig.told() == ["conference.participant.left", "conference.participant.joined"]
    assert set(rig.participants(first)) == {caller}
    assert rig.leg(agent)["conference_id"] == second


def test_the_last_one_to_leave_ends_it(rig: Rig) -> None:
    caller = rig.caller()
    conference = rig.meeting(caller)
    rig.told()
    rig.conference(conference, "leave", call_control_id=caller)
    assert rig.told() == ["conference.participant.left", "conference.ended"]
    assert rig.leg(caller)["is_alive"]
    ended = rig.get(f"/conferences/{conference}")["data"]
    assert ended["end_reason"] == "all_left"
    assert ended["ended_by"]["call_control_id"] == caller


@pytest.mark.parametrize("exit_by", ["leave", "hangup", "move"])
def test_a_host_takes_everyone_down(rig: Rig, exit_by: str) -> None:
    caller, agent = rig.caller(), rig.agent()
    conference = rig.meeting(caller)
    rig.conference(conference, "join", call_control_id=agent, end_conference_on_exit=True)
    rig.told()
    if exit_by == "leave":
        rig.conference(conference, "leave", call_control_id=agent)
    elif exit_by == "hangup":
        rig.on_phone(agent, "hangup")
    else:
        rig.post("/conferences", call_control_id=agent, name="elsewhere")
    assert not rig.leg(caller)["is_alive"]
    assert rig.leg(agent)["is_alive"] == (exit_by != "hangup")
    assert rig.payload("conference.ended")["reason"] == "host_left"
    assert rig.leg(caller)["hangup_cause"] == "time_limit"


def test_a_participant_can_become_the_host(rig: Rig) -> None:
    caller, agent = rig.caller(), rig.agent()
    conference = rig.meeting(caller, agent)
    path = f"/conferences/{conference}/participants/{rig.participants(conference)[agent]['id']}"
    changed = rig.request("PATCH", path, {"end_conference_on_exit": True}).json()["data"]
    assert (changed["end_conference_on_exit"], changed["conference_id"]) == (True, conference)
    assert rig.get(path)["data"] == changed
    rig.on_phone(agent, "hangup")
    assert not rig.leg(caller)["is_alive"]


@pytest.mark.parametrize(("answer", "status"), [("ends", "completed"), ("closes_to_joins", "in_progress")])
def test_a_soft_end_hangs_up_nobody(rig: Rig, answer: str, status: str) -> None:
    rig.sim("PUT", "switches", {"soft_end": answer})
    caller, agent = rig.caller(), rig.agent()
    conference = rig.meeting(caller)
    rig.conference(conference, "join", call_control_id=agent, soft_end_conference_on_exit=True)
    rig.conference(conference, "leave", call_control_id=agent)
    assert rig.leg(caller)["is_alive"]
    assert rig.get(f"/conferences/{conference}")["data"]["status"] == status
    assert rig.conference_refused(conference, "join", call_control_id=agent) == "90019"


def test_an_end_by_force_takes_its_creator_down_wherever_it_is(rig: Rig) -> None:
    creator, other = rig.caller(), rig.caller()
    first = rig.meeting(creator, other, name="first")
    second = rig.meeting(rig.caller(), name="second")
    rig.conference(second, "join", call_control_id=creator)
    rig.told()
    rig.conference(first, "end")
    assert rig.told() == [
        "conference.participant.left",
        "call.hangup",
        "conference.participant.left",
        "call.hangup",
        "conference.ended",
    ]
    assert (rig.leg(creator)["hangup_cause"], rig.leg(other)["hangup_cause"]) == ("time_limit", "normal_clearing")


@pytest.mark.parametrize(
    ("duration", "secs"), [({"duration_minutes": 1}, 60), ({}, 14_400)], ids=["its own limit", "four hours"]
)
def test_time_ends_a_conference_and_whoever_is_in_it(rig: Rig, duration: dict[str, int], secs: int) -> None:
    creator = rig.caller()
    conference = rig.meeting(creator, **duration)
    rig.advance(secs / 2)
    other = rig.caller()
    rig.conference(conference, "join", call_control_id=other)
    rig.conference(conference, "leave", call_control_id=creator)
    rig.advance(secs / 2 - 1)
    assert rig.leg(other)["is_alive"]
    rig.advance(1)
    assert not rig.leg(other)["is_alive"]
    assert rig.get(f"/conferences/{conference}")["data"]["end_reason"] == "time_exceeded"


def test_an_end_by_time_spares_a_creator_who_moved_on(rig: Rig) -> None:
    creator = rig.caller()
    conference = rig.meeting(creator, rig.caller(), duration_minutes=1)
    rig.conference(conference, "leave", call_control_id=creator)
    rig.advance(60)
    assert rig.leg(creator)["is_alive"]


@pytest.mark.parametrize(("answer", "listed"), [("none", 0), ("left", 2)])
def test_who_is_listed_after_the_end_is_a_switch(rig: Rig, answer: str, listed: int) -> None:
    rig.sim("PUT", "switches", {"participants_after_end": answer})
    conference = rig.meeting(rig.caller(), rig.caller())
    rig.conference(conference, "end")
    found = rig.participants(conference)
    assert [each["status"] for each in found.values()] == ["left"] * listed


@pytest.mark.parametrize(("lists", "status"), [(False, None), (True, "left")])
def test_whether_who_has_left_is_listed_is_a_switch(rig: Rig, lists: bool, status: str | None) -> None:
    rig.sim("PUT", "switches", {"lists_who_left": lists})
    stays, leaves = rig.caller(), rig.caller()
    conference = rig.meeting(stays, leaves)
    rig.conference(conference, "leave", call_control_id=leaves)
    found = rig.participants(conference)
    assert found[stays]["status"] == "joined"
    assert found.get(leaves, {}).get("status") == status


def test_conference_events_carry_the_creators_client_state(rig: Rig) -> None:
    caller, agent = rig.caller(), rig.agent(client_state="YWdlbnQ=")
    conference = rig.meeting(caller, client_state="Y2FsbGVy")
    rig.conference(conference, "join", call_control_id=agent, client_state="am9pbmVy")
    joined = rig.payload("conference.participant.joined")
    assert (joined["call_control_id"], joined["client_state"]) == (agent, "Y2FsbGVy")
    assert rig.leg(agent)["client_state"] == "am9pbmVy"
    rig.conference(conference, "leave", call_control_id=caller)
    rig.conference(conference, "join", call_control_id=caller, client_state="b3duZXI=")
    assert rig.payload("conference.participant.joined")["client_state"] == "b3duZXI="


def test_conferences_are_listed_by_their_end_and_filtered(rig: Rig) -> None:
    short = rig.meeting(rig.caller(), name="short", duration_minutes=1)
    rig.meeting(rig.caller(), name="long")
    assert [each["name"] for each in rig.get("/conferences")["data"]] == ["long", "short"]
    assert [each["id"] for each in rig.get("/conferences", **{"filter[name]": "short"})["data"]] == [short]
    rig.conference(short, "end")
    running = rig.get("/conferences", **{"filter[status]": "in_progress"})["data"]
    assert [each["name"] for each in running] == ["long"]


@pytest.mark.parametrize(
    ("beep", "on_join", "on_leave"),
    [("never", False, False), ("always", True, True), ("on_enter", True, False), ("on_exit", False, True)],
)
def test_beeps(rig: Rig, beep: str, on_join: bool, on_leave: bool) -> None:
    caller, agent = rig.caller(), rig.agent()
    conference = rig.meeting(caller, beep_enabled=beep)
    rig.advance(1)
    rig.conference(conference, "join", call_control_id=agent)
    assert bool(rig.media(caller)) == on_join
    rig.advance(1)
    assert rig.media(caller) == []
    rig.conference(conference, "leave", call_control_id=agent)
    assert rig.media(caller) == ([("beep", "conference")] if on_leave else [])


def test_talking_takes_the_floor_once(rig: Rig) -> None:
    caller, agent = rig.caller(), rig.agent()
    conference = rig.meeting(caller, agent)
    rig.told()
    rig.on_phone(agent, "talk", secs=2)
    rig.on_phone(agent, "talk", secs=2)
    rig.on_phone(caller, "talk", secs=2)
    rig.conference(conference, "mute", call_control_ids=[agent])
    rig.on_phone(agent, "talk", secs=2)
    assert rig.told() == ["conference.floor.changed", "conference.floor.changed"]
    assert rig.payload("conference.floor.changed")["call_control_id"] == caller


@pytest.mark.parametrize(("role", "takes"), [("barge", True), ("none", True), ("monitor", False), ("whisper", False)])
def test_only_who_speaks_to_everyone_takes_the_floor(rig: Rig, role: str, takes: bool) -> None:
    caller, agent, supervisor = rig.caller(), rig.agent(), rig.agent()
    conference = rig.meeting(caller, agent)
    rig.conference(
        conference, "join", call_control_id=supervisor, supervisor_role=role, whisper_call_control_ids=[agent]
    )
    rig.told()
    rig.on_phone(supervisor, "talk", secs=1)
    assert rig.told() == (["conference.floor.changed"] if takes else [])


def test_a_dial_can_go_straight_into_a_conference(rig: Rig) -> None:
    caller = rig.caller()
    conference = rig.meeting(caller)
    agent = rig.dial(conference_config={"id": conference, "early_media": False, "mute": True})
    assert set(rig.participants(conference)) == {caller}
    rig.advance(1)
    assert rig.participants(conference)[agent]["muted"]


def test_with_early_media_the_leg_joins_while_it_rings(rig: Rig) -> None:
    caller = rig.caller()
    conference = rig.meeting(caller)
    agent = rig.dial(conference_config={"conference_name": "room"})
    assert set(rig.participants(conference)) == {caller, agent}
    assert rig.hears(caller) == set()
    rig.advance(1)
    assert rig.hears(caller) == {agent}


def test_a_dial_can_make_its_conference(rig: Rig) -> None:
    agent = rig.agent(conference_config={"conference_name": "new", "start_conference_on_create": False})
    listed = rig.get("/conferences", **{"filter[name]": "new"})["data"]
    assert [each["status"] for each in listed] == ["init"]
    assert rig.leg(agent)["conference_id"] == listed[0]["id"]


def test_a_leg_named_twice_is_spoken_to_once(rig: Rig) -> None:
    caller = rig.caller()
    conference = rig.meeting(caller)
    rig.told()
    rig.conference(conference, "speak", payload="x", voice="f", call_control_ids=[caller, caller])
    rig.advance(1)
    assert rig.told() == ["conference.participant.speak.started", "conference.participant.speak.ended"]


def test_an_ended_conference_is_remembered_for_an_hour(rig: Rig) -> None:
    conference = rig.meeting(rig.caller())
    rig.conference(conference, "end")
    rig.advance(3599)
    assert rig.get(f"/conferences/{conference}")["data"]["status"] == "completed"
    rig.advance(1)
    assert rig.refused(f"/conferences/{conference}", "GET")[1] == "90058"
