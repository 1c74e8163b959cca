"""The people who take calls: where they are reached, what they serve, what they are doing now."""

import re
import uuid
from collections.abc import Collection, Iterable
from functools import partial
from hashlib import sha256
from typing import Any, Self

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models, transaction
from django.db.models import Q
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver

from queues.models.queue import Queue, Skill, Team, e164, penalty_range
from webhooks.nudge import nudge


def validate_address(address: str) -> None:
    """An E.164 number, or ``sip:user@host`` (no parameters, no port tricks)."""
    if address.startswith("sip:"):
        if not re.fullmatch(r"sip:[A-Za-z0-9._+-]+@[A-Za-z0-9.-]+", address):
            raise ValidationError(f"{address!r} is not a SIP address. Give sip:user@host.")
        return
    try:
        e164(address)
    except ValidationError:
        raise ValidationError(
            f"{address!r} is neither an E.164 number (+442071838750) nor a SIP address (sip:user@host)."
        ) from None


def _profile_of_his_own() -> str:
    return uuid.uuid4().hex


class AgentQuerySet(models.QuerySet["Agent"]):
    def available(self) -> Self:
        return self.filter(state=Agent.State.AVAILABLE, live_offer_id__isnull=True)


class Agent(models.Model):
    """One agent. ``reserved`` and ``busy`` hold if and only if ``live_offer_id`` names a live offer."""

    class State(models.TextChoices):
        OFFLINE = "offline", "offline"
        NOT_READY = "not_ready", "not ready"
        AVAILABLE = "available", "available"
        RESERVED = "reserved", "reserved"
        BUSY = "busy", "busy"
        WRAP_UP = "wrap_up", "wrap-up"

    class Confirm(models.TextChoices):
        DEFAULT = "", "none for SIP, a key press for phone numbers"
        NONE = "none", "none"
        PRESS_1 = "press_1", "press 1"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="agent"
    )
    team = models.ForeignKey(Team, null=True, blank=True, on_delete=models.SET_NULL, related_name="agents")
    name = models.CharField(max_length=100, unique=True)
    address = models.CharField(
        max_length=255,
        validators=[validate_address],
        error_messages={"blank": "An agent needs an address: an E.164 number or sip:user@host."},
        help_text="Where the agent is rung: +442071838750 or sip:user@host.",
    )
    confirm = models.CharField(max_length=10, choices=Confirm, blank=True, default=Confirm.DEFAULT)
    skills = models.ManyToManyField(Skill, through="AgentSkill")
    queues = models.ManyToManyField(Queue, through="QueueMembership", related_name="agents")

    state = models.CharField(max_length=10, choices=State, default=State.OFFLINE)
    reason = models.CharField(max_length=40, blank=True, default="")
    pending_state = models.CharField(max_length=10, choices=State, blank=True, default="")
    pending_reason = models.CharField(max_length=40, blank=True, default="")
    state_since = models.DateTimeField(null=True, blank=True)
    login_at = models.DateTimeField(null=True, blank=True)
    available_since = models.DateTimeField(null=True, blank=True)
    ready_at = models.DateTimeField(null=True, blank=True, help_text="cooling down until then")
    wrap_up_until = models.DateTimeField(null=True, blank=True)
    last_handled_end = models.DateTimeField(null=True, blank=True)
    live_offer_id = models.UUIDField(null=True, blank=True)
    profile = models.CharField(
        max_length=32,
        default=_profile_of_his_own,
        editable=False,
        help_text="the same for agents who differ in nothing but their places: see note_profile",
    )
    misses = models.PositiveSmallIntegerField(default=0, help_text="offers missed in a row")
    device_failures = models.PositiveSmallIntegerField(default=0, help_text="failed legs in a row")

    objects = AgentQuerySet.as_manager()

    class Meta:
        ordering = ("name",)
        permissions = [("force_agent_state", "Can set an agent's state")]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=["reserved", "busy"], live_offer_id__isnull=False)
                | ~Q(state__in=["reserved", "busy"]) & Q(live_offer_id__isnull=True),
                name="agent_reserved_or_busy_iff_live_offer",
            )
        ]
        indexes = [
            models.Index(fields=["wrap_up_until"], condition=Q(state="wrap_up"), name="agent_wrapping_up"),
            models.Index(
                fields=["profile", "available_since", "id"],
                condition=Q(state="available", live_offer_id__isnull=True),
                name="agent_free",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def must_confirm(self) -> bool:
        """A mobile's voicemail answers too, so a phone number is asked for a key unless told otherwise."""
        if self.confirm:
            return self.confirm == self.Confirm.PRESS_1
        return not self.address.startswith("sip:")


class _OfAnAgent(models.Model):
    """``was_of``: the agent it was read as belonging to."""

    was_of: uuid.UUID | None = None

    class Meta:
        abstract = True

    @classmethod
    def from_db(cls, db: str | None, field_names: Collection[str], values: Collection[Any], **words: Any) -> Self:
        row = super().from_db(db, field_names, values, **words)
        row.was_of = row.__dict__.get("agent_id")
        return row


class AgentSkill(_OfAnAgent):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    agent = models.ForeignKey(Agent, on_delete=models.CASCADE, related_name="agent_skills")
    skill = models.ForeignKey(Skill, on_delete=models.CASCADE, related_name="agent_skills")
    level = models.PositiveSmallIntegerField(default=1, validators=[MinValueValidator(1), MaxValueValidator(5)])

    class Meta:
        constraints = [models.UniqueConstraint(fields=["agent", "skill"], name="agentskill_once")]

    def __str__(self) -> str:
        return f"{self.agent}: {self.skill} {self.level}"


class QueueMembership(_OfAnAgent):
    """An agent serves a queue: at which penalty, at which place, after which delay."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    agent = models.ForeignKey(Agent, on_delete=models.CASCADE, related_name="memberships")
    queue = models.ForeignKey(Queue, on_delete=models.CASCADE, related_name="memberships")
    penalty = models.PositiveSmallIntegerField(default=0, validators=[penalty_range])
    position = models.IntegerField(default=0)
    delay_secs = models.PositiveIntegerField(default=0)
    queue_priority = models.PositiveSmallIntegerField(default=1)
    paused = models.BooleanField(default=False)

    class Meta:
        ordering = ("queue", "penalty", "position")
        constraints = [models.UniqueConstraint(fields=["agent", "queue"], name="queuemembership_once")]
        indexes = [models.Index(fields=["queue", "position", "agent"], name="queuemembership_position")]

    def __str__(self) -> str:
        return f"{self.agent} in {self.queue}"


def note_profile(agent_id: uuid.UUID) -> None:
    """Write down anew what the agent serves and can do, after either has changed; he may get other calls by that.

    Routing looks at the first few of those who are alike. An agent who was never noted is like nobody else, which
    costs time and is never wrong.
    """
    with transaction.atomic():
        Agent.objects.select_for_update().filter(pk=agent_id).order_by().values_list("pk").first()
        serves = QueueMembership.objects.filter(agent=agent_id).order_by("queue_id")
        holds = AgentSkill.objects.filter(agent=agent_id).order_by("skill_id")
        profile = digest(
            serves.values_list("queue_id", "penalty", "delay_secs", "queue_priority", "paused"),
            holds.values_list("skill_id", "level"),
        )
        if Agent.objects.filter(pk=agent_id).exclude(profile=profile).update(profile=profile):
            nudge("queues.agent_freed", agent_id)


def digest(*rows: Iterable[tuple[Any, ...]]) -> str:
    told = [[[str(value) for value in row] for row in part] for part in rows]
    return sha256(repr(told).encode()).hexdigest()[:32]


@receiver([post_save, post_delete], sender=QueueMembership)
@receiver([post_save, post_delete], sender=AgentSkill)
def _note_profile(instance: QueueMembership | AgentSkill, **_: Any) -> None:
    """Of the agent who has it and of him who had it; once it is committed, one after the other: a form may save many
    rows, and two of them in another order would wait for each other's agents."""
    for agent_id in {instance.agent_id, instance.was_of or instance.agent_id}:
        transaction.on_commit(partial(note_profile, agent_id))


class SupervisorPhone(models.Model):
    """Where a supervisor is rung when he wants to listen."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="supervisor_phone")
    address = models.CharField(max_length=255, validators=[validate_address])

    def __str__(self) -> str:
        return f"{self.user}: {self.address}"
