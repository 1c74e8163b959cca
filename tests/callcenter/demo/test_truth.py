import pytest

from callcenter.demo.truth import Event, Truth


def event(event_type: str, leg: str, *, second: int = 0, **payload: str) -> Event:
    return {
        "event_type": event_type,
        "occurred_at": f"2026-01-01T00:00:{second:02}Z",
        "payload": {"call_control_id": leg, **payload},
    }


def story(*events: Event) -> Truth:
    truth = Truth()
    truth.learn(events)
    return truth


RING = event("call.initiated", "caller", direction="incoming", to="+442079460001")
DIAL = event("call.initiated", "agent", direction="outgoing", to="sip:ana@phones.example.com")
CALLER_IN = event("conference.participant.joined", "caller", conference_id="c")
AGENT_IN = event("conference.participant.joined", "agent", conference_id="c")
CALLER_OUT = event("conference.participant.left", "caller", conference_id="c")


def test_caller_and_agent_in_one_conference_have_spoken() -> None:
    for both in ([CALLER_IN, AGENT_IN], [AGENT_IN, CALLER_IN]):
        assert story(RING, DIAL, *both).spoke_with_an_agent == {"caller"}


def test_a_caller_who_left_before_the_agent_came_has_not() -> None:
    assert story(RING, DIAL, CALLER_IN, CALLER_OUT, AGENT_IN).spoke_with_an_agent == set()


def test_two_callers_in_one_conference_are_no_agent() -> None:
    other = event("conference.participant.joined", "another", conference_id="c")
    assert story(RING, CALLER_IN, other).spoke_with_an_agent == set()


def test_who_hung_up_is_gone() -> None:
    assert story(RING, event("call.hangup", "caller")).ended == {"caller"}


SECOND_DIAL = event("call.initiated", "agent2", direction="outgoing", to="sip:ana@phones.example.com")
ANSWERED = event("call.answered", "agent")
GONE = event("call.hangup", "agent")


@pytest.mark.parametrize(
    ("events", "found"),
    [
        pytest.param([DIAL, GONE, SECOND_DIAL], [], id="one after the other"),
        pytest.param([DIAL, ANSWERED, GONE, SECOND_DIAL], [], id="after the call"),
        pytest.param(
            [DIAL, event("call.initiated", "other", direction="outgoing", to="sip:ben@phones.example.com")],
            [],
            id="another's phone",
        ),
        pytest.param([DIAL, SECOND_DIAL], ["while it rang: agent"], id="rings twice"),
        pytest.param([DIAL, ANSWERED, SECOND_DIAL], ["while it was on a call: agent"], id="rings in a call"),
        pytest.param(
            [DIAL, SECOND_DIAL, ANSWERED, event("call.answered", "agent2")],
            ["while it rang: agent", "was on 2 calls"],
            id="answered twice",
        ),
    ],
)
def test_a_phone_that_rings_or_talks_twice_at_once_is_seen(events: list[Event], found: list[str]) -> None:
    told = story(*events).taken_twice
    assert len(told) == len(found)
    assert all(part in line for part, line in zip(found, told, strict=True))


def test_how_long_a_caller_was_there_and_spoke_at_a_stretch() -> None:
    def seat(what: str, leg: str, second: int) -> Event:
        return event(f"conference.participant.{what}", leg, second=second, conference_id="c")

    truth = story(
        RING, DIAL, seat("joined", "caller", 2), seat("joined", "agent", 5), seat("left", "agent", 9),
        seat("joined", "agent", 20), seat("left", "caller", 21), event("call.hangup", "caller", second=30),
    )  # fmt: skip
    assert truth.spoke_secs == {"caller": 4.0}
    assert truth.lived_secs == {"caller": 30.0}
