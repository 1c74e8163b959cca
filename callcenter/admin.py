"""The pages of what spans the house: users and groups, keys, who leads, who is alive, what was put right."""

from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.core.exceptions import PermissionDenied
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_POST
from unfold.admin import ModelAdmin, StackedInline, TabularInline
from unfold.contrib.filters.admin import RangeDateTimeFilter
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from callcenter import reconcile
from callcenter.models import (
    ApiKey,
    Correction,
    Doubt,
    IdempotencyKey,
    Lease,
    ProcessHeartbeat,
    ReconcileRun,
)
from queues.models import SupervisorPhone
from webhooks.admin import LogAdmin, ReadOnlyAdmin, call_link, report_per_row

admin.site.unregister(User)
admin.site.unregister(Group)


class PhoneInline(StackedInline):
    model = SupervisorPhone
    extra = 0
    verbose_name = verbose_name_plural = "supervisor phone"


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):  # type: ignore[misc,type-arg]
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    inlines = (PhoneInline,)
    list_display = ("username", "first_name", "last_name", "is_active", "is_staff", "is_superuser", "last_login")
    list_filter = ("is_active", "is_staff", "is_superuser", "groups")


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin):  # type: ignore[misc]
    list_display = ("name", "member_count")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Group]:
        groups: QuerySet[Group] = super().get_queryset(request)
        return groups.annotate(members_counted=Count("user"))

    @display(description="users", ordering="members_counted")
    def member_count(self, group: Group) -> int:
        return group.members_counted  # type: ignore[attr-defined,no-any-return]


@admin.register(Lease)
class LeaseAdmin(ReadOnlyAdmin):
    call_lookup = ""
    list_display = ("name", "holder", "until")


@admin.register(ProcessHeartbeat)
class ProcessHeartbeatAdmin(ReadOnlyAdmin):
    call_lookup = ""
    list_display = ("name", "at")


class CorrectionInline(TabularInline):
    model = Correction
    extra = 0
    can_delete = False
    fields = readonly_fields = ("at", "kind", "detail", "remedy", "shown_call")

    @display(description="call")
    def shown_call(self, correction: Correction) -> str:
        return call_link(correction.call_id)

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


@admin.register(ReconcileRun)
class ReconcileRunAdmin(LogAdmin):
    call_lookup = ""
    list_display = (
        "created_at",
        "kind",
        "shown_state",
        "reason",
        "legs",
        "conferences",
        "queue_calls",
        "findings",
        "correction_count",
        "error_line",
    )
    list_filter = ("kind", "state", "in_the_dark", ("created_at", RangeDateTimeFilter))
    inlines = (CorrectionInline,)
    list_before_template = "callcenter/_reconcile_now.html"  # type: ignore[assignment]

    def get_urls(self) -> list[URLPattern]:
        now = path("now/", self.admin_site.admin_view(self.reconcile_now), name="callcenter_reconcilerun_now")
        return [now, *super().get_urls()]

    def get_queryset(self, request: HttpRequest) -> QuerySet[ReconcileRun]:
        runs: QuerySet[ReconcileRun] = super().get_queryset(request)
        return runs.annotate(corrections_counted=Count("corrections"))

    @display(
        description="state",
        ordering="state",
        label={
            ReconcileRun.State.REQUESTED: "info",
            ReconcileRun.State.RUNNING: "info",
            ReconcileRun.State.LOOKING_AGAIN: "info",
            ReconcileRun.State.DONE: "success",
            ReconcileRun.State.FAILED: "danger",
        },
    )
    def shown_state(self, run: ReconcileRun) -> tuple[str, str]:
        return run.state, run.get_state_display()

    @display(description="corrections")
    def correction_count(self, run: ReconcileRun) -> int:
        return run.corrections_counted  # type: ignore[attr-defined,no-any-return]

    @display(description="error")
    def error_line(self, run: ReconcileRun) -> str:
        return run.error[:100]

    @method_decorator(require_POST)
    def reconcile_now(self, request: HttpRequest) -> HttpResponse:
        """Ask the sweeper for a full run; asking twice is asking once."""
        if not request.user.has_perm("callcenter.add_reconcilerun"):
            raise PermissionDenied
        reconcile.request(reason=f"asked for by {request.user}", now=timezone.now())
        messages.success(request, "Everything will be compared with Telnyx within a second or two.")
        return redirect("admin:callcenter_reconcilerun_changelist")


@admin.register(Correction)
class CorrectionAdmin(LogAdmin):
    list_display = ("at", "kind", "detail", "remedy", "shown_call", "run")
    list_display_links = ("at",)
    list_select_related = ("run",)
    list_filter = ("kind", ("at", RangeDateTimeFilter))
    search_fields = ("kind", "detail", "remedy")
    search_help_text = "A kind (leg_gone, adopted), a leg's id, or a call's id."

    @display(description="call")
    def shown_call(self, correction: Correction) -> str:
        return call_link(correction.call_id)


@admin.register(Doubt)
class DoubtAdmin(LogAdmin):
    call_lookup = ""
    list_display = ("__str__", "missed_at", "not_before", "looked_at")
    for_superusers = ("subject",)


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    """Keys are made by ``manage.py create_api_key``, which shows them once; here they are revoked."""

    call_lookup = ""
    list_display = ("name", "prefix", "shown_state", "shown_scopes", "created_at", "expires_at", "last_used_at")
    search_fields = ("name", "prefix")
    fields = ("name", "prefix", "scopes", "created_at", "expires_at", "last_used_at", "revoked_at")
    actions = ("revoke",)

    @display(description="state", label={"usable": "success", "revoked": "danger", "expired": "warning"})
    def shown_state(self, key: ApiKey) -> str:
        if key.revoked_at is not None:
            return "revoked"
        return "usable" if key.is_usable(timezone.now()) else "expired"

    @display(description="scopes")
    def shown_scopes(self, key: ApiKey) -> str:
        return ", ".join(key.scopes)

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("callcenter.change_apikey")

    @admin.action(description="Revoke keys", permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        report_per_row(request, list(queryset), _revoke, "revoked.")


def _revoke(key: ApiKey) -> str:
    revoked = ApiKey.objects.filter(pk=key.pk, revoked_at__isnull=True).update(revoked_at=timezone.now())
    return "" if revoked else "was revoked before."


@admin.register(IdempotencyKey)
class IdempotencyKeyAdmin(LogAdmin):
    call_lookup = ""
    list_display = ("claimed_at", "principal", "key", "status")
    search_fields = ("principal", "key")
    for_superusers = ("body",)
