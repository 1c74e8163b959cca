"""The chaos run: its schedule, what its checker finds, what may be planted where, and one small run of it all."""

import json
import math
import os
import random
import subprocess
import sys
import uuid
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.utils import timezone
from pytest_django.fixtures import Settings
from pytest_django.live_server_helper import LiveServer

from callcenter.chaos import checker, crowd, evidence, mirror, plants, recovery, schedule, supervisors, table
from callcenter.chaos.fleet import LastWords, is_celerys_end
from callcenter.chaos.run import Lasting, Revived, passed_over
from callcenter.chaos.schedule import PROFILES, Strike, strikes
from callcenter.chaos.stores import Missing, find_postgres, find_redis, run_as
from callcenter.chaos.supervisors import Supervisors
from callcenter.chaos.witness import Deliveries, Hangups, Witness
from callcenter.demo import house
from conferences.models import CallLeg, SupervisionSession
from queues import engine
from queues.engine import agents
from queues.models import Offer, Queue, QueueEntry
from tests.conftest import ROOT
from tests.queues import scene
from webhooks.models import Command

# schedule ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PROFILES)
def test_a_seed_gives_the_same_kills_and_each_as_often_as_the_profile_says(name: str) -> None:
    profile = PROFILES[name]
    found = strikes(profile, random.Random(7))
    assert found == strikes(profile, random.Random(7))
    assert Counter(strike.kind for strike in found) == profile.kills
    assert found == sorted(found)
    assert all(profile.calls // 10 <= strike.after_calls <= profile.calls * 9 // 10 for strike in found)


def test_the_copies_of_a_kind_are_struck_in_turn() -> None:
    found = [strike.copy for strike in strikes(PROFILES["standard"], random.Random(3)) if strike.kind == "web"]
    assert found == [1, 2, 1, 2, 1]


def test_another_seed_gives_other_kills() -> None:
    assert strikes(PROFILES["standard"], random.Random(1)) != strikes(PROFILES["standard"], random.Random(2))


def test_fewer_calls_are_killed_at_less_often_but_never_spared() -> None:
    small = PROFILES["standard"].with_calls(400)
    assert small.kills == {"worker": 2, "web": 1, "redis": 1, "flush": 1, "postgres": 1}


def test_what_a_profile_asks_for_are_faults_that_the_simulator_knows() -> None:
    asked = {name for profile in PROFILES.values() for name in profile.faults}
    assert asked == {*schedule.DELIVERY, *schedule.API, *schedule.LOST}
    settings = PROFILES["smoke"].fault_settings()
    assert settings["delay"] == {"share": 0.02, "secs": 5.0}
    assert settings["api_5xx"] == 0.02
    assert settings["drop"] == 0.02


@pytest.mark.parametrize(
    "kind",
    ["worker", "web", "sweep", "redis", "redis_freeze", "flush", "postgres", "freeze", "freeze_leader", "blackout"],
)
def test_each_strike_says_what_it_does(kind: str) -> None:
    assert str(Strike(after_calls=1, kind=kind, copy=2, down_secs=1.5))


def test_callers_hang_up_in_every_state_equally_often_and_the_last_stay() -> None:
    profile = PROFILES["smoke"].with_calls(166)
    made = list(crowd.callers(profile, random.Random(1), ["+442079460001"]))
    assert len(made) == 166
    assert Counter(caller.leaves_in for caller in made if caller.leaves_in) == dict.fromkeys(crowd.STATES, 10)
    assert [caller.talk_secs for caller in made[-profile.stays :]] == [profile.stays_secs] * profile.stays
    assert all(caller.patience_secs is None for caller in made[-profile.stays :])


@pytest.mark.parametrize(
    ("state", "offer_state", "word"),
    [
        ("arriving", "", "arriving"),
        ("in_flow", "", "greeting"),
        ("queued", "", "queued"),
        ("offering", "pending", "ringing"),
        ("offering", "ringing", "ringing"),
        ("offering", "confirming", "confirming"),
        ("offering", "connecting", "connecting"),
        ("connected", "connected", "talking"),
        ("on_hold", "connected", "on_hold"),
        ("closing", "", ""),
    ],
)
def test_where_a_caller_is_by_our_rows(state: str, offer_state: str, word: str) -> None:
    assert crowd._word(state, offer_state) == word


@pytest.mark.django_db
def test_whereabouts_name_the_leg_of_the_agent_he_talks_with() -> None:
    line = scene.queue()
    waits, talks = scene.waiting(line, name="waits"), scene.talking(line, name="talks")
    legs = [waits.leg.call_control_id, talks.leg.call_control_id]
    assert crowd.whereabouts(dict.fromkeys(legs, "")) == {
        legs[0]: ("queued", ""),
        legs[1]: ("talking", scene.seat(talks, "agent").leg.call_control_id),
    }


# checker -----------------------------------------------------------------------------------------------------


def command(operation: str, *, effect: str = "done", command_id: str | None = None, **words: Any) -> dict[str, Any]:
    path = {name: words.pop(name) for name in ("call_control_id", "id") if name in words and operation != "calls.dial"}
    return {"operation": operation, "effect": effect, "command_id": command_id, "body": words, **path, "at": ""}


@pytest.mark.parametrize(
    ("commands", "found"),
    [
        pytest.param(
            [command("calls.dial", client_state="o1"), command("calls.dial", client_state="o2")], [], id="two"
        ),
        pytest.param(
            [command("calls.dial", client_state="o1", command_id=each) for each in "ab"],
            ["dial for o1 took effect 2 times"],
            id="rung twice",
        ),
        pytest.param(
            [command("calls.dial", client_state="o", effect=effect) for effect in ("done", "deduplicated")],
            [],
            id="recognised",
        ),
        pytest.param(
            [command("calls.dial", client_state="o", effect=effect) for effect in ("rejected:90103", "done")],
            [],
            id="refused first",
        ),
        pytest.param(
            [command("calls.answer", call_control_id="leg")] * 2, ["answer of leg took effect 2 times"], id="answered"
        ),
        pytest.param(
            [command("calls.enqueue", call_control_id="leg", client_state="e")] * 2,
            ["enqueue of leg for e took effect 2 times"],
            id="enqueued",
        ),
        pytest.param(
            [command("conferences.create", name="offer-1")] * 2,
            ["conference offer-1 took effect 2 times"],
            id="created",
        ),
        pytest.param(
            [{**command("conferences.join", id="c"), "body": {"call_control_id": "leg"}}] * 2,
            ["join of leg to c took effect 2 times"],
            id="joined",
        ),
        pytest.param(
            [command("calls.speak", call_control_id="leg", command_id="a")] * 2,
            ["command a calls.speak took effect 2 times"],
            id="the same command after its window",
        ),
    ],
)
def test_an_intent_that_took_effect_twice_is_found(commands: list[Any], found: list[str]) -> None:
    assert checker.double_effects(commands) == found


def parcel(event_id: str, *statuses: int | None, kind: str = "original", status: str = "delivered") -> dict[str, Any]:
    attempts = [{"status": code} for code in statuses]
    return {
        "event_id": event_id, "kind": kind, "status": status, "attempts": attempts, "event_type": "call.hangup",
        "call_control_id": f"leg of {event_id}", "seq": 1,
    }  # fmt: skip


def delivered(*parcels: dict[str, Any]) -> Deliveries:
    deliveries = Deliveries()
    deliveries.learn(parcels)
    return deliveries


def test_an_event_answered_and_not_kept_is_found() -> None:
    deliveries = delivered(
        parcel("kept", 200) | {"event_type": "call.initiated"},
        parcel("lost", 500, 200),
        parcel("given up", 500, status="failed"),
    )
    assert checker.acknowledged_and_lost(deliveries, ["kept"]) == [
        "event lost was answered 200 and is not in the inbox"
    ]
    assert deliveries.given_up == 1
    assert deliveries.told_of == {"leg of kept"}


@pytest.mark.parametrize(
    ("event_type", "status", "kept"),
    [
        ("conference.participant.joined", "dropped", {"leg of e"}),
        ("conference.participant.joined", "failed", {"leg of e"}),
        ("conference.participant.joined", "delivered", set()),
        ("call.answered", "dropped", set()),
        ("call.hangup", "dropped", set()),
    ],
)
def test_only_a_join_that_was_kept_from_us_may_leave_an_outcome_untrue(
    event_type: str, status: str, kept: set[str]
) -> None:
    assert delivered(parcel("e", status=status) | {"event_type": event_type}).kept_from_us == kept


def test_a_row_that_nobody_sent_is_found_and_one_answered_too_late_is_none() -> None:
    deliveries = delivered(parcel("late", None, status="failed"), parcel("forged", 403, kind="tamper", status="failed"))
    assert checker.never_delivered(deliveries, ["late", "forged"]) == ["event forged is in the inbox and was not sent"]


@pytest.mark.parametrize("kind", ["tamper", "stale_timestamp"])
def test_a_forgery_that_was_let_in_is_found(kind: str) -> None:
    assert delivered(parcel("e", 200, kind=kind)).forged_and_accepted == [f"{kind} of call.hangup e"]
    assert delivered(parcel("e", 403, kind=kind)).forged_and_accepted == []


def test_a_caller_whom_neither_he_nor_we_hung_up_was_cut_off() -> None:
    hangups = Hangups()
    hangups.learn(
        {
            "event_type": "call.hangup",
            "call_control_id": leg,
            "occurred_at": "noon",
            "payload": {"hangup_source": source},
        }
        for leg, source in {"went": "caller", "sent": "callee", "cut": "unknown", "excused": "callee"}.items()
    )
    commands = [
        command("calls.hangup", call_control_id="sent"),
        command("calls.hangup", call_control_id="cut", effect="rejected:10007"),
    ]
    legs = ["went", "sent", "cut", "excused"]
    found = checker.cut_off(legs, hangups.by_others, commands, excused=["excused"])
    assert found == ["caller cut was cut off at noon"]


@pytest.mark.parametrize(
    ("known", "ended", "secs", "early"),
    [
        pytest.param({"a": -9, "b": -9}, {}, 0.0, 0, id="known before"),
        pytest.param({"a": 5, "b": 20}, {}, 20.0, 1, id="found"),
        pytest.param({"a": 5}, {"b": 25}, 5.0, 1, id="gone before anybody must have found him"),
        pytest.param({"a": 5}, {"b": 40}, None, 1, id="never found"),
        pytest.param({"a": 5, "b": 35}, {}, 35.0, 1, id="found late"),
        pytest.param({"a": 5, "b": 41}, {"b": 40}, None, 1, id="found after he had gone"),
        pytest.param({"a": 5}, {"b": 9}, 5.0, 0, id="dialled when nobody was unknown any more"),
    ],
)
def test_who_was_there_at_the_start_is_to_be_known_before_anybody_is_dialled(
    known: dict[str, int], ended: dict[str, int], secs: float | None, early: int
) -> None:
    def instants(offsets: dict[str, int]) -> dict[str, Any]:
        return {leg: since + timedelta(seconds=offset) for leg, offset in offsets.items()}

    since = timezone.now()
    found = checker.Adoption(since=since, there="ab", known_at=instants(known), ended_at=instants(ended))
    assert found.secs(30) == secs
    assert len(found.early([since - timedelta(seconds=1), since + timedelta(seconds=10)])) == early


def test_most_who_ring_in_the_dark_do_so_at_its_end() -> None:
    moments = crowd.moments_in_the_dark(300, 300, random.Random(1))
    assert moments == sorted(moments)
    assert 225 <= sum(at >= 270 for at in moments) < 300
    assert max(moments) <= 300
    assert max(crowd.moments_in_the_dark(40, 20, random.Random(1))) <= 20


def test_who_was_there_long_enough_must_be_known_to_us() -> None:
    lived = {"known": 5.0, "short": 24.0, "long": 26.0, "dark": 30.0}
    found = checker.gone_unseen([*lived, "there"], known=["known"], lived_secs=lived, excused=["dark"])
    assert found == {"short", "dark"}


def test_who_spoke_long_enough_must_be_known_to_have_spoken() -> None:
    assert checker.met_unseen(["short", "long", "nobody"], spoke_secs={"short": 24.0, "long": 26.0}) == {"short"}


def test_percentile() -> None:
    assert checker.percentile([], 50) is None
    secs = [float(each) for each in range(100, 0, -1)]
    assert [checker.percentile(secs, share) for share in (50, 95, 100)] == [51.0, 96.0, 100.0]


TOLD: dict[str, dict[str, Any]] = {
    "legs": {"leg": {"answered": True}},
    "conferences": {"conference": {"over": False, "recording": "off"}},
    "participants": {"leg": {"role": "none", "muted": False}},
    "recordings": {"recording": "dual"},
}


def test_two_sides_that_tell_the_same_do_not_differ() -> None:
    assert mirror.differences(TOLD, TOLD) == []


@pytest.mark.parametrize(
    ("section", "here", "there"),
    [
        ("legs", {}, {"leg": {"answered": True}}),
        ("legs", {"leg": {"answered": True}}, {}),
        ("legs", {"leg": "over"}, {"leg": {"answered": True}}),
        ("legs", {"leg": {"answered": True}}, {"leg": "over"}),
        ("legs", {"leg": {"answered": False}}, {"leg": {"answered": True}}),
        ("conferences", {"c": {"over": True, "recording": "off"}}, {"c": {"over": False, "recording": "off"}}),
        ("participants", {"leg": {"role": "monitor"}}, {"leg": {"role": "whisper"}}),
        ("participants", {}, {"leg": {"role": "none"}}),
        ("recordings", {}, {"recording": "dual"}),
    ],
)
def test_what_the_mirror_tells_otherwise_is_found(section: str, here: Any, there: Any) -> None:
    found = mirror.differences({**TOLD, section: here}, {**TOLD, section: there})
    assert len(found) == 1
    assert found[0].startswith(section)


@pytest.mark.parametrize(
    ("section", "here", "there"),
    [
        pytest.param("legs", {"leg": "over"}, {}, id="Telnyx has forgotten it"),
        pytest.param("legs", {}, {"leg": "over"}, id="over before we heard of it"),
        pytest.param("conferences", {"c": {"over": True, "recording": "off"}}, {}, id="a forgotten conference"),
    ],
)
def test_what_is_over_may_be_forgotten(section: str, here: Any, there: Any) -> None:
    assert mirror.differences({**TOLD, section: here}, {**TOLD, section: there}) == []


def test_a_witness_reads_on_from_where_it_stopped_and_waits_for_what_is_on_its_way() -> None:
    logs: dict[str, list[dict[str, Any]]] = {
        "events": [], "commands": [command("calls.dial", client_state="o") | {"seq": 1}],
        "deliveries": [parcel("one", 200), parcel("two", 500, status="waiting") | {"seq": 2}],
    }  # fmt: skip

    def answer(request: httpx.Request) -> httpx.Response:
        log, after = request.url.path.rpartition("/")[2], int(request.url.params["after"])
        return httpx.Response(200, json={log: [entry for entry in logs[log] if entry["seq"] > after]})

    witness = Witness(httpx.Client(base_url="http://simulator", transport=httpx.MockTransport(answer)))
    for _ in range(2):
        witness.see()
        witness.see_deliveries()
    assert len(witness.commands) == 1
    assert (witness.deliveries.answered, witness.deliveries.on_their_way) == ({"one"}, 1)
    logs["deliveries"][1] = parcel("two", 500, 200) | {"seq": 2}
    witness.see_deliveries()
    assert (witness.deliveries.answered, witness.deliveries.on_their_way) == ({"one", "two"}, 0)


# table -------------------------------------------------------------------------------------------------------


def test_a_table_names_what_is_wrong_under_its_line() -> None:
    lines = [
        table.equal("calls placed", 3, 3),
        table.none_of("lost", [f"call {number}" for number in range(7)]),
        table.within("equal", 60, None),
        table.figure("took", "3 s"),
    ]
    said = list(table.rendered(lines))
    assert said[0] == "calls placed        3      3  ok"
    assert said[1] == "lost                0      7  WRONG"
    assert said[2:7] == [f"    call {number}" for number in range(5)]
    assert said[7:] == ["    and 2 more", "equal         <= 60 s  never  WRONG", "took          3 s"]
    assert [line.is_right for line in lines] == [True, False, False, True]


@pytest.mark.django_db
def test_what_was_over_and_lives_again_is_found() -> None:
    call, revived = scene.talking(scene.queue()), Revived()
    assert list(revived.look()) == []
    CallLeg.objects.filter(pk=call.leg.pk).update(hangup_at=timezone.now())
    Offer.objects.update(state=Offer.State.ENDED)
    assert list(revived.look()) == []
    CallLeg.objects.filter(pk=call.leg.pk).update(hangup_at=None)
    Offer.objects.update(state=Offer.State.CONNECTED)
    assert list(revived.look()) == [
        f"I16 leg {call.leg.call_control_id} was over and lives again",
        f"I16 offer {Offer.objects.get().pk} was over and lives again",
    ]


# plants ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("debug", "key"), [(False, "KEYSIMULATOR-1"), (True, "KEY0123")], ids=["production", "a real account"]
)
def test_nothing_is_planted_outside_a_chaos_run(settings: Settings, debug: bool, key: str) -> None:
    settings.DEBUG, settings.TELNYX_API_KEY = debug, key
    reserve = agents.reserve
    with pytest.raises(ImproperlyConfigured, match="accepted: nothing, but in a chaos run"):
        plants.plant("double_booking")
    assert agents.reserve is reserve


