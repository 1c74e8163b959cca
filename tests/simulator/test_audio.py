"""Who hears whom, as a table, and what plays to whom."""

from collections.abc import Callable, Mapping

import pytest

from tests.simulator.rig import MUSIC, Rig

C, A, S, B = "caller", "agent", "supervisor", "second supervisor"
Legs = Mapping[str, str]
Change = Callable[[Rig, str, Legs], object]


def _role(who: str, role: str, *targets: str) -> Change:
    return lambda rig, conference, legs: rig.conference(
        conference,
        "update",
        call_control_id=legs[who],
        supervisor_role=role,
        whisper_call_control_ids=[legs[target] for target in targets],
    )


def _do(action: str, *whom: str) -> Change:
    return lambda rig, conference, legs: rig.conference(
        conference, action, call_control_ids=[legs[each] for each in whom]
    )


def _phone(who: str, action: str) -> Change:
    return lambda rig, conference, legs: rig.on_phone(legs[who], action)


# Caller, agent and a supervisor are in a started conference; then the changes; then who hears whom.
TABLE = [
    pytest.param([], {C: {A, S}, A: {C, S}, S: {C, A}}, id="role none"),
    pytest.param([_role(S, "barge")], {C: {A, S}, A: {C, S}, S: {C, A}}, id="barge"),
    pytest.param([_role(S, "monitor")], {C: {A}, A: {C}, S: {C, A}}, id="monitor"),
    pytest.param([_role(S, "whisper", A)], {C: {A}, A: {C, S}, S: {C, A}}, id="whisper to the agent"),
    pytest.param([_role(S, "whisper", A, C)], {C: {A, S}, A: {C, S}, S: {C, A}}, id="whisper to both"),
    pytest.param([_role(S, "whisper")], {C: {A}, A: {C}, S: {C, A}}, id="a whisper without targets is a monitor"),
    pytest.param([_role(S, "whisper", A), _role(S, "monitor")], {C: {A}, A: {C}, S: {C, A}}, id="whisper, monitor"),
    pytest.param([_role(S, "monitor"), _role(S, "barge")], {C: {A, S}, A: {C, S}, S: {C, A}}, id="monitor, barge"),
    pytest.param([_do("mute", A)], {C: {S}, A: {C, S}, S: {C}}, id="a muted leg is not heard but hears"),
    pytest.param([_do("mute")], {C: set(), A: set(), S: set()}, id="everyone muted"),
    pytest.param([_do("mute"), _do("unmute", C)], {C: set(), A: {C}, S: {C}}, id="one unmuted again"),
    pytest.param([_do("hold", C)], {C: set(), A: {S}, S: {A}}, id="a held leg neither hears nor is heard"),
    pytest.param([_do("hold")], {C: set(), A: set(), S: set()}, id="everyone held"),
    pytest.param([_do("hold"), _do("unhold", A, S)], {C: set(), A: {S}, S: {A}}, id="two unheld again"),
    pytest.param([_phone(A, "hold")], {C: {S}, A: set(), S: {C}}, id="the agent's own hold key"),
    pytest.param([_phone(A, "hold"), _phone(A, "unhold")], {C: {A, S}, A: {C, S}, S: {C, A}}, id="and off again"),
    pytest.param(
        [_role(S, "monitor"), _do("unmute")], {C: {A, S}, A: {C, S}, S: {C, A}}, id="unmuting everyone opens a monitor"
    ),
    pytest.param(
        [_role(S, "monitor"), _do("unmute", S)], {C: {A, S}, A: {C, S}, S: {C, A}}, id="unmuting a monitor opens it"
    ),
    pytest.param(
        [_role(S, "monitor"), _do("unmute", C, A)], {C: {A}, A: {C}, S: {C, A}}, id="unmuting the others does not"
    ),
    pytest.param(
        [_role(S, "monitor"), _do("unmute"), _do("mute", S)],
        {C: {A}, A: {C}, S: {C, A}},
        id="muted again, it is closed",
    ),
    pytest.param(
        [_role(S, "monitor"), _do("unmute"), _role(S, "monitor")],
        {C: {A}, A: {C}, S: {C, A}},
        id="a new role closes it",
    ),
    pytest.param(
        [_role(S, "whisper", A), _do("unmute")], {C: {A}, A: {C, S}, S: {C, A}}, id="unmuting does not open a whisper"
    ),
    pytest.param(
        [_role(S, "barge"), _do("mute", S), _role(S, "barge")], {C: {A}, A: {C}, S: {C, A}}, id="a mute outlasts roles"
    ),
]


@pytest.mark.parametrize(("changes", "hears"), TABLE)
def test_who_hears_whom_in_a_conference(rig: Rig, changes: list[Change], hears: dict[str, set[str]]) -> None:
    legs = {C: rig.caller(), A: rig.agent(), S: rig.agent()}
    conference = rig.meeting(*legs.values())
    for change in changes:
        change(rig, conference, legs)
    names = {leg: name for name, leg in legs.items()}
    heard = {name: {names[other] for other in rig.hears(leg)} for name, leg in legs.items()}
    assert heard == hears


