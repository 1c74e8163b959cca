"""``manage.py check_invariants``: rows that may never be are planted, and each is found by its number."""

import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from callcenter.invariants import INVARIANTS, counts, violations
from conferences.models import CallLeg, Conference, Participant, SupervisionSession
from queues.models import Agent, Call, Offer, Queue, QueueEntry
from tests.callcenter import furniture
from tests.queues import scene
from webhooks import journal
from webhooks.models import AuditEntry, Command, WebhookEvent

pytestmark = pytest.mark.django_db

INVARIANTS_HOLD = (0, [f"{len(INVARIANTS)} invariants hold."])


def said() -> tuple[int, list[str]]:
    """Exit code and lines."""
    out = StringIO()
    try:
        call_command("check_invariants", stdout=out)
    except SystemExit as end:
        return int(end.code or 0), out.getvalue().splitlines()
    return 0, out.getvalue().splitlines()


def drop_index(name: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"DROP INDEX {name}")


def ago(secs: float) -> timedelta:
    return timedelta(seconds=secs)


def offer(call: Call, agent: Agent, **fields: object) -> Offer:
    made = Offer.objects.create(call=call, entry=call.entries.get(), agent=agent, offered_at=timezone.now(), **fields)
    if made.is_live:
        Agent.objects.filter(pk=agent.pk).update(state=Agent.State.RESERVED, live_offer_id=made.pk)
    return made


def double_booked(line: Queue) -> None:
    drop_index("offer_one_live_per_agent")
    anna = scene.agent()
    for name in ("one", "two"):
        offer(scene.waiting(line, name=name), anna)


def offered_twice(line: Queue) -> None:
    drop_index("offer_one_exclusive_per_entry")
    call = scene.waiting(line)
    for name in ("anna", "ben"):
        offer(call, scene.agent(name))


def won_twice(line: Queue) -> None:
    drop_index("offer_one_winner_per_entry")
    call = scene.waiting(line)
    for name in ("anna", "ben"):
        offer(call, scene.agent(name), state=Offer.State.CONNECTING, exclusive=False)


def forgotten(line: Queue) -> None:
    Call.objects.filter(pk=scene.waiting(line).pk).update(next_deadline=timezone.now() - ago(11))


def without_deadline(line: Queue) -> None:
    Call.objects.filter(pk=scene.waiting(line).pk).update(next_deadline=None)


def ringing_for_a_gone_caller(line: Queue) -> None:
    call = scene.waiting(line)
    offer(call, scene.agent())
    CallLeg.objects.filter(pk=call.leg.pk).update(hangup_at=timezone.now() - ago(6))


def overdue(line: Queue) -> None:
    offer(scene.waiting(line), scene.agent(), expires_at=timezone.now() - ago(6))


def reserved_for_nothing(line: Queue) -> None:
    Agent.objects.filter(pk=scene.agent().pk).update(state=Agent.State.RESERVED, live_offer_id=uuid.uuid4())


def available_with_an_offer(line: Queue) -> None:
    made = offer(scene.waiting(line), scene.agent())
    Agent.objects.filter(pk=made.agent_id).update(state=Agent.State.AVAILABLE, live_offer_id=None)


def stuck_event(line: Queue) -> None:
    event = furniture.event("stuck", status=WebhookEvent.Status.NEW)
    WebhookEvent.objects.filter(pk=event.pk).update(received_at=timezone.now() - ago(11))


def command(name: str, **fields: object) -> Command:
    words = {"kind": "hang_up", "dedupe_key": name, "operation": "calls.hangup", "created_at": timezone.now()}
    return Command.objects.create(**{**words, **fields})


def done_twice(line: Queue) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE webhooks_command DROP CONSTRAINT command_one_per_intent")
    for _ in range(2):
        command("leg", state=Command.State.ACCEPTED)


def in_limbo(line: Queue) -> None:
    command("leg", state=Command.State.UNKNOWN, created_at=timezone.now() - ago(91))


def without_effect(line: Queue) -> None:
    since = timezone.now() - ago(91)
    command("leg", state=Command.State.ACCEPTED, created_at=since, closed_at=since)


