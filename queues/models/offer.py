"""One attempt to give one call to one agent."""

import uuid
from typing import Self

from django.db import models
from django.db.models import Q

from conferences.models import CallLeg
from queues.models.agent import Agent
from queues.models.call import Call, QueueEntry


class OfferQuerySet(models.QuerySet["Offer"]):
    def live(self) -> Self:
        return self.filter(state__in=Offer.LIVE)


class Offer(models.Model):
    """PRODUCT §4. Its instants are facts and decisions; ``state`` follows from them (queues.engine.facts)."""

    class State(models.TextChoices):
        PENDING = "pending", "pending"
        RINGING = "ringing", "ringing"
        CONFIRMING = "confirming", "confirming"
        CONNECTING = "connecting", "connecting"
        CONNECTED = "connected", "connected"
        ENDED = "ended", "ended"
        DECLINED = "declined", "declined"
        TIMED_OUT = "timed_out", "timed out"
        LEG_FAILED = "leg_failed", "leg failed"
        CALLER_LEFT = "caller_left", "caller left"
        RESCINDED = "rescinded", "rescinded"
        SUPERSEDED = "superseded", "superseded"
        EXPIRED = "expired", "expired"

    UNANSWERED = (State.PENDING, State.RINGING, State.CONFIRMING)
    WON = (State.CONNECTING, State.CONNECTED)
    LIVE = UNANSWERED + WON
    TURNED_DOWN = (State.DECLINED, State.TIMED_OUT)
    TAKEN_AWAY = (State.CALLER_LEFT, State.RESCINDED, State.SUPERSEDED, State.EXPIRED)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    call = models.ForeignKey(Call, on_delete=models.CASCADE, related_name="offers")
    entry = models.ForeignKey(QueueEntry, on_delete=models.CASCADE, related_name="offers")
    agent = models.ForeignKey(Agent, on_delete=models.PROTECT, related_name="offers")
    leg = models.OneToOneField(
        CallLeg,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="offer",
        help_text="the agent's",
    )
    exclusive = models.BooleanField(default=True, help_text="false for ring_all")
    state = models.CharField(max_length=12, choices=State, default=State.PENDING)
    offered_at = models.DateTimeField()
    expires_at = models.DateTimeField(
        null=True, blank=True, help_text="the deadline of the present state; none once connected or over"
    )
    agent_available_since = models.DateTimeField(null=True, blank=True)
    confirms = models.BooleanField(default=False, help_text="a key press is asked for")
    refused_at = models.DateTimeField(null=True, blank=True, help_text="Telnyx refused the dial or the join")
    confirmed_at = models.DateTimeField(null=True, blank=True)
    unconfirmed_at = models.DateTimeField(null=True, blank=True)
    won_at = models.DateTimeField(null=True, blank=True)
    rescinded_at = models.DateTimeField(null=True, blank=True)
    rescind_reason = models.CharField(max_length=40, blank=True, default="")
    expired_at = models.DateTimeField(null=True, blank=True)
    connected_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    end_reason = models.CharField(max_length=60, blank=True, default="")
    released_at = models.DateTimeField(
        null=True, blank=True, help_text="when its agent was given back; an end may have been told late"
    )

    objects = OfferQuerySet.as_manager()

    class Meta:
        ordering = ("-offered_at",)
        constraints = [
            models.UniqueConstraint(
                fields=["agent"],
                condition=Q(state__in=["pending", "ringing", "confirming", "connecting", "connected"]),
                name="offer_one_live_per_agent",
            ),
            models.UniqueConstraint(
                fields=["entry"],
                condition=Q(state__in=["connecting", "connected"]),
                name="offer_one_winner_per_entry",
            ),
            models.UniqueConstraint(
                fields=["entry"],
                condition=Q(state__in=["pending", "ringing", "confirming"], exclusive=True),
                name="offer_one_exclusive_per_entry",
            ),
        ]
        indexes = [
            models.Index(
                fields=["expires_at"],
                condition=Q(state__in=["pending", "ringing", "confirming", "connecting"]),
                name="offer_due",
            ),
            models.Index(
                fields=["ended_at"], condition=Q(state__in=["declined", "timed_out"]), name="offer_turned_down"
            ),
            models.Index(
                fields=["ended_at"],
                condition=Q(state__in=["caller_left", "rescinded", "superseded", "expired"]),
                name="offer_taken_away",
            ),
            models.Index(fields=["call", "offered_at"], name="offer_call"),
            models.Index(fields=["agent", "connected_at"], name="offer_agent"),
        ]

    def __str__(self) -> str:
        return f"{self.call} to {self.agent}"

    @property
    def is_live(self) -> bool:
        return self.state in self.LIVE
