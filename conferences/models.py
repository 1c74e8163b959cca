"""Who is talking: a mirror of Telnyx's legs, conferences, participants and recordings.

Each instant is a fact joined from events (the earliest or the latest ``occurred_at``), never the event that
arrived last; what a row *is* follows from its facts. What Telnyx never announces (mute, hold, role, recording)
is written by the outcome of the command that caused it, versioned by the command's sequence.
"""

import uuid
from datetime import datetime
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import F, Q


class Role(models.TextChoices):
    CUSTOMER = "customer", "customer"
    AGENT = "agent", "agent"
    SUPERVISOR = "supervisor", "supervisor"
    EXTERNAL = "external", "external"


class SupervisorRole(models.TextChoices):
    """Telnyx's ``supervisor_role``."""

    NONE = "none", "none"
    MONITOR = "monitor", "monitor"
    WHISPER = "whisper", "whisper"
    BARGE = "barge", "barge"


class CallLegQuerySet(models.QuerySet["CallLeg"]):
    def live(self) -> Self:
        return self.filter(hangup_at__isnull=True)


class CallLeg(models.Model):
    """One ``call_control_id``: a caller's, an agent's or a supervisor's leg."""

    class Direction(models.TextChoices):
        INCOMING = "incoming", "incoming"
        OUTGOING = "outgoing", "outgoing"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    call_control_id = models.CharField(max_length=255, unique=True)
    call_leg_id = models.CharField(max_length=64, blank=True, default="")
    call_session_id = models.CharField(max_length=64, blank=True, default="")
    connection_id = models.CharField(max_length=64, blank=True, default="")
    direction = models.CharField(max_length=10, choices=Direction, blank=True, default="")
    from_number = models.CharField("from", max_length=255, blank=True, default="")
    to_number = models.CharField("to", max_length=255, blank=True, default="")
    call_id = models.UUIDField(null=True, blank=True, db_index=True)
    role = models.CharField(max_length=10, choices=Role, blank=True, default="")
    initiated_at = models.DateTimeField(null=True, blank=True)
    answered_at = models.DateTimeField(null=True, blank=True)
    bridged_at = models.DateTimeField(null=True, blank=True)
    enqueued_at = models.DateTimeField(null=True, blank=True)
    dequeued_at = models.DateTimeField(null=True, blank=True)
    dequeue_reason = models.CharField(max_length=40, blank=True, default="")
    held_at = models.DateTimeField(null=True, blank=True, help_text="its phone's own hold key")
    unheld_at = models.DateTimeField(null=True, blank=True)
    playback_started_at = models.DateTimeField(null=True, blank=True)
    playback_ended_at = models.DateTimeField(null=True, blank=True)
    speak_started_at = models.DateTimeField(null=True, blank=True)
    speak_ended_at = models.DateTimeField(null=True, blank=True)
    gathered_at = models.DateTimeField(null=True, blank=True)
    gathered_digits = models.CharField(max_length=128, blank=True, default="")
    hangup_at = models.DateTimeField(null=True, blank=True)
    hangup_cause = models.CharField(max_length=40, blank=True, default="")
    hangup_source = models.CharField(max_length=20, blank=True, default="")
    sip_hangup_cause = models.CharField(max_length=20, blank=True, default="")
    suspected_at = models.DateTimeField(
        null=True, blank=True, help_text="a command said something of it that no event has; Telnyx is to be asked"
    )

    objects = CallLegQuerySet.as_manager()

    class Meta:
        ordering = ("-initiated_at",)
        indexes = [
            models.Index(fields=["connection_id"], condition=Q(hangup_at__isnull=True), name="callleg_live"),
            models.Index(fields=["suspected_at"], condition=Q(suspected_at__isnull=False), name="callleg_suspected"),
        ]

    def __str__(self) -> str:
        return f"{self.role or self.direction or 'leg'} {self.from_number} → {self.to_number}"

    @property
    def state(self) -> str:
        """RELIABILITY §6, first match: ended, queued, bridged, answered, ringing, unknown."""
        if self.hangup_at:
            return "ended"
        if self.enqueued_at and not (self.dequeued_at and self.dequeued_at >= self.enqueued_at):
            return "queued"
        if self.bridged_at:
            return "bridged"
        if self.answered_at:
            return "answered"
        return "ringing" if self.initiated_at else "unknown"

    @property
    def is_held_by_phone(self) -> bool:
        return bool(self.held_at and not (self.unheld_at and self.unheld_at >= self.held_at))


