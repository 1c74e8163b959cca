"""What came in from Telnyx, what goes out to it, and what we did: inbox, outbox, journal, audit."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q

from webhooks.telnyx.errors import ChannelLimitReached


class WebhookEvent(models.Model):
    """One event of Telnyx's (or one the reconciler wrote in its shape): the row is the acknowledgement."""

    class Status(models.TextChoices):
        NEW = "new", "waiting to be applied"
        DONE = "done", "applied"
        IGNORED = "ignored", "not for us"
        DEAD = "dead", "set aside after five attempts"

    class Source(models.TextChoices):
        TELNYX = "telnyx", "webhook"
        RECONCILE = "reconcile", "reconciler"

    id = models.BigAutoField(primary_key=True)
    event_id = models.CharField(max_length=100, unique=True)
    event_type = models.CharField(max_length=100)
    source = models.CharField(max_length=10, choices=Source, default=Source.TELNYX)
    call_control_id = models.CharField(max_length=255, blank=True, default="")
    call_session_id = models.CharField(max_length=64, blank=True, default="")
    conference_id = models.CharField(max_length=64, blank=True, default="")
    call_id = models.UUIDField(null=True, blank=True, help_text="our call, once the applier has found it")
    occurred_at = models.DateTimeField(help_text="Telnyx's word, or received_at where it gave none")
    received_at = models.DateTimeField()
    payload = models.JSONField()
    status = models.CharField(max_length=10, choices=Status, default=Status.NEW)
    attempts = models.PositiveSmallIntegerField(default=0)
    not_before = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True, default="")
    applied_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-id",)
        indexes = [
            models.Index(fields=["received_at"], condition=Q(status="new"), name="webhookevent_new"),
            models.Index(fields=["call_id", "id"], name="webhookevent_call"),
            models.Index(fields=["id"], condition=Q(status="dead"), name="webhookevent_dead"),
        ]

    def __str__(self) -> str:
        return f"{self.event_type} {self.event_id}"


