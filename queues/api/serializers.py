"""Queues, agents and calls as clients see them."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from conferences.api.fields import PhoneNumberField
from conferences.api.serializers import LegSerializer
from conferences.models import CallLeg
from queues import services
from queues.models import Agent, AgentSkill, Call, Offer, Queue, QueueEntry, QueueMembership


class NamedSerializer(serializers.Serializer[Any]):
    """Another resource, by id and name."""

    id = serializers.UUIDField(read_only=True)
    name = serializers.CharField(read_only=True)


class QueueSerializer(serializers.ModelSerializer[Queue]):
    """A queue's settings, and how many wait: ``waiting`` by our rows, ``current_size`` by Telnyx's last word."""

    team = NamedSerializer(read_only=True, allow_null=True)
    waiting = serializers.IntegerField(read_only=True)

    class Meta:
        model = Queue
        fields = (
            "id",
            "name",
            "team",
            "strategy",
            "record",
            "ring_secs",
            "wrap_up_secs",
            "service_level_secs",
            "max_wait_secs",
            "max_size",
            "required_skills",
            "waiting",
            "current_size",
            "average_wait_time_secs",
            "mirrored_at",
        )
        read_only_fields = fields


class MembershipSerializer(serializers.ModelSerializer[QueueMembership]):
    queue = NamedSerializer(read_only=True)

    class Meta:
        model = QueueMembership
        fields = ("queue", "penalty", "paused")
        read_only_fields = fields


class AgentSkillSerializer(serializers.ModelSerializer[AgentSkill]):
    name = serializers.CharField(source="skill.name", read_only=True)

    class Meta:
        model = AgentSkill
        fields = ("name", "level")
        read_only_fields = fields


class AgentPresenceSerializer(serializers.ModelSerializer[Agent]):
    """What an agent is doing, and what he will be doing once the call or the wrap-up is over."""

    class Meta:
        model = Agent
        fields = ("id", "state", "reason", "state_since", "pending_state", "pending_reason", "wrap_up_until")
        read_only_fields = fields


class AgentSerializer(serializers.ModelSerializer[Agent]):
    team = NamedSerializer(read_only=True, allow_null=True)
    address = PhoneNumberField()
    call = serializers.UUIDField(read_only=True, allow_null=True, help_text="The call he is rung for or talks on.")
    memberships = MembershipSerializer(many=True, read_only=True)
    skills = AgentSkillSerializer(source="agent_skills", many=True, read_only=True)

    class Meta:
        model = Agent
        fields = (
            "id",
            "name",
            "team",
            "address",
            "state",
            "reason",
            "state_since",
            "pending_state",
            "pending_reason",
            "wrap_up_until",
            "login_at",
            "available_since",
            "ready_at",
            "last_handled_end",
            "call",
            "memberships",
            "skills",
        )
        read_only_fields = fields


class EntrySerializer(serializers.ModelSerializer[QueueEntry]):
    """One stay in one queue."""

    queue = NamedSerializer(read_only=True)
    wait_secs = serializers.FloatField(read_only=True, allow_null=True)

    class Meta:
        model = QueueEntry
        fields = (
            "id",
            "number",
            "queue",
            "state",
            "outcome",
            "end_reason",
            "priority",
            "required_skills",
            "entered_at",
            "rank_at",
            "connected_at",
            "ended_at",
            "wait_secs",
        )
        read_only_fields = fields


class OfferSerializer(serializers.ModelSerializer[Offer]):
    """One attempt to give the call to one agent."""

    agent = NamedSerializer(read_only=True)
    entry = serializers.UUIDField(source="entry_id", read_only=True)
    leg = serializers.UUIDField(source="leg_id", read_only=True, allow_null=True)

    class Meta:
        model = Offer
        fields = (
            "id",
            "agent",
            "entry",
            "leg",
            "state",
            "end_reason",
            "offered_at",
            "expires_at",
            "won_at",
            "connected_at",
            "ended_at",
        )
        read_only_fields = fields


class CallSummarySerializer(serializers.ModelSerializer[Call]):
    queue = NamedSerializer(read_only=True, allow_null=True)
    from_number = PhoneNumberField()
    to_number = PhoneNumberField()

    class Meta:
        model = Call
        fields: tuple[str, ...] = (
            "id",
            "queue",
            "from_number",
            "to_number",
            "state",
            "outcome",
            "end_reason",
            "priority",
            "arrived_at",
            "enqueued_at",
            "ended_at",
        )
        read_only_fields: tuple[str, ...] = fields


class CallSerializer(CallSummarySerializer):
    """A caller's whole contact: where he waited, who was rung for him, which phones took part."""

    conference = serializers.SerializerMethodField(help_text="Where the caller sits now.")
    entries = EntrySerializer(many=True, read_only=True)
    offers = OfferSerializer(many=True, read_only=True)
    legs = serializers.SerializerMethodField()

    class Meta(CallSummarySerializer.Meta):
        fields = (*CallSummarySerializer.Meta.fields, "conference", "entries", "offers", "legs")
        read_only_fields = fields

    @extend_schema_field(serializers.UUIDField(allow_null=True))
    def get_conference(self, call: Call) -> UUID | None:
        seat = services.customer_seat(call)
        return seat.conference_id if seat else None

    @extend_schema_field(LegSerializer(many=True))
    def get_legs(self, call: Call) -> Any:
        legs = CallLeg.objects.filter(call_id=call.pk).order_by("initiated_at", "id")
        return LegSerializer(legs, many=True, context=self.context).data