class Conference(models.Model):
    """A Telnyx conference: where one caller talks to agents and supervisors."""

    class Status(models.TextChoices):
        INIT = "init", "init"
        IN_PROGRESS = "in_progress", "in progress"
        COMPLETED = "completed", "completed"

    class RecordingState(models.TextChoices):
        OFF = "off", "off"
        RECORDING = "recording", "recording"
        PAUSED = "paused", "paused"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    conference_id = models.CharField(max_length=64, unique=True, help_text="Telnyx's id")
    name = models.CharField(max_length=255, blank=True, default="")
    region = models.CharField(max_length=20, blank=True, default="")
    connection_id = models.CharField(max_length=64, blank=True, default="")
    call_id = models.UUIDField(null=True, blank=True, db_index=True)
    created_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    end_reason = models.CharField(max_length=40, blank=True, default="")
    floor_call_control_id = models.CharField(max_length=255, blank=True, default="")
    floor_changed_at = models.DateTimeField(null=True, blank=True)
    playback_started_at = models.DateTimeField(null=True, blank=True)
    playback_ended_at = models.DateTimeField(null=True, blank=True)
    speak_started_at = models.DateTimeField(null=True, blank=True)
    speak_ended_at = models.DateTimeField(null=True, blank=True)
    recording_state = models.CharField(max_length=10, choices=RecordingState, default=RecordingState.OFF)
    recording_version = models.BigIntegerField(default=0)

    class Meta:
        ordering = ("-created_at",)
        indexes = [
            # Asked by every comparison with Telnyx; those that have ended only grow.
            models.Index(fields=["conference_id"], condition=Q(ended_at__isnull=True), name="conference_live"),
        ]

    def __str__(self) -> str:
        return self.name or self.conference_id

    @property
    def status(self) -> str:
        """Telnyx's ``status``: ended is final; anyone in it means in progress."""
        if self.ended_at:
            return self.Status.COMPLETED
        return self.Status.IN_PROGRESS if self.created_at else self.Status.INIT


class ParticipantQuerySet(models.QuerySet["Participant"]):
    def seated(self) -> Self:
        """Joined and not left. At equal instants leaving wins."""
        return self.filter(Q(left_at__isnull=True) | Q(left_at__lt=F("joined_at")), joined_at__isnull=False)

    def present(self) -> Self:
        """In a conference that goes on, on a leg that lives."""
        return self.seated().filter(conference__ended_at__isnull=True, leg__hangup_at__isnull=True)