class Command(models.Model):
    """One intent towards Telnyx. The row comes first; ``command_id`` never changes; the outcome is kept.

    ``kind`` is our intent (the key of callcenter.wiring), ``operation`` the client method that carries it
    out, as ``resource.method``. ``target`` is what the path names (a leg, a conference, a queue), '' for none.
    """

    class State(models.TextChoices):
        NEW = "new", "not sent yet"
        SENT = "sent", "sent, no answer yet"
        UNKNOWN = "unknown", "no answer; looking"
        ACCEPTED = "accepted", "accepted"
        REJECTED = "rejected", "rejected"
        CANCELLED = "cancelled", "no longer wanted"

    OPEN = (State.NEW, State.SENT, State.UNKNOWN)
    LOST = "lost"  # our code where nobody answered and a look did not find the effect
    AWAY = "away"  # our code where Telnyx answers nobody, and a dial was not even tried

    class Priority(models.IntegerChoices):
        HANG_UP = 0, "hang-up"
        ANSWER = 1, "answer"
        DIAL = 2, "dial"
        REST = 3, "rest"

    sequence = models.BigAutoField(primary_key=True)
    command_id = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=40)
    dedupe_key = models.CharField(max_length=200)
    operation = models.CharField(max_length=60)
    target = models.CharField(max_length=255, blank=True, default="")
    arguments = models.JSONField(default=dict)
    ordering_key = models.CharField(
        max_length=255, blank=True, default="", help_text="commands of one key go out one after the other"
    )
    priority = models.PositiveSmallIntegerField(choices=Priority, default=Priority.REST)
    call_id = models.UUIDField(null=True, blank=True)
    subject_id = models.UUIDField(null=True, blank=True, help_text="the offer, entry or session it serves")
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    state = models.CharField(max_length=10, choices=State, default=State.NEW)
    attempts = models.PositiveSmallIntegerField(default=0)
    fence = models.PositiveIntegerField(default=0, help_text="who holds the lease; an older holder writes nothing")
    lost_leases = models.PositiveSmallIntegerField(default=0, help_text="senders that never came back from it")
    closed_again = models.PositiveIntegerField(default=0, help_text="times its effects were tried again")
    lease_until = models.DateTimeField(null=True, blank=True)
    not_before = models.DateTimeField(null=True, blank=True)
    first_sent_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, blank=True)
    applied_at = models.DateTimeField(null=True, blank=True)
    result = models.JSONField(null=True, blank=True)
    status = models.PositiveSmallIntegerField(null=True, blank=True, help_text="the HTTP status of the refusal")
    code = models.CharField(max_length=20, blank=True, default="", help_text="Telnyx's error code")
    error = models.TextField(blank=True, default="")

    class Meta:
        ordering = ("-sequence",)
        constraints = [models.UniqueConstraint(fields=["kind", "dedupe_key"], name="command_one_per_intent")]
        indexes = [
            models.Index(
                fields=["ordering_key", "sequence"],
                condition=Q(state__in=["new", "sent", "unknown"]),
                name="command_open",
            ),
            models.Index(
                fields=["sequence"],
                condition=Q(closed_at__isnull=False, applied_at__isnull=True),
                name="command_unapplied",
            ),
            models.Index(fields=["call_id", "sequence"], name="command_call"),
            models.Index(fields=["first_sent_at"], condition=Q(operation="calls.dial"), name="command_dials"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.command_id}"

    @property
    def subject(self) -> uuid.UUID:
        """The row it serves, for the kinds that serve one."""
        assert self.subject_id is not None, f"{self.kind} serves nothing"  # noqa: S101
        return self.subject_id

    @property
    def call(self) -> uuid.UUID:
        """The call it belongs to, for the kinds that belong to one."""
        assert self.call_id is not None, f"{self.kind} belongs to no call"  # noqa: S101
        return self.call_id

    @property
    def says_unavailable(self) -> bool:
        """Refused for a reason of the account or of the day, or never answered: nothing about what was asked."""
        status = self.status or 0
        unable = self.code in (self.LOST, self.AWAY, *ChannelLimitReached.codes)
        return unable or status in (401, 403, 408, 429) or status >= 500

    @property
    def leg(self) -> str:
        """The one leg it acts on, by call_control_id; '' where there is none or more than one."""
        if self.operation.startswith("calls."):
            return self.target
        return str(self.arguments.get("call_control_id", ""))


class TelnyxStatus(models.Model):
    """What Telnyx's answers, or their absence, say of Telnyx itself: one row for all of us (webhooks.breaker)."""

    ONLY = 1

    id = models.PositiveSmallIntegerField(primary_key=True, default=ONLY, editable=False)
    failures = models.PositiveIntegerField(default=0, help_text="requests in a row that got no answer, or a 5xx")
    opened_at = models.DateTimeField(null=True, blank=True, help_text="since when only hang-ups and answers are sent")
    probe_at = models.DateTimeField(null=True, blank=True, help_text="when Telnyx is asked again whether it is there")
    dials_from = models.DateTimeField(null=True, blank=True, help_text="when Telnyx's window has room for dials again")
    requests_from = models.DateTimeField(null=True, blank=True, help_text="the same for everything but dials")

    class Meta:
        verbose_name_plural = "Telnyx status"

    def __str__(self) -> str:
        return "does not answer" if self.opened_at else "answers"


class DispatchGate(models.Model):
    """Whether anybody may be dialled (webhooks.dispatch): one row for all of us, on the database's clock."""

    ONLY = 1

    id = models.PositiveSmallIntegerField(primary_key=True, default=ONLY, editable=False)
    open_until = models.DateTimeField(help_text="moved on by the leading sweeper; once past, nobody is dialled")
    dark_since = models.DateTimeField(
        null=True,
        blank=True,
        help_text="when it was noticed that the hour had passed; empty once our rows have been compared with Telnyx",
    )

    def __str__(self) -> str:
        return f"open until {self.open_until:%Y-%m-%d %H:%M:%S}"


# Lines of a journal that tell what went otherwise than it should: callcenter.metrics counts them.
FAULTS = ["offer_expired", "offer_timed_out", "rescued", "sent_away", "supervision_ended"]


class JournalEntry(models.Model):
    """What we did with one call, numbered per call, append-only: the story a supervisor reads."""

    id = models.BigAutoField(primary_key=True)
    call_id = models.UUIDField()
    number = models.PositiveIntegerField()
    at = models.DateTimeField()
    kind = models.CharField(max_length=40)
    facts = models.JSONField(default=dict)

    class Meta:
        ordering = ("call_id", "number")
        verbose_name_plural = "journal entries"
        constraints = [models.UniqueConstraint(fields=["call_id", "number"], name="journalentry_numbered")]
        indexes = [
            models.Index(
                fields=["at"],
                condition=Q(kind__in=FAULTS),
                name="journalentry_faults",
            )
        ]

    def __str__(self) -> str:
        return f"{self.number}. {self.kind}"


class AuditEntry(models.Model):
    """A control action somebody took or tried: who, what, on which call, why, and whether it was allowed."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    at = models.DateTimeField()
    actor = models.CharField(max_length=200, help_text="the user's name, or the API key's prefix")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    action = models.CharField(max_length=60)
    call_id = models.UUIDField(null=True, blank=True)
    queue_id = models.UUIDField(null=True, blank=True)
    subject_id = models.UUIDField(null=True, blank=True)
    reason = models.TextField(blank=True, default="")
    allowed = models.BooleanField()
    detail = models.JSONField(default=dict)

    class Meta:
        ordering = ("-at",)
        verbose_name_plural = "audit entries"
        indexes = [
            models.Index(fields=["-at"], name="auditentry_newest"),
            models.Index(fields=["call_id"], name="auditentry_call"),
        ]

    def __str__(self) -> str:
        return f"{self.actor}: {self.action}"
