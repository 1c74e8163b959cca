"""Events on their way: signed, concurrent, retried, failed over, multiplied, delayed, lost and held."""

import json
import threading
import time
from collections import Counter
from typing import Any

import httpx
import pytest
from nacl.signing import SigningKey

from callcenter.simulator.simulator import Simulator
from tests.simulator.rig import AGENT, CALLER, NUMBER, Posted, Rig, rigged
from webhooks.telnyx.signature import (
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    SignatureError,
    parse_public_key,
    parse_signature,
    parse_timestamp,
    verify,
)


def check_signature(rig: Rig, posted: Posted) -> None:
    """What the product does before it believes anything."""
    verify(
        posted.body,
        signature=parse_signature(posted.headers[SIGNATURE_HEADER]),
        timestamp=parse_timestamp(posted.headers[TIMESTAMP_HEADER], now=time.time()),
        keys=[parse_public_key(rig.sim("GET", "public-key")["public_key"])],
    )


def one_event(rig: Rig) -> None:
    """A phone rings and goes on ringing: one event and, for a long time, no other."""
    rig.phone(on_ring="no_answer")
    rig.dial(timeout_secs=600)


def outcomes(rig: Rig) -> list[tuple[str, list[int | None]]]:
    deliveries = rig.sim("GET", "deliveries")["deliveries"]
    return [(each["status"], [attempt["status"] for attempt in each["attempts"]]) for each in deliveries]


def test_an_event_is_signed_and_says_where_and_how_often_it_was_sent(rig: Rig) -> None:
    rig.ring_in()
    rig.simulator.drain()
    posted = rig.posts[0]
    check_signature(rig, posted)
    assert posted.headers["user-agent"] == "telnyx-webhooks"
    assert json.loads(posted.body)["meta"] == {"attempt": 1, "delivered_to": posted.url}
    assert set(posted.data) == {"record_type", "event_type", "id", "occurred_at", "payload"}


def test_the_clock_of_the_signature_is_the_real_one(rig: Rig) -> None:
    rig.advance(100_000)
    rig.ring_in()
    rig.simulator.drain()
    check_signature(rig, rig.posts[0])


@pytest.mark.parametrize(
    ("answer", "status", "attempts"),
    [
        pytest.param(200, "delivered", [200], id="200"),
        pytest.param(204, "delivered", [204], id="204"),
        pytest.param(500, "failed", [500] * 6, id="500"),
        pytest.param(503, "failed", [503] * 6, id="503"),
        pytest.param(408, "failed", [408] * 6, id="408"),
        pytest.param(429, "failed", [429] * 6, id="429"),
        pytest.param(TimeoutError(), "failed", [None] * 6, id="timeout"),
        pytest.param(httpx.ConnectError("no"), "failed", [None] * 6, id="connection refused"),
        pytest.param(400, "failed", [400], id="400"),
        pytest.param(403, "failed", [403], id="403"),
        pytest.param(404, "failed", [404], id="404"),
        pytest.param(302, "failed", [302], id="302"),
    ],
)
def test_what_is_retried(rig: Rig, answer: int | Exception, status: str, attempts: list[int | None]) -> None:
    rig.status = answer
    one_event(rig)
    rig.advance(60)
    assert outcomes(rig) == [(status, attempts)]
    assert len({posted.data["id"] for posted in rig.posts}) == 1
    assert [json.loads(posted.body)["meta"]["attempt"] for posted in rig.posts] == [
        number + 1 for number in range(len(attempts))
    ]


def test_a_retry_waits_and_stops_at_the_first_success(rig: Rig) -> None:
    rig.sim("PUT", "switches", {"webhook_retry_delays_secs": [2, 10]})
    rig.status = 500
    one_event(rig)
    rig.advance(1.9)
    assert len(rig.posts) == 1
    rig.advance(0.1)
    assert len(rig.posts) == 2
    rig.status = 200
    rig.advance(60)
    assert outcomes(rig) == [("delivered", [500, 500, 200])]


