"""Commands: one intent one effect, in order, under a lease, whatever is answered or dies on the way."""

import json
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx
import pytest
from django.db import close_old_connections, connection
from django.utils import timezone

from tests.simulator import rig as sim
from tests.webhooks.line import Killed, Line, age, due, kill_at, row
from webhooks import outbox
from webhooks.clock import from_now
from webhooks.models import Command
from webhooks.outbox import Kind
from webhooks.telnyx.client import TelnyxClient

pytestmark = pytest.mark.django_db

State = Command.State
ALL = {"share": 1}


# one intent --------------------------------------------------------------------------------------------------


def test_an_accepted_command_is_closed_with_its_effects(line: Line) -> None:
    sequence = line.dial()
    sent = line.send(sequence)
    assert (sent.state, sent.attempts, sent.lease_until) == (State.ACCEPTED, 1, None)
    assert sent.closed_at is not None
    assert sent.applied_at is not None
    assert sent.result["call_control_id"] in line.rig.world.legs
    assert [command.pk for command in line.closed] == [sequence]
    assert line.ids() == {str(sent.command_id)}


def test_the_same_intent_is_one_command(line: Line) -> None:
    first = line.speak("leg", key="greeting")
    with pytest.raises(AssertionError):
        line.speak("leg", key="greeting")
    line.speak("leg", key="another greeting")
    line.speak("leg", key="greeting", kind="other")
    assert Command.objects.count() == 3
    assert Command.objects.filter(dedupe_key="greeting", kind="deed").get().pk == first


@pytest.mark.django_db(transaction=True)
def test_one_intent_written_by_many_at_once_is_one_command(line: Line) -> None:
    start = threading.Barrier(8)

    def write(_: int) -> bool:
        start.wait()
        try:
            return outbox.issue("deed", operation="calls.answer", dedupe_key="one", now=timezone.now()) is not None
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(write, range(8))) == 1
    assert Command.objects.count() == 1


def test_a_refusal_is_an_outcome_and_is_not_repeated(line: Line) -> None:
    sequence = line.speak(line.rig.ring_in())  # not answered yet
    sent = line.send(sequence)
    assert (sent.state, sent.status, sent.code) == (State.REJECTED, 422, "90034")
    assert sent.applied_at is not None
    assert due() == []


