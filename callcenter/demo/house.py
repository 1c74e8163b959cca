"""The demo's call center: three queues, twelve agents, two supervisors. Seeding twice changes nothing."""

import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.contrib.auth.models import Group, User
from django.db import models, transaction

from callcenter import roles
from conferences.models import CallLeg, Conference, Participant, Recording, SupervisionSession
from queues import services
from queues.models import (
    Agent,
    AgentSkill,
    Call,
    Number,
    Offer,
    Queue,
    QueueEntry,
    QueueMembership,
    RoutingPass,
    Skill,
    SupervisorPhone,
    Team,
)
from webhooks.models import Command, JournalEntry, WebhookEvent

MUSIC = "https://media.example.com/hold-music.mp3?secs=30"
# Numbers that Ofcom keeps free for fiction.
QUEUES: Mapping[str, Mapping[str, object]] = {
    "Support": {
        "number": "+442079460001",
        "greeting_text": "Welcome to support. We are looking for someone to help you.",
    },
    "Sales": {
        "number": "+442079460002",
        "greeting_text": "Thank you for calling sales. Please hold.",
        "record": Queue.Record.ON_DEMAND,
        # Whoever talked with the caller last is waited for; the last resorts come in late.
        "sticky": {"hold_seconds": 15},
        "max_penalty": 1,
        "penalty_rules": [{"after": 30, "max_penalty": None}],
    },
    "Billing": {
        "number": "+442079460003",
        "greeting_text": "Welcome to billing. Please hold.",
        "record": Queue.Record.ALWAYS,
        "required_skills": {"billing": 3},
        "rings": [{"after": 20, "levels": {"billing": 2}}, {"after": 40, "levels": {"billing": 1}}],
    },
}
TIMES = ("after", "hold_seconds")  # in the rules of a queue, in seconds of life
# Every agent has a main queue and helps out in the others: what the promise is for.
PROMISE = {"strategy": "promise", "scoring": Queue.Scoring.PROMISE, "beta": Decimal("0.25")}
AGENTS = ("Ana", "Ben", "Chloe", "Dan", "Eva", "Femi", "Gus", "Hana", "Ivo", "Jun", "Kim", "Lea")
MOBILES = {"Jun": "+447700900010", "Kim": "+447700900011", "Lea": "+447700900012"}
SUPERVISORS = ("olga", "sam")

RING_SECS, WRAP_UP_SECS, SERVICE_LEVEL_SECS, SHORT_ABANDON_SECS = 20, 30, 20, 5
SHORTEST_RING_SECS = 5  # Telnyx's minimum for timeout_secs
SHORTEST_SERVICE_LEVEL_SECS = 5
MAX_WAIT_MARGIN_SECS = 60


class NotTheDemos(Exception):
    """The database holds somebody's own call center."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How much faster than life, and how long the most patient caller waits (in real seconds)."""

    speed: float
    longest_patience_secs: float
    wrap_up_secs: int | None = None

    def rules(self, rules: Any) -> Any:
        """A queue's rules with their seconds divided by the speed, none less than one."""
        if isinstance(rules, list):
            return [self.rules(each) for each in rules]
        if not isinstance(rules, dict):
            return rules
        return {name: max(1, round(value / self.speed)) if name in TIMES else value for name, value in rules.items()}

    def queue_settings(self) -> dict[str, int]:
        """The queues' seconds divided by the speed, as far as Telnyx and good sense allow."""
        in_time = max(SHORTEST_SERVICE_LEVEL_SECS, round(SERVICE_LEVEL_SECS / self.speed))
        wrap_up = round(WRAP_UP_SECS / self.speed) if self.wrap_up_secs is None else self.wrap_up_secs
        return {
            "ring_secs": max(SHORTEST_RING_SECS, round(RING_SECS / self.speed)),
            "wrap_up_secs": wrap_up,
            "service_level_secs": in_time,
            "promise_secs": in_time,
            "short_abandon_secs": math.ceil(SHORT_ABANDON_SECS / self.speed),
            "max_wait_secs": math.ceil(self.longest_patience_secs) + MAX_WAIT_MARGIN_SECS,
        }


