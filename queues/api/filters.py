"""What lists can be asked for; every other parameter is refused."""

from django.db.models import QuerySet
from django_filters import rest_framework as filters

from conferences.api.filters import InstantFilter
from queues.models import Agent, Call, Queue


class QueueFilter(filters.FilterSet):
    name = filters.CharFilter(max_length=255)
    team = filters.UUIDFilter(field_name="team_id")

    class Meta:
        model = Queue
        fields: tuple[str, ...] = ()


class AgentFilter(filters.FilterSet):
    state = filters.ChoiceFilter(choices=Agent.State.choices)
    team = filters.UUIDFilter(field_name="team_id")
    queue = filters.UUIDFilter(field_name="memberships__queue_id", label="Agents who serve it.")

    class Meta:
        model = Agent
        fields: tuple[str, ...] = ()


class CallFilter(filters.FilterSet):
    state = filters.ChoiceFilter(choices=Call.State.choices)
    outcome = filters.ChoiceFilter(choices=Call.Outcome.choices)
    queue = filters.UUIDFilter(field_name="queue_id", label="Where it came in.")
    live = filters.BooleanFilter(method="that_go_on", label="Not over yet, or over.")
    arrived_after = InstantFilter(field_name="arrived_at", lookup_expr="gte")
    arrived_before = InstantFilter(field_name="arrived_at", lookup_expr="lt")

    class Meta:
        model = Call
        fields: tuple[str, ...] = ()

    def that_go_on(self, queryset: QuerySet[Call], name: str, value: bool) -> QuerySet[Call]:
        return queryset.filter(ended_at__isnull=value)