def test_an_unknown_plant_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ImproperlyConfigured, match="found 'rot'; accepted: double_booking, new_id_per_retry"):
        plants.plant("rot")


@pytest.mark.parametrize("name", plants.PLANTS)
def test_every_fault_finds_the_place_it_is_planted_in(name: str) -> None:
    code = "import django; django.setup(); from webhooks import inbox; assert inbox._calls"
    done = _python("-c", code, CHAOS_PLANT=name, DJANGO_SETTINGS_MODULE="callcenter.settings", DEBUG="1")
    assert done.returncode == 0, done.stderr


def _python(*command: str, timeout_secs: float = 60, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_secs,
    )


@pytest.mark.django_db
def test_the_indexes_are_taken_away_for_double_bookings_alone() -> None:
    plants.prepare_database("no_sweeper")
    line, anna = scene.queue(), scene.agent()
    calls = [scene.waiting(line, name=name) for name in ("one", "two")]
    plants.prepare_database("double_booking")
    for call in calls:
        Offer.objects.create(call=call, entry=call.entries.get(), agent=anna, offered_at=call.arrived_at)
    assert Offer.objects.live().filter(agent=anna).count() == 2
    assert Queue.objects.count() == 1
    assert connection.vendor in ("sqlite", "postgresql")


@pytest.mark.django_db
def test_whom_a_pass_would_offer_is_passed_over_until_it_is_made() -> None:
    line = scene.queue()
    entry = scene.waiting(line).entries.get()
    assert passed_over(timezone.now()) == []
    scene.agent(serves=line)
    assert passed_over(timezone.now()) == [f"stay {entry.pk} waits though somebody is free who may take it"]
    engine.route(line.pk, now=timezone.now())
    assert passed_over(timezone.now()) == []