class Participant(models.Model):
    """One leg in one conference."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    conference = models.ForeignKey(Conference, on_delete=models.CASCADE, related_name="participants")
    leg = models.ForeignKey(CallLeg, on_delete=models.CASCADE, related_name="participations")
    participant_id = models.CharField(max_length=64, blank=True, default="", help_text="Telnyx's id")
    joined_at = models.DateTimeField(null=True, blank=True)
    left_at = models.DateTimeField(null=True, blank=True)
    supervisor_role = models.CharField(max_length=10, choices=SupervisorRole, default=SupervisorRole.NONE)
    whisper_call_control_ids = models.JSONField(default=list, blank=True)
    role_version = models.BigIntegerField(default=0)
    muted = models.BooleanField(default=False)
    muted_version = models.BigIntegerField(default=0)
    on_hold = models.BooleanField(default=False)
    hold_version = models.BigIntegerField(default=0)
    playback_started_at = models.DateTimeField(null=True, blank=True)
    playback_ended_at = models.DateTimeField(null=True, blank=True)
    speak_started_at = models.DateTimeField(null=True, blank=True)
    speak_ended_at = models.DateTimeField(null=True, blank=True)

    objects = ParticipantQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["conference", "leg"], name="participant_once")]
        indexes = [
            models.Index(fields=["joined_at"], condition=~Q(supervisor_role="none"), name="participant_supervisors")
        ]

    def __str__(self) -> str:
        return f"{self.leg} in {self.conference}"

    @property
    def is_present(self) -> bool:
        return bool(
            self.joined_at
            and not (self.left_at and self.left_at >= self.joined_at)
            and not self.conference.ended_at
            and not self.leg.hangup_at
        )


class Recording(models.Model):
    """A saved recording, as Telnyx announced it. Its links live ten minutes; the file is fetched by id."""

    class Source(models.TextChoices):
        CONFERENCE = "conference", "conference"
        CALL = "call", "call"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    key = models.CharField(
        max_length=200, unique=True, help_text="Telnyx's recording id, or leg and start where it gave none"
    )
    recording_id = models.CharField(max_length=64, blank=True, default="")
    source = models.CharField(max_length=10, choices=Source)
    conference = models.ForeignKey(
        Conference, null=True, blank=True, on_delete=models.CASCADE, related_name="recordings"
    )
    call_id = models.UUIDField(null=True, blank=True, db_index=True)
    call_leg_id = models.CharField(max_length=64, blank=True, default="")
    channels = models.CharField(max_length=10, blank=True, default="")
    recording_started_at = models.DateTimeField(null=True, blank=True)
    recording_ended_at = models.DateTimeField(null=True, blank=True)
    recording_urls = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ("-recording_started_at",)

    def __str__(self) -> str:
        return self.key

    @property
    def duration_secs(self) -> int | None:
        if self.recording_started_at is None or self.recording_ended_at is None:
            return None
        return round((self.recording_ended_at - self.recording_started_at).total_seconds())


class SupervisionSession(models.Model):
    """One supervisor on one conversation, from the click to the last word.

    ``role`` is what is wanted now; what Telnyx has been told stands on the participant.
    """

    class Mode(models.TextChoices):
        MONITOR = "monitor", "monitor"
        WHISPER = "whisper", "whisper"
        BARGE = "barge", "barge"
        TAKEOVER = "takeover", "take over"

    class State(models.TextChoices):
        DIALING = "dialing", "dialing"
        CONFIRMING = "confirming", "confirming"
        JOINING = "joining", "joining"
        ACTIVE = "active", "active"
        ENDED = "ended", "ended"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    call_id = models.UUIDField(db_index=True)
    supervisor = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="supervision_sessions"
    )
    leg = models.OneToOneField(
        CallLeg, null=True, blank=True, on_delete=models.PROTECT, related_name="supervision_session"
    )
    role = models.CharField(max_length=10, choices=Mode)
    confirms = models.BooleanField(default=False, help_text="a key press is asked for first")
    role_changes = models.PositiveIntegerField(default=0)
    state = models.CharField(max_length=10, choices=State, default=State.DIALING)
    reason = models.TextField(blank=True, default="")
    requested_at = models.DateTimeField()
    active_at = models.DateTimeField(null=True, blank=True)
    took_over_at = models.DateTimeField(null=True, blank=True)
    stopped_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    end_reason = models.CharField(max_length=60, blank=True, default="")
    expires_at = models.DateTimeField(null=True, blank=True)
    heard = models.JSONField(default=list, blank=True, editable=False, help_text="the clicks it has followed already")

    class Meta:
        ordering = ("-requested_at",)
        permissions = [
            ("monitor_conference", "Can listen to a conversation"),
            ("whisper_conference", "Can whisper to the agent"),
            ("barge_conference", "Can barge into a conversation"),
            ("take_over_conference", "Can take a conversation over"),
            ("control_conference", "Can hold, mute, play, speak, record, remove and end"),
            ("listen_recording", "Can listen to recordings"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["supervisor"],
                condition=~Q(state="ended"),
                name="supervisionsession_one_live",  # a phone is on one call at a time
            )
        ]

    def __str__(self) -> str:
        return f"{self.supervisor} {self.role}"

    @property
    def is_live(self) -> bool:
        return self.state != self.State.ENDED

    def ended(self, at: datetime, reason: str) -> None:
        """Note the end once; saved by the caller."""
        if self.is_live:
            self.state, self.ended_at, self.end_reason = self.State.ENDED, at, reason
