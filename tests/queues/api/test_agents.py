"""An agent's state and wrap-up: his own word, his program's, a supervisor's."""

from typing import Any

import pytest
from django.utils import timezone

from queues.models import Agent
from tests.callcenter import clients
from tests.queues import scene
from webhooks.models import AuditEntry

pytestmark = pytest.mark.django_db
State = Agent.State


def say(client: Any, agent: Agent, **words: str) -> Any:
    return client.post(f"/api/v1/agents/{agent.pk}/state", words)


@pytest.mark.parametrize(
    ("was", "words", "state", "reason", "pending"),
    [
        pytest.param("offline", {"state": "available"}, "available", "", "", id="logs in, ready"),
        pytest.param("offline", {"state": "not_ready"}, "not_ready", "login", "", id="logs in"),
        pytest.param("offline", {"state": "not_ready", "reason": "break"}, "not_ready", "break", "", id="for a break"),
        pytest.param("not_ready", {"state": "available"}, "available", "", "", id="ready"),
        pytest.param("available", {"state": "not_ready", "reason": "lunch"}, "not_ready", "lunch", "", id="lunch"),
        pytest.param("available", {"state": "offline"}, "offline", "", "", id="logs out"),
        pytest.param("wrap_up", {"state": "not_ready", "reason": "break"}, "wrap_up", "", "not_ready", id="afterwards"),
    ],
)
def test_a_key_speaks_with_the_agents_word(
    was: str, words: dict[str, str], state: str, reason: str, pending: str
) -> None:
    agent = scene.agent(state=was)
    answer = say(clients.key("agents:write"), agent, **words)
    assert answer.status_code == 200
    seen = answer.json()
    assert (seen["state"], seen["reason"], seen["pending_state"]) == (state, reason, pending)
    agent.refresh_from_db()
    assert agent.state == state
    assert AuditEntry.objects.get().action == "set_agent_state"


def test_during_a_call_it_is_remembered() -> None:
    anna = scene.agent()
    scene.talking(scene.queue(), to=anna)
    seen = say(clients.key("agents:write"), anna, state="not_ready", reason="break").json()
    assert (seen["state"], seen["pending_state"], seen["pending_reason"]) == ("busy", "not_ready", "break")


@pytest.mark.parametrize(
    ("was", "words", "status", "code"),
    [
        pytest.param("available", {"state": "busy"}, 400, "invalid_input", id="not his to say"),
        pytest.param("available", {"state": "not_ready"}, 400, "reason_required", id="no reason"),
        pytest.param("available", {"state": "not_ready", "reason": "x" * 41}, 400, "invalid_input", id="long reason"),
        pytest.param("available", {}, 400, "invalid_input", id="nothing"),
        pytest.param("available", {"state": "offline", "team": "north"}, 400, "invalid_input", id="something else"),
        pytest.param("offline", {"state": "offline"}, 200, None, id="again"),
    ],
)
def test_what_cannot_be_said(was: str, words: dict[str, str], status: int, code: str | None) -> None:
    answer = say(clients.key("agents:write"), scene.agent(state=was), **words)
    assert (answer.status_code, answer.json().get("code")) == (status, code)


def test_reading_agents_is_not_setting_them() -> None:
    answer = say(clients.key("agents:read", "calls:write"), scene.agent(), state="offline")
    assert (answer.status_code, answer.json()["code"]) == (403, "missing_scope")


def test_an_agent_sees_and_sets_himself_and_nobody_else() -> None:
    anna, otto = scene.agent(user=clients.user(name="anna")), scene.agent("otto")
    client = clients.session(anna.user)  # type: ignore[arg-type]
    assert [seen["name"] for seen in client.get("/api/v1/agents").json()["results"]] == ["anna"]
    assert say(client, anna, state="not_ready", reason="lunch").json()["reason"] == "lunch"
    assert client.get(f"/api/v1/agents/{otto.pk}").status_code == 404
    assert say(client, otto, state="offline").status_code == 404
    for path in ("queues", "calls", "conferences", "recordings"):
        assert client.get(f"/api/v1/{path}").status_code == 403
    otto.refresh_from_db()
    assert otto.state == State.AVAILABLE


@pytest.mark.parametrize(("rights", "status"), [(("queues.force_agent_state",), 200), (("queues.change_agent",), 403)])
def test_a_supervisor_forces_with_the_right_to(rights: tuple[str, ...], status: int) -> None:
    anna = scene.agent()
    client = clients.session(clients.user(*rights, is_staff=True))
    answer = say(client, anna, state="not_ready", reason="went home")
    assert answer.status_code == status
    anna.refresh_from_db()
    assert (anna.state, anna.reason) == (("not_ready", "forced") if status == 200 else ("available", ""))
    kept = AuditEntry.objects.get()
    assert (kept.action, kept.allowed, kept.subject_id) == ("force_agent_state", status == 200, anna.pk)


def test_wrap_up_ends_when_he_says_so() -> None:
    anna = scene.agent(state=State.WRAP_UP, wrap_up_until=timezone.now(), user=clients.user(name="anna"))
    client = clients.session(anna.user)  # type: ignore[arg-type]
    answer = client.post(f"/api/v1/agents/{anna.pk}/end_wrap_up")
    assert (answer.status_code, answer.json()["state"]) == (200, "available")
    again = client.post(f"/api/v1/agents/{anna.pk}/end_wrap_up")
    assert (again.status_code, again.json()["code"]) == (409, "not_in_wrap_up")


def test_somebody_elses_wrap_up_needs_the_right() -> None:
    anna = scene.agent(state=State.WRAP_UP)
    path = f"/api/v1/agents/{anna.pk}/end_wrap_up"
    refused = clients.session(clients.user(is_staff=True)).post(path)
    assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied")
    forcing = clients.user("queues.force_agent_state", name="force", is_staff=True)
    assert clients.session(forcing).post(path).status_code == 200