def test_what_nobody_has_seen_to_counts_once_it_has_lasted() -> None:
    lasting = Lasting(15)
    assert lasting.of(["late", "later"], 100.0) == []
    assert lasting.of(["late"], 110.0) == []
    assert lasting.of(["late", "later"], 115.0) == ["late"]
    assert lasting.of([], 116.0) == []
    assert lasting.of(["late"], 117.0) == []


# recovery ----------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_every_caller_counts_from_when_agent_and_caller_were_there_to_his_first_dial() -> None:
    line, now = scene.queue(), timezone.now()
    legs = []
    for number, (free_secs, dialled_secs) in enumerate([(5, 2.0), (30, 1.0), (1, None)]):
        call = scene.waiting(line, name=f"caller {number}")
        legs.append(call.leg.call_control_id)
        entry = call.entries.get()
        QueueEntry.objects.filter(pk=entry.pk).update(entered_at=now - timedelta(seconds=10))
        offer = Offer.objects.create(
            call=call,
            entry=entry,
            agent=scene.agent(f"agent {number}"),
            offered_at=now,
            agent_available_since=now - timedelta(seconds=free_secs),
        )
        sent = None if dialled_secs is None else now + timedelta(seconds=dialled_secs)
        Command.objects.create(
            kind="dial_agent",
            dedupe_key=str(offer.pk),
            operation="calls.dial",
            subject_id=offer.pk,
            created_at=now,
            first_sent_at=sent,
        )
    never_offered = scene.waiting(line, name="never offered").leg.call_control_id
    found = recovery._until_dialled([*legs, never_offered, "of whom we never heard"])
    assert found == [7.0, 11.0, math.inf, math.inf, math.inf]


