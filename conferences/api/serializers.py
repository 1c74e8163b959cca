"""Who is talking, in our own ids: nothing here is a token of Telnyx's."""

from uuid import UUID

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from conferences.api.fields import PhoneNumberField
from conferences.models import CallLeg, Conference, Participant, Recording, Role
from webhooks.models import Command

LEG_STATES = ["ended", "queued", "bridged", "answered", "ringing", "unknown"]


class LegSerializer(serializers.ModelSerializer[CallLeg]):
    """One phone connection of a call: the caller's, an agent's or a supervisor's."""

    from_number = PhoneNumberField()
    to_number = PhoneNumberField()
    state = serializers.ChoiceField(choices=LEG_STATES, read_only=True)

    class Meta:
        model = CallLeg
        fields = (
            "id",
            "role",
            "direction",
            "from_number",
            "to_number",
            "state",
            "is_held_by_phone",
            "initiated_at",
            "answered_at",
            "hangup_at",
            "hangup_cause",
        )
        read_only_fields = fields


class ConferenceSerializer(serializers.ModelSerializer[Conference]):
    status = serializers.ChoiceField(choices=Conference.Status.choices, read_only=True)
    call = serializers.UUIDField(source="call_id", read_only=True, allow_null=True)
    floor = serializers.UUIDField(read_only=True, allow_null=True, help_text="The leg that spoke last.")

    class Meta:
        model = Conference
        fields = (
            "id",
            "call",
            "status",
            "region",
            "recording_state",
            "floor",
            "floor_changed_at",
            "created_at",
            "ended_at",
            "end_reason",
        )
        read_only_fields = fields


class ParticipantSerializer(serializers.ModelSerializer[Participant]):
    conference = serializers.UUIDField(source="conference_id", read_only=True)
    leg = serializers.UUIDField(source="leg_id", read_only=True)
    role = serializers.ChoiceField(source="leg.role", choices=Role.choices, read_only=True)
    whispers_to = serializers.SerializerMethodField(help_text="The legs that hear a whispering supervisor.")

    class Meta:
        model = Participant
        fields = (
            "id",
            "conference",
            "leg",
            "role",
            "supervisor_role",
            "whispers_to",
            "muted",
            "on_hold",
            "is_present",
            "joined_at",
            "left_at",
        )
        read_only_fields = fields

    @extend_schema_field(serializers.ListField(child=serializers.UUIDField()))
    def get_whispers_to(self, participant: Participant) -> list[UUID]:
        tokens = participant.whisper_call_control_ids
        if not tokens:
            return []
        return list(CallLeg.objects.filter(call_control_id__in=tokens).order_by("pk").values_list("pk", flat=True))


class RecordingSerializer(serializers.ModelSerializer[Recording]):
    """That there is a recording, and of what; its sound is not served here."""

    call = serializers.UUIDField(source="call_id", read_only=True, allow_null=True)
    conference = serializers.UUIDField(source="conference_id", read_only=True, allow_null=True)
    duration_secs = serializers.IntegerField(read_only=True, allow_null=True)

    class Meta:
        model = Recording
        fields = (
            "id",
            "call",
            "conference",
            "source",
            "channels",
            "recording_started_at",
            "recording_ended_at",
            "duration_secs",
        )
        read_only_fields = fields


class CommandSerializer(serializers.ModelSerializer[Command]):
    """One order to Telnyx: whether it was sent, and what became of it."""

    id = serializers.UUIDField(source="command_id", read_only=True)
    call = serializers.UUIDField(source="call_id", read_only=True, allow_null=True)
    code = serializers.CharField(read_only=True, help_text="Telnyx's error code, if it was rejected.")

    class Meta:
        model = Command
        fields = ("id", "call", "kind", "state", "code", "created_at", "closed_at")
        read_only_fields = fields
