"""A call's journal in sentences."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from queues import story
from queues.models import Call, Offer, QueueEntry
from queues.templatetags.live import clock, percent, tone
from webhooks.models import JournalEntry

ROOT = Path(__file__).resolve().parent.parent.parent
AT = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "facts", "sentence"),
    [
        ("arrived", {"queue": "sales_uk"}, "The call arrived for sales_uk."),
        ("arrived", {"queue": ""}, "A call arrived for a number that leads to no queue."),
        ("offered", {"agent": "Anna", "queue": "sales"}, "Offered to Anna from sales."),
        ("offer_declined", {"agent": "Anna", "reason": "user_busy"}, "Anna declined (user busy)."),
        ("offer_ringing", {"agent": "{x}"}, "{x}'s phone rings."),
        ("entered", {"queue": "q", "place_since": AT.isoformat()}, "He entered q, in line since 10:00:00."),
        ("entry_answered", {"queue": "q", "wait_secs": 4.2}, "q: answered after 4.2 s."),
        ("priority_set", {"priority": -2}, "His priority is now -2."),
        ("entry_answered", {}, "?: answered after ? s."),
        ("something_new", {"who_was": "Anna"}, "Something new (who was: Anna)."),
        ("something_new", {}, "Something new."),
    ],
)
def test_a_line(kind: str, facts: dict[str, object], sentence: str) -> None:
    assert story.sentence(kind, facts) == sentence


def test_every_kind_that_is_written_has_its_sentence() -> None:
    written = set[str]()
    for source in (*ROOT.glob("queues/**/*.py"), *ROOT.glob("conferences/**/*.py")):
        written |= set(re.findall(r'journal\.note\(\s*[\w.]+,\s*"(\w+)"', source.read_text()))
    assert {"arrived", "offered", "sent_away", "taken_over"} <= written
    assert written <= set(story.SENTENCES)
    assert {f"offer_{state}" for state in Offer.State.values} <= set(story.SENTENCES)
    assert {f"entry_{outcome}" for outcome in QueueEntry.Outcome.values} <= set(story.SENTENCES)
    assert {f"call_{state}" for state in Call.State.values} - {"call_arriving"} <= set(story.SENTENCES)


def test_the_lines_bear_the_time_since_the_first() -> None:
    journal = [
        JournalEntry(kind="arrived", facts={"queue": "q"}, at=AT),
        JournalEntry(kind="call_queued", facts={}, at=AT + timedelta(seconds=65)),
    ]
    assert [(line.text, clock(line.after)) for line in story.tell(journal)] == [
        ("The call arrived for q.", "0:00"),
        ("The caller waits.", "1:05"),
    ]


def test_seconds_shares_and_states_as_they_are_written() -> None:
    assert [clock(secs) for secs in (None, 0, 65, 3665.9)] == ["–", "0:00", "1:05", "1:01:05"]
    assert [percent(share) for share in (None, 0.0, 2 / 7)] == ["–", "0.0 %", "28.6 %"]
    assert [tone(word) for word in ("available", "whatever")] == ["cc-success", ""]