def test_an_attempt_that_is_not_answered_200_counts_as_never_answered() -> None:
    since = timezone.now()
    until = since + timedelta(seconds=30)

    def attempt(status: int | None, began_secs: float, took_secs: float) -> recovery.Attempt:
        ended_at = since + timedelta(seconds=began_secs + took_secs)
        return recovery.Attempt(status=status, ended_at=ended_at, took_secs=took_secs)

    made = [(200, -1, 2), (200, 1, 0.1), (None, 29, 2), (503, 2, 0.2), (200, 31, 1)]
    attempts = [attempt(*each) for each in made]
    assert recovery._until_answered(attempts, since, until) == [0.1, math.inf, math.inf]
    assert recovery._first_good(attempts, since + timedelta(seconds=2)) == 30.0
    assert recovery._last_error(attempts, since + timedelta(seconds=2)) == 29.0
    assert recovery._first_good(attempts, until + timedelta(seconds=9)) is None
    assert recovery._last_error(attempts, until + timedelta(seconds=9)) == 0.0
    assert table.within("p99", 0.3, math.inf).found == "never"
    assert not table.within("p99", 0.3, math.inf).is_right


# supervisors -------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_two_supervisors_act_on_one_call_and_a_stranger_hears_nothing(live_server: LiveServer) -> None:
    password = house.furnish(house.Pace(speed=1, longest_patience_secs=60), now=timezone.now())
    supervisors.furnish(password)
    call = scene.talking(Queue.objects.get(name="Support"))
    webs = {1: f"{live_server.url}/webhooks/telnyx"}
    bots = Supervisors(webs, password, random.Random(1), is_attended=lambda: True)
    bots.act()
    bots.finish()
    assert {*bots.answers} <= {"monitor", "whisper", "barge"}
    assert bots.answers.total() == 2
    assert bots.let_in == bots.failed == bots.taken_twice == []
    sessions = SupervisionSession.objects.filter(call_id=call.pk)
    assert sorted(session.supervisor.username for session in sessions) == ["olga", "sam"]

    sessions.update(state=SupervisionSession.State.ACTIVE, active_at=timezone.now())
    bots = Supervisors(webs, password, random.Random(2), is_attended=lambda: True)
    bots.act()
    bots.finish()
    assert bots.answers == {"take over": 1, "take over refused": 1}
    assert sessions.filter(took_over_at__isnull=False).count() == 1