def dead_event(line: Queue) -> None:
    furniture.event("dead", status=WebhookEvent.Status.DEAD)


def listens(line: Queue, role: str, *, asked: str = "", detail: dict[str, str] | None = None) -> Participant:
    """A supervisor who was joined with that role 30 s ago, a second after he had asked for ``asked``."""
    call = scene.talking(line)
    seat, at = scene.listening(call, role), timezone.now() - ago(30)
    user = User.objects.create_user("sue")
    session = SupervisionSession.objects.create(
        call_id=call.pk, supervisor=user, leg=seat.leg, role=role, state="active", requested_at=at - ago(1)
    )
    told = {"call_control_id": seat.leg.call_control_id, "supervisor_role": role}
    given = command(
        "join", kind="join_supervisor", operation="conferences.join", target=seat.conference.conference_id,
        arguments=told, call_id=call.pk, subject_id=session.pk, actor=user, created_at=at, state=Command.State.ACCEPTED,
        closed_at=at, applied_at=at,
    )  # fmt: skip
    Participant.objects.filter(pk=seat.pk).update(role_version=given.sequence, joined_at=at)
    if asked:
        ask(call, user, asked, at - ago(1), detail or {})
    return Participant.objects.get(pk=seat.pk)


def ask(call: Call, user: User, action: str, at: datetime, detail: dict[str, str]) -> None:
    journal.audit(action, at=at, actor="sue", user=user, allowed=True, call_id=call.pk, detail=detail)


def listener_nobody_knows(line: Queue) -> None:
    scene.listening(scene.talking(line), "monitor")


def listener_who_never_asked(line: Queue) -> None:
    listens(line, "monitor")


def listener_who_asked_for_less(line: Queue) -> None:
    listens(line, "barge", asked="monitor")


def listener_who_switched_to_less(line: Queue) -> None:
    listens(line, "barge", asked="switch", detail={"role": "whisper"})


def listener_who_asked_afterwards(line: Queue) -> None:
    listens(line, "barge", asked="barge")
    AuditEntry.objects.update(at=timezone.now() - ago(20))


def listener_who_asked_last_time(line: Queue) -> None:
    listens(line, "barge", asked="barge")
    AuditEntry.objects.update(at=timezone.now() - ago(300))


def listener_who_was_refused(line: Queue) -> None:
    listens(line, "monitor", asked="monitor")
    AuditEntry.objects.update(allowed=False)


def listener_by_anothers_word(line: Queue) -> None:
    listens(line, "monitor", asked="monitor")
    AuditEntry.objects.update(user=User.objects.create_user("tom"))


def listener_by_anothers_command(line: Queue) -> None:
    listens(line, "monitor", asked="monitor")
    Command.objects.update(subject_id=uuid.uuid4())


def listener_with_more_than_he_was_told(line: Queue) -> None:
    """Both roles asked for, one after the other; the command gave the lesser."""
    seat = listens(line, "monitor", asked="barge")
    Participant.objects.filter(pk=seat.pk).update(supervisor_role="barge")


def listener_of_last_month(line: Queue) -> None:
    seat = listens(line, "monitor")
    Participant.objects.filter(pk=seat.pk).update(joined_at=timezone.now() - timedelta(days=31))


def whispering_to_the_caller(line: Queue) -> None:
    call = scene.talking(line)
    seat = scene.listening(call, "whisper")
    Participant.objects.filter(pk=seat.pk).update(whisper_call_control_ids=[call.leg.call_control_id])


def parted(line: Queue, who: str, *, since: float = 11) -> Call:
    """A conversation of 30 s that all but ``who`` have left."""
    call = scene.talking(line)
    seats = Participant.objects.filter(conference__call_id=call.pk)
    seats.update(joined_at=timezone.now() - ago(30))
    seats.exclude(leg__role=who).update(left_at=timezone.now() - ago(since))
    return call


def lonely_caller(line: Queue) -> None:
    parted(line, "customer")


def lonely_agent(line: Queue) -> None:
    parted(line, "agent")


def lonely_supervisor(line: Queue) -> None:
    seat = listens(line, "monitor", asked="monitor")
    others = Participant.objects.filter(conference=seat.conference).exclude(pk=seat.pk)
    others.update(joined_at=timezone.now() - ago(40), left_at=timezone.now() - ago(11))


