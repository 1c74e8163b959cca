"""Calls, stays and offers, to be read; on a call's page its whole story and the supervisor's buttons."""

import json
import uuid
from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import Prefetch, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import RangeDateTimeFilter
from unfold.decorators import display

from conferences.models import CallLeg, Recording, SupervisionSession
from queues import controls, reasons, services, story, wallboard
from queues.admin import actions
from queues.models import Call, Offer, QueueEntry, RoutingDecision, RoutingPass
from queues.templatetags.live import instant, levels_as_text
from queues.tones import TONES
from webhooks.admin import ReadOnlyAdmin, as_uuid
from webhooks.models import AuditEntry, Command, JournalEntry, WebhookEvent

MOST_ROWS = 200
SEE_DECISIONS = "queues.view_routingdecision"


@admin.register(Call)
class CallAdmin(ReadOnlyAdmin):
    call_lookup = "pk"
    list_display = (
        "from_number",
        "to_number",
        "queue",
        "shown_state",
        "shown_outcome",
        "shown_agent",
        "waited",
        "arrived_at",
        "ended_at",
    )
    list_select_related = ("queue",)
    list_filter = ("state", "outcome", "queue", ("arrived_at", RangeDateTimeFilter))
    list_filter_submit = True
    show_full_result_count = False
    date_hierarchy = "arrived_at"
    search_fields = ("from_number", "to_number")
    search_help_text = "A number, or a call's id."
    change_form_template = "queues/call.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Call]:
        talked = Offer.objects.filter(connected_at__isnull=False).select_related("agent").order_by("connected_at")
        return super().get_queryset(request).prefetch_related("entries", Prefetch("offers", queryset=talked))

    @display(description="state", ordering="state", label=dict(TONES))
    def shown_state(self, call: Call) -> tuple[str, str]:
        return call.state, call.get_state_display()

    @display(description="outcome", ordering="outcome", label=dict(TONES))
    def shown_outcome(self, call: Call) -> tuple[str, str]:
        return call.outcome, call.get_outcome_display()

    @display(description="agent")
    def shown_agent(self, call: Call) -> str:
        return ", ".join(dict.fromkeys(offer.agent.name for offer in call.offers.all()))

    @display(description="waited")
    def waited(self, call: Call) -> str:
        waits = [entry.wait_secs for entry in call.entries.all() if entry.wait_secs is not None]
        return f"{sum(waits):.0f} s" if waits else ""

    def get_urls(self) -> list[URLPattern]:
        def guarded(view: Any) -> Any:
            return self.admin_site.admin_view(view)

        return [
            path("<uuid:call_id>/act/", guarded(self.act), name="queues_call_act"),
            path("<uuid:call_id>/now/", guarded(self.now), name="queues_call_now"),
            *super().get_urls(),
        ]

    def act(self, request: HttpRequest, call_id: uuid.UUID) -> HttpResponse:
        return actions.act_on_call(request, call_id)

    def now(self, request: HttpRequest, call_id: uuid.UUID) -> HttpResponse:
        """The part of the page that changes while the call goes on; 286 tells htmx that nothing more will come."""
        call = Call.objects.select_related("queue", "leg").filter(pk=call_id).first()
        if call is None:
            raise Http404
        if not self.has_view_permission(request, call):
            raise PermissionDenied
        status = 286 if call.is_over else 200
        return render(request, "queues/_call_now.html", now_of(call, request), status=status)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        call_id = as_uuid(object_id)
        call = Call.objects.select_related("queue", "leg").filter(pk=call_id).first() if call_id else None
        if call is not None and self.has_view_permission(request, call):
            extra_context = (extra_context or {}) | now_of(call, request) | past_of(call, request)
        return super().change_view(request, object_id, form_url, extra_context)


