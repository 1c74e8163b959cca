"""Queues, agents and calls as clients read them."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from conferences.models import Role
from queues.models import Agent, AgentSkill, Call, QueueMembership, Skill, Team
from tests.callcenter import clients
from tests.queues import scene

pytestmark = pytest.mark.django_db


def get(path: str, *scopes: str) -> Any:
    answer = clients.key(*scopes).get(f"/api/v1/{path}")
    assert answer.status_code == 200, answer.content
    return answer.json()


@pytest.mark.parametrize(
    ("path", "scope"),
    [("queues", "queues:read"), ("agents", "agents:read"), ("calls", "calls:read")],
)
def test_each_list_needs_its_own_scope(path: str, scope: str) -> None:
    others = [name for name in ("queues:read", "agents:read", "calls:read", "calls:write", "pii:read") if name != scope]
    refused = clients.key(*others).get(f"/api/v1/{path}")
    assert (refused.status_code, refused.json()["code"]) == (403, "missing_scope")
    assert clients.key(scope).get(f"/api/v1/{path}").status_code == 200


def test_a_queue_says_how_many_wait() -> None:
    support = scene.queue(team=Team.objects.create(name="north"))
    scene.waiting(support, name="one")
    scene.waiting(support, name="two")
    scene.talking(support, name="three")
    seen = get(f"queues/{support.pk}", "queues:read")
    assert (seen["id"], seen["name"], seen["waiting"]) == (str(support.pk), "support", 2)
    assert seen["team"] == {"id": str(support.team_id), "name": "north"}
    assert seen["strategy"] == "longest_idle"
    assert get("queues?name=sales", "queues:read")["count"] == 0


def test_an_agent_with_queues_skills_and_call() -> None:
    support = scene.queue()
    anna = scene.agent(serves=support)
    AgentSkill.objects.create(agent=anna, skill=Skill.objects.create(name="french"), level=3)
    call = scene.talking(support, to=anna)
    seen = get(f"agents/{anna.pk}", "agents:read")
    assert (seen["name"], seen["state"], seen["call"]) == ("anna", "busy", str(call.pk))
    assert seen["memberships"] == [{"queue": {"id": str(support.pk), "name": "support"}, "penalty": 0, "paused": False}]
    assert seen["skills"] == [{"name": "french", "level": 3}]
    scene.agent("otto", state=Agent.State.OFFLINE)
    assert [a["name"] for a in get("agents?state=offline", "agents:read")["results"]] == ["otto"]
    assert [a["name"] for a in get(f"agents?queue={support.pk}", "agents:read")["results"]] == ["anna"]


def test_a_call_with_its_stays_offers_and_legs() -> None:
    support = scene.queue()
    call = scene.talking(support)
    seen = get(f"calls/{call.pk}", "calls:read")
    assert (seen["state"], seen["queue"]["name"]) == ("connected", "support")
    assert seen["conference"] == str(scene.conference_of(call).pk)
    (entry,) = seen["entries"]
    assert (entry["outcome"], entry["queue"]["name"], entry["wait_secs"]) == (
        "answered",
        "support",
        pytest.approx(20, abs=1),
    )
    (offer,) = seen["offers"]
    assert (offer["state"], offer["agent"]["name"]) == ("connected", "agent of caller")
    assert (offer["entry"], offer["leg"]) == (entry["id"], str(scene.seat(call, Role.AGENT).leg_id))
    assert [(leg["role"], leg["state"]) for leg in seen["legs"]] == [("customer", "answered"), ("agent", "answered")]


def test_which_calls() -> None:
    support, sales = scene.queue(), scene.queue("sales")
    here, there = scene.waiting(support, name="here"), scene.waiting(sales, name="there", since=120)
    Call.objects.filter(pk=there.pk).update(ended_at=timezone.now(), state="abandoned", outcome="abandoned")

    def found(query: str) -> list[str]:
        return [seen["id"] for seen in get(f"calls?{query}", "calls:read")["results"]]

    assert found("") == [str(here.pk), str(there.pk)]  # the newest first
    assert found(f"queue={support.pk}") == [str(here.pk)]
    assert found("live=true") == [str(here.pk)]
    assert found("live=false&outcome=abandoned") == [str(there.pk)]
    minute_ago = (timezone.now() - timedelta(minutes=1)).astimezone(UTC)
    assert found(f"arrived_after={minute_ago:%Y-%m-%dT%H:%M:%SZ}") == [str(here.pk)]
    assert found(f"arrived_before={minute_ago:%Y-%m-%dT%H:%M:%SZ}") == [str(there.pk)]
    assert found("arrived_before=2000-01-01T00:00:00-20:41") == []


def test_numbers_are_whole_only_for_who_may_see_them() -> None:
    call = scene.talking(scene.queue())
    scene.agent("otto", address="sip:otto@phones.example.com")

    def seen(*scopes: str) -> str:
        client = clients.key("calls:read", "agents:read", *scopes)
        paths = (f"calls/{call.pk}", "calls", "agents")
        return "".join(client.get(f"/api/v1/{path}").content.decode() for path in paths)

    masked, whole = seen(), seen("pii:read")
    for number in (scene.CALLER, scene.OURS, scene.PHONE, "otto@"):
        assert number not in masked
        assert number in whole
    assert "+4477****0123" in masked
    assert "sip:****@phones.example.com" in masked
    person = clients.session(clients.user(is_staff=True))
    assert person.get(f"/api/v1/calls/{call.pk}").json()["from_number"] == scene.CALLER


@pytest.mark.parametrize("rows", [1, 5])
@pytest.mark.parametrize("path", ["queues", "agents", "calls", "conferences", "recordings"])
def test_a_page_costs_the_same_however_long(path: str, rows: int, django_assert_max_num_queries: Any) -> None:
    support = scene.queue()
    for number in range(rows):
        QueueMembership.objects.create(agent=scene.agent(f"agent {number}"), queue=scene.queue(f"queue {number}"))
        scene.talking(support, name=f"caller {number}")
    client = clients.key()
    client.get("/api/v1/queues")  # notes the key's use
    with django_assert_max_num_queries(7):
        assert client.get(f"/api/v1/{path}").status_code == 200


def test_what_is_not_there() -> None:
    client = clients.key()
    for path in ("queues", "agents", "calls", "conferences", "recordings", "commands"):
        assert client.get(f"/api/v1/{path}/{uuid.uuid4()}").status_code == 404


def test_instants_are_utc() -> None:
    call = scene.waiting(scene.queue())
    Call.objects.filter(pk=call.pk).update(arrived_at=datetime(2026, 3, 2, 10, 0, tzinfo=UTC))
    assert get(f"calls/{call.pk}", "calls:read")["arrived_at"] == "2026-03-02T10:00:00Z"
