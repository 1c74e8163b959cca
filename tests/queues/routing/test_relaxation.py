"""Where a waiting call stands: its ring, its penalty window, its gate, and what opens next."""

from dataclasses import replace

import pytest

from queues.routing.eligibility import Window
from queues.routing.relaxation import OpenGate, OpenRing, OpenWindow, gate_of, ring_of, window_of
from queues.routing.snapshot import PenaltyRule, QueueState, Ring, WaitingCall

ASKED = {"es": 3, "tech": 1}
CALL = WaitingCall(id="c", queue="q", enqueued_at=1000, required_skills=ASKED)
LOWER = Ring(after=30, levels={"es": 2})
DROP = Ring(after=60, drop=frozenset({"es"}))
RINGS = QueueState(id="q", rings=(DROP, LOWER))  # in whatever order they are written


def ring(number, count, required, next_at=None, next_required=None):
    return OpenRing(number=number, count=count, required=required, next_at=next_at, next_required=next_required)


@pytest.mark.parametrize(
    ("rings", "wait", "expected"),
    [
        pytest.param((), 500, ring(1, 1, ASKED), id="no rings"),
        pytest.param((LOWER, DROP), 0, ring(1, 3, ASKED, 1030, {"es": 2, "tech": 1}), id="the first"),
        pytest.param((LOWER, DROP), 29, ring(1, 3, ASKED, 1030, {"es": 2, "tech": 1}), id="just before"),
        pytest.param((LOWER, DROP), 30, ring(2, 3, {"es": 2, "tech": 1}, 1060, {"tech": 1}), id="at its second"),
        pytest.param((DROP, LOWER), 30, ring(2, 3, {"es": 2, "tech": 1}, 1060, {"tech": 1}), id="written otherwise"),
        pytest.param((LOWER, DROP), 60, ring(3, 3, {"tech": 1}), id="the last"),
        pytest.param((replace(LOWER, after=60), DROP), 59, ring(1, 2, ASKED, 1060, {"tech": 1}), id="two at once"),
        pytest.param((replace(LOWER, after=0), DROP), 0, ring(1, 2, {"es": 2, "tech": 1}, 1060, {"tech": 1}),
                     id="open from the start"),
        pytest.param((Ring(after=30, levels={"fr": 1}),), 5, ring(1, 2, ASKED, 1030, ASKED),
                     id="a ring that is about something else"),
    ],
)  # fmt: skip
def test_a_call_has_a_ring_and_a_next_one(rings, wait, expected):
    assert ring_of(CALL, replace(RINGS, rings=rings), 1000 + wait) == expected


def window(least=None, most=None, raised=None):
    return Window(min_penalty=least, max_penalty=most, raise_penalty=raised)


WIDEN = PenaltyRule(after=30, sets={"max_penalty": 2})
OPEN = PenaltyRule(after=60, sets={"max_penalty": None, "raise_penalty": 1})


@pytest.mark.parametrize(
    ("limits", "rules", "wait", "expected"),
    [
        pytest.param({}, (), 500, OpenWindow(window=window()), id="no limits"),
        pytest.param({"max_penalty": 1}, (OPEN, WIDEN), 29,
                     OpenWindow(window=window(most=1), next_at=1030, next_window=window(most=2)), id="just before"),
        pytest.param({"max_penalty": 1}, (OPEN, WIDEN), 30,
                     OpenWindow(window=window(most=2), next_at=1060, next_window=window(raised=1)), id="at its second"),
        pytest.param({"max_penalty": 1}, (OPEN, WIDEN), 60, OpenWindow(window=window(raised=1)), id="the last"),
        pytest.param({"max_penalty": 2}, (WIDEN, OPEN), 0,
                     OpenWindow(window=window(most=2), next_at=1060, next_window=window(raised=1)),
                     id="a rule that changes nothing"),
        pytest.param({}, (replace(WIDEN, after=60), OPEN), 0,
                     OpenWindow(window=window(), next_at=1060, next_window=window(raised=1)), id="two at once"),
    ],
)  # fmt: skip
def test_a_call_has_a_penalty_window_and_a_next_one(limits, rules, wait, expected):
    queue = QueueState(id="q", penalty_rules=rules, **limits)
    assert window_of(CALL, queue, 1000 + wait) == expected


PROMISE = QueueState(id="q", strategy="promise", scoring="promise", promise_secs=21)


@pytest.mark.parametrize(
    ("penalties", "wait", "expected"),
    [
        pytest.param({0, 1, 2}, 0, OpenGate(penalty=0, next_at=1011, next_penalty=1), id="main agents only"),
        pytest.param({0, 1, 2}, 10, OpenGate(penalty=0, next_at=1011, next_penalty=1), id="just before half of it"),
        pytest.param({0, 1, 2}, 11, OpenGate(penalty=1, next_at=1021, next_penalty=2), id="half of it, rounded up"),
        pytest.param({0, 2}, 0, OpenGate(penalty=0, next_at=1021, next_penalty=2), id="a rank that nobody has"),
        pytest.param({0, 1, 2}, 21, OpenGate(penalty=2), id="all of it"),
        pytest.param({0}, 0, OpenGate(penalty=0), id="nobody to hold back"),
    ],
)
def test_a_call_has_a_gate_and_a_next_one(penalties, wait, expected):
    assert gate_of(CALL, PROMISE, 1000 + wait, penalties=penalties) == expected


def test_without_promise_scoring_there_is_no_gate():
    assert gate_of(CALL, replace(PROMISE, scoring="aged"), 1000, penalties={0, 1}) is None
