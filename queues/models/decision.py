"""Why a pass decided as it did: the state it saw, and what it said of each call."""

import uuid

from django.db import models

from queues.models.call import Call, QueueEntry
from queues.models.offer import Offer


class RoutingPass(models.Model):
    """One pass that changed something. ``state`` is the JSON that ``manage.py route`` decides again."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    decided_at = models.DateTimeField(db_index=True)
    state = models.JSONField()
    every_free_agent = models.BooleanField(
        default=True, help_text="no free agent was left out of the state because others like him come before"
    )

    class Meta:
        ordering = ("-decided_at",)
        verbose_name_plural = "routing passes"

    def __str__(self) -> str:
        return f"pass of {self.decided_at:%Y-%m-%d %H:%M:%S}"


class RoutingDecision(models.Model):
    """What one pass said of one stay (ROUTING §7): whom it was offered and why, or why to nobody.

    One for each offer; for a call left waiting, one whenever that changes. Kept for 30 days.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    routing_pass = models.ForeignKey(RoutingPass, on_delete=models.CASCADE, related_name="decisions")
    call = models.ForeignKey(Call, on_delete=models.CASCADE, related_name="decisions")
    entry = models.ForeignKey(QueueEntry, on_delete=models.CASCADE, related_name="decisions")
    offer = models.OneToOneField(Offer, null=True, blank=True, on_delete=models.CASCADE, related_name="decision")
    decided_at = models.DateTimeField()
    strategy = models.CharField(max_length=30)
    explanation = models.JSONField(help_text="chosen, runners_up and excluded, as manage.py route --explain has it")
    gist = models.CharField(
        max_length=64, editable=False, help_text="of a call left waiting: changes when the reasons do"
    )

    class Meta:
        ordering = ("-decided_at",)
        indexes = [
            models.Index(fields=["call", "decided_at"], name="routingdecision_call"),
            models.Index(fields=["entry", "-decided_at"], name="routingdecision_entry"),
        ]

    def __str__(self) -> str:
        return f"{self.call}: {'offered' if self.offer_id else 'waits'}"
