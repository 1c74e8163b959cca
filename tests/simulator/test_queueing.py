"""Telnyx's queues: first come, first served, and every way out of them (CONTRACT §6)."""

from urllib.parse import quote

import pytest

from tests.simulator.rig import AGENT, NUMBER, Rig


def calls_in(rig: Rig, queue: str) -> list[str]:
    listed = rig.get(f"/queues/{quote(queue, safe='')}/calls")["data"]
    assert [call["queue_position"] for call in listed] == list(range(1, len(listed) + 1))
    return [call["call_control_id"] for call in listed]


def test_a_queue_is_made_by_the_first_call_in_it(rig: Rig) -> None:
    rig.waiting("sales & more/1", max_size=7)
    queue = rig.get("/queues/sales%20%26%20more%2F1")["data"]
    assert (queue["name"], queue["max_size"], queue["current_size"]) == ("sales & more/1", 7, 1)


def test_the_usual_sizes_differ_by_how_a_queue_is_made(rig: Rig) -> None:
    assert rig.post("/queues", queue_name="by hand")["max_size"] == 300
    rig.waiting("by a call")
    assert rig.get("/queues/by a call")["data"]["max_size"] == 100


def test_calls_stand_in_the_order_they_came(rig: Rig) -> None:
    first, second, third = (rig.waiting() for _ in range(3))
    assert calls_in(rig, "support") == [first, second, third]
    rig.call(first, "leave_queue")
    rig.call(first, "enqueue", queue_name="support")
    assert calls_in(rig, "support") == [second, third, first]
    assert rig.payload("call.enqueued")["current_position"] == 3


def test_waiting_times_are_of_those_who_still_wait(rig: Rig) -> None:
    first = rig.waiting()
    rig.advance(10)
    second = rig.waiting()
    rig.advance(5)
    assert rig.get("/queues/support")["data"]["average_wait_time_secs"] == 10
    waits = {call["call_control_id"]: call["wait_time_secs"] for call in rig.get("/queues/support/calls")["data"]}
    assert waits == {first: 15, second: 5}
    assert rig.get(f"/queues/support/calls/{quote(first, safe='')}")["data"]["queue_position"] == 1


@pytest.mark.parametrize(
    ("max_size", "code"), [(None, None), (1, None), (2, "90037")], ids=["none", "the same", "another"]
)
def test_enqueue_cannot_resize_a_queue(rig: Rig, max_size: int | None, code: str | None) -> None:
    rig.post("/queues", queue_name="support", max_size=1)
    leg = rig.caller()
    body = {"queue_name": "support"} | ({} if max_size is None else {"max_size": max_size})
    if code is None:
        rig.call(leg, "enqueue", **body)
    else:
        assert rig.call_refused(leg, "enqueue", **body) == code


def test_a_full_queue_takes_nobody_until_it_is_made_larger(rig: Rig) -> None:
    rig.waiting(max_size=1)
    leg = rig.caller()
    assert rig.call_refused(leg, "enqueue", queue_name="support") == "90036"
    assert rig.post("/queues/support", max_size=2)["max_size"] == 2
    rig.call(leg, "enqueue", queue_name="support")


def test_nobody_stands_in_the_same_queue_twice(rig: Rig) -> None:
    assert rig.call_refused(rig.waiting(), "enqueue", queue_name="support") == "90038"


@pytest.mark.parametrize(("answer", "queue"), [("rejected", "support"), ("moved", "sales")])
def test_moving_from_queue_to_queue_is_a_switch(rig: Rig, answer: str, queue: str) -> None:
    rig.sim("PUT", "switches", {"enqueue_while_in_another_queue": answer})
    leg = rig.waiting("support")
    rig.told()
    rig.request("POST", f"/calls/{quote(leg, safe='')}/actions/enqueue", {"queue_name": "sales"})
    assert rig.leg(leg)["queue"] == queue
    assert rig.told() == ([] if answer == "rejected" else ["call.dequeued", "call.enqueued"])


@pytest.mark.parametrize(("answer", "queue"), [("rejected", None), ("accepted", "support")])
def test_queueing_an_unanswered_call_is_a_switch(rig: Rig, answer: str, queue: str | None) -> None:
    rig.sim("PUT", "switches", {"enqueue_of_an_unanswered_call": answer})
    leg = rig.ring_in()
    rig.request("POST", f"/calls/{quote(leg, safe='')}/actions/enqueue", {"queue_name": "support"})
    assert rig.leg(leg)["queue"] == queue


