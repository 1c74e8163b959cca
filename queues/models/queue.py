"""A queue of waiting callers, the numbers that lead to it, the agents who serve it."""

import uuid
from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator, URLValidator
from django.db import models
from django.db.models.signals import post_save
from django.dispatch import receiver

from queues.routing.state_shape import PROMISE_PRIORITIES
from queues.routing.strategies import STRATEGIES
from webhooks.nudge import nudge

e164 = RegexValidator(
    r"^\+[1-9][0-9]{6,14}\Z",
    "Give an E.164 number: + and 7 to 15 digits, the country code first, no spaces (+442071838750).",
)
HIGHEST_PENALTY = 1000  # promise counts with 4 to its power
penalty_range = MaxValueValidator(HIGHEST_PENALTY, f"Penalties go from 0 to {HIGHEST_PENALTY}.")
PRIORITIES = PROMISE_PRIORITIES  # whatever the scoring: a call may be moved to a queue of another
MOST_SKILLS = 20  # they are part of an index's key
GREETING_LENGTH = 3000  # characters of one speak command


def strategy_choices() -> list[tuple[str, str]]:
    return [(strategy.name, strategy.label) for strategy in STRATEGIES.values()]


class Team(models.Model):
    """Queues and agents that belong together."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=100, unique=True)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class Skill(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.SlugField(max_length=50, unique=True)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class Queue(models.Model):
    """Our settings, which are ours to edit, and Telnyx's figures, which are theirs."""

    class Scoring(models.TextChoices):
        STRICT_PRIORITY = "strict_priority", "strict priority"
        AGED = "aged", "aged: waiting time and priority"
        PROMISE = "promise", "promise"

    class IdleBasis(models.TextChoices):
        AVAILABLE_SINCE = "available_since", "since available"
        LAST_HANDLED_END = "last_handled_end", "since the last handled call"

    class Record(models.TextChoices):
        NEVER = "never", "never"
        ALWAYS = "always", "always, both channels, from the agent's join"
        ON_DEMAND = "on_demand", "on demand"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(
        max_length=255,
        unique=True,
        validators=[RegexValidator(r"^[A-Za-z0-9 ._-]+$", "Use letters, digits, space, dot, dash, underscore.")],
        help_text="Telnyx's queue of this name is the parking place.",
    )
    team = models.ForeignKey(Team, null=True, blank=True, on_delete=models.SET_NULL, related_name="queues")

    strategy = models.CharField(max_length=30, default="longest_idle", choices=strategy_choices)
    scoring = models.CharField(max_length=20, choices=Scoring, default=Scoring.STRICT_PRIORITY)
    weight = models.IntegerField(default=0, help_text="A heavier queue's calls go first.")
    aging_seconds_per_point = models.PositiveIntegerField(default=60, validators=[MinValueValidator(1)])
    idle_basis = models.CharField(max_length=20, choices=IdleBasis, default=IdleBasis.AVAILABLE_SINCE)
    required_skills = models.JSONField(
        default=dict, blank=True, help_text='What its calls need, {"skill": level 1 to 5}.'
    )
    rings = models.JSONField(default=list, blank=True)
    penalty_rules = models.JSONField(default=list, blank=True)
    min_penalty = models.PositiveSmallIntegerField(null=True, blank=True, validators=[penalty_range])
    max_penalty = models.PositiveSmallIntegerField(null=True, blank=True, validators=[penalty_range])
    raise_penalty = models.PositiveSmallIntegerField(null=True, blank=True, validators=[penalty_range])
    penalty_members_limit = models.PositiveSmallIntegerField(default=0)
    sticky = models.JSONField(null=True, blank=True)
    last_offered_position = models.IntegerField(null=True, blank=True, editable=False)
    promise_secs = models.PositiveIntegerField(default=20, validators=[MinValueValidator(1)])
    beta = models.DecimalField(
        max_digits=6,
        decimal_places=5,
        default=Decimal(1),
        validators=[MinValueValidator(Decimal("0.00001")), MaxValueValidator(Decimal(1))],
    )

    greeting_text = models.TextField(max_length=3000, blank=True, default="Thank you for calling. Please hold.")
    consent_text = models.TextField(
        max_length=1000,
        blank=True,
        default="This call is recorded.",
        help_text="Spoken with the greeting where every call is recorded.",
    )
    closing_text = models.TextField(
        max_length=3000, blank=True, default="All our lines are busy. Please call again later."
    )
    voice = models.CharField(max_length=100, default="female")
    language = models.CharField(max_length=20, default="en-GB")
    hold_music_url = models.CharField(max_length=500, validators=[URLValidator(["http", "https"])])
    ring_secs = models.PositiveSmallIntegerField(default=20, validators=[MinValueValidator(5), MaxValueValidator(600)])
    wrap_up_secs = models.PositiveIntegerField(default=30)
    service_level_secs = models.PositiveIntegerField(default=20)
    short_abandon_secs = models.PositiveIntegerField(default=5)
    max_wait_secs = models.PositiveIntegerField(
        default=600, validators=[MinValueValidator(1), MaxValueValidator(14_000)]
    )
    max_size = models.PositiveIntegerField(default=100, validators=[MinValueValidator(1)])
    record = models.CharField(max_length=10, choices=Record, default=Record.NEVER)

    telnyx_queue_id = models.CharField(max_length=64, blank=True, default="", editable=False)
    current_size = models.PositiveIntegerField(null=True, blank=True, editable=False)
    average_wait_time_secs = models.PositiveIntegerField(null=True, blank=True, editable=False)
    mirrored_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        super().clean()
        if self.strategy not in STRATEGIES:
            accepted = ", ".join(STRATEGIES)
            raise ValidationError({"strategy": f"{self.strategy!r} is not a strategy. Choose one of: {accepted}."})
        skills = self.required_skills
        if not isinstance(skills, dict) or not all(
            isinstance(level, int) and not isinstance(level, bool) and 1 <= level <= 5 for level in skills.values()
        ):
            raise ValidationError({"required_skills": 'Give {"skill": level}, levels 1 to 5.'})
        if len(skills) > MOST_SKILLS:
            raise ValidationError({"required_skills": f"{len(skills)} skills; a call may need {MOST_SKILLS} at most."})
        known = set(Skill.objects.filter(name__in=skills).values_list("name", flat=True))
        if unknown := sorted(set(skills) - known):
            raise ValidationError({"required_skills": f"Unknown skill: {', '.join(unknown)}. Add it first."})
        if len(self.spoken_greeting) > GREETING_LENGTH:
            raise ValidationError(
                {
                    "greeting_text": f"Greeting and consent text are {len(self.spoken_greeting)} characters together; "
                    f"Telnyx speaks {GREETING_LENGTH}."
                }
            )
        if self.min_penalty is not None and self.max_penalty is not None and self.min_penalty > self.max_penalty:
            raise ValidationError({"min_penalty": "The least penalty must not exceed the greatest."})

    @property
    def spoken_greeting(self) -> str:
        parts = [self.greeting_text]
        if self.record == self.Record.ALWAYS:
            parts.append(self.consent_text)
        return " ".join(part.strip() for part in parts if part.strip())


@receiver(post_save, sender=Queue)
def _route_by_its_settings(instance: Queue, *, created: bool, **_: Any) -> None:
    """Whoever waits in it may be somebody's now; in a new one nobody waits."""
    if not created:
        nudge("queues.route", instance.pk)


class Number(models.Model):
    """A phone number of ours and the queue it leads to."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    number = models.CharField(
        max_length=16,
        unique=True,
        validators=[e164],
        error_messages={"unique": "This number leads to a queue already; a number leads to one queue."},
    )
    queue = models.ForeignKey(Queue, on_delete=models.PROTECT, related_name="numbers")
    priority = models.SmallIntegerField(
        default=0,
        validators=[MinValueValidator(PRIORITIES[0]), MaxValueValidator(PRIORITIES[-1])],
        help_text=f"Of those who call this number, {PRIORITIES[0]} to {PRIORITIES[-1]}; larger is more urgent. "
        "Who waits already keeps his.",
    )

    class Meta:
        ordering = ("number",)

    def __str__(self) -> str:
        return self.number
