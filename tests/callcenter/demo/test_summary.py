"""The summary holds our rows against the simulator's log, and the story is told from the journal."""

import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import pytest

from callcenter.demo import house
from callcenter.demo.story import Storyteller
from callcenter.demo.summary import Summary, find_wrongs, summarise
from callcenter.demo.truth import Truth
from conferences.models import CallLeg
from queues.models import Agent, Call, Offer, Queue, QueueEntry
from webhooks import journal

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
KEYS = [
    "calls",
    "answered",
    "abandoned",
    "flow_out",
    "before_queue",
    "callback",
    "service_level",
    "asa_secs",
    "caller_silence_max_secs",
    "agent_dead_air_max_secs",
    "rang_for_gone_caller_max_secs",
    "events",
    "commands",
    "lost",
    "double_booked",
    "invariant_violations",
    "backends",
]


def after(secs: float) -> datetime:
    return NOW + timedelta(seconds=secs)


@pytest.fixture
def queue() -> Queue:
    house.furnish(house.Pace(speed=20, longest_patience_secs=21), now=NOW)
    return Queue.objects.get(name="Support")


def call(queue: Queue, leg: str, *, outcome: str = "answered", waited: float = 2.0, ended: float = 10.0) -> Call:
    """A call that is over, with one stay."""
    row = Call.objects.create(
        leg=CallLeg.objects.create(call_control_id=leg, direction="incoming"),
        queue=queue,
        from_number="+447700900123",
        to_number="+442079460001",
        arrived_at=NOW,
        ended_at=after(ended),
        outcome=outcome,
        state="closed" if outcome == "answered" else "abandoned",
    )
    QueueEntry.objects.create(
        call=row,
        queue=queue,
        number=1,
        entered_at=NOW,
        rank_at=NOW,
        state="ended",
        outcome=outcome,
        connected_at=after(waited) if outcome == "answered" else None,
        ended_at=after(waited),
    )
    return row


def offer(row: Call, name: str, *, start: float, end: float | None, free_since: float | None = None) -> None:
    Offer.objects.create(
        call=row,
        entry=row.entries.get(),
        agent=Agent.objects.get(name=name),
        state="ended",
        offered_at=after(start),
        expires_at=after(start + 10),
        ended_at=None if end is None else after(end),
        agent_available_since=None if free_since is None else after(free_since),
    )


def summary(placed: list[str], truth: Truth, violations: frozenset[str] = frozenset()) -> Summary:
    return summarise(
        placed,
        wrongs=find_wrongs(placed, truth=truth, violations=violations, since=NOW),
        silence={"callers": {"a": 0.25, "b": 0.5}, "agents": {}, "rang_for_gone_caller_secs": {"x": 0.0}},
        backends={"database": "sqlite", "broker": "fakeredis"},
        since=NOW,
    )


def test_it_is_one_line_of_json_with_the_agreed_keys(queue: Queue) -> None:
    call(queue, "a", waited=2)
    call(queue, "b", outcome="abandoned", waited=6)
    found = summary(["a", "b"], Truth(spoke_with_an_agent={"a"}, ended={"a", "b"}))
    line = json.dumps(asdict(found))
    assert list(json.loads(line)) == KEYS
    assert "\n" not in line
    assert (found.calls, found.answered, found.abandoned, found.lost) == (2, 1, 1, 0)
    assert (found.service_level, found.asa_secs) == (0.5, 2.0)
    assert (found.caller_silence_max_secs, found.agent_dead_air_max_secs) == (0.5, 0.0)
    assert found.is_clean


@pytest.mark.parametrize(
    ("outcome", "truth"),
    [
        pytest.param("answered", Truth(ended={"a"}), id="answered, says our row; he spoke with nobody"),
        pytest.param("abandoned", Truth(ended={"a"}, spoke_with_an_agent={"a"}), id="abandoned; he spoke"),
        pytest.param("answered", Truth(spoke_with_an_agent={"a"}), id="over; he is still there"),
        pytest.param("", Truth(ended={"a"}), id="no outcome"),
    ],
)
def test_a_call_is_lost_when_the_simulator_contradicts_its_outcome(queue: Queue, outcome: str, truth: Truth) -> None:
    call(queue, "a", outcome=outcome)
    found = summary(["a"], truth)
    assert found.lost == 1
    assert not found.is_clean


def test_a_call_we_never_heard_of_is_lost(queue: Queue) -> None:
    assert summary(["a"], Truth(ended={"a"})).lost == 1


def test_an_agent_with_two_offers_at_once_is_double_booked(queue: Queue) -> None:
    first, second = call(queue, "a"), call(queue, "b")
    truth = Truth(spoke_with_an_agent={"a", "b"}, ended={"a", "b"})
    offer(first, "Ana", start=0, end=5)
    offer(second, "Ana", start=5, end=9)
    assert summary(["a", "b"], truth).double_booked == 0
    offer(call(queue, "c"), "Ana", start=8.9, end=9.5)
    assert summary(["a", "b"], truth).double_booked == 1


@pytest.mark.parametrize(("free_since", "double_booked"), [(-60, 1), (5, 0)])
def test_an_offer_that_waited_for_the_end_of_the_one_before_is_none(
    queue: Queue, free_since: float, double_booked: int
) -> None:
    """Its instant is of before the wait; who claims an agent that is not free saw him free since long ago."""
    offer(call(queue, "a"), "Ana", start=0, end=5, free_since=-60)
    offer(call(queue, "b"), "Ana", start=4.9, end=9, free_since=free_since)
    truth = Truth(spoke_with_an_agent={"a", "b"}, ended={"a", "b"})
    assert summary(["a", "b"], truth).double_booked == double_booked


def test_a_violated_invariant_is_not_clean(queue: Queue) -> None:
    call(queue, "a")
    found = summary(["a"], Truth(spoke_with_an_agent={"a"}, ended={"a"}), frozenset({"I1 agent 7"}))
    assert (found.invariant_violations, found.is_clean) == (1, False)


def test_each_call_is_told_once_when_it_is_over(queue: Queue) -> None:
    row = call(queue, "a")
    journal.note(row.pk, "arrived", at=NOW, queue="Support")
    journal.note(row.pk, "offer_timed_out", at=NOW, agent="Ana", queue="Support", reason="timeout")
    journal.note(row.pk, "offer_connected", at=NOW, agent="Ben", queue="Support")
    journal.note(row.pk, "entry_answered", at=NOW, queue="Support", wait_secs=2.0)
    stories = Storyteller(since=NOW)
    told = "12:00:10  +4477****0123  Support  Ana did not answer, Ben answered, waited 2.0 s: answered"
    assert list(stories.new_lines()) == [told]
    assert list(stories.new_lines()) == []
