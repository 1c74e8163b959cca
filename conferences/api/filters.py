"""What lists can be asked for; every other parameter is refused."""

from datetime import UTC, datetime
from typing import Any

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db.models import Q, QuerySet
from django_filters import rest_framework as filters

from conferences.models import Conference, Participant, ParticipantQuerySet, Recording

FIRST, LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)


class InstantFilter(filters.IsoDateTimeFilter):
    """An instant with any offset, asked for in UTC: Postgres knows no +20:41, and year 1 none at all."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(validators=[MinValueValidator(FIRST), MaxValueValidator(LAST)], **kwargs)

    def filter(self, qs: QuerySet[Any], value: datetime | None) -> QuerySet[Any]:
        return super().filter(qs, value.astimezone(UTC) if value else value)


class ConferenceFilter(filters.FilterSet):
    call = filters.UUIDFilter(field_name="call_id")
    status = filters.ChoiceFilter(choices=Conference.Status.choices, method="of_status")
    created_after = InstantFilter(field_name="created_at", lookup_expr="gte")
    created_before = InstantFilter(field_name="created_at", lookup_expr="lt")

    class Meta:
        model = Conference
        fields: tuple[str, ...] = ()

    def of_status(self, queryset: QuerySet[Conference], name: str, value: str) -> QuerySet[Conference]:
        ended = Q(ended_at__isnull=False)
        begun = Q(created_at__isnull=False)
        wanted = {
            Conference.Status.COMPLETED: ended,
            Conference.Status.IN_PROGRESS: ~ended & begun,
            Conference.Status.INIT: ~ended & ~begun,
        }
        return queryset.filter(wanted[Conference.Status(value)])


class ParticipantFilter(filters.FilterSet):
    present = filters.BooleanFilter(method="who_is_present", label="In the conference now, or not any more.")

    class Meta:
        model = Participant
        fields: tuple[str, ...] = ()

    def who_is_present(self, queryset: ParticipantQuerySet, name: str, value: bool) -> QuerySet[Participant]:
        present = queryset.present()
        return present if value else queryset.exclude(pk__in=present.values("pk"))


class RecordingFilter(filters.FilterSet):
    call = filters.UUIDFilter(field_name="call_id")
    conference = filters.UUIDFilter(field_name="conference_id")
    started_after = InstantFilter(field_name="recording_started_at", lookup_expr="gte")
    started_before = InstantFilter(field_name="recording_started_at", lookup_expr="lt")

    class Meta:
        model = Recording
        fields: tuple[str, ...] = ()
