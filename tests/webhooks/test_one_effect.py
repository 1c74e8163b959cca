"""Whatever Telnyx answers, and whoever dies: a command has one effect at most, and always comes to an end."""

import pytest

pytest.importorskip("hypothesis", reason="hypothesis is in requirements-dev.txt")

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from tests.webhooks.line import Killed, Line, age, kill_at, lined, row
from webhooks import breaker
from webhooks.models import Command, TelnyxStatus

pytestmark = pytest.mark.django_db

State = Command.State
ANSWERS = (
    "ok", "api_5xx", "api_5xx_after_effect", "api_timeout", "api_timeout_after_effect", "api_429", "reset",
    "over", "killed before it", "killed after it",
)  # fmt: skip
# Hold, mute and hang-up are left out: they take no command_id, or need none, and their repeat changes nothing.
DEEDS = ("dial", "create", "join", "speak", "answer", "enqueue", "play", "send_dtmf")

steps = st.lists(
    st.tuples(st.sampled_from(ANSWERS), st.sampled_from([0.5, 1.0, 2.0, 4.0, 10.0, 25.0, 70.0])), max_size=9
)


def ordered(line: Line, deed: str) -> tuple[int, str]:
    """The command, and the leg that may be over meanwhile."""
    leg = line.rig.ring_in() if deed == "answer" else line.rig.caller()
    match deed:
        case "dial":
            return line.dial(), leg
        case "create":
            return line.create(leg), leg
        case "join":
            room = line.rig.meeting(line.rig.caller())
            return line.issue("conferences.join", room, call_control_id=leg), leg
        case "answer":
            return line.issue("calls.answer", leg, priority=Command.Priority.ANSWER), leg
        case "enqueue":
            return line.issue("calls.enqueue", leg, queue_name="support"), leg
        case "play":
            words = {"everyone": True, "audio_url": "https://media.example.com/music.mp3"}
            return line.issue("conferences.play", line.rig.meeting(leg), **words), leg
        case "send_dtmf":
            words = {"call_control_ids": [leg], "digits": "1"}
            return line.issue("conferences.send_dtmf", line.rig.meeting(leg), **words), leg
        case _:
            return line.speak(leg), leg


def passes(line: Line, sequence: int, secs: float) -> None:
    line.rig.advance(secs)
    age(sequence, secs)


def told(line: Line, sequence: int, leg: str, answer: str) -> None:
    line.faults(**({answer: 1} if answer.startswith(("api_", "reset")) else {}))
    if answer == "over" and line.rig.leg(leg)["is_alive"]:
        line.rig.on_phone(leg, "hangup")
    if answer.startswith("killed"):
        with pytest.MonkeyPatch.context() as patch:
            kill_at(patch, "_perform" if answer == "killed before it" else "_record")
            try:
                line.send(sequence)
            except Killed:
                return
    line.send(sequence)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(deed=st.sampled_from(DEEDS), steps=steps, unwanted_from=st.none() | st.integers(0, 9))
def test_a_command_has_one_effect_at_most_and_comes_to_an_end(
    deed: str, steps: list[tuple[str, float]], unwanted_from: int | None
) -> None:
    TelnyxStatus.objects.all().delete()
    breaker._read()
    with pytest.MonkeyPatch.context() as patch, lined(patch) as line:
        sequence, leg = ordered(line, deed)
        before = line.effects(row(sequence).operation).count("done")
        for number, (answer, secs) in enumerate(steps):
            line.wanted = unwanted_from is None or number < unwanted_from
            told(line, sequence, leg, answer)
            passes(line, sequence, secs)
        line.faults()
        for _ in range(12):
            line.send(sequence)
            passes(line, sequence, 10)
        sent = row(sequence)
        event(f"{sent.state} {sent.code}")
        assert sent.closed_at is not None
        assert sent.applied_at is not None
        assert [command.pk for command in line.closed] == [sequence]
        done = line.effects(sent.operation).count("done") - before
        assert done == 1 if sent.state == State.ACCEPTED else done <= 1
        Command.objects.all().delete()
