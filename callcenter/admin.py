"""The pages of what spans the house: users and groups, keys, who leads, who is alive."""

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.admin import ModelAdmin, StackedInline
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from callcenter.models import ApiKey, IdempotencyKey, Lease, ProcessHeartbeat
from queues.models import SupervisorPhone
from webhooks.admin import LogAdmin, ReadOnlyAdmin, report_per_row

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
