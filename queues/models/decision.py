"""Why a pass decided as it did: the state it saw, and what it said of each call."""

import uuid

from django.db import models

from queues.models.call import Call, QueueEntry
from queues.models.offer import Offer


class RoutingPass(models.Model):
    """One pass of which there was something to say. ``state`` is the JSON that ``manage.py route`` decides again."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    decided_at = models.DateTimeField(db_index=True)
    state = models.JSONField()
    every_free_agent = models.BooleanField(
        default=True, help_text="no free agent was left out of the state because others like him come before"
    )
    absent = models.JSONField(
        default=dict,
        help_text="by queue, the members who are not in the state: how many they are, and the first of them",
    )
    failure = models.TextField(
        blank=True, default="", help_text="what went wrong as it was explained; its offers stand all the same"
    )

    class Meta:
        ordering = ("-decided_at",)
        verbose_name_plural = "routing passes"

    def __str__(self) -> str:
        return f"pass of {self.decided_at:%Y-%m-%d %H:%M:%S}"


class RoutingDecision(models.Model):
    """What one pass said of one stay (ROUTING §7): whom it was offered and why, or why to nobody.

    One for each call that a pass offered, to however many; for a call left waiting, one whenever there is something
    to say that has not been said of it since it began to wait or was offered last. Kept for 30 days.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    routing_pass = models.ForeignKey(RoutingPass, on_delete=models.CASCADE, related_name="decisions")
    call = models.ForeignKey(Call, on_delete=models.CASCADE, related_name="decisions")
    entry = models.ForeignKey(QueueEntry, on_delete=models.CASCADE, related_name="decisions")
    offers = models.ManyToManyField(
        Offer, blank=True, related_name="decisions", help_text="those it led to; each comes from one decision"
    )
    decided_at = models.DateTimeField()
    strategy = models.CharField(max_length=30)
    explanation = models.JSONField(
        help_text="chosen, runners_up and excluded, as manage.py route --explain has it; empty where that failed"
    )
    facts = models.JSONField(
        default=list, editable=False, help_text="of a call left waiting: what is said of it, each once"
    )

    class Meta:
        ordering = ("-decided_at",)
        indexes = [
            models.Index(fields=["call", "decided_at"], name="routingdecision_call"),
            models.Index(fields=["entry", "-decided_at"], name="routingdecision_entry"),
        ]

    def __str__(self) -> str:
        return f"{self.call}: {'waits' if self.facts else 'offered'}"