@pytest.mark.parametrize(("timestamp", "different"), [("refreshed", 2), ("original", 1)])
def test_whether_a_retry_is_signed_anew_is_a_switch(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, timestamp: str, different: int
) -> None:
    rig.sim("PUT", "switches", {"retry_timestamp": timestamp, "webhook_retry_delays_secs": [5]})
    rig.status = 500
    one_event(rig)
    rig.simulator.drain()
    later = time.time() + 5
    monkeypatch.setattr(time, "time", lambda: later)
    rig.advance(5)
    assert len({posted.headers[TIMESTAMP_HEADER] for posted in rig.posts}) == different


@pytest.mark.parametrize(
    ("answers", "attempts", "status"),
    [
        ({"main": 500, "spare": 200}, ["main", "spare"], "delivered"),
        ({"main": 404, "spare": 200}, ["main", "spare"], "delivered"),
        ({"main": 404, "spare": 404}, ["main", "spare"], "failed"),
        ({"main": 500, "spare": 500}, ["main", "spare", "main", "spare"], "failed"),
    ],
)
def test_a_failure_goes_to_the_failover_url_at_once(answers: dict[str, int], attempts: list[str], status: str) -> None:
    urls: list[str] = []

    def post(url: str, body: bytes, headers: Any) -> int:
        urls.append(url.removeprefix("http://"))
        return answers[urls[-1]]

    with rigged(post=post, webhook_url="http://main") as rig:
        rig.sim("PUT", "switches", {"webhook_retry_delays_secs": [5]})
        settings = {
            "application_name": "x",
            "webhook_event_url": "http://main",
            "webhook_event_failover_url": "http://spare",
        }
        rig.request("PATCH", f"/call_control_applications/{rig.world.connection_id}", settings)
        one_event(rig)
        rig.simulator.drain()
        assert urls == ["main", "spare"]
        rig.advance(60)
        assert urls == attempts
        assert outcomes(rig)[0][0] == status


def test_a_legs_own_url_and_retries_go_before_the_applications(rig: Rig) -> None:
    rig.status = 500
    rig.dial(
        webhook_url="http://own.example.com/hook",
        webhook_urls={"call.answered": "http://own.example.com/answered"},
        webhook_retries_policies={"call.initiated": {"retries_ms": [500]}, "call.answered": {"retries_ms": []}},
    )
    rig.advance(0.5)
    rig.status = 200
    rig.advance(60)
    assert [(posted.event_type, posted.url) for posted in rig.posts] == [
        ("call.initiated", "http://own.example.com/hook"),
        ("call.initiated", "http://own.example.com/hook"),
        ("call.answered", "http://own.example.com/answered"),
    ]


def test_conference_events_go_to_the_application(rig: Rig) -> None:
    leg = rig.agent(webhook_url="http://own.example.com/hook")
    rig.told()
    rig.meeting(leg)
    rig.simulator.drain()
    assert {posted.url for posted in rig.posts} == {"http://testserver/webhooks/telnyx"}


# Faults


def struck(rig: Rig, faults: dict[str, Any], calls: int = 1) -> list[Posted]:
    rig.sim("PUT", "faults", faults)
    for _ in range(calls):
        rig.ring_in()
    rig.simulator.drain()
    return rig.posts


def test_duplicates(rig: Rig) -> None:
    first, second = struck(rig, {"duplicate": 1})
    assert first.data == second.data


def test_duplicates_with_a_new_id(rig: Rig) -> None:
    first, second = struck(rig, {"duplicate_new_id": 1})
    assert first.data["id"] != second.data["id"]
    assert first.payload == second.payload
    check_signature(rig, second)


def test_a_drop_is_told_to_nobody_but_happened(rig: Rig) -> None:
    assert struck(rig, {"drop": 1}) == []
    assert [event["event_type"] for event in rig.sim("GET", "events")["events"]] == ["call.initiated"]
    assert outcomes(rig) == [("dropped", [])]


def test_a_delay(rig: Rig) -> None:
    assert struck(rig, {"delay": {"share": 1, "secs": 20}}) == []
    rig.advance(19.9)
    assert rig.posts == []
    rig.advance(0.1)
    assert len(rig.posts) == 1


