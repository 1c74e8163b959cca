"""What became of an offer, from its facts alone: every exit, in whatever order the facts are known."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

pytest.importorskip("hypothesis", reason="hypothesis is in requirements-dev.txt")

from hypothesis import given, settings
from hypothesis import strategies as st

from queues.engine.facts import DECLINING, DROPPING, MISSING, LegEnd, OfferFacts, entry_verdict, offer_verdict
from queues.models import Offer, QueueEntry

State = Offer.State
BEGAN = datetime(2026, 3, 2, 10, 0, 0, tzinfo=UTC)


def at(secs: float) -> datetime:
    return BEGAN + timedelta(seconds=secs)


def end(secs: float, cause: str = "normal_clearing", **known: Any) -> LegEnd:
    return LegEnd(at=at(secs), cause=cause, **known)


RUNG = {"initiated_at": at(1)}
ANSWERED = {**RUNG, "answered_at": at(5)}
JOINED = {**ANSWERED, "caller_joined_at": at(6), "agent_joined_at": at(7)}


@pytest.mark.parametrize(
    ("facts", "state", "reason"),
    [
        pytest.param({}, State.PENDING, "", id="nothing yet"),
        pytest.param(RUNG, State.RINGING, "", id="it rings"),
        pytest.param(ANSWERED, State.CONNECTING, "", id="answered"),
        pytest.param(ANSWERED | {"confirms": True}, State.CONFIRMING, "", id="answered, a key is asked for"),
        pytest.param(ANSWERED | {"confirms": True, "confirmed_at": at(6)}, State.CONNECTING, "", id="the key pressed"),
        pytest.param(
            ANSWERED | {"confirms": True, "unconfirmed_at": at(9)}, State.TIMED_OUT, "not_confirmed", id="no key"
        ),
        pytest.param(JOINED, State.CONNECTED, "", id="both are in"),
        pytest.param(JOINED | {"leg_end": end(60)}, State.ENDED, "normal_clearing", id="the agent hangs up"),
        pytest.param(JOINED | {"caller_hangup_at": at(60)}, State.ENDED, "caller_hangup", id="the caller hangs up"),
        pytest.param(
            JOINED | {"caller_left_at": at(59), "caller_hangup_at": at(60)},
            State.ENDED,
            "caller_hangup",
            id="leaving is the word before his hang-up",
        ),
        pytest.param(JOINED | {"caller_left_at": at(30)}, State.ENDED, "caller_moved", id="the caller is moved"),
        pytest.param(JOINED | {"agent_left_at": at(30)}, State.CONNECTED, "", id="the agent left and nobody says why"),
        pytest.param(RUNG | {"leg_end": end(3, "call_rejected")}, State.DECLINED, "call_rejected", id="declined"),
        pytest.param(RUNG | {"leg_end": end(3, "user_busy")}, State.DECLINED, "user_busy", id="busy"),
        pytest.param(RUNG | {"leg_end": end(21, "timeout")}, State.TIMED_OUT, "timeout", id="no answer"),
        pytest.param(RUNG | {"leg_end": end(2, "unspecified")}, State.LEG_FAILED, "unspecified", id="unreachable"),
        pytest.param({"refused_at": at(0.2)}, State.LEG_FAILED, "dial_refused", id="the dial is refused"),
        pytest.param(ANSWERED | {"refused_at": at(6)}, State.LEG_FAILED, "join_refused", id="the join is refused"),
        pytest.param(RUNG | {"caller_hangup_at": at(3)}, State.CALLER_LEFT, "caller_hangup", id="the caller leaves"),
        pytest.param(
            RUNG | {"caller_hangup_at": at(3), "leg_end": end(3)},
            State.CALLER_LEFT,
            "caller_hangup",
            id="at the same instant leaving wins",
        ),
        pytest.param(
            RUNG | {"rescinded_at": at(3), "rescind_reason": "flow_out"}, State.RESCINDED, "flow_out", id="taken back"
        ),
        pytest.param(
            RUNG | {"rescinded_at": at(3), "rescind_reason": State.SUPERSEDED},
            State.SUPERSEDED,
            State.SUPERSEDED,
            id="another was first",
        ),
        pytest.param({"expired_at": at(30)}, State.EXPIRED, "deadline", id="its deadline passed"),
    ],
)
def test_each_way_an_offer_can_stand(facts: dict[str, Any], state: str, reason: str) -> None:
    verdict = offer_verdict(OfferFacts(**{"confirms": False, **facts}))
    assert (verdict.state, verdict.end_reason) == (state, reason)


@pytest.mark.parametrize("hung_up", [5.9, 6.0, 6.3])
def test_a_join_that_is_refused_because_the_caller_has_gone_is_no_failure_of_the_agents(hung_up: float) -> None:
    """Telnyx's clock says when he left, ours when the join was refused: neither order of the two means anything."""
    facts = OfferFacts(confirms=False, **ANSWERED, refused_at=at(6), caller_hangup_at=at(hung_up))  # type: ignore[arg-type]
    assert offer_verdict(facts).state == State.CALLER_LEFT


