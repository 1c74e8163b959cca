"""What a pass decided, and how much of it the rows still allow when it claims."""

import importlib
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from queues import engine, services
from queues.models import Agent, Offer, Queue, QueueMembership, RoutingPass
from tests.queues import scene

pytestmark = pytest.mark.django_db

passes = importlib.import_module("queues.engine.route")  # ``engine.route`` is the function


def test_a_call_that_cannot_be_offered_holds_up_nobody_else() -> None:
    """A caller is on his way back into line and still talks, for as long as Telnyx takes to move him."""
    support, sales = scene.queue("support"), scene.queue("sales")
    for name, queue in (("anna", support), ("bert", support), ("cleo", sales)):
        scene.agent(name, serves=queue)
    moving = scene.talking(support, name="moving")
    services.requeue(moving, now=timezone.now())
    moving.entries.filter(state="waiting").update(rank_at=timezone.now() - timedelta(hours=1))
    others = [scene.waiting(queue, name=queue.name) for queue in (support, sales)]
    assert engine.route_all(now=timezone.now()) == 2
    assert {offer.call_id for offer in Offer.objects.filter(state="pending")} == {call.pk for call in others}


def taken_by_another(monkeypatch: pytest.MonkeyPatch, *names: str) -> list[str]:
    """Somebody else is faster with these agents. Returns whom the passes went for, in order."""
    claim, asked = passes._offer, []

    def claim_too_late(entry_id: str, agent_id: str, *args: Any, **words: Any) -> None:
        agent = Agent.objects.get(pk=agent_id)
        asked.append(agent.name)
        if agent.name in names:
            Agent.objects.filter(pk=agent.pk).update(state=Agent.State.NOT_READY)
        claim(entry_id, agent_id, *args, **words)

    monkeypatch.setattr(passes, "_offer", claim_too_late)
    return asked


def test_who_was_too_late_decides_anew_and_nobody_loses_his_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    line: Queue = scene.queue(strategy="round_robin")
    for position in range(6):
        agent = scene.agent(f"agent {position}", available_since=timezone.now())
        QueueMembership.objects.create(agent=agent, queue=line, position=position)
    for number in range(3):
        scene.waiting(line, name=f"caller {number}", since=100 - number)
    asked = taken_by_another(monkeypatch, "agent 0")
    assert engine.route(line.pk, now=timezone.now()) == 3
    assert asked == [f"agent {position}" for position in range(4)]
    line.refresh_from_db()
    assert line.last_offered_position == 3


def test_of_several_who_would_ring_those_who_can_do(monkeypatch: pytest.MonkeyPatch) -> None:
    line = scene.queue(strategy="ring_all")
    for name in ("anna", "bert", "cleo"):
        scene.agent(name, serves=line)
    scene.waiting(line)
    taken_by_another(monkeypatch, "bert")
    assert engine.route(line.pk, now=timezone.now()) == 2
    assert {offer.agent.name for offer in Offer.objects.live()} == {"anna", "cleo"}


def test_a_pass_that_made_no_offer_leaves_no_state_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    line = scene.queue()
    scene.agent("anna", serves=line)
    call = scene.waiting(line)
    engine.route(line.pk, now=timezone.now())
    assert RoutingPass.objects.count() == 1
    Offer.objects.update(state="rescinded")
    Agent.objects.update(state="available", live_offer_id=None)
    call.entries.update(state="waiting")
    taken_by_another(monkeypatch, "anna")
    assert engine.route(line.pk, now=timezone.now()) == 0
    assert RoutingPass.objects.filter(decisions__isnull=True).count() == 0
