"""A caller's whole contact, and each of his stays in a queue."""

import uuid
from typing import Self

from django.db import connection, models
from django.db.models import F, Q, Value
from django.db.models.functions import Cast, Concat

from conferences.models import CallLeg
from queues.models.queue import Queue
from webhooks.prepared import Select


class CallManager(models.Manager["Call"]):
    def lock(self, call_id: uuid.UUID) -> None:
        """Until the end of the transaction; on SQLite the transaction is the lock."""
        assert connection.in_atomic_block  # noqa: S101  else it would be let go at once
        _LOCK.all(call_id)

    def locked(self, call_id: uuid.UUID) -> "Call | None":
        """Lock the row, then read it with what it points to; None if there is none.

        Two statements: on Postgres one joined read that had to wait for the lock brings the joined rows as they
        were before the wait.
        """
        self.lock(call_id)
        return _READ.first(call_id)


class Call(models.Model):
    """One contact, from the first ring to the hang-up. ``next_deadline`` is when somebody looks at it again."""

    class State(models.TextChoices):
        ARRIVING = "arriving", "arriving"
        IN_FLOW = "in_flow", "in the greeting"
        QUEUED = "queued", "queued"
        OFFERING = "offering", "offering"
        CONNECTED = "connected", "connected"
        ON_HOLD = "on_hold", "on hold"
        CLOSING = "closing", "hearing the closing text"
        CLOSED = "closed", "closed"
        ABANDONED = "abandoned", "abandoned"
        OVERFLOWED = "overflowed", "overflowed"
        FAILED = "failed", "failed"

    ENDED = (State.CLOSED, State.ABANDONED, State.OVERFLOWED, State.FAILED)

    class Outcome(models.TextChoices):
        ANSWERED = "answered", "answered"
        ABANDONED = "abandoned", "abandoned"
        FLOW_OUT = "flow_out", "flow-out"
        CALLBACK = "callback", "callback"
        BEFORE_QUEUE = "before_queue", "before the queue"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    leg = models.OneToOneField(CallLeg, on_delete=models.PROTECT, related_name="call", help_text="the caller's")
    queue = models.ForeignKey(
        Queue,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="calls",
        help_text="where it came in",
    )
    from_number = models.CharField("from", max_length=255)
    to_number = models.CharField("to", max_length=255)
    state = models.CharField(max_length=10, choices=State, default=State.ARRIVING)
    outcome = models.CharField(max_length=12, choices=Outcome, blank=True, default="")
    end_reason = models.CharField(max_length=60, blank=True, default="")
    priority = models.SmallIntegerField(default=0)
    arrived_at = models.DateTimeField()
    enqueued_at = models.DateTimeField(null=True, blank=True, help_text="the first entry; never changes")
    closing_at = models.DateTimeField(null=True, blank=True, help_text="when we decided to send it away")
    closing_reason = models.CharField(max_length=40, blank=True, default="")
    released_at = models.DateTimeField(
        null=True, blank=True, help_text="when somebody took the caller out of our hands, to be hung up"
    )
    ended_at = models.DateTimeField(null=True, blank=True)
    next_deadline = models.DateTimeField(null=True, blank=True)

    objects = CallManager()

    class Meta:
        ordering = ("-arrived_at",)
        indexes = [
            models.Index(fields=["next_deadline"], condition=Q(ended_at__isnull=True), name="call_due"),
            models.Index(fields=["-arrived_at"], name="call_newest"),
            models.Index(fields=["from_number", "-arrived_at"], name="call_from"),
        ]

    def __str__(self) -> str:
        return f"{self.from_number} → {self.to_number}"

    @property
    def is_over(self) -> bool:
        return self.ended_at is not None


_LOCK = Select(lambda call_id: Call.objects.select_for_update().order_by().filter(pk=call_id).only("pk"))
_READ = Select(lambda call_id: Call.objects.select_related("leg", "queue").filter(pk=call_id))