def test_reordering(rig: Rig) -> None:
    struck(rig, {"reorder": {"share": 1, "secs": 5}}, calls=20)
    rig.advance(5)
    delivered = [posted.data["occurred_at"] for posted in rig.posts]
    assert len(delivered) == 20
    assert delivered != sorted(delivered)


@pytest.mark.parametrize("fault", ["tamper", "stale_timestamp"])
def test_forgeries_come_beside_the_original_and_are_refused(rig: Rig, fault: str) -> None:
    original, forged = struck(rig, {fault: 1})
    check_signature(rig, original)
    with pytest.raises(SignatureError):
        check_signature(rig, forged)
    assert (forged.data["id"] == original.data["id"]) == (fault == "stale_timestamp")


def test_faults_strike_only_what_they_match(rig: Rig) -> None:
    other = rig.caller()
    rig.sim(
        "PUT",
        "faults",
        {"drop": {"share": 1, "match": {"event_type": "call.hangup"}}, "duplicate": {"match": {"leg": other}}},
    )
    leg = rig.ring_in()
    rig.told()
    rig.on_phone(leg, "hangup")
    assert rig.told() == []
    rig.on_phone(other, "hold")
    assert rig.told() == ["call.hold", "call.hold"]
    injected = rig.sim("GET", "faults")["injected"]
    assert (injected["drop"], injected["duplicate"]) == (1, 1)


def test_a_seed_repeats_ids_and_faults() -> None:
    def story() -> list[tuple[str, str]]:
        with rigged(seed=42) as rig:
            struck(rig, {"drop": 0.3, "duplicate": 0.3, "reorder": {"share": 0.5, "secs": 3}}, calls=30)
            rig.advance(3)
            return [(posted.data["id"], posted.payload["call_control_id"]) for posted in rig.posts]

    first = story()
    assert first == story()
    assert 10 < len(first) < 40


@pytest.mark.parametrize(
    ("fault", "status", "code", "done"),
    [("api_5xx", 500, "10007", False), ("api_5xx_after_effect", 503, "10007", True), ("api_429", 429, "10011", False)],
)
def test_faults_of_the_api(rig: Rig, fault: str, status: int, code: str, done: bool) -> None:
    leg = rig.ring_in()
    rig.sim("PUT", "faults", {fault: {"share": 1, "match": {"operation": "calls.answer"}}})
    assert rig.refused(f"/calls/{leg}/actions/answer") == (status, code)
    assert (rig.leg(leg)["state"] == "answered") == done
    command = rig.sim("GET", "commands")["commands"][-1]
    assert (command["fault"], command["effect"] == "done") == (fault, done)
    assert rig.get("/queues")["data"] == []


@pytest.mark.parametrize(
    ("fault", "raised", "done"),
    [
        ("api_timeout", httpx.ReadTimeout, False),
        ("api_timeout_after_effect", httpx.ReadTimeout, True),
    ],
)
def test_answers_that_never_come(rig: Rig, fault: str, raised: type[Exception], done: bool) -> None:
    leg = rig.ring_in()
    rig.sim("PUT", "faults", {fault: 1})
    with pytest.raises(raised):
        rig.call(leg, "answer")
    assert (rig.leg(leg)["state"] == "answered") == done


def test_a_reset_comes_before_or_after_the_effect(rig: Rig) -> None:
    rig.sim("PUT", "faults", {"reset": 1})
    for _ in range(20):
        leg = rig.ring_in()
        with pytest.raises(httpx.ReadError):
            rig.call(leg, "answer")
    states = Counter(leg["state"] for leg in rig.sim("GET", "state")["legs"])
    assert set(states) == {"answered", "parked"}


def test_a_slow_answer_is_an_answer(rig: Rig) -> None:
    rig.sim("PUT", "faults", {"api_slow": 1})
    rig.call(rig.ring_in(), "answer")
    assert rig.sim("GET", "faults")["injected"]["api_slow"] == 1


def test_no_share_no_fault(rig: Rig) -> None:
    assert len(struck(rig, {"drop": 0, "duplicate": 0.0}, calls=20)) == 20