def test_whoever_hears_what_he_may_not_is_told_of() -> None:
    bots = Supervisors({1: "http://127.0.0.1:9/"}, "", random.Random(1), is_attended=lambda: True)
    room = uuid.uuid4()
    bots.learn(supervisors.STRANGER, "monitor", room, 202)
    bots.learn("olga", "take_over", room, 202)
    bots.learn("sam", "take_over", room, 202)
    bots.learn("sam", "barge", room, 500)
    bots.finish()
    assert [len(told) for told in (bots.let_in, bots.taken_twice, bots.failed)] == [1, 1, 1]
    assert bots.in_words() == "2 take over, 1 barge unanswered"


# stores ------------------------------------------------------------------------------------------------------


def test_a_machine_without_stores_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("callcenter.chaos.stores._PACKAGED", str(tmp_path))
    with pytest.raises(Missing, match=r"install the package postgresql\.$"):
        find_postgres()
    with pytest.raises(Missing, match=r"install the package redis-server\.$"):
        find_redis()


@pytest.fixture
def stores() -> None:
    try:
        find_postgres(), find_redis(), run_as()
    except Missing as missing:
        pytest.skip(str(missing))


@pytest.mark.postgres
@pytest.mark.usefixtures("stores")
def test_a_small_run_finds_nothing_wrong() -> None:
    done = _python("manage.py", "chaos", "--profile", "smoke", "--calls", "40", "--seed", "4", timeout_secs=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WRONG" not in done.stdout
    assert "worker 1 killed" in done.stdout or "worker 2 killed" in done.stdout


@pytest.mark.long
@pytest.mark.usefixtures("stores")
def test_a_planted_fault_is_caught_by_a_short_run() -> None:
    """The quickest of them: what nobody sees to is overdue, and that is so after fifteen seconds."""
    plant = ("--plant", "no_sweeper")
    done = _python("manage.py", "chaos", "--calls", "60", "--seed", "2", *plant, timeout_secs=600)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "no_sweeper: caught by invariants violated" in done.stdout
    assert "violated: I3" in done.stdout


@pytest.mark.django_db
def test_what_both_sides_know_is_kept_for_whoever_asks_why(tmp_path: Path) -> None:
    call = scene.talking(scene.queue())
    client = httpx.Client(
        base_url="http://simulator",
        transport=httpx.MockTransport(lambda request: httpx.Response(200, json={"seen": 1})),
    )
    evidence.keep(tmp_path / "evidence", client)
    kept = {path.name: json.loads(path.read_text()) for path in (tmp_path / "evidence").iterdir()}
    assert [row["id"] for row in kept["Call.json"]["rows"]] == [str(call.pk)]
    assert kept["simulator-events.json"] == {"seen": 1}


def test_the_last_words_of_a_process_are_kept_apart_from_the_others() -> None:
    passed_on: list[str] = []
    words = LastWords(passed_on.append)
    for line in ("worker1   | one", "web1      | other", "worker1   | ", "worker1   | two"):
        words(line)
    assert words.of("worker1") == "one / two"
    assert words.of("sweep1") == ""
    assert len(passed_on) == 4
    words.forget("worker1")
    assert words.of("worker1") == ""


@pytest.mark.parametrize(
    ("exit_code", "said", "excused"),
    [
        (1, "AttributeError: 'NoneType' object has no attribute 'hostname'", True),
        (1, "AttributeError: 'NoneType' object has no attribute 'leg'", False),
        (1, "", False),
        (-9, "AttributeError: 'NoneType' object has no attribute 'hostname'", False),
    ],
)
def test_a_worker_may_end_as_celery_ends_it_and_in_no_other_way(exit_code: int, said: str, excused: bool) -> None:
    assert is_celerys_end(exit_code, said) is excused
