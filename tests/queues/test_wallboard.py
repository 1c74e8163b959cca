"""The board's numbers, against their definitions."""

import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from conferences.models import Participant, Role, SupervisionSession
from queues import controls, metrics, wallboard
from queues.models import Agent, Call, Queue, QueueEntry, QueueMembership
from tests.callcenter import clients
from tests.queues import scene

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
UTC_ZONE = ZoneInfo("UTC")


def stay(line: Queue, call: Call, number: int, outcome: str, wait: float, *, ended_at: datetime = NOW) -> QueueEntry:
    return QueueEntry.objects.create(
        call=call,
        queue=line,
        number=number,
        entered_at=ended_at - timedelta(seconds=wait),
        rank_at=ended_at,
        state=QueueEntry.State.ENDED,
        outcome=outcome,
        connected_at=ended_at if outcome == "answered" else None,
        ended_at=ended_at,
    )


def row_of(line: Queue, now: datetime = NOW, zone: ZoneInfo = UTC_ZONE) -> wallboard.QueueRow:
    return next(row for row in wallboard.board(now, zone=zone).queues if row.queue == line)


def test_the_service_level_is_the_one_of_the_definitions() -> None:
    chance = random.Random(1)
    lines = [
        scene.queue("sales", service_level_secs=20, short_abandon_secs=5),
        scene.queue("support", service_level_secs=30, short_abandon_secs=0),
    ]
    for line in lines:
        call = scene.waiting(line, name=line.name)
        segments = []
        for number in range(2, 42):
            outcome = chance.choice(["answered", "abandoned", "flow_out", "callback"])
            wait = chance.choice([0, 3, 4.999, 5, 19.999, 20, 20.001, 30, 90])
            stay(line, call, number, outcome, wait)
            segments.append(
                metrics.Segment(
                    outcome=outcome,
                    wait_secs=wait,
                    service_level_secs=line.service_level_secs,
                    short_abandon_secs=line.short_abandon_secs,
                )
            )
        row = row_of(line)
        assert row.service_level == pytest.approx(metrics.service_level(segments))
        assert row.answered == sum(segment.outcome == "answered" for segment in segments)


def test_no_denominator_is_no_number() -> None:
    line = scene.queue()
    stay(line, scene.waiting(line), 2, "flow_out", 60)
    assert row_of(line).service_level is None


def test_today_begins_where_the_business_is() -> None:
    line = scene.queue()
    call = scene.waiting(line)
    stay(line, call, 2, "answered", 5, ended_at=datetime(2026, 3, 1, 22, 59, tzinfo=UTC))
    stay(line, call, 3, "answered", 5, ended_at=datetime(2026, 3, 1, 23, 1, tzinfo=UTC))
    assert row_of(line).answered == 0
    assert row_of(line, zone=ZoneInfo("Europe/Berlin")).answered == 1


def test_paused_agents_serve_nobody() -> None:
    line = scene.queue()
    for name, state in (("a", "available"), ("b", "available"), ("c", "wrap_up"), ("d", "not_ready"), ("e", "offline")):
        scene.agent(name, serves=line, state=state)
    QueueMembership.objects.filter(agent__name="b").update(paused=True)
    row = row_of(line)
    assert (row.available, row.busy, row.wrap_up, row.not_ready) == (1, 0, 1, 1)


def test_who_is_being_rung_for_still_waits() -> None:
    line = scene.queue()
    call = scene.waiting(line, since=40)
    QueueEntry.objects.update(state=QueueEntry.State.OFFERING)
    row = row_of(line, now=call.enqueued_at + timedelta(seconds=40))
    assert (row.waiting, row.longest_wait_secs) == (1, 40)


def test_agents_with_their_call_offline_ones_last() -> None:
    busy = scene.agent("zoe")
    call = scene.talking(scene.queue(), to=busy)
    scene.agent("anna", state=Agent.State.OFFLINE)
    rows = wallboard.board(timezone.now(), zone=UTC_ZONE).agents
    assert [row.agent.name for row in rows] == ["zoe", "anna"]
    assert rows[0].offer is not None
    assert rows[0].offer.call == call
    assert rows[0].for_secs == 10


def test_a_conversation_is_the_callers_conference_and_whoever_is_in_it() -> None:
    call = scene.talking(scene.queue())
    scene.waiting(scene.queue("other"), name="another")
    ear = scene.listening(call, "whisper")
    gone = scene.leg("gone", at=NOW, role=Role.AGENT, call_id=call.pk)
    Participant.objects.create(
        conference=scene.conference_of(call), leg=gone, joined_at=NOW, left_at=NOW + timedelta(seconds=5)
    )
    [talk] = wallboard.board(timezone.now(), zone=UTC_ZONE).conversations
    assert (talk.call, talk.conference, talk.talk_secs) == (call, scene.conference_of(call), 10)
    assert [seat.leg.role for seat in talk.seats] == ["customer", "agent", "supervisor"]
    assert talk.seats[2] == ear
    assert talk == wallboard.conversation(call, timezone.now())


def test_a_call_that_is_watched_stays_on_the_board_while_it_waits_again() -> None:
    call = scene.talking(scene.queue())
    Call.objects.filter(pk=call.pk).update(state=Call.State.QUEUED)
    assert wallboard.board(timezone.now(), zone=UTC_ZONE).conversations == ()
    SupervisionSession.objects.create(
        call_id=call.pk, supervisor=clients.user(), role="monitor", requested_at=timezone.now()
    )
    [talk] = wallboard.board(timezone.now(), zone=UTC_ZONE).conversations
    assert talk.call == call


def offered_to(user: User, call: Call) -> controls.Controls:
    conversation = wallboard.conversation(call, timezone.now())
    return controls.of_conversation(user, conversation, he_is_on=controls.call_he_is_on(user))


def test_who_listens_to_one_call_is_offered_no_other() -> None:
    """His phone is on one at a time; a click on a second would be refused."""
    line = scene.queue()
    call, other = scene.talking(line, name="one"), scene.talking(line, name="two")
    sue = clients.user("conferences.monitor_conference")
    assert [button.verb for button in offered_to(sue, other).listening] == ["monitor"]
    session = SupervisionSession.objects.create(
        call_id=call.pk, supervisor=sue, role="monitor", requested_at=timezone.now()
    )
    assert [button.verb for button in offered_to(sue, call).listening] == ["stop"]
    assert offered_to(sue, other).listening == ()
    SupervisionSession.objects.filter(pk=session.pk).update(state=SupervisionSession.State.ENDED)
    assert [button.verb for button in offered_to(sue, other).listening] == ["monitor"]


def test_who_took_a_call_over_only_hangs_up() -> None:
    call, sue = scene.talking(scene.queue()), clients.user("conferences.monitor_conference")
    SupervisionSession.objects.create(
        call_id=call.pk,
        supervisor=sue,
        role=SupervisionSession.Mode.TAKEOVER,
        state=SupervisionSession.State.ACTIVE,
        requested_at=timezone.now(),
        took_over_at=timezone.now(),
    )
    offered = offered_to(sue, call)
    assert [(button.verb, button.label) for button in offered.listening] == [("stop", "Hang up")]
    assert offered.talk == ()
    assert not offered.may_speak


def test_a_call_that_is_over_offers_nothing() -> None:
    call = scene.talking(scene.queue())
    call.ended_at = timezone.now()
    root = clients.user(is_superuser=True)
    offered = offered_to(root, call)
    assert (offered.listening, offered.talk, offered.may_speak) == ((), (), False)
