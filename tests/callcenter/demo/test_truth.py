from callcenter.demo.truth import Event, Truth


def event(event_type: str, leg: str, **payload: str) -> Event:
    return {
        "event_type": event_type,
        "occurred_at": "2026-01-01T00:00:00Z",
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


def test_a_phone_on_two_calls_at_once_is_seen() -> None:
    second = event("call.initiated", "agent2", direction="outgoing", to="sip:ana@phones.example.com")
    answered = [event("call.answered", leg) for leg in ("agent", "agent2")]
    gone = event("call.hangup", "agent")
    assert story(DIAL, second, answered[0], gone, answered[1]).taken_twice == []
    assert len(story(DIAL, second, *answered).taken_twice) == 1