def lonely_in_line_without_music(line: Queue) -> None:
    in_line_alone(line, on_hold=False)


def held_and_in_no_line(line: Queue) -> None:
    call = parted(line, "customer")
    Participant.objects.filter(leg=call.leg).update(on_hold=True)


def in_line_alone(line: Queue, *, on_hold: bool = True) -> Call:
    """The agent was lost 20 s ago, and the caller waits anew where he is."""
    call, lost_at = parted(line, "customer", since=20), timezone.now() - ago(20)
    Participant.objects.filter(leg=call.leg).update(on_hold=on_hold)
    QueueEntry.objects.create(call=call, queue=line, number=2, entered_at=lost_at, rank_at=lost_at)
    return call


def in_two_places(line: Queue) -> None:
    call = scene.talking(line)
    other = Conference.objects.create(conference_id="another", call_id=call.pk, created_at=timezone.now())
    Participant.objects.create(conference=other, leg=call.leg, joined_at=timezone.now())


def alive_after_its_end(line: Queue) -> None:
    offer(scene.waiting(line), scene.agent(), ended_at=timezone.now())


def ended_before_it_began(line: Queue) -> None:
    QueueEntry.objects.filter(call=scene.waiting(line)).update(ended_at=timezone.now() - ago(60))


def session_after_its_end(line: Queue) -> None:
    furniture.furnish("one")
    SupervisionSession.objects.update(ended_at=timezone.now())


@pytest.mark.parametrize(
    ("number", "plant"),
    [
        ("I1", double_booked),
        ("I2", offered_twice),
        ("I2", won_twice),
        ("I3", forgotten),
        ("I3", without_deadline),
        ("I4", ringing_for_a_gone_caller),
        ("I5", overdue),
        ("I6", reserved_for_nothing),
        ("I6", available_with_an_offer),
        ("I8", stuck_event),
        # SQLite keeps this constraint in its table, where a test cannot take it away.
        pytest.param("I9", done_twice, marks=pytest.mark.postgres),
        ("I10", in_limbo),
        ("I10", without_effect),
        ("I11", dead_event),
        ("I12", listener_nobody_knows),
        ("I12", listener_who_never_asked),
        ("I12", listener_who_asked_for_less),
        ("I12", listener_who_switched_to_less),
        ("I12", listener_who_asked_afterwards),
        ("I12", listener_who_asked_last_time),
        ("I12", listener_who_was_refused),
        ("I12", listener_by_anothers_word),
        ("I12", listener_by_anothers_command),
        ("I12", listener_with_more_than_he_was_told),
        ("I13", whispering_to_the_caller),
        ("I14", lonely_caller),
        ("I14", lonely_agent),
        ("I14", lonely_supervisor),
        ("I14", lonely_in_line_without_music),
        ("I14", held_and_in_no_line),
        ("I15", in_two_places),
        ("I16", alive_after_its_end),
        ("I16", ended_before_it_began),
        ("I16", session_after_its_end),
    ],
)
def test_what_may_never_be_is_named_on_a_line_of_its_own(number: str, plant: Callable[[Queue], None]) -> None:
    plant(scene.queue())
    code, lines = said()
    assert code == 1
    assert number in {line.split()[0] for line in lines}
    assert counts(timezone.now())[number] >= 1


def test_every_invariant_is_planted_above() -> None:
    [mark] = [m for m in test_what_may_never_be_is_named_on_a_line_of_its_own.pytestmark if m.name == "parametrize"]
    planted = {case.values[0] if hasattr(case, "values") else case[0] for case in mark.args[1]}
    assert planted == set(INVARIANTS)


def test_a_house_at_work_violates_nothing() -> None:
    line = scene.queue()
    scene.waiting(line, name="waits")
    call = scene.talking(line, name="talks")
    journal.note(call.pk, "answered", at=timezone.now())
    assert said() == INVARIANTS_HOLD
    assert set(counts(timezone.now()).values()) == {0}