def test_a_call_leaves_by_command_and_is_parked(rig: Rig) -> None:
    leg = rig.waiting()
    rig.advance(3)
    rig.told()
    rig.call(leg, "leave_queue")
    assert rig.told() == ["call.dequeued"]
    dequeued = rig.payload("call.dequeued")
    assert (dequeued["reason"], dequeued["queue_position"], dequeued["wait_time_secs"]) == ("leave", 1, 3)
    assert rig.leg(leg)["is_alive"]
    assert rig.call_refused(leg, "leave_queue") == "90035"


def test_a_transfer_takes_a_call_out_while_it_still_rings(rig: Rig) -> None:
    leg = rig.waiting()
    rig.call(leg, "transfer", to=AGENT)
    assert rig.payload("call.dequeued")["reason"] == "bridging-in-process"


def test_a_kept_call_stays_after_its_hangup_and_cannot_be_bridged(rig: Rig) -> None:
    leg = rig.waiting(keep_after_hangup=True)
    token = quote(leg, safe="")
    assert rig.refused(f"/queues/support/calls/{token}", "DELETE")[0] == 422
    rig.told()
    rig.on_phone(leg, "hangup")
    assert rig.told() == ["call.hangup"]
    rig.advance(7)
    kept = rig.get("/queues/support/calls")["data"]
    assert [(call["call_control_id"], call["is_alive"], call["wait_time_secs"]) for call in kept] == [(leg, False, 0)]

    agent = rig.agent()
    response = rig.request("POST", f"/calls/{quote(agent, safe='')}/actions/bridge", {"queue": "support"})
    error = response.json()["errors"][0]
    assert (error["code"], error["meta"]["from"]) == ("90018", "+15550100001")
    assert calls_in(rig, "support") == []


def test_a_kept_call_is_removed_by_hand(rig: Rig) -> None:
    leg = rig.waiting()
    token = quote(leg, safe="")
    assert rig.request("PATCH", f"/queues/support/calls/{token}", {"keep_after_hangup": True}).status_code == 204
    rig.on_phone(leg, "hangup")
    assert rig.request("DELETE", f"/queues/support/calls/{token}").status_code == 204
    assert rig.refused(f"/queues/support/calls/{token}", "GET") == (404, "10005")


def test_only_an_empty_queue_is_deleted(rig: Rig) -> None:
    leg = rig.waiting()
    assert rig.refused("/queues/support", "DELETE") == (400, "90050")
    rig.call(leg, "leave_queue")
    response = rig.request("DELETE", "/queues/support")
    assert (response.status_code, response.content) == (204, b"")
    assert rig.refused("/queues/support", "GET")[0] == 404


def test_an_empty_queue_is_forgotten_after_a_while(rig: Rig) -> None:
    rig.sim("PUT", "switches", {"empty_queue_ttl_secs": 60})
    leg = rig.waiting()
    rig.advance(100)
    rig.call(leg, "leave_queue")
    rig.advance(59)
    assert rig.request("GET", "/queues/support").status_code == 200
    rig.advance(1)
    assert rig.request("GET", "/queues/support").status_code == 404


def test_bridging_with_a_queue_takes_its_head(rig: Rig) -> None:
    first, second = rig.waiting(), rig.waiting()
    agent = rig.agent()
    rig.call(agent, "bridge", queue="support")
    assert rig.leg(agent)["bridged_with"] == first
    assert calls_in(rig, "support") == [second]


def test_the_code_for_an_empty_queue_is_a_switch(rig: Rig) -> None:
    rig.sim("PUT", "switches", {"empty_queue_bridge_code": "90099"})
    rig.post("/queues", queue_name="support")
    assert rig.call_refused(rig.agent(), "bridge", queue="support") == "90099"


def test_a_dialled_leg_can_wait_too(rig: Rig) -> None:
    agent = rig.agent()
    rig.call(agent, "enqueue", queue_name="callbacks")
    listed = rig.get("/queues/callbacks/calls")["data"][0]
    assert (listed["from"], listed["to"]) == (NUMBER, AGENT)