class QueueEntryQuerySet(models.QuerySet["QueueEntry"]):
    def waiting(self) -> Self:
        return self.filter(state=QueueEntry.State.WAITING)


class QueueEntry(models.Model):
    """One stay of one call in one queue (METRICS: a segment). ``rank_at`` is its place in line."""

    class State(models.TextChoices):
        WAITING = "waiting", "waiting"
        OFFERING = "offering", "offering"
        ENDED = "ended", "ended"

    class Outcome(models.TextChoices):
        ANSWERED = "answered", "answered"
        ABANDONED = "abandoned", "abandoned"
        FLOW_OUT = "flow_out", "flow-out"
        CALLBACK = "callback", "callback"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    call = models.ForeignKey(Call, on_delete=models.CASCADE, related_name="entries")
    queue = models.ForeignKey(Queue, on_delete=models.PROTECT, related_name="entries")
    number = models.PositiveSmallIntegerField(help_text="1 for the first stay")
    entered_at = models.DateTimeField()
    rank_at = models.DateTimeField()
    priority = models.SmallIntegerField(default=0)
    required_skills = models.JSONField(default=dict, blank=True)
    line = models.GeneratedField(
        expression=Concat(
            Cast("priority", models.TextField()),
            Value(" ", output_field=models.TextField()),
            Cast("required_skills", models.TextField()),
        ),
        output_field=models.TextField(),
        db_persist=True,
        help_text="the same for those of a queue who stand in one line: first come, first served",
    )
    preferred_agent = models.ForeignKey(
        "queues.Agent",
        null=True,
        blank=True,
        db_index=False,
        on_delete=models.SET_NULL,
        related_name="preferred_by",
        help_text="who last talked with this caller; asked in sticky queues only",
    )
    preferred_agent_at = models.DateTimeField(
        null=True, blank=True, help_text="when they last talked: the end of it, or its beginning if it went on"
    )
    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    outcome = models.CharField(max_length=10, choices=Outcome, blank=True, default="")
    end_reason = models.CharField(max_length=60, blank=True, default="")
    connected_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    moved_at = models.DateTimeField(
        null=True, blank=True, help_text="when somebody took the caller out of it, to another stay"
    )
    telnyx_enqueued_at = models.DateTimeField(null=True, blank=True)
    telnyx_dequeued_at = models.DateTimeField(null=True, blank=True)
    dequeue_reason = models.CharField(max_length=40, blank=True, default="")
    music_until = models.DateTimeField(null=True, blank=True, help_text="when the music loop is renewed")
    rescued_from = models.OneToOneField(
        "queues.Offer", null=True, blank=True, on_delete=models.SET_NULL, related_name="rescue"
    )

    objects = QueueEntryQuerySet.as_manager()

    class Meta:
        ordering = ("call", "number")
        verbose_name_plural = "queue entries"
        constraints = [
            models.UniqueConstraint(fields=["call", "number"], name="queueentry_numbered"),
        ]
        indexes = [
            models.Index(
                fields=["queue", "line", "rank_at", "id"],
                include=("preferred_agent", "preferred_agent_at"),
                condition=Q(state="waiting"),
                name="queueentry_line",
            ),
            models.Index(
                fields=["preferred_agent", "state"],
                condition=Q(preferred_agent__isnull=False),
                name="queueentry_preferred",
            ),
            models.Index(fields=["queue", "ended_at"], name="queueentry_ended"),
            # Empty, and therefore quick to ask whether it is (callcenter.invariants).
            models.Index(fields=["id"], condition=Q(ended_at__lt=F("entered_at")), name="queueentry_backwards"),
        ]

    def __str__(self) -> str:
        return f"{self.call} in {self.queue}"

    @property
    def wait_secs(self) -> float | None:
        """Entry to connection, or to the end of the stay; None while it lasts."""
        until = self.connected_at or self.ended_at
        return (until - self.entered_at).total_seconds() if until else None
