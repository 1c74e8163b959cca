"""Why a pass decided as it did: kept for each offer and for whoever waits, replayed, told, forgotten."""

import json
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from callcenter import sweep
from queues import engine, reasons, services
from queues.models import Agent, Offer, Queue, RoutingDecision, RoutingPass, Skill
from queues.routing import dry_run
from tests.queues import scene

pytestmark = pytest.mark.django_db


@pytest.fixture
def line() -> Queue:
    return scene.queue()


def route(line: Queue) -> None:
    engine.route(line.pk, now=timezone.now())


def told(decision: RoutingDecision) -> reasons.Reasons:
    return next(reasons.tell([decision]))


def test_an_offer_keeps_whom_it_chose_who_else_and_why_nobody_else(line: Queue) -> None:
    now = timezone.now()
    scene.agent("anna", serves=line, available_since=now - timedelta(minutes=2))
    scene.agent("ben", serves=line, available_since=now - timedelta(minutes=1))
    scene.agent("cleo", serves=line, state=Agent.State.NOT_READY)
    scene.agent("dan", serves=line, ready_at=now + timedelta(minutes=1))
    call = scene.waiting(line)
    route(line)
    decision = services.why(call).get()
    assert decision.offer == call.offers.get()
    assert decision.offer.agent.name == "anna"
    said = told(decision)
    assert said.strategy == "Longest idle"
    assert [standing.name for standing in said.chosen] == ["anna"]
    assert [standing.name for standing in said.runners_up] == ["ben"]
    assert said.excluded == {"cooling down": ["dan"], "not available": ["cleo"]}


def test_who_waits_on_has_a_new_reason_only_where_it_is_another(line: Queue) -> None:
    spanish = Skill.objects.create(name="spanish")
    call = scene.waiting(line)
    call.entries.update(required_skills={"spanish": 2})
    route(line)
    route(line)
    assert told(services.why(call).get()).excluded == {}  # it has no members
    anna = scene.agent("anna", serves=line, state=Agent.State.OFFLINE)
    route(line)
    Agent.objects.filter(pk=anna.pk).update(state=Agent.State.AVAILABLE, available_since=timezone.now())
    route(line)
    route(line)
    said = [told(decision).excluded for decision in services.why(call)]
    assert said == [{"not available": ["anna"]}, {"lacks a skill, or its level": ["anna"]}]
    anna.agent_skills.create(skill=spanish, level=2)
    route(line)
    assert [decision.offer is not None for decision in services.why(call)] == [False, False, True]


@pytest.mark.parametrize("strategy", ["longest_idle", "round_robin", "ring_all", "promise", "random"])
def test_a_decision_is_made_again_from_its_state(line: Queue, strategy: str) -> None:
    """The state goes through a file, as an operator would save it."""
    scoring = "promise" if strategy == "promise" else "strict_priority"
    Queue.objects.update(strategy=strategy, scoring=scoring)
    for number in range(3):
        scene.agent(f"agent {number}", serves=line, available_since=timezone.now() - timedelta(seconds=number))
    for number in range(5):
        scene.waiting(line, name=f"caller {number}", since=40 - number)
    route(line)
    [routing_pass] = RoutingPass.objects.all()
    answer = dry_run.answer(json.loads(json.dumps(routing_pass.state)), explained=True)
    made = {(str(offer.entry_id), str(offer.agent_id)) for offer in Offer.objects.all()}
    assert {(call, agent) for call, agents in answer["assignments"] for agent in agents} == made
    kept = {decision.explanation["call"]: decision.explanation for decision in routing_pass.decisions.all()}
    assert set(kept) == {call["id"] for call in routing_pass.state["calls"]}
    for each in answer["explain"]:
        assert kept[each["call"]] == each


def test_the_live_state_is_the_one_the_next_pass_decides_on(line: Queue, tmp_path: Path) -> None:
    scene.agent("anna", serves=line, available_since=timezone.now())
    first, second = scene.waiting(line, name="first", since=60), scene.waiting(line, name="second", since=30)
    state = tmp_path / "state.json"
    state.write_text(printed("--live", line.name))
    answer = json.loads(printed(str(state)))
    route(line)
    offer = Offer.objects.get()
    assert answer["assignments"] == [[str(first.entries.get().pk), [str(offer.agent_id)]]]
    assert answer["waiting"] == [str(second.entries.get().pk)]


def printed(*arguments: str) -> str:
    out = StringIO()
    call_command("route", *arguments, stdout=out)
    return out.getvalue()


def test_a_live_queue_that_is_not_there_is_one_line(line: Queue) -> None:
    err = StringIO()
    with pytest.raises(SystemExit) as left:
        call_command("route", "--live", "nowhere", stderr=err)
    assert left.value.code == 2
    assert err.getvalue() == "--live: found 'nowhere'; accepted: support\n"


def test_a_claim_that_is_lost_keeps_no_decision(line: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.agent("anna", serves=line)
    scene.waiting(line)
    monkeypatch.setattr(engine.agents, "reserve", lambda *_, **__: False)
    route(line)
    assert not RoutingDecision.objects.exists()
    assert not Offer.objects.exists()


def test_after_thirty_days_it_is_forgotten(line: Queue) -> None:
    old, new = (scene.decided(scene.waiting(line, name=name)) for name in ("old", "new"))
    long_ago = timezone.now() - timedelta(days=30, minutes=1)
    RoutingPass.objects.filter(pk=old.routing_pass.pk).update(decided_at=long_ago)
    assert ("queues.forget", "") in sweep.due(timezone.now())
    sweep.run(("queues.forget", ""))
    assert list(RoutingDecision.objects.all()) == [new]
    assert ("queues.forget", "") not in sweep.due(timezone.now())


def test_the_pages_of_call_offer_decision_and_pass_tell_it(line: Queue, admin_client: Client) -> None:
    scene.agent("anna", serves=line, available_since=timezone.now())
    scene.agent("cleo", serves=line, state=Agent.State.NOT_READY)
    call = scene.waiting(line)
    route(line)
    decision = services.why(call).get()
    rows: list[Any] = [call, decision.offer, decision]
    for row in rows:
        page = admin_client.get(reverse(f"admin:queues_{row._meta.model_name}_change", args=[row.pk])).content.decode()
        assert "<strong>anna</strong>" in page, row
        assert "Not available: cleo" in page, row
    state = reverse("admin:queues_routingpass_change", args=[decision.routing_pass_id])
    assert "available_since" in admin_client.get(state).content.decode()
