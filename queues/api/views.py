"""Queues, agents and calls: read, and the verbs of waiting callers and of agents' states."""

from typing import Any

from django.db.models import Count, OuterRef, QuerySet, Subquery, UUIDField
from django.db.models.functions import Coalesce
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.viewsets import ReadOnlyModelViewSet

from conferences.api.views import IDENT
from queues import permissions, supervision
from queues.api.asking import asked, person
from queues.api.filters import AgentFilter, CallFilter, QueueFilter
from queues.api.serializers import (
    AgentPresenceSerializer,
    AgentSerializer,
    CallSerializer,
    CallSummarySerializer,
    QueueSerializer,
)
from queues.api.verbs import Verbs, verb
from queues.api.words import AgentStateWords, EnqueueWords, PriorityWords, ThenWords, Words
from queues.models import Agent, Call, Offer, Queue, QueueEntry


class QueueViewSet(ReadOnlyModelViewSet[Queue]):
    """Where callers wait."""

    required_scope = "queues:read"
    lookup_value_regex = IDENT
    serializer_class = QueueSerializer
    filterset_class = QueueFilter
    queryset = (
        Queue.objects.select_related("team")
        .annotate(
            waiting=Coalesce(
                Subquery(
                    QueueEntry.objects.filter(
                        queue=OuterRef("pk"), state__in=[QueueEntry.State.WAITING, QueueEntry.State.OFFERING]
                    )
                    .order_by()
                    .values("queue")
                    .annotate(count=Count("pk"))
                    .values("count")
                ),
                0,
            )
        )
        .order_by("name")
    )


class AgentViewSet(Verbs, ReadOnlyModelViewSet[Agent]):
    """The people who take calls. A signed-in agent sees himself and may set his own state."""

    required_scope = "agents:read"
    write_scope = "agents:write"
    open_to_agents = True
    lookup_value_regex = IDENT
    serializer_class = AgentSerializer
    filterset_class = AgentFilter
    queryset = (
        Agent.objects.select_related("team")
        .prefetch_related("memberships__queue", "agent_skills__skill")
        .annotate(
            call=Subquery(
                # The field is named: what a foreign key's values are converted by, SQLite does not know.
                Offer.objects.filter(pk=OuterRef("live_offer_id")).values("call_id"),
                output_field=UUIDField(),
            )
        )
        .order_by("name")
    )

    def get_queryset(self) -> QuerySet[Agent]:
        user = person(self.request)
        agents = super().get_queryset()
        return agents if user is None or permissions.may_watch(user) else agents.filter(user=user)

    @extend_schema(request=AgentStateWords, responses={200: AgentPresenceSerializer})
    @action(detail=True, methods=["post"])
    def state(self, request: Request, **_: Any) -> Response:
        """Set an agent's state.

        An API key and the agent himself speak with the agent's own word: on a call or in wrap-up it is kept as
        `pending_state` and happens at the end; from `offline` it logs him in. A supervisor forces the state.
        """
        said = self.hear(AgentStateWords)
        agent = supervision.set_agent_state(self.get_object().pk, said["state"], asked(request, reason=said["reason"]))
        return Response(AgentPresenceSerializer(agent).data)

    @extend_schema(request=Words, responses={200: AgentPresenceSerializer})
    @action(detail=True, methods=["post"])
    def end_wrap_up(self, request: Request, **_: Any) -> Response:
        """End an agent's wrap-up before its deadline."""
        said = self.hear(Words)
        agent = supervision.end_wrap_up(self.get_object().pk, asked(request, reason=said["reason"]))
        return Response(AgentPresenceSerializer(agent).data)


class CallViewSet(Verbs, ReadOnlyModelViewSet[Call]):
    """Callers' contacts, the newest first."""

    required_scope = "calls:read"
    write_scope = "calls:write"
    lookup_value_regex = IDENT
    serializer_class = CallSerializer
    filterset_class = CallFilter
    queryset = Call.objects.select_related("queue", "leg").order_by("-arrived_at", "id")

    def get_serializer_class(self) -> type[BaseSerializer[Call]]:
        return CallSummarySerializer if self.action == "list" else CallSerializer

    def get_queryset(self) -> QuerySet[Call]:
        calls = super().get_queryset()
        if self.action != "retrieve":
            return calls
        return calls.prefetch_related("entries__queue", "offers__agent")

    @verb(EnqueueWords)
    def enqueue(self, request: Request, **_: Any) -> Response:
        """Move a waiting caller to another queue, at the place his waiting has earned him."""
        return self.tell(supervision.enqueue, self.hear(EnqueueWords), call_id=self.get_object().pk)

    @verb(ThenWords)
    def leave_queue(self, request: Request, **_: Any) -> Response:
        """Take a waiting caller out of his queue."""
        return self.tell(supervision.leave_queue, self.hear(ThenWords), call_id=self.get_object().pk)

    @verb(PriorityWords)
    def set_priority(self, request: Request, **_: Any) -> Response:
        """Set a waiting caller's priority: his place in line is another within a second."""
        return self.tell(supervision.set_priority, self.hear(PriorityWords), call_id=self.get_object().pk)
