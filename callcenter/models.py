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