def test_what_the_client_refuses_is_closed_as_invalid(line: Line, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    for sequence in (line.speak("leg", text="x" * 3001), line.issue("calls.fly", "leg"), line.speak("leg", wings=2)):
        sent = line.send(sequence)
        assert (sent.state, sent.code) == (State.REJECTED, "invalid")
        assert sent.applied_at is not None
    assert line.effects() == []


def test_what_is_no_longer_wanted_is_not_sent(line: Line) -> None:
    line.wanted = False
    sent = line.send(line.speak(line.rig.caller()))
    assert (sent.state, sent.first_sent_at) == (State.CANCELLED, None)
    assert [command.state for command in line.closed] == [State.CANCELLED]  # told as an outcome, too
    assert "calls.speak" not in [each["operation"] for each in line.rig.sim("GET", "commands")["commands"]]


# order -------------------------------------------------------------------------------------------------------


def test_commands_of_one_leg_go_out_in_the_order_they_were_written(line: Line) -> None:
    leg, other = line.rig.caller(), line.rig.caller()
    first, second, third = (line.speak(leg, text) for text in ("one", "two", "three"))
    elsewhere = line.speak(other)
    assert line.send(third).state == State.NEW
    assert line.send(elsewhere).state == State.ACCEPTED
    assert due() == [first]
    line.send(first)
    assert [row(each).state for each in (first, second, third)] == [State.ACCEPTED] * 3
    assert [command.pk for command in line.closed] == [elsewhere, first, second, third]


def test_one_that_is_not_answered_keeps_the_next_waiting(line: Line) -> None:
    leg = line.rig.caller()
    first, second = line.speak(leg, "one"), line.speak(leg, "two")
    line.faults(api_timeout=1)
    assert line.send(first).state == State.SENT
    assert line.send(second).state == State.NEW
    line.faults()
    age(first, 5)
    line.send(first)
    assert row(second).state == State.ACCEPTED


def test_a_hang_up_overtakes_and_withdraws_the_rest(line: Line) -> None:
    leg = line.rig.caller()
    held, waiting = line.speak(leg, "one"), line.speak(leg, "two")
    line.faults(api_timeout={"share": 1, "match": {"operation": "calls.speak"}})
    line.send(held)
    last = line.hang_up(leg)
    assert row(waiting).state == State.CANCELLED
    assert row(waiting).closed_at is not None
    assert due() == [last]
    assert line.send(last).state == State.ACCEPTED
    assert not line.rig.leg(leg)["is_alive"]
    assert outbox.unapplied() == [waiting]
    outbox.close(row(waiting), now=timezone.now())
    assert [command.pk for command in line.closed] == [last, waiting]
    line.faults()
    age(held, 5)
    assert (line.send(held).state, row(held).code) == (State.REJECTED, "90018")


def test_hang_ups_answers_and_dials_go_first(line: Line) -> None:
    last = line.speak("a")
    dial = line.dial(priority=Command.Priority.DIAL)
    answer = line.issue("calls.answer", "b", priority=Command.Priority.ANSWER)
    hang_up = line.hang_up("c")
    assert due() == [hang_up, answer, dial, last]


# no answer ---------------------------------------------------------------------------------------------------


def test_a_timeout_is_repeated_under_the_same_id_with_growing_waits(line: Line) -> None:
    sequence = line.dial()
    line.faults(api_timeout_after_effect=1)
    for attempt, wait in enumerate((0.5, 1, 2, 4, 4), 1):
        sent = line.send(sequence)
        assert (sent.state, sent.attempts, sent.lease_until) == (State.SENT, attempt, None)
        assert sent.not_before is not None
        left = (sent.not_before - timezone.now()).total_seconds()
        assert wait - 0.5 < left <= wait + 0.1
        assert due() == []
        age(sequence, wait)
        assert due() == [sequence]
    line.faults()
    assert line.send(sequence).state == State.ACCEPTED
    assert line.effects("calls.dial") == ["done", *["deduplicated"] * 5]
    assert line.ids() == {str(row(sequence).command_id)}
    assert len(line.rig.world.legs) == 1
    assert len(line.closed) == 1


@pytest.mark.parametrize("fault", ["api_timeout", "api_5xx", "reset"])
def test_after_twenty_seconds_it_is_looked_for_and_not_sent(line: Line, fault: str) -> None:
    sequence = line.dial()
    line.faults(**{fault: {"share": 1, "match": {"operation": "calls.dial"}}})
    line.send(sequence)
    age(sequence, 19.5)
    line.send(sequence)
    assert row(sequence).state == State.SENT
    asked = len(line.effects("calls.dial"))
    age(sequence, 10)
    sent = line.send(sequence)
    assert len(line.effects("calls.dial")) == asked
    assert sent.state in (State.REJECTED, State.ACCEPTED)


def found(line: Line, sequence: int) -> Command:
    """Sent with its answer lost, and looked for 20 s later."""
    line.faults(api_timeout_after_effect={"share": 1, "match": {"operation": row(sequence).operation}})
    line.send(sequence)
    age(sequence, 20)
    return line.send(sequence)


def test_a_dial_is_found_by_its_reference(line: Line) -> None:
    line.dial()
    sequence = line.dial()
    looked = found(line, sequence)
    assert looked.state == State.ACCEPTED
    leg = line.rig.world.legs[looked.result["call_control_id"]]
    assert leg.client_state == looked.arguments["client_state"]
    assert looked.result["call_leg_id"] == leg.call_leg_id
    assert line.effects("calls.dial") == ["done"]


def test_a_conference_is_found_by_its_name(line: Line) -> None:
    looked = found(line, line.create(line.rig.caller()))
    assert looked.state == State.ACCEPTED
    assert looked.result["id"] in line.rig.world.conferences
    assert looked.result["name"] == looked.arguments["name"]


def test_a_conference_that_has_not_started_is_found_too(line: Line) -> None:
    """Ours start with their second participant (CONTRACT: ``init``); one of that name that is over is not it."""
    first, second = line.rig.caller(), line.rig.caller()
    over = line.rig.meeting(first, name="room-of-two")
    line.rig.conference(over, "end")
    sequence = line.issue(
        "conferences.create", call_control_id=second, name="room-of-two", start_conference_on_create=False
    )
    looked = found(line, sequence)
    assert (looked.state, looked.result["status"]) == (State.ACCEPTED, "init")
    assert looked.result["id"] != over


def test_a_join_is_found_among_the_participants(line: Line) -> None:
    first, second = line.rig.caller(), line.rig.caller()
    room = line.rig.meeting(first)
    looked = found(line, line.issue("conferences.join", room, call_control_id=second))
    assert looked.state == State.ACCEPTED
    assert len(line.rig.participants(room)) == 2


def test_a_join_of_one_who_has_left_is_lost_though_he_is_listed(line: Line) -> None:
    first, second = line.rig.caller(), line.rig.caller()
    room = line.rig.meeting(first, second)
    line.rig.sim("PUT", "switches", {"lists_who_left": True})
    line.rig.conference(room, "leave", call_control_id=second)
    line.faults(api_timeout={"share": 1, "match": {"operation": "conferences.join"}})
    sequence = line.issue("conferences.join", room, call_control_id=second)
    line.send(sequence)
    age(sequence, 20)
    assert line.send(sequence).code == Command.LOST


def test_a_caller_is_found_in_the_queue(line: Line) -> None:
    looked = found(line, line.issue("calls.enqueue", line.rig.caller(), queue_name="support"))
    assert (looked.state, looked.result) == (State.ACCEPTED, {})


@pytest.mark.parametrize(("deed", "undone"), [("hold", "unhold"), ("mute", "unmute")])
def test_what_became_of_some_in_a_conference_is_seen_there(line: Line, deed: str, undone: str) -> None:
    legs = [line.rig.caller(), line.rig.caller()]
    room = line.rig.meeting(*legs)
    for operation in (deed, undone):
        looked = found(line, line.issue(f"conferences.{operation}", room, call_control_ids=legs))
        assert (looked.state, looked.result) == (State.ACCEPTED, {})
        line.faults()
    line.faults(api_timeout={"share": 1, "match": {"operation": f"conferences.{deed}"}})
    sequence = line.issue(f"conferences.{deed}", room, call_control_ids=legs)
    line.send(sequence)
    age(sequence, 20)
    assert line.send(sequence).code == Command.LOST


@pytest.mark.parametrize("operation", ["dial", "create", "join", "speak", "enqueue", "hold"])
def test_what_is_not_found_is_lost(line: Line, operation: str) -> None:
    leg = line.rig.caller()
    sequence = {
        "dial": line.dial,
        "create": lambda: line.create(leg),
        "join": lambda: line.issue("conferences.join", line.rig.meeting(line.rig.caller()), call_control_id=leg),
        "speak": lambda: line.speak(leg),
        "enqueue": lambda: line.issue("calls.enqueue", leg, queue_name="support"),
        "hold": lambda: line.issue("conferences.hold", line.rig.meeting(leg), call_control_ids=[leg]),
    }[operation]()
    line.faults(api_timeout={"share": 1, "match": {"operation": row(sequence).operation}})
    line.send(sequence)
    age(sequence, 20)
    looked = line.send(sequence)
    assert (looked.state, looked.code) == (State.REJECTED, Command.LOST)
    assert looked.applied_at is not None


def test_a_look_that_is_not_answered_is_repeated(line: Line) -> None:
    sequence = line.dial()
    line.faults(api_timeout_after_effect=1)
    line.send(sequence)
    age(sequence, 20)
    line.faults(api_timeout=1)
    for _ in range(3):
        assert line.send(sequence).state == State.UNKNOWN
        age(sequence, 5)
    line.faults()
    assert line.send(sequence).state == State.ACCEPTED
    assert line.effects("calls.dial") == ["done"]


def test_a_dial_that_nobody_wants_any_more_is_looked_for_at_once(line: Line) -> None:
    """Its answer is lost and its offer ends: whoever it rings is to be found before he answers."""
    sequence = line.dial()
    line.faults(api_timeout_after_effect=1)
    line.send(sequence)
    line.faults()
    line.wanted = False
    age(sequence, 1)
    looked = line.send(sequence)
    assert (looked.state, list(line.rig.world.legs)) == (State.ACCEPTED, [looked.result["call_control_id"]])
    assert line.effects("calls.dial") == ["done"]


def test_one_that_is_not_there_yet_may_still_come(line: Line) -> None:
    sequence = line.dial()
    line.faults(api_timeout=1)
    line.send(sequence)
    line.faults()
    line.wanted = False
    for secs in (1, 2, 2, 5, 5):
        age(sequence, secs)
        assert line.send(sequence).state == State.UNKNOWN
    age(sequence, 5)
    looked = line.send(sequence)
    assert (looked.state, looked.error) == (State.CANCELLED, "no longer wanted, and not there")
    assert line.effects("calls.dial") == ["rejected:timeout"]
    assert line.closed == [looked]


@pytest.mark.parametrize("response", ["original", "ok"])
def test_a_repeat_that_telnyx_ignores_ends_in_the_one_effect(line: Line, response: str) -> None:
    """Nobody outside knows what Telnyx answers to a repeat: its first answer, or only that all is well."""
    line.rig.sim("PUT", "switches", {"duplicate_command_response": response})
    sequences = [line.dial(), line.create(line.rig.caller())]
    line.faults(api_timeout_after_effect=1)
    for sequence in sequences:
        line.send(sequence)
    line.faults()
    for sequence in sequences:
        for _ in range(6):
            age(sequence, 5)
            line.send(sequence)
        assert row(sequence).state == State.ACCEPTED
        assert {"call_control_id", "id"} & set(row(sequence).result)
    assert line.effects("calls.dial").count("done") == line.effects("conferences.create").count("done") == 1


def test_a_hang_up_is_repeated_until_it_is_answered(line: Line) -> None:
    leg = line.rig.caller()
    sequence = line.hang_up(leg)
    line.faults(api_5xx=1)
    for _ in range(10):
        assert line.send(sequence).state == State.SENT
        age(sequence, 10)
    line.faults()
    assert line.send(sequence).state == State.ACCEPTED
    assert not line.rig.leg(leg)["is_alive"]


@pytest.mark.parametrize("operation", sorted(outbox.NEVER_REPEATED))
@pytest.mark.parametrize("dies", [False, True], ids=["no answer", "its sender dies"])
def test_what_takes_no_id_and_cannot_be_undone_is_never_repeated(
    line: Line, monkeypatch: pytest.MonkeyPatch, operation: str, dies: bool
) -> None:
    leg = line.rig.caller()
    room = line.rig.meeting(leg, line.rig.caller())
    arguments: dict[str, Any] = {
        "conferences.play": {"everyone": True, "audio_url": sim.MUSIC},
        "conferences.send_dtmf": {"call_control_ids": [leg], "digits": "1"},
        "conferences.gather_using_audio": {"call_control_id": leg, "audio_url": sim.MUSIC},
    }[operation]
    sequence = line.issue(operation, room, **arguments)
    with monkeypatch.context() as patch:
        if dies:
            kill_at(patch, "_record")
            with pytest.raises(Killed):
                line.send(sequence)
        else:
            line.faults(api_timeout_after_effect=1)
            line.send(sequence)
            line.faults()
    age(sequence, 11)
    looked = line.send(sequence)
    assert (looked.state, looked.code) == (State.REJECTED, Command.LOST)
    assert line.effects(operation) == ["done"]


# facts -------------------------------------------------------------------------------------------------------


def test_a_leg_that_is_over_is_a_fact_to_be_verified(line: Line) -> None:
    leg = line.rig.caller()
    line.rig.on_phone(leg, "hangup")
    sent = line.send(line.speak(leg))
    assert (sent.state, sent.code, sent.attempts) == (State.REJECTED, "90018", 1)
    assert line.suspected == [leg]
    assert due() == []


def test_so_is_one_that_telnyx_does_not_know(line: Line) -> None:
    assert line.send(line.hang_up("v3:nobody")).code == "90015"
    assert line.suspected == ["v3:nobody"]


def test_so_is_one_of_which_nothing_is_heard(line: Line) -> None:
    leg = line.rig.caller()
    sequence = line.issue("conferences.join", line.rig.meeting(line.rig.caller()), call_control_id=leg)
    line.faults(api_timeout={"share": 1, "match": {"operation": "conferences.join"}})
    line.send(sequence)
    age(sequence, 20)
    assert line.send(sequence).code == Command.LOST
    assert line.suspected == [leg]


def test_a_refusal_that_says_nothing_of_its_leg_casts_no_doubt_on_it(line: Line) -> None:
    assert line.send(line.speak(line.rig.ring_in())).code == "90034"
    assert line.send(line.speak(line.rig.caller(), text="x" * 3001)).code == "invalid"
    lost = line.dial()  # there is no leg to be verified
    line.faults(api_timeout=1)
    line.send(lost)
    line.faults()
    age(lost, 20)
    assert line.send(lost).code == Command.LOST
    assert line.suspected == []


# not sent ----------------------------------------------------------------------------------------------------


def test_a_429_is_no_first_sending(line: Line) -> None:
    sequence = line.dial()
    line.faults(api_429=1)
    for _ in range(5):
        sent = line.send(sequence)
        assert (sent.state, sent.first_sent_at) == (State.NEW, None)
        assert sent.not_before is not None
        assert sent.not_before > timezone.now()
        age(sequence, 10)  # 50 s of this, and its 20 s have not begun
    line.faults(api_timeout=1)
    assert line.send(sequence).state == State.SENT
    assert row(sequence).first_sent_at is not None
    line.faults()
    age(sequence, 10)
    assert line.send(sequence).state == State.ACCEPTED


def test_a_429_after_a_sending_does_not_start_the_twenty_seconds_anew(line: Line) -> None:
    sequence = line.dial()
    line.faults(api_timeout_after_effect=1)
    first_sent_at = line.send(sequence).first_sent_at
    line.faults(api_429=1)
    Command.objects.filter(pk=sequence).update(not_before=None, first_sent_at=from_now(-timedelta(seconds=15)))
    before = row(sequence).first_sent_at
    assert first_sent_at is not None
    sent = line.send(sequence)
    assert (sent.state, sent.first_sent_at) == (State.SENT, before)
    line.faults()
    age(sequence, 6)
    assert line.send(sequence).state == State.ACCEPTED
    assert line.effects("calls.dial").count("done") == 1


def test_what_was_turned_away_can_still_be_withdrawn(line: Line) -> None:
    leg = line.rig.caller()
    sequence = line.speak(leg)
    line.faults(api_429=1)
    line.send(sequence)
    line.faults()
    last = line.hang_up(leg)
    assert row(sequence).state == State.CANCELLED
    assert line.send(last).state == State.ACCEPTED


def test_without_a_connection_nothing_was_sent(line: Line) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    line.client = TelnyxClient(api_key="KEY", base_url="http://x/v2", transport=httpx.MockTransport(refuse))
    sequence = line.dial()
    for _ in range(3):
        sent = line.send(sequence)
        assert (sent.state, sent.first_sent_at) == (State.NEW, None)
        age(sequence, 30)


# leases ------------------------------------------------------------------------------------------------------


def test_what_another_holds_is_not_sent(line: Line) -> None:
    sequence = line.dial()
    assert outbox._claim(sequence) is not None
    assert due() == []
    assert line.send(sequence).state == State.SENT
    assert line.effects("calls.dial") == []


def test_leases_are_on_the_databases_clock(line: Line) -> None:
    time_machine = pytest.importorskip("time_machine", reason="needs requirements-dev.txt")
    sequence = line.dial()
    assert outbox._claim(sequence) is not None
    with time_machine.travel(timezone.now() + timedelta(days=1), tick=False):
        assert line.send(sequence).attempts == 1
    age(sequence, 10)
    with time_machine.travel(timezone.now() - timedelta(days=1), tick=False):
        assert line.send(sequence).state == State.ACCEPTED


def test_a_late_outcome_of_an_older_holder_is_dropped(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """He sent, slept through his lease, and wakes up when another has closed it."""
    sequence = line.dial()
    perform = outbox._perform

    def sleepy(command: Command, client: TelnyxClient) -> outbox.Outcome:
        monkeypatch.setattr(outbox, "_perform", perform)
        age(sequence, 11)
        assert line.send(sequence).state == State.ACCEPTED
        return outbox.Outcome(State.REJECTED, code="late")

    monkeypatch.setattr(outbox, "_perform", sleepy)
    sent = line.send(sequence)
    assert (sent.state, sent.code, sent.fence) == (State.ACCEPTED, "", 2)
    assert len(line.closed) == 1


def test_a_late_outcome_is_dropped_while_the_new_holder_still_waits(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    sequence = line.dial()

    def sleepy(command: Command, client: TelnyxClient) -> outbox.Outcome:
        age(sequence, 11)
        assert outbox._claim(sequence) is not None  # the new holder, on his way to Telnyx
        return outbox.Outcome(State.REJECTED, code="late")

    monkeypatch.setattr(outbox, "_perform", sleepy)
    sent = line.send(sequence)
    assert (sent.state, sent.code, sent.closed_at) == (State.SENT, "", None)
    assert sent.lease_until is not None
    assert line.closed == []


def test_with_too_little_of_the_lease_left_it_is_not_sent(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])

    def dawdle(command: Command) -> bool:
        clock[0] += 4.5
        return True

    monkeypatch.setattr(outbox, "_kinds", {"deed": Kind(dawdle, line.kind().closed)})
    sequence = line.dial()
    sent = line.send(sequence)
    assert (sent.state, sent.first_sent_at, sent.lease_until) == (State.NEW, None, None)
    assert line.effects("calls.dial") == []
    monkeypatch.setattr(outbox, "_kinds", {"deed": line.kind()})
    assert due() == [sequence]
    assert line.send(sequence).state == State.ACCEPTED


def test_a_request_is_not_begun_after_its_lease(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped between the last look at the clock and the wire."""
    sequence = line.speak(line.rig.caller())
    perform = outbox._perform
    now = [time.monotonic()]

    def stopped(command: Command, client: TelnyxClient) -> outbox.Outcome:
        now[0] += 10.5
        return perform(command, client)

    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(outbox, "_perform", stopped)
    sent = line.send(sequence)
    assert (sent.state, sent.first_sent_at) == (State.NEW, None)
    assert line.effects("calls.speak") == []
    monkeypatch.setattr(outbox, "_perform", perform)
    age(sequence, 10)
    assert line.send(sequence).state == State.ACCEPTED


# kills -------------------------------------------------------------------------------------------------------


def test_killed_before_sending_it_is_sent_once_by_the_next(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    sequence = line.dial()
    with monkeypatch.context() as patch:
        kill_at(patch, "_perform")
        with pytest.raises(Killed):
            line.send(sequence)
    assert due() == []
    age(sequence, 10)
    assert due() == [sequence]
    assert line.send(sequence).state == State.ACCEPTED
    assert line.effects("calls.dial") == ["done"]


def test_killed_between_the_answer_and_its_record_there_is_one_effect(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    sequence = line.dial()
    with monkeypatch.context() as patch:
        kill_at(patch, "_record")
        with pytest.raises(Killed):
            line.send(sequence)
    assert row(sequence).state == State.SENT
    age(sequence, 10)
    assert due() == [sequence]
    sent = line.send(sequence)
    assert line.effects("calls.dial") == ["done", "deduplicated"]
    assert sent.state == State.ACCEPTED
    assert [sent.result["call_control_id"]] == list(line.rig.world.legs)
    assert len(line.closed) == 1


def test_killed_between_the_record_and_its_effects_no_outcome_is_lost(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    sequence = line.dial()
    with monkeypatch.context() as patch:
        kill_at(patch, "close")
        with pytest.raises(Killed):
            line.send(sequence)
    assert row(sequence).state == State.ACCEPTED
    assert (row(sequence).applied_at, line.closed) == (None, [])
    assert due() == []
    assert outbox.unapplied() == [sequence]
    assert outbox.close(row(sequence), now=timezone.now())
    assert not outbox.close(row(sequence), now=timezone.now())
    assert [command.pk for command in line.closed] == [sequence]
    assert outbox.unapplied() == []


def test_killed_and_found_after_telnyx_has_forgotten_its_id_it_is_not_sent_again(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything of ours was down for two minutes with a dial on its way: a repeat would ring twice."""
    sequence = line.dial()
    with monkeypatch.context() as patch:
        kill_at(patch, "_record")
        with pytest.raises(Killed):
            line.send(sequence)
    line.rig.phone(sim.AGENT, on_ring="answer", after_secs=1)
    line.rig.advance(120)
    age(sequence, 120)
    sent = line.send(sequence)
    assert line.effects("calls.dial") == ["done"]
    assert sent.state == State.ACCEPTED
    assert [sent.result["call_control_id"]] == list(line.rig.world.legs)


def test_killed_again_and_again_there_is_still_one_effect(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    sequence = line.dial()
    with monkeypatch.context() as patch:
        kill_at(patch, "_record")
        for _ in range(outbox.MOST_LOST_LEASES):
            with pytest.raises(Killed):
                line.send(sequence)
            age(sequence, 10)
            line.rig.advance(10)
    assert line.effects("calls.dial").count("done") == 1
    assert len(line.rig.world.legs) == 1
    looked = line.send(sequence)
    assert (looked.state, looked.code, looked.lost_leases) == (State.REJECTED, Command.LOST, 5)
    assert [command.pk for command in line.closed] == [sequence]


def test_a_sender_that_comes_back_is_not_counted_as_lost(line: Line) -> None:
    """Only who dies with his lease: a Telnyx that is away for an hour sets nothing aside."""
    sequence = line.hang_up(line.rig.caller())
    line.faults(api_5xx=1)
    for _ in range(10):
        line.send(sequence)
        age(sequence, 10)
    assert row(sequence).lost_leases == 0


def test_effects_that_fail_are_tried_again_later(line: Line, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    line.breaks = 1
    sequence = line.dial()
    sent = line.send(sequence)
    assert (sent.state, sent.applied_at, sent.error) == (State.ACCEPTED, None, "RuntimeError: effects failed")
    assert outbox.unapplied() == []
    age(sequence, 5)
    assert outbox.unapplied() == [sequence]
    assert outbox.close(row(sequence), now=timezone.now())
    assert len(line.closed) == 1


def test_effects_that_go_on_failing_are_tried_less_and_less_often_and_never_given_up(
    line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    line.breaks = 12
    sequence = line.dial()
    line.send(sequence)
    pauses = []
    while line.breaks:
        age(sequence, outbox.LONGEST_CLOSE_AGAIN_SECS)
        assert outbox.unapplied() == [sequence]
        before = timezone.now()
        assert not outbox.close_again(sequence, now=before)
        put_off = row(sequence).not_before
        assert put_off is not None
        pauses.append(round((put_off - before).total_seconds()))
    assert pauses[:7] == [5, 10, 20, 40, 80, 160, 300]
    assert set(pauses[7:]) == {300}
    age(sequence, 300)
    assert outbox.close_again(sequence, now=timezone.now())
    assert not outbox.close_again(sequence, now=timezone.now())
    assert [command.pk for command in line.closed] == [sequence]


def test_effects_that_kill_their_process_are_put_off_first(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    sequence = line.dial()
    with monkeypatch.context() as patch:
        kill_at(patch, "close")
        with pytest.raises(Killed):
            line.send(sequence)
        assert outbox.unapplied() == [sequence]
        with pytest.raises(Killed):
            outbox.close_again(sequence, now=timezone.now())
    assert outbox.unapplied() == []
    assert row(sequence).closed_again == 1


# at once -----------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("workers", [8])
def test_many_workers_send_each_command_once_and_in_order(line: Line, workers: int) -> None:
    legs = [line.rig.caller() for _ in range(4)]
    sequences = [line.speak(leg, f"number {number}") for number in range(5) for leg in legs]
    start = threading.Barrier(workers)

    def work(_: int) -> None:
        start.wait()
        try:
            for sequence in sequences:
                outbox.send(sequence, line.client)
        finally:
            connection.close()

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(work, range(workers)))
    close_old_connections()
    for sequence in due():
        outbox.send(sequence, line.client)
    assert {row(each).state for each in sequences} == {State.ACCEPTED}
    assert line.effects("calls.speak") == ["done"] * 20
    spoken = [each for each in line.rig.sim("GET", "commands")["commands"] if each["operation"] == "calls.speak"]
    for leg in legs:
        mine = [json.dumps(each) for each in spoken if leg in json.dumps(each)]
        order = [next(number for number in range(5) if f"number {number}" in each) for each in mine]
        assert order == sorted(order)


def test_only_what_is_wired_can_be_issued() -> None:
    with pytest.raises(AssertionError, match=r"is not in callcenter\.wiring"):
        outbox.issue("nonsense", operation="calls.dial", dedupe_key="x", now=timezone.now())