# Gates


def test_a_gate_holds_what_matches_until_it_is_opened(rig: Rig) -> None:
    leg, other = rig.caller(), rig.caller()
    rig.told()
    gate = rig.sim("POST", "gates", {"event_type": "call.hangup", "leg": leg})["id"]
    rig.on_phone(leg, "hangup")
    rig.on_phone(other, "hangup")
    rig.advance(3600)
    assert rig.told() == ["call.hangup"]
    assert rig.sim("GET", "gates")["gates"][0]["held"] == 1
    assert rig.sim("DELETE", f"gates/{gate}") == {"released": 1}
    assert rig.told() == ["call.hangup"]
    assert rig.sim("GET", "gates")["gates"] == []


def test_all_gates_open_at_once_in_the_order_of_truth(rig: Rig) -> None:
    caller, agent = rig.caller(), rig.dial()
    rig.told()
    rig.sim("POST", "gates", {"event_type": "call.hangup", "leg": caller})
    rig.sim("POST", "gates", {"event_type": "call.answered", "leg": agent})
    rig.advance(1)
    rig.on_phone(caller, "hangup")
    assert rig.told() == []
    assert rig.sim("DELETE", "gates") == {"released": 2}
    assert rig.told() == ["call.answered", "call.hangup"]


# The pool, on a real clock


def test_posts_go_out_concurrently() -> None:
    """The receiver answers nobody before 32 posts are in its hands at once."""
    all_here = threading.Barrier(32)

    def post(url: str, body: bytes, headers: Any) -> int:
        all_here.wait(timeout=30)
        return 200

    with Simulator(post=post) as simulator:
        rig = Rig.over(simulator)
        for _ in range(32):
            rig.ring_in()
        simulator.drain()
        assert {status for status, _ in outcomes(rig)} == {"delivered"}


def test_what_a_receiver_raises_on_the_pool_is_no_answer(caplog: pytest.LogCaptureFixture) -> None:
    def post(url: str, body: bytes, headers: Any) -> int:
        raise LookupError("a fault of the receiver's own")

    with Simulator(post=post) as simulator:
        rig = Rig.over(simulator)
        rig.sim("PUT", "switches", {"webhook_retry_delays_secs": []})
        rig.ring_in()
        simulator.drain()
        assert outcomes(rig) == [("failed", [None])]
    assert "LookupError" in caplog.text


def test_timers_fire_on_a_real_clock() -> None:
    heard = threading.Event()

    def post(url: str, body: bytes, headers: Any) -> int:
        if json.loads(body)["data"]["event_type"] == "call.speak.ended":
            heard.set()
        return 200

    with Simulator(post=post, key=SigningKey(bytes(32))) as simulator:
        rig = Rig.over(simulator)
        rig.call(rig.caller(), "speak", payload="x", voice="f")
        assert heard.wait(timeout=30)


def test_a_reset_forgets_what_is_on_its_way(rig: Rig) -> None:
    rig.status = 500
    rig.dial(AGENT)
    rig.sim("POST", "gates", {"event_type": "call.hangup"})
    rig.sim("PUT", "faults", {"drop": 1})
    rig.phone(AGENT, on_ring="busy")
    rig.sim("PUT", "switches", {"abandon_order": "hangup_first"})
    key = rig.sim("GET", "public-key")
    rig.sim("POST", "reset")
    rig.advance(100)
    assert rig.told() == []
    assert rig.sim("GET", "state") == {
        "legs": [],
        "bridges": [],
        "queues": [],
        "conferences": [],
        "recordings": [],
    }
    assert rig.sim("GET", "faults")["faults"] == {}
    assert rig.sim("GET", "gates")["gates"] == []
    assert set(rig.sim("GET", "phones")) == {"default"}
    assert rig.sim("GET", "switches")["abandon_order"] == "dequeued_first"
    assert rig.sim("GET", "commands")["commands"] == []
    assert rig.sim("GET", "public-key") == key
    rig.status = 200
    rig.sim("POST", "calls", {"from": CALLER, "to": NUMBER})
    assert rig.told() == ["call.initiated"]
