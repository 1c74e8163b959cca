"""Agents as a pass reads them: who counts as alike, and what they did before."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from queues import engine
from queues.engine import roll
from queues.models import Agent, AgentSkill, Offer, Queue, QueueMembership, Skill
from tests.queues import scene

pytestmark = pytest.mark.django_db


@pytest.fixture
def line() -> Queue:
    return scene.queue()


@pytest.fixture(autouse=True)
def _committed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is ever committed in a test; what waits for it is done at once."""
    monkeypatch.setattr("django.db.transaction.on_commit", lambda deed, **_: deed())


def profiles() -> set[str]:
    return set(Agent.objects.values_list("profile", flat=True))


def test_agents_who_serve_and_can_do_the_same_are_alike(line: Queue) -> None:
    spanish = Skill.objects.create(name="spanish")
    agents = [scene.agent(name, serves=line) for name in ("anna", "bert", "cleo")]
    for agent in agents:
        agent.agent_skills.create(skill=spanish, level=2)
    QueueMembership.objects.filter(agent=agents[0]).update(position=7)
    assert len(profiles()) == 1


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"penalty": 1}, id="another penalty"),
        pytest.param({"delay_secs": 5}, id="a delay"),
        pytest.param({"queue_priority": 2}, id="another queue priority"),
        pytest.param({"paused": True}, id="paused"),
    ],
)
def test_other_terms_make_another_kind(line: Queue, change: dict[str, Any]) -> None:
    anna, _ = (scene.agent(name, serves=line) for name in ("anna", "bert"))
    membership = anna.memberships.get()
    for name, value in change.items():
        setattr(membership, name, value)
    membership.save()
    assert len(profiles()) == 2


def test_a_skill_gained_or_lost_and_a_queue_left_make_another_kind(line: Queue) -> None:
    anna, _ = (scene.agent(name, serves=line) for name in ("anna", "bert"))
    held = AgentSkill.objects.create(agent=anna, skill=Skill.objects.create(name="spanish"), level=1)
    assert len(profiles()) == 2
    held.delete()
    assert len(profiles()) == 1
    QueueMembership.objects.filter(agent=anna).delete()
    assert len(profiles()) == 2


def test_a_membership_given_to_another_makes_two_agents_of_another_kind(line: Queue) -> None:
    anna, _ = (scene.agent(name, serves=line) for name in ("anna", "bert"))
    cleo = scene.agent("cleo")
    membership = QueueMembership.objects.get(agent=anna)
    membership.agent = cleo
    membership.save()
    kinds = dict(Agent.objects.values_list("name", "profile"))
    assert kinds["cleo"] == kinds["bert"]
    assert kinds["anna"] != kinds["bert"]


def test_who_was_never_looked_at_is_like_nobody(line: Queue) -> None:
    agents = Agent.objects.bulk_create(Agent(name=name, address="sip:a@example.com") for name in ("anna", "bert"))
    QueueMembership.objects.bulk_create(QueueMembership(agent=agent, queue=line) for agent in agents)
    assert len(profiles()) == 2


def talked(line: Queue, agent: Agent, *, began: datetime, secs: int) -> None:
    call = scene.waiting(line, name=f"{agent.name} {began}")
    Offer.objects.create(
        call=call,
        entry=call.entries.get(),
        agent=agent,
        state=Offer.State.ENDED,
        offered_at=began,
        connected_at=began,
        ended_at=began + timedelta(seconds=secs),
    )
    call.entries.update(state="ended")


@pytest.mark.parametrize(
    ("strategy", "chosen"),
    [
        pytest.param("fewest_calls", "bert", id="bert had one call today, anna two; yesterday's do not count"),
        pytest.param("least_talk_time", "anna", id="anna talked 20 s today, bert 300"),
        pytest.param("least_recent", "anna", id="bert's call ended last"),
    ],
)
def test_what_they_did_before_decides(line: Queue, strategy: str, chosen: str) -> None:
    Queue.objects.update(strategy=strategy)
    noon = timezone.localtime(timezone.now()).replace(hour=12, minute=0, second=0, microsecond=0)
    anna, bert = (scene.agent(name, serves=line, available_since=noon) for name in ("anna", "bert"))
    for hours in (1, 2):
        talked(line, anna, began=noon - timedelta(hours=hours), secs=10)
    talked(line, bert, began=noon - timedelta(minutes=30), secs=300)
    for hours in (14, 15, 16):
        talked(line, bert, began=noon - timedelta(hours=hours), secs=1)
    scene.waiting(line)
    engine.route(line.pk, now=noon + timedelta(hours=1))
    assert Offer.objects.live().get().agent.name == chosen


def test_members_are_read_in_whatever_state(line: Queue) -> None:
    scene.agent("anna", serves=line, state=Agent.State.OFFLINE)
    scene.agent("bert")
    [anna] = roll.members(line.pk, now=timezone.now())
    assert anna.status == "offline"
    assert set(anna.memberships) == {str(line.pk)}
