"""Queues, numbers, teams, skills: what a call center is set up with."""

import uuid
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Count, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path
from django.views.decorators.http import require_safe
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display

from queues.admin.forms import MembershipForm, MembershipsOfQueue, QueueForm, SkillForm, uses_of
from queues.admin.pages import KeptOnceUsed
from queues.admin.preview import preview_of
from queues.models import Number, Queue, QueueMembership, Skill, Team


class NumberInline(TabularInline):
    model = Number
    extra = 0
    tab = True
    hide_title = True


class MemberInline(TabularInline):
    model = QueueMembership
    form = MembershipForm
    formset = MembershipsOfQueue
    extra = 0
    tab = True
    hide_title = True
    autocomplete_fields = ("agent",)
    verbose_name_plural = "agents"


@admin.register(Queue)
class QueueAdmin(KeptOnceUsed):
    form = QueueForm
    change_form_template = "queues/queue.html"
    warn_unsaved_form = True
    list_display = ("name", "team", "shown_strategy", "shown_numbers", "members", "record", "at_telnyx")
    list_select_related = ("team",)
    list_filter = ("team", "strategy", "record")
    search_fields = ("name", "numbers__number")
    search_help_text = "A queue's name or number."
    autocomplete_fields = ("team",)
    inlines = (NumberInline, MemberInline)
    readonly_fields = (
        "telnyx_queue_id",
        "current_size",
        "average_wait_time_secs",
        "mirrored_at",
        "last_offered_position",
    )
    fieldsets = (
        (None, {"fields": (("name", "team"), ("strategy", "record"))}),
        (
            "What the caller hears",
            {
                "classes": ("tab",),
                "fields": (
                    "greeting_text",
                    "consent_text",
                    "closing_text",
                    "hold_music_url",
                    ("voice", "language"),
                ),
            },
        ),
        (
            "Times and limits",
            {
                "classes": ("tab",),
                "fields": (
                    ("ring_secs", "wrap_up_secs"),
                    ("max_wait_secs", "max_size"),
                    ("service_level_secs", "short_abandon_secs"),
                ),
            },
        ),
        (
            "Who gets the call",
            {
                "classes": ("tab",),
                "fields": (
                    "required_skills",
                    ("weight", "idle_basis"),
                    ("scoring", "aging_seconds_per_point"),
                    ("promise_secs", "beta"),
                    ("min_penalty", "max_penalty"),
                    ("raise_penalty", "penalty_members_limit"),
                    "rings",
                    "penalty_rules",
                    "sticky",
                ),
            },
        ),
        (
            "At Telnyx",
            {
                "classes": ("tab",),
                "description": "Telnyx's own figures of the queue of this name; they are read, never written.",
                "fields": (
                    ("current_size", "average_wait_time_secs"),
                    "mirrored_at",
                    ("telnyx_queue_id", "last_offered_position"),
                ),
            },
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Queue]:
        queues: QuerySet[Queue] = super().get_queryset(request)
        return queues.annotate(member_count=Count("memberships")).prefetch_related("numbers")

    def get_urls(self) -> list[URLPattern]:
        preview = self.admin_site.admin_view(require_safe(self.preview))
        return [path("<uuid:queue_id>/preview/", preview, name="queues_queue_preview"), *super().get_urls()]

    def preview(self, request: HttpRequest, queue_id: uuid.UUID) -> HttpResponse:
        """The section of the page that answers who could take a call."""
        queue = Queue.objects.filter(pk=queue_id).first()
        if queue is None:
            raise Http404
        if not self.has_view_permission(request, queue):
            raise PermissionDenied
        return render(request, "queues/_preview.html", {"asked": preview_of(queue, request.GET)})

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """What was typed into the form is not saved yet, and no part of what the preview goes by."""
        original = context.get("original")
        saved = Queue.objects.filter(pk=original.pk).first() if original else None
        asked = {"asked": preview_of(saved, request.GET)} if saved else {}
        return super().render_change_form(request, context | asked, *args, **kwargs)

    def is_used(self, obj: Queue) -> bool:
        return obj.calls.exists() or obj.entries.exists()

    @display(description="strategy", ordering="strategy")
    def shown_strategy(self, queue: Queue) -> str:
        return queue.get_strategy_display()

    @display(description="numbers")
    def shown_numbers(self, queue: Queue) -> str:
        return ", ".join(number.number for number in queue.numbers.all())

    @display(description="agents", ordering="member_count")
    def members(self, queue: Queue) -> int:
        return queue.member_count  # type: ignore[attr-defined,no-any-return]

    @display(description="waiting at Telnyx", ordering="current_size")
    def at_telnyx(self, queue: Queue) -> int | None:
        return queue.current_size


@admin.register(Number)
class NumberAdmin(ModelAdmin):
    list_display = ("number", "queue", "priority")
    list_select_related = ("queue",)
    list_filter = ("queue",)
    search_fields = ("number", "queue__name")
    autocomplete_fields = ("queue",)
    fieldsets = (
        (
            None,
            {
                "description": "Who rings this number comes into this queue. A number without a queue is refused.",
                "fields": ("number", "queue", "priority"),
            },
        ),
    )


@admin.register(Team)
class TeamAdmin(ModelAdmin):
    list_display = ("name", "queue_count", "agent_count")
    search_fields = ("name",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Team]:
        teams: QuerySet[Team] = super().get_queryset(request)
        return teams.annotate(
            queues_counted=Count("queues", distinct=True), agents_counted=Count("agents", distinct=True)
        )

    @display(description="queues", ordering="queues_counted")
    def queue_count(self, team: Team) -> int:
        return team.queues_counted  # type: ignore[attr-defined,no-any-return]

    @display(description="agents", ordering="agents_counted")
    def agent_count(self, team: Team) -> int:
        return team.agents_counted  # type: ignore[attr-defined,no-any-return]


@admin.register(Skill)
class SkillAdmin(KeptOnceUsed):
    """A skill that a queue names stays under its name: without it nobody could take that queue's calls, and the queue
    could not be saved.
    """

    form = SkillForm
    list_display = ("name", "agent_count")
    search_fields = ("name",)

    def is_used(self, obj: Skill) -> bool:
        return bool(uses_of(obj.name))

    def get_readonly_fields(self, request: HttpRequest, obj: Skill | None = None) -> tuple[str, ...]:
        return ("used",) if obj is not None else ()

    @display(description="used")
    def used(self, skill: Skill) -> str:
        return ", ".join(uses_of(skill.name)) or "by no queue"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Skill]:
        skills: QuerySet[Skill] = super().get_queryset(request)
        return skills.annotate(agents_counted=Count("agent_skills"))

    @display(description="agents", ordering="agents_counted")
    def agent_count(self, skill: Skill) -> int:
        return skill.agents_counted  # type: ignore[attr-defined,no-any-return]
