"""The logs, to be read: what Telnyx told us, what we told Telnyx, what we did, who did it.

``ReadOnlyAdmin`` is the page of every row that nobody edits; the upper floors' pages stand on it too.
"""

import uuid
from collections.abc import Callable, Sequence
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet, UUIDField
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import RangeDateTimeFilter
from unfold.decorators import display
from unfold.paginator import InfinitePaginator

from webhooks import inbox
from webhooks.models import AuditEntry, Command, DispatchGate, JournalEntry, TelnyxStatus, WebhookEvent

ROWS_REPORTED = 20


class ReadOnlyAdmin(ModelAdmin):
    """Rows to look at.

    ``for_superusers`` names the fields with Telnyx's tokens, which command a live call. ``call_lookup`` leads to
    our call's id: that id, typed into the search, finds all that belongs to the call.
    """

    for_superusers: Sequence[str] = ()
    call_lookup = "call_id"
    list_per_page = 50
    compressed_fields = True

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def get_exclude(self, request: HttpRequest, obj: Any = None) -> list[str]:
        hidden = list(super().get_exclude(request, obj) or ())
        return hidden if request.user.is_superuser else [*hidden, *self.for_superusers]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if self.call_lookup and (call_id := as_uuid(search_term.strip())):
            return queryset.filter(**{self.call_lookup: call_id}), False
        return super().get_search_results(request, queryset, search_term)


class LogAdmin(ReadOnlyAdmin):
    """A table that only grows: nothing that would count it."""

    show_full_result_count = False
    paginator = InfinitePaginator
    list_filter_submit = True


def as_uuid(text: str) -> uuid.UUID | None:
    try:
        return UUIDField().to_python(text) if text else None
    except ValidationError:
        return None


def call_link(call_id: uuid.UUID | None) -> SafeString | str:
    """A link to the call's page, which an upper floor offers under this name."""
    if call_id is None:
        return ""
    try:
        return format_html('<a href="{}">{}</a>', reverse("admin:queues_call_change", args=[call_id]), short(call_id))
    except NoReverseMatch:
        return short(call_id)


def short(ident: uuid.UUID) -> str:
    return str(ident)[:8]


def report_per_row(
    request: HttpRequest, rows: Sequence[Any], act: Callable[[Any], str], done: str, *, limit: int = ROWS_REPORTED
) -> None:
    """Run an action on each row and say what became of each. ``act`` returns '' or why it did nothing."""
    done_to, refused = [], []
    for row in rows:
        why_not = act(row)
        if why_not:
            refused.append(f"{row}: {why_not}")
        else:
            done_to.append(f"{row}: {done}")
    for lines, level in ((done_to, messages.SUCCESS), (refused, messages.WARNING)):
        for line in lines[:limit]:
            messages.add_message(request, level, line)
        if len(lines) > limit:
            messages.add_message(request, level, f"… and {len(lines) - limit} more.")


@admin.register(WebhookEvent)
class WebhookEventAdmin(LogAdmin):
    list_display = ("event_type", "shown_status", "occurred_at", "received_at", "shown_call", "attempts", "error_line")
    list_display_links = ("event_type",)
    list_filter = ("status", "source", ("received_at", RangeDateTimeFilter))
    search_fields = ("event_type", "event_id", "call_session_id", "conference_id")
    search_help_text = "An event's type or id, a session, a conference, or one of our calls' ids."
    for_superusers = ("call_control_id", "payload")
    actions = ("replay",)

    @display(
        description="status",
        ordering="status",
        label={
            WebhookEvent.Status.NEW: "info",
            WebhookEvent.Status.DONE: "success",
            WebhookEvent.Status.DEAD: "danger",
        },
    )
    def shown_status(self, event: WebhookEvent) -> tuple[str, str]:
        return event.status, WebhookEvent.Status(event.status).name.replace("DEAD", "set aside").lower()

    @display(description="call")
    def shown_call(self, event: WebhookEvent) -> str:
        return call_link(event.call_id)

    @display(description="error")
    def error_line(self, event: WebhookEvent) -> str:
        return event.error[:100]

    def has_replay_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("webhooks.change_webhookevent")

    @admin.action(description="Replay events that were set aside", permissions=["replay"])
    def replay(self, request: HttpRequest, queryset: QuerySet[WebhookEvent]) -> None:
        report_per_row(request, list(queryset.order_by("id")), _replay, "waits to be applied again.")


def _replay(event: WebhookEvent) -> str:
    if inbox.replay(event.pk):
        return ""
    return f"nothing to replay, it is {event.get_status_display()}."


@admin.register(Command)
class CommandAdmin(LogAdmin):
    list_display = (
        "sequence",
        "kind",
        "operation",
        "shown_state",
        "created_at",
        "first_sent_at",
        "attempts",
        "refusal",
        "shown_call",
        "actor",
    )
    list_display_links = ("sequence", "kind")
    list_select_related = ("actor",)
    list_filter = ("state", ("created_at", RangeDateTimeFilter))
    search_fields = ("kind", "operation", "command_id", "code")
    search_help_text = "A kind (dial_agent), an operation (calls.dial), Telnyx's error code, or a call's id."
    for_superusers = ("target", "arguments", "ordering_key", "dedupe_key", "result")

    @display(
        description="state",
        ordering="state",
        label={
            Command.State.NEW: "info",
            Command.State.SENT: "info",
            Command.State.UNKNOWN: "warning",
            Command.State.ACCEPTED: "success",
            Command.State.REJECTED: "danger",
        },
    )
    def shown_state(self, command: Command) -> str:
        return command.state

    @display(description="refused as")
    def refusal(self, command: Command) -> str:
        return " ".join(str(part) for part in (command.status, command.code) if part)

    @display(description="call")
    def shown_call(self, command: Command) -> str:
        return call_link(command.call_id)


@admin.register(JournalEntry)
class JournalEntryAdmin(LogAdmin):
    list_display = ("at", "shown_call", "number", "kind", "facts")
    list_display_links = ("at",)
    list_filter = (("at", RangeDateTimeFilter),)
    search_fields = ("kind",)
    search_help_text = "A kind (offered, sent_away), or a call's id for its whole story."
    ordering = ("-id",)

    @display(description="call")
    def shown_call(self, entry: JournalEntry) -> str:
        return call_link(entry.call_id)


@admin.register(AuditEntry)
class AuditEntryAdmin(LogAdmin):
    list_display = ("at", "actor", "action", "was_allowed", "shown_call", "reason")
    list_display_links = ("at",)
    list_filter = ("allowed", "action", ("at", RangeDateTimeFilter))
    search_fields = ("actor", "action", "reason")
    search_help_text = "Who, what, why, or a call's id."
    date_hierarchy = "at"

    @display(description="allowed", label={"allowed": "success", "refused": "danger"})
    def was_allowed(self, entry: AuditEntry) -> str:
        return "allowed" if entry.allowed else "refused"

    @display(description="call")
    def shown_call(self, entry: AuditEntry) -> str:
        return call_link(entry.call_id)


@admin.register(TelnyxStatus)
class TelnyxStatusAdmin(ReadOnlyAdmin):
    call_lookup = ""
    list_display = ("__str__", "failures", "opened_at", "probe_at", "dials_from", "requests_from")


@admin.register(DispatchGate)
class DispatchGateAdmin(ReadOnlyAdmin):
    call_lookup = ""
    list_display = ("__str__", "open_until")