def test_with_the_switch_off_a_monitor_stays_mute(rig: Rig) -> None:
    rig.sim("PUT", "switches", {"unmute_opens_monitor": False})
    caller, supervisor = rig.caller(), rig.agent()
    conference = rig.meeting(caller)
    rig.conference(conference, "join", call_control_id=supervisor, supervisor_role="monitor")
    rig.conference(conference, "unmute")
    assert rig.hears(caller) == set()
    assert rig.participants(conference)[supervisor]["muted"]


def test_supervisors_do_not_hear_each_others_whispers(rig: Rig) -> None:
    caller, agent, monitor, whisperer = rig.caller(), rig.agent(), rig.agent(), rig.agent()
    conference = rig.meeting(caller, agent)
    rig.conference(conference, "join", call_control_id=monitor, supervisor_role="monitor")
    rig.conference(
        conference,
        "join",
        call_control_id=whisperer,
        supervisor_role="whisper",
        whisper_call_control_ids=[agent, monitor],
    )
    assert rig.hears(agent) == {caller, whisperer}
    assert rig.hears(monitor) == {caller, agent}
    assert rig.hears(whisperer) == {caller, agent}


def test_parked_and_queued_legs_hear_their_playback_or_nothing(rig: Rig) -> None:
    parked, queued, other = rig.caller(), rig.waiting(), rig.waiting()
    rig.call(queued, "playback_start", audio_url=MUSIC, loop="infinity")
    assert [rig.hears(leg) for leg in (parked, queued, other)] == [set(), set(), set()]
    assert [rig.media(leg) for leg in (parked, queued, other)] == [[], [("playback", MUSIC)], []]


def test_a_bridged_pair_hears_each_other(rig: Rig) -> None:
    caller, agent = rig.caller(), rig.agent()
    rig.call(caller, "bridge", call_control_id=agent)
    assert (rig.hears(caller), rig.hears(agent)) == ({agent}, {caller})


@pytest.mark.parametrize(
    ("role", "caller_hears", "agent_hears"),
    [
        ("barge", {A, S}, {C, S}),
        ("whisper", {A}, {C, S}),
        ("monitor", {A}, {C}),
    ],
)
def test_a_supervised_dial(rig: Rig, role: str, caller_hears: set[str], agent_hears: set[str]) -> None:
    caller, agent = rig.caller(), rig.agent()
    rig.call(caller, "bridge", call_control_id=agent)
    supervisor = rig.agent("sip:sue@example.com", supervise_call_control_id=agent, supervisor_role=role)
    names = {caller: C, agent: A, supervisor: S}
    assert {names[leg] for leg in rig.hears(caller)} == caller_hears
    assert {names[leg] for leg in rig.hears(agent)} == agent_hears
    assert rig.hears(supervisor) == {caller, agent}


def test_a_held_leg_hears_its_hold_media_and_nothing_else(rig: Rig) -> None:
    caller, agent = rig.caller(), rig.agent()
    conference = rig.meeting(caller, agent)
    rig.call(caller, "playback_start", audio_url="https://media.example.com/own.mp3", loop="infinity")
    rig.conference(conference, "play", audio_url="https://media.example.com/all.mp3")
    rig.conference(conference, "hold", call_control_ids=[caller], audio_url=MUSIC)
    assert rig.media(caller) == [("hold", MUSIC)]
    rig.conference(conference, "hold", call_control_ids=[caller])
    assert rig.media(caller) == []
    rig.conference(conference, "unhold", call_control_ids=[caller])
    assert rig.media(caller) == [
        ("playback", "https://media.example.com/own.mp3"),
        ("playback", "https://media.example.com/all.mp3"),
    ]


def test_what_plays_to_a_conference_is_heard_by_all_and_to_one_by_one(rig: Rig) -> None:
    caller, agent = rig.caller(), rig.agent()
    conference = rig.meeting(caller, agent)
    rig.conference(conference, "speak", payload="All hear this", voice="f")
    rig.conference(conference, "speak", payload="You alone", voice="f", call_control_ids=[agent])
    assert rig.media(caller) == [("speak", "All hear this")]
    assert rig.media(agent) == [("speak", "You alone"), ("speak", "All hear this")]


def test_a_caller_whose_call_rings_hears_the_networks_ringback(rig: Rig) -> None:
    ringing, dialled = rig.ring_in(), rig.dial()
    assert rig.media(ringing) == [("ringback", "network")]
    assert rig.media(dialled) == []


def test_only_live_legs_are_listed(rig: Rig) -> None:
    caller = rig.caller()
    rig.on_phone(caller, "hangup")
    assert rig.sim("GET", "audio") == {}