def test_whoever_listened_without_authority_is_found_later_too_and_told_for_a_day() -> None:
    listener_of_last_month(scene.queue())
    code, [line] = said()
    assert (code, line.split()[0]) == (1, "I12")
    assert counts(timezone.now())["I12"] == 0


@pytest.mark.parametrize(
    ("role", "asked", "detail"),
    [
        pytest.param("monitor", "monitor", {}, id="as asked"),
        pytest.param("monitor", "whisper", {}, id="nobody to whisper to"),
        pytest.param("barge", "switch", {"role": "barge"}, id="switched"),
    ],
)
def test_a_supervisor_who_was_allowed_to_listen_violates_nothing(role: str, asked: str, detail: dict[str, str]) -> None:
    listens(scene.queue(), role, asked=asked, detail=detail)
    assert said() == INVARIANTS_HOLD


def test_a_role_asked_for_while_another_held_the_calls_lock_was_asked_for_in_time() -> None:
    """The worker who joins him has read the hour before the supervisor's click, and then waits for its transaction."""
    seat = listens(scene.queue(), "barge", asked="monitor")
    user = User.objects.get(username="sue")
    joined_at = Command.objects.get(kind="join_supervisor").created_at
    ask(Call.objects.get(pk=seat.conference.call_id), user, "switch", joined_at + ago(0.3), {"role": "barge"})
    assert said() == INVARIANTS_HOLD


def test_a_click_that_is_heard_again_takes_no_authority_away() -> None:
    seat = listens(scene.queue(), "barge", asked="barge")
    user = User.objects.get(username="sue")
    ask(Call.objects.get(pk=seat.conference.call_id), user, "monitor", timezone.now(), {})
    assert said() == INVARIANTS_HOLD


@pytest.mark.parametrize("who", ["customer", "agent"])
def test_who_has_just_been_left_alone_is_not_lonely_yet(who: str) -> None:
    parted(scene.queue(), who, since=9)
    assert alone() == []


@pytest.mark.parametrize("since", [9, 29], ids=["just before the agent leaves", "long before"])
def test_a_supervisor_who_comes_before_the_agent_leaves_is_no_company_for_longer_than_he_stays(since: float) -> None:
    """The others leave him; it is 9 s ago."""
    seat = listens(scene.queue(), "monitor", asked="monitor")
    Participant.objects.filter(pk=seat.pk).update(joined_at=timezone.now() - ago(since))
    others = Participant.objects.filter(conference=seat.conference).exclude(pk=seat.pk)
    others.update(joined_at=timezone.now() - ago(40), left_at=timezone.now() - ago(9))
    assert alone() == []


def test_a_supervisor_who_comes_just_after_the_last_has_gone_has_ten_seconds_of_his_own() -> None:
    seat = listens(scene.queue(), "monitor", asked="monitor")
    Participant.objects.filter(pk=seat.pk).update(joined_at=timezone.now() - ago(9))
    others = Participant.objects.filter(conference=seat.conference).exclude(pk=seat.pk)
    others.update(joined_at=timezone.now() - ago(40), left_at=timezone.now() - ago(12))
    assert alone() == []


def test_a_caller_with_music_in_line_is_not_lonely_nor_at_once_when_his_wait_ends() -> None:
    call = in_line_alone(scene.queue())
    assert alone() == []
    call.entries.filter(number=2).update(state="ended", outcome="flow_out", ended_at=timezone.now() - ago(9))
    assert alone() == []
    call.entries.filter(number=2).update(ended_at=timezone.now() - ago(11))
    assert len(alone()) == 1


def test_a_caller_is_not_lonely_while_the_closing_text_is_read_to_him() -> None:
    line = scene.queue(closing_text="x" * 15 * 20)  # 20 s
    call = in_line_alone(line)
    call.entries.filter(number=2).update(state="ended", outcome="flow_out", ended_at=timezone.now() - ago(15))
    Call.objects.filter(pk=call.pk).update(closing_at=timezone.now() - ago(15))
    assert alone() == []
    Call.objects.filter(pk=call.pk).update(closing_at=timezone.now() - ago(31))
    assert len(alone()) == 1


def alone() -> list[str]:
    return violations(timezone.now(), of=["I14"])