def now_of(call: Call, request: HttpRequest) -> dict[str, Any]:
    """State, conversation with its buttons, and the story so far."""
    now = timezone.now()
    conversation, user = wallboard.conversation(call, now), request.user
    assert isinstance(user, User)  # noqa: S101  admin_view lets nobody else in
    return {
        "call": call,
        "now": now,
        "conversation": conversation,
        "standing": None if call.is_over else services.standing(call, now=now),
        "controls": controls.of_conversation(user, conversation, he_is_on=controls.call_he_is_on(user)),
        "story": list(story.tell(JournalEntry.objects.filter(call_id=call.pk).order_by("number"))),
        "here": reverse("admin:queues_call_change", args=[call.pk]),
        "token": uuid.uuid4,  # called anew for each form
    }


def past_of(call: Call, request: HttpRequest) -> dict[str, Any]:
    """The rows behind the story, as far as the user may see them."""
    user = request.user

    def seen(permission: str, rows: QuerySet[Any]) -> list[Any] | None:
        return list(rows[:MOST_ROWS]) if user.has_perm(permission) else None

    why = services.why(call, now=timezone.now()) if user.has_perm(SEE_DECISIONS) else None
    return {
        "most_rows": MOST_ROWS,
        "shows_tokens": user.is_superuser,
        "entries": seen("queues.view_queueentry", call.entries.select_related("queue").order_by("number")),
        "decisions": list(reasons.tell(why.decisions[:MOST_ROWS])) if why else None,
        "ahead": why.ahead if why else None,
        "reasons_of_ahead": list(reasons.tell(why.of_ahead)) if why else None,
        "offers": seen("queues.view_offer", call.offers.select_related("agent", "entry__queue").order_by("offered_at")),
        "legs": seen("conferences.view_callleg", CallLeg.objects.filter(call_id=call.pk).order_by("initiated_at")),
        "sessions": seen(
            "conferences.view_supervisionsession",
            SupervisionSession.objects.filter(call_id=call.pk).select_related("supervisor").order_by("requested_at"),
        ),
        "recordings": seen(
            "conferences.view_recording",
            Recording.objects.filter(call_id=call.pk).order_by("recording_started_at"),
        ),
        "audit": seen("webhooks.view_auditentry", AuditEntry.objects.filter(call_id=call.pk).order_by("at")),
        "commands": seen("webhooks.view_command", Command.objects.filter(call_id=call.pk).order_by("sequence")),
        "events": seen("webhooks.view_webhookevent", WebhookEvent.objects.filter(call_id=call.pk).order_by("id")),
    }


@admin.register(QueueEntry)
class QueueEntryAdmin(ReadOnlyAdmin):
    list_display = (
        "shown_call",
        "queue",
        "number",
        "shown_state",
        "shown_outcome",
        "entered_at",
        "rank_at",
        "ring",
        "waited",
        "end_reason",
        "priority",
    )
    list_select_related = ("call", "queue")
    list_filter = ("state", "outcome", "queue", ("entered_at", RangeDateTimeFilter))
    list_filter_submit = True
    show_full_result_count = False
    ordering = ("-entered_at",)
    search_fields = ("call__from_number", "call__to_number")
    search_help_text = "A number, or a call's id."
    exclude = ("required_skills", "line")
    readonly_fields = ("shown_skills", "ring")

    @display(description="call")
    def shown_call(self, entry: QueueEntry) -> str:
        return str(entry.call)

    @display(
        description="state",
        ordering="state",
        label=dict(TONES),
    )
    def shown_state(self, entry: QueueEntry) -> tuple[str, str]:
        return entry.state, entry.get_state_display()

    @display(description="outcome", ordering="outcome", label=dict(TONES))
    def shown_outcome(self, entry: QueueEntry) -> tuple[str, str]:
        return entry.outcome, entry.get_outcome_display()

    @display(description="waited")
    def waited(self, entry: QueueEntry) -> str:
        return f"{entry.wait_secs:.1f} s" if entry.wait_secs is not None else ""

    @display(description="ring")
    def ring(self, entry: QueueEntry) -> str:
        """``1 of 3, next 12:00:30``; for who waits no longer, or where no ring ever opens, nothing."""
        ring = services.ring(entry, now=timezone.now())
        if ring is None or ring.count == 1:
            return ""
        place = f"{ring.number} of {ring.count}"
        return format_html("{}, next {}", place, instant(ring.next_at)) if ring.next_at else place

    @display(description="required skills")
    def shown_skills(self, entry: QueueEntry) -> str:
        return levels_as_text(entry.required_skills)


