"""Lists in pages, by number and by cursor (CONTRACT §4)."""

from typing import Any

import pytest

from tests.simulator.rig import Rig


@pytest.fixture
def queues(rig: Rig) -> list[str]:
    names = [f"queue {number:02}" for number in range(45)]
    for name in names:
        rig.post("/queues", queue_name=name)
    return names


@pytest.mark.parametrize(
    ("query", "shown", "meta"),
    [
        ({}, slice(0, 20), (1, 20, 3, 45)),
        ({"page[number]": 3}, slice(40, 45), (3, 20, 3, 45)),
        ({"page[size]": 10, "page[number]": 2}, slice(10, 20), (2, 10, 5, 45)),
        ({"page[size]": 250}, slice(0, 45), (1, 250, 1, 45)),
        ({"page[number]": 4}, slice(45, 45), (4, 20, 3, 45)),
    ],
)
def test_pages_by_number(
    rig: Rig, queues: list[str], query: dict[str, Any], shown: slice, meta: tuple[int, ...]
) -> None:
    page = rig.get("/queues", **query)
    assert [queue["name"] for queue in page["data"]] == queues[shown]
    found = page["meta"]
    assert (found["page_number"], found["page_size"], found["total_pages"], found["total_results"]) == meta


def test_a_page_beyond_the_end_is_a_switch(rig: Rig, queues: list[str]) -> None:
    rig.sim("PUT", "switches", {"page_beyond_the_end": "not_found"})
    assert rig.request("GET", "/queues", **{"page[number]": 3}).status_code == 200
    response = rig.request("GET", "/queues", **{"page[number]": 4})
    assert (response.status_code, response.json()["errors"][0]["code"]) == (404, "10005")


def test_the_first_page_of_nothing_is_empty(rig: Rig) -> None:
    rig.sim("PUT", "switches", {"page_beyond_the_end": "not_found"})
    assert rig.get("/queues") == {
        "data": [],
        "meta": {"page_number": 1, "page_size": 20, "total_pages": 0, "total_results": 0},
    }


def test_active_calls_are_followed_by_their_cursors(rig: Rig) -> None:
    legs = [rig.ring_in() for _ in range(45)]
    path, found = f"/connections/{rig.world.connection_id}/active_calls", []
    after: dict[str, str] = {}
    while True:
        page = rig.get(path, **{"page[limit]": 20}, **after)
        if not page["data"]:
            break
        found += [call["call_control_id"] for call in page["data"]]
        assert page["meta"]["total_items"] == 45
        after = {"page[after]": page["meta"]["cursors"]["after"]}
    assert found == legs
    back = rig.get(path, **{"page[before]": legs[20]})
    assert [call["call_control_id"] for call in back["data"]] == legs[:20]
    assert ("next" in back["meta"], "previous" in back["meta"]) == (True, False)


def test_active_calls_are_counted_off_by_number_too(rig: Rig) -> None:
    legs = [rig.ring_in() for _ in range(45)]
    path = f"/connections/{rig.world.connection_id}/active_calls"
    page = rig.get(path, **{"page[number]": 3})
    assert [call["call_control_id"] for call in page["data"]] == legs[40:]
    assert (page["meta"]["page_number"], page["meta"]["total_pages"]) == (3, 3)
    assert rig.get(path, **{"page[number]": 4})["data"] == []
    assert rig.get(path)["meta"]["total_pages"] == 3


@pytest.mark.parametrize("cursor", ["page[after]", "page[before]"])
def test_a_cursor_that_never_was_is_refused(rig: Rig, cursor: str) -> None:
    path = f"/connections/{rig.world.connection_id}/active_calls"
    response = rig.request("GET", path, **{cursor: "v3:gone"})
    assert (response.status_code, response.json()["errors"][0]["code"]) == (422, "10015")


def test_another_connection_has_no_calls(rig: Rig) -> None:
    rig.ring_in()
    assert rig.get("/connections/1/active_calls")["data"] == []


def test_call_events_are_filtered_and_hold_the_payload(rig: Rig) -> None:
    first, second = rig.caller(), rig.caller()
    leg = rig.leg(first)
    rig.meeting(first)
    rig.on_phone(second, "hangup")
    found = rig.get("/call_events", **{"filter[leg_id]": leg["call_leg_id"]})["data"]
    assert [event["name"] for event in reversed(found)] == [
        "call.initiated",
        "call.answered",
        "conference.created",
        "conference.participant.joined",
    ]
    assert found[-1]["metadata"]["call_control_id"] == first
    hangups = rig.get("/call_events", **{"filter[name]": "call.hangup"})["data"]
    assert [event["call_leg_id"] for event in hangups] == [rig.leg(second)["call_leg_id"]]
    since = found[-1]["event_timestamp"]
    later = rig.get("/call_events", **{"filter[occurred_at][gt]": since})["data"]
    assert len(later) == len(rig.world.events) - 1
    assert rig.get("/call_events", **{"filter[type]": "command"})["data"] == []


def test_a_days_worth_of_events_is_listed_and_a_legs_whole_story(rig: Rig) -> None:
    leg = rig.ring_in()
    leg_id = rig.leg(leg)["call_leg_id"]
    rig.on_phone(leg, "hangup")
    rig.advance(90_000)
    assert rig.get("/call_events")["data"] == []
    assert len(rig.get("/call_events", **{"filter[leg_id]": leg_id})["data"]) == 2