def test_a_join_refused_long_before_the_caller_left_is() -> None:
    facts = OfferFacts(confirms=False, **ANSWERED, refused_at=at(6), caller_hangup_at=at(60))  # type: ignore[arg-type]
    assert offer_verdict(facts).state == State.LEG_FAILED


def test_connected_and_over_before_we_heard_of_either_is_a_conversation() -> None:
    facts = OfferFacts(confirms=False, **JOINED, expired_at=at(40), leg_end=end(20))  # type: ignore[arg-type]
    verdict = offer_verdict(facts)
    assert (verdict.state, verdict.connected_at, verdict.ended_at) == (State.ENDED, at(7), at(20))


# whatever is known, in whatever order it became known ---------------------------------------------------------

often = settings(max_examples=1000, deadline=None)
instants = st.integers(0, 60).map(at)
ends = st.builds(
    LegEnd,
    at=instants,
    cause=st.sampled_from(sorted({"normal_clearing", "time_limit", *DECLINING, *MISSING, *DROPPING})),
    sip_cause=st.sampled_from(["", "200", "486", "503"]),
    ours=st.booleans(),
)
FACTS: dict[str, st.SearchStrategy[Any]] = {
    "initiated_at": instants,
    "answered_at": instants,
    "leg_end": ends,
    "caller_hangup_at": instants,
    "caller_joined_at": instants,
    "caller_left_at": instants,
    "agent_joined_at": instants,
    "agent_left_at": instants,
    "refused_at": instants,
    "confirmed_at": instants,
    "unconfirmed_at": instants,
    "won_at": instants,
    "rescinded_at": instants,
    "rescind_reason": st.sampled_from([State.SUPERSEDED, "flow_out", "moved"]),
    "expired_at": instants,
}
known = st.fixed_dictionaries({"confirms": st.booleans(), "exclusive": st.booleans()}, optional=FACTS)
TERMINAL = ("leg_end", "caller_hangup_at", "rescinded_at", "expired_at")


def ended_by(facts: dict[str, Any]) -> datetime | None:
    """The earliest of the facts after which nothing of an offer is left, the agent's confirmation apart."""
    found = [facts[name].at if name == "leg_end" else facts[name] for name in TERMINAL if name in facts]
    return min(found, default=None)


@often
@given(known)
def test_no_facts_are_too_strange_for_a_verdict(facts: dict[str, Any]) -> None:
    verdict = offer_verdict(OfferFacts(**facts))
    assert verdict.state in set(State)
    assert (verdict.ended_at is not None) == (verdict.state not in Offer.LIVE)
    assert (verdict.connected_at is not None) == (verdict.state in (State.CONNECTED, State.ENDED))
    if verdict.connected_at and verdict.ended_at:
        assert verdict.connected_at <= verdict.ended_at


@often
@given(known, st.sampled_from(sorted(FACTS)), st.data())
def test_an_end_that_is_known_stands_whatever_else_becomes_known(
    facts: dict[str, Any], name: str, data: st.DataObject
) -> None:
    """No fact brings an offer back to life, nor lets it end later than the earliest of its ends."""
    before = offer_verdict(OfferFacts(**facts))
    more = {name: data.draw(FACTS[name])} | facts  # what is known already does not change
    after = offer_verdict(OfferFacts(**more))
    if ended_by(facts) is not None:
        assert before.state not in Offer.LIVE
        assert after.state not in Offer.LIVE
    if before.ended_at is not None and after.ended_at is not None and after.state == before.state != State.ENDED:
        assert after.ended_at <= before.ended_at


@often
@given(
    st.fixed_dictionaries(
        {"closing_reason": st.sampled_from(["", "timeout", "queue_full"])},
        optional=dict.fromkeys(("connected_at", "caller_hangup_at", "closing_at", "released_at", "moved_at"), instants),
    )
)
def test_a_stay_ends_at_its_first_end_and_as_answered_if_it_was(facts: dict[str, Any]) -> None:
    names = ("connected_at", "caller_hangup_at", "closing_at", "released_at", "moved_at")
    verdict = entry_verdict(**{name: facts.get(name) for name in names}, closing_reason=facts["closing_reason"])
    first = min((facts[name] for name in names if name in facts), default=None)
    if "connected_at" in facts:
        assert (verdict.outcome, verdict.ended_at) == (QueueEntry.Outcome.ANSWERED, facts["connected_at"])
    else:
        assert (bool(verdict.outcome), verdict.ended_at) == (first is not None, first)