def address_of(name: str) -> str:
    return MOBILES.get(name, f"sip:{name.lower()}@phones.example.com")


def furnish(pace: Pace, *, now: datetime) -> str:
    """Make or remake it all, with every agent at work. Returns the supervisors' password.

    Raises NotTheDemos, and touches nothing, where there is anything that the demo has not made.
    """
    _refuse_a_real_one()
    password = secrets.token_urlsafe(9)
    with transaction.atomic():
        _clear_the_floor()
        queues = {name: _queue(name, pace) for name in QUEUES}
        for position, name in enumerate(AGENTS):
            _agent(name, position, queues)
        for name in SUPERVISORS:
            _supervisor(name, password)
    for agent in Agent.objects.all():
        services.log_in(agent.pk, now=now, ready=True)
    return password


def back_to_work(*, now: datetime, after: timedelta) -> None:
    """Agents whom missed calls made not ready press the button again after a while, as people do."""
    missing = Agent.objects.filter(
        state=Agent.State.NOT_READY, reason__in=["rona", "connection_lost"], state_since__lte=now - after
    )
    for agent in missing:
        services.go_ready(agent.pk, now=now)


def numbers() -> list[str]:
    return [str(plan["number"]) for plan in QUEUES.values()]


def _refuse_a_real_one() -> None:
    strangers = [
        *Queue.objects.exclude(name__in=QUEUES).values_list("name", flat=True)[:3],
        *Agent.objects.exclude(name__in=AGENTS).values_list("name", flat=True)[:3],
    ]
    if strangers:
        found = ", ".join(strangers)
        raise NotTheDemos(f"DATABASE_URL: found {found}, which the demo has not made; give it a database of its own.")


def _clear_the_floor() -> None:
    """What an earlier demo left: its simulated Telnyx is gone, so none of it will ever end."""
    left: list[type[models.Model]] = [
        RoutingPass, SupervisionSession, Participant, Recording, Offer, QueueEntry, Call, Conference, CallLeg,
        WebhookEvent, Command, JournalEntry,
    ]  # fmt: skip
    QueueEntry.objects.update(rescued_from=None)
    for model in left:
        model._default_manager.all().delete()
    Agent.objects.update(
        state=Agent.State.OFFLINE, reason="", pending_state="", live_offer_id=None, wrap_up_until=None, ready_at=None
    )


def _queue(name: str, pace: Pace) -> Queue:
    plan = dict(QUEUES[name])
    number = plan.pop("number")
    for skill in plan.get("required_skills", {}):  # type: ignore[attr-defined]
        Skill.objects.get_or_create(name=skill)
    team, _ = Team.objects.get_or_create(name="Front office")
    own = {name: pace.rules(value) for name, value in plan.items()}
    settings = {"team": team, "hold_music_url": MUSIC, **PROMISE, **own, **pace.queue_settings()}
    queue, _ = Queue.objects.update_or_create(name=name, defaults=settings)
    queue.full_clean()
    Number.objects.update_or_create(number=number, defaults={"queue": queue})
    return queue


def _agent(name: str, position: int, queues: Mapping[str, Queue]) -> None:
    """Each has a main queue, and is the second choice of the next and the last resort of the third."""
    team = Team.objects.get(name="Front office")
    agent, _ = Agent.objects.update_or_create(name=name, defaults={"address": address_of(name), "team": team})
    agent.full_clean()
    served = list(queues.values())
    for penalty in range(len(served)):
        QueueMembership.objects.update_or_create(
            agent=agent,
            queue=served[(position + penalty) % len(served)],
            defaults={"penalty": penalty, "position": position},
        )
    for skill in Skill.objects.all():
        AgentSkill.objects.update_or_create(agent=agent, skill=skill, defaults={"level": 1 + position % 5})


def _supervisor(name: str, password: str) -> None:
    """In both groups: nobody else is there to set up."""
    user, _ = User.objects.get_or_create(username=name, defaults={"first_name": name.capitalize()})
    user.is_staff = True
    user.set_password(password)
    user.save()
    user.groups.add(*Group.objects.filter(name__in=roles.ROLES))
    SupervisorPhone.objects.update_or_create(user=user, defaults={"address": f"sip:{name}@phones.example.com"})