@admin.register(Offer)
class OfferAdmin(ReadOnlyAdmin):
    list_display = (
        "shown_call",
        "agent",
        "shown_queue",
        "shown_state",
        "offered_at",
        "connected_at",
        "ended_at",
        "end_reason",
    )
    list_select_related = ("call", "agent", "entry__queue")
    list_filter = ("state", "agent", ("offered_at", RangeDateTimeFilter))
    list_filter_submit = True
    show_full_result_count = False
    search_fields = ("agent__name", "call__from_number", "call__to_number")
    search_help_text = "An agent, a number, or a call's id."

    @display(description="call")
    def shown_call(self, offer: Offer) -> str:
        return str(offer.call)

    @display(description="queue")
    def shown_queue(self, offer: Offer) -> str:
        return offer.entry.queue.name

    @display(
        description="state",
        ordering="state",
        label=dict(TONES),
    )
    def shown_state(self, offer: Offer) -> tuple[str, str]:
        return offer.state, offer.get_state_display()

    def get_readonly_fields(self, request: HttpRequest, obj: Offer | None = None) -> tuple[str, ...]:
        return ("why",) if request.user.has_perm(SEE_DECISIONS) else ()

    @display(description="why")
    def why(self, offer: Offer) -> str:
        """The pass that made it; none where it is older than 30 days."""
        return _rendered(RoutingDecision.objects.filter(offers=offer)) or "–"


@admin.register(RoutingDecision)
class RoutingDecisionAdmin(ReadOnlyAdmin):
    list_display = ("shown_call", "shown_queue", "shown_offer", "strategy", "decided_at")
    list_select_related = ("call", "entry__queue")
    list_filter = ("strategy", ("decided_at", RangeDateTimeFilter))
    list_filter_submit = True
    show_full_result_count = False
    search_fields = ("call__from_number", "call__to_number")
    search_help_text = "A number, or a call's id."
    exclude = ("facts", "explanation")
    readonly_fields = ("why",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[RoutingDecision]:
        return super().get_queryset(request).prefetch_related("offers__agent")

    @display(description="call")
    def shown_call(self, decision: RoutingDecision) -> str:
        return str(decision.call)

    @display(description="queue")
    def shown_queue(self, decision: RoutingDecision) -> str:
        return decision.entry.queue.name

    @display(description="offered to")
    def shown_offer(self, decision: RoutingDecision) -> str:
        return ", ".join(offer.agent.name for offer in decision.offers.all()) or "nobody"

    @display(description="why")
    def why(self, decision: RoutingDecision) -> str:
        return _rendered([decision])


def _rendered(decisions: Iterable[RoutingDecision]) -> SafeString:
    told = ((render_to_string("queues/_reasons.html", {"reasons": each}),) for each in reasons.tell(decisions))
    return format_html_join("", "{}", told)


@admin.register(RoutingPass)
class RoutingPassAdmin(ReadOnlyAdmin):
    """Its state is what ``manage.py route`` decides again: copy it into a file."""

    call_lookup = ""
    list_display = ("id", "decided_at")
    list_filter = (("decided_at", RangeDateTimeFilter),)
    list_filter_submit = True
    show_full_result_count = False
    exclude = ("state", "absent")
    readonly_fields = ("state_as_json",)

    @display(description="state, for manage.py route")
    def state_as_json(self, routing_pass: RoutingPass) -> str:
        return json.dumps(routing_pass.state)
