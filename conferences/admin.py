"""The mirrors of Telnyx, to be read; who listened to whom."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.contrib.filters.admin import RangeDateTimeFilter
from unfold.decorators import display

from conferences import services
from conferences.models import CallLeg, Conference, Participant, Recording, SupervisionSession
from webhooks.admin import ReadOnlyAdmin, call_link, report_per_row

LEG_COLOURS = {"ringing": "warning", "queued": "info", "answered": "success", "bridged": "success"}


class MirrorAdmin(ReadOnlyAdmin):
    """A mirror of Telnyx's: nobody edits it, and some may have it compared at once."""

    actions = ("reconcile",)

    def has_reconcile_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("conferences.change_conference")

    @admin.action(description="Reconcile with Telnyx", permissions=["reconcile"])
    def reconcile(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        done = "Telnyx will be asked within a second or two."
        report_per_row(request, list(queryset), _have_compared, done)


def _have_compared(row: CallLeg | Conference) -> str:
    return "" if services.suspect_all(row, timezone.now()) else "it is over, or Telnyx is about to be asked already."


@admin.register(CallLeg)
class CallLegAdmin(MirrorAdmin):
    list_display = (
        "__str__",
        "shown_state",
        "role",
        "direction",
        "shown_call",
        "initiated_at",
        "answered_at",
        "hangup_at",
        "hangup_cause",
    )
    list_filter = ("role", "direction", ("initiated_at", RangeDateTimeFilter))
    list_filter_submit = True
    show_full_result_count = False
    search_fields = ("from_number", "to_number", "call_leg_id", "call_session_id")
    search_help_text = "A number, Telnyx's leg or session id, or the id of a call."
    for_superusers = ("call_control_id",)
    exclude = ("gathered_digits",)  # a caller may have keyed in his card number

    @display(description="state", label=LEG_COLOURS)
    def shown_state(self, leg: CallLeg) -> str:
        return leg.state

    @display(description="call")
    def shown_call(self, leg: CallLeg) -> str:
        return call_link(leg.call_id)


@admin.register(Conference)
class ConferenceAdmin(MirrorAdmin):
    list_display = ("__str__", "shown_status", "shown_call", "created_at", "ended_at", "shown_recording")
    list_filter = ("recording_state", ("created_at", RangeDateTimeFilter))
    list_filter_submit = True
    show_full_result_count = False
    search_fields = ("name", "conference_id")
    search_help_text = "A conference's name, Telnyx's id of it, or the id of a call."
    for_superusers = ("floor_call_control_id",)

    @display(
        description="status",
        label={Conference.Status.IN_PROGRESS: "success", Conference.Status.INIT: "info"},
    )
    def shown_status(self, conference: Conference) -> tuple[str, str]:
        return conference.status, Conference.Status(conference.status).label

    @display(
        description="recording",
        ordering="recording_state",
        label={Conference.RecordingState.RECORDING: "danger", Conference.RecordingState.PAUSED: "warning"},
    )
    def shown_recording(self, conference: Conference) -> str:
        return conference.recording_state

    @display(description="call")
    def shown_call(self, conference: Conference) -> str:
        return call_link(conference.call_id)


class PresentFilter(admin.SimpleListFilter):
    title = "presence"
    parameter_name = "present"

    def lookups(self, request: HttpRequest, model_admin: object) -> list[tuple[str, str]]:
        return [("yes", "in the conference now"), ("no", "gone")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Participant]) -> QuerySet[Participant]:
        present = Participant.objects.present().values("pk")
        match self.value():
            case "yes":
                return queryset.filter(pk__in=present)
            case "no":
                return queryset.exclude(pk__in=present)
        return queryset


@admin.register(Participant)
class ParticipantAdmin(ReadOnlyAdmin):
    list_display = (
        "shown_leg",
        "conference",
        "shown_presence",
        "shown_role",
        "muted",
        "on_hold",
        "shown_call",
        "joined_at",
        "left_at",
    )
    list_select_related = ("conference", "leg")
    list_filter = (PresentFilter, "supervisor_role", "muted", "on_hold")
    show_full_result_count = False
    ordering = ("-joined_at",)
    search_fields = ("conference__name", "conference__conference_id", "leg__from_number", "leg__to_number")
    search_help_text = "A conference's name or id, a number, or the id of a call."
    for_superusers = ("whisper_call_control_ids",)

    call_lookup = "conference__call_id"

    @display(description="leg", ordering="leg__role")
    def shown_leg(self, seat: Participant) -> str:
        return str(seat.leg)

    @display(description="now", label={"present": "success"})
    def shown_presence(self, seat: Participant) -> str:
        return "present" if seat.is_present else "gone"

    @display(description="supervisor role", ordering="supervisor_role", label={"whisper": "warning", "barge": "danger"})
    def shown_role(self, seat: Participant) -> str:
        return seat.supervisor_role

    @display(description="call")
    def shown_call(self, seat: Participant) -> str:
        return call_link(seat.conference.call_id)


@admin.register(Recording)
class RecordingAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "source", "channels", "shown_call", "recording_started_at", "duration")
    list_filter = ("source", "channels", ("recording_started_at", RangeDateTimeFilter))
    list_filter_submit = True
    show_full_result_count = False
    date_hierarchy = "recording_started_at"
    search_fields = ("key", "recording_id", "call_leg_id")
    search_help_text = "Telnyx's recording or leg id, or the id of a call."

    def get_exclude(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """The links are for those who may listen; they live ten minutes."""
        hidden = super().get_exclude(request, obj)
        return hidden if request.user.has_perm("conferences.listen_recording") else [*hidden, "recording_urls"]

    @display(description="seconds")
    def duration(self, recording: Recording) -> int | None:
        return recording.duration_secs

    @display(description="call")
    def shown_call(self, recording: Recording) -> str:
        return call_link(recording.call_id)


@admin.register(SupervisionSession)
class SupervisionSessionAdmin(ReadOnlyAdmin):
    list_display = (
        "supervisor",
        "shown_role",
        "shown_state",
        "shown_call",
        "requested_at",
        "active_at",
        "ended_at",
        "end_reason",
        "role_changes",
    )
    list_display_links = ("supervisor",)
    list_select_related = ("supervisor",)
    list_filter = ("state", "role", ("requested_at", RangeDateTimeFilter))
    list_filter_submit = True
    show_full_result_count = False
    date_hierarchy = "requested_at"
    search_fields = ("supervisor__username", "reason")
    search_help_text = "A supervisor, a reason, or the id of a call."

    @display(description="role", ordering="role", label={"whisper": "warning", "barge": "danger", "takeover": "danger"})
    def shown_role(self, session: SupervisionSession) -> str:
        return session.role

    @display(
        description="state",
        ordering="state",
        label={
            SupervisionSession.State.DIALING: "info",
            SupervisionSession.State.CONFIRMING: "info",
            SupervisionSession.State.JOINING: "info",
            SupervisionSession.State.ACTIVE: "success",
        },
    )
    def shown_state(self, session: SupervisionSession) -> str:
        return session.state

    @display(description="call")
    def shown_call(self, session: SupervisionSession) -> str:
        return call_link(session.call_id)
