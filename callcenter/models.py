"""What spans the whole house: who leads, who is alive, who may knock."""

import uuid
from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q

from callcenter.access.scopes import unknown


class Lease(models.Model):
    """Leadership of one job, renewed by conditional update on the database's clock."""

    name = models.CharField(max_length=50, primary_key=True)
    holder = models.CharField(max_length=100)
    until = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.name}: {self.holder}"


class ProcessHeartbeat(models.Model):
    """A process of ours says it is alive."""

    name = models.CharField(max_length=100, primary_key=True)
    at = models.DateTimeField()

    class Meta:
        ordering = ("-at",)

    def __str__(self) -> str:
        return self.name


class ApiKey(models.Model):
    """A program's right to use the API. The key itself is shown once; here is what recognises it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=100, help_text="who uses it, for people")
    prefix = models.CharField(max_length=8, unique=True, editable=False, help_text="the public part, also in audits")
    digest = models.CharField(max_length=64, editable=False, help_text="SHA-256 of the secret part")
    scopes = models.JSONField(default=list)
    created_at = models.DateTimeField(editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False, help_text="to the minute")
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("name", "-created_at")
        verbose_name = "API key"
        constraints = [
            models.UniqueConstraint(
                fields=["name"],
                condition=Q(revoked_at__isnull=True),
                name="apikey_one_of_a_name",
                violation_error_message="A key of that name exists; revoke it first or choose another name.",
            )
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix})"

    def clean(self) -> None:
        super().clean()
        if not isinstance(self.scopes, list) or not self.scopes:
            raise ValidationError({"scopes": "Give a list of at least one scope."})
        if problem := unknown(self.scopes):
            raise ValidationError({"scopes": problem})

    def is_usable(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)


class IdempotencyKey(models.Model):
    """A client's word that two requests are one. ``id`` is the token under which commands are written."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    principal = models.CharField(max_length=60, help_text="whose key it is")
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of method, path and body")
    claimed_at = models.DateTimeField()
    status = models.PositiveSmallIntegerField(null=True, blank=True, help_text="of the answer; empty while it is made")
    body = models.JSONField(null=True, blank=True)

    class Meta:
        ordering = ("-claimed_at",)
        constraints = [models.UniqueConstraint(fields=["principal", "key"], name="idempotencykey_once")]
        indexes = [models.Index(fields=["claimed_at"], name="idempotencykey_age")]

    def __str__(self) -> str:
        return f"{self.principal} {self.key}"


class ReconcileRun(models.Model):
    """One comparison of our rows with what Telnyx says: of everything, of what there were doubts about, or of who is
    there."""

    class Kind(models.TextChoices):
        FULL = "full", "everything"
        LOOK = "look", "what is in doubt"
        LEGS = "legs", "which legs live"

    class State(models.TextChoices):
        REQUESTED = "requested", "asked for"
        RUNNING = "running", "running"
        LOOKING_AGAIN = "looking", "looking again at what was missing"
        DONE = "done", "done"
        FAILED = "failed", "failed"

    GOING_ON = (State.RUNNING, State.LOOKING_AGAIN)
    HAD_LISTS = (State.LOOKING_AGAIN, State.DONE)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=4, choices=Kind)
    state = models.CharField(max_length=9, choices=State)
    reason = models.CharField(max_length=60, blank=True, default="")
    in_the_dark = models.BooleanField(default=False, help_text="nobody is dialled before it has ended")
    dark_since = models.DateTimeField(null=True, blank=True, editable=False, help_text="the lapse that it may end")
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True, help_text="when Telnyx was first asked")
    renewed_at = models.DateTimeField(null=True, blank=True, help_text="when it last got on")
    ended_at = models.DateTimeField(null=True, blank=True)
    legs = models.PositiveIntegerField(null=True, blank=True, help_text="alive at Telnyx")
    conferences = models.PositiveIntegerField(null=True, blank=True, help_text="of those at Telnyx, looked into")
    queue_calls = models.PositiveIntegerField(null=True, blank=True, help_text="in Telnyx's queues")
    findings = models.PositiveIntegerField(default=0)
    error = models.TextField(blank=True, default="")

    class Meta:
        ordering = ("-created_at",)
        verbose_name = "reconciliation"
        indexes = [
            models.Index(fields=["-created_at"], name="reconcilerun_newest"),
            models.Index(
                fields=["state"],
                condition=Q(state__in=["requested", "running", "looking"]),
                name="reconcilerun_unfinished",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}, {self.created_at:%Y-%m-%d %H:%M:%S}"


class Correction(models.Model):
    """One thing that our rows had wrong, and what was done about it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    run = models.ForeignKey(ReconcileRun, on_delete=models.CASCADE, related_name="corrections")
    at = models.DateTimeField()
    kind = models.CharField(max_length=40)
    call_id = models.UUIDField(null=True, blank=True, db_index=True)
    detail = models.CharField(max_length=200, blank=True, default="")
    remedy = models.CharField(max_length=100, help_text="the event that was told, or the command that was written")

    class Meta:
        ordering = ("-at",)
        indexes = [models.Index(fields=["-at"], name="correction_newest")]

    def __str__(self) -> str:
        return f"{self.kind}: {self.remedy}"


class Doubt(models.Model):
    """What a look at Telnyx did not show, though our rows have it; a second look, not at once, decides."""

    subject = models.CharField(max_length=400, primary_key=True, help_text="what kind of thing, and Telnyx's id of it")
    missed_at = models.DateTimeField(null=True, blank=True, help_text="the first look that did not show it")
    not_before = models.DateTimeField(null=True, blank=True, help_text="of the second look; empty: none is due")
    looked_at = models.DateTimeField(null=True, blank=True, help_text="when it was last looked at closely")

    class Meta:
        ordering = ("-missed_at",)
        indexes = [models.Index(fields=["not_before"], condition=Q(not_before__isnull=False), name="doubt_due")]

    def __str__(self) -> str:
        return self.subject.partition(" ")[0]
