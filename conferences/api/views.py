"""Conferences, who is in them and what was recorded, to be read. What is done to them lies with queues.api."""

from django.db.models import OuterRef, QuerySet, Subquery
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.generics import get_object_or_404
from rest_framework.mixins import RetrieveModelMixin
from rest_framework.viewsets import GenericViewSet, ReadOnlyModelViewSet

from conferences.api.filters import ConferenceFilter, ParticipantFilter, RecordingFilter
from conferences.api.serializers import (
    CommandSerializer,
    ConferenceSerializer,
    ParticipantSerializer,
    RecordingSerializer,
)
from conferences.models import CallLeg, Conference, Participant, Recording
from webhooks.models import Command

IDENT = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


class ConferenceViewSet(ReadOnlyModelViewSet[Conference]):
    """Where one caller talks to agents and supervisors."""

    required_scope = "conferences:read"
    lookup_value_regex = IDENT
    serializer_class = ConferenceSerializer
    filterset_class = ConferenceFilter
    queryset = Conference.objects.annotate(
        floor=Subquery(CallLeg.objects.filter(call_control_id=OuterRef("floor_call_control_id")).values("pk")[:1])
    ).order_by("-created_at", "id")


@extend_schema(parameters=[OpenApiParameter("conference", OpenApiTypes.UUID, OpenApiParameter.PATH)])
class ParticipantViewSet(ReadOnlyModelViewSet[Participant]):
    """One leg in one conference; those who left are listed too."""

    required_scope = "conferences:read"
    lookup_value_regex = IDENT
    serializer_class = ParticipantSerializer
    filterset_class = ParticipantFilter
    queryset = Participant.objects.select_related("conference", "leg").order_by("joined_at", "id")

    def get_queryset(self) -> QuerySet[Participant]:
        conference_id = self.kwargs["conference"]
        get_object_or_404(Conference, pk=conference_id)
        return super().get_queryset().filter(conference_id=conference_id)


class RecordingViewSet(ReadOnlyModelViewSet[Recording]):
    """Recordings that Telnyx has announced."""

    required_scope = "recordings:read"
    required_permission = "conferences.listen_recording"
    lookup_value_regex = IDENT
    serializer_class = RecordingSerializer
    filterset_class = RecordingFilter
    queryset = Recording.objects.order_by("-recording_started_at", "id")


class CommandViewSet(RetrieveModelMixin, GenericViewSet[Command]):
    """What became of an order to Telnyx; actions answer with its id."""

    required_scope = "calls:read"
    lookup_field, lookup_url_kwarg = "command_id", "id"
    lookup_value_regex = IDENT
    serializer_class = CommandSerializer
    queryset = Command.objects.all()
