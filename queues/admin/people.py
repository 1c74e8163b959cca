"""Agents, what they serve and can, and where supervisors are rung."""

import uuid

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display

from queues.admin import actions
from queues.admin.forms import AgentForm, OwnPositionForm
from queues.admin.pages import KeptOnceUsed
from queues.models import Agent, AgentSkill, QueueMembership, SupervisorPhone
from queues.tones import TONES

STATE_FIELDS = (
    "state",
    "reason",
    "pending_state",
    "pending_reason",
    "state_since",
    "login_at",
    "available_since",
    "ready_at",
    "wrap_up_until",
    "last_handled_end",
    "misses",
    "device_failures",
)


class SkillInline(TabularInline):
    model = AgentSkill
    extra = 0
    tab = True
    hide_title = True
    autocomplete_fields = ("skill",)


class ServedInline(TabularInline):
    model = QueueMembership
    form = OwnPositionForm
    extra = 0
    tab = True
    hide_title = True
    autocomplete_fields = ("queue",)
    verbose_name_plural = "queues"


@admin.register(Agent)
class AgentAdmin(KeptOnceUsed):
    """What an agent is set up with. His state is his own or a supervisor's to set, on the live page."""

    form = AgentForm
    warn_unsaved_form = True
    list_display = ("name", "shown_state", "reason", "state_since", "team", "address", "shown_queues")
    list_select_related = ("team",)
    list_filter = ("state", "team", "queues")
    search_fields = ("name", "address", "user__username")
    search_help_text = "A name, an address, a user."
    autocomplete_fields = ("user", "team")
    inlines = (ServedInline, SkillInline)
    readonly_fields = STATE_FIELDS
    fieldsets = (
        (None, {"fields": (("name", "team"), ("address", "confirm"), "user")}),
        (
            "Now",
            {
                "description": "What he is doing. A supervisor may set it on the live page.",
                "fields": (
                    ("state", "state_since"),
                    ("reason", "login_at"),
                    ("pending_state", "pending_reason"),
                    ("available_since", "ready_at"),
                    ("wrap_up_until", "last_handled_end"),
                    ("misses", "device_failures"),
                ),
            },
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Agent]:
        agents: QuerySet[Agent] = super().get_queryset(request)
        return agents.prefetch_related("memberships__queue")

    def is_used(self, obj: Agent) -> bool:
        return obj.offers.exists()

    @display(description="state", ordering="state", label=dict(TONES))
    def shown_state(self, agent: Agent) -> tuple[str, str]:
        return agent.state, agent.get_state_display()

    @display(description="queues")
    def shown_queues(self, agent: Agent) -> str:
        return ", ".join(
            f"{served.queue.name} (paused)" if served.paused else served.queue.name
            for served in agent.memberships.all()
        )

    def get_urls(self) -> list[URLPattern]:
        set_state = self.admin_site.admin_view(self.set_state)
        return [path("<uuid:agent_id>/state/", set_state, name="queues_agent_set_state"), *super().get_urls()]

    def set_state(self, request: HttpRequest, agent_id: uuid.UUID) -> HttpResponse:
        return actions.set_agent_state(request, agent_id)


@admin.register(QueueMembership)
class QueueMembershipAdmin(ModelAdmin):
    form = OwnPositionForm
    list_display = ("agent", "queue", "penalty", "position", "delay_secs", "queue_priority", "paused")
    list_select_related = ("agent", "queue")
    list_filter = ("queue", "paused")
    search_fields = ("agent__name", "queue__name")
    autocomplete_fields = ("agent", "queue")
    fieldsets = (
        (None, {"fields": (("agent", "queue"), "paused")}),
        (
            "Order",
            {
                "description": "Lower penalties are asked first; the position counts in turn-taking and linear queues.",
                "fields": (("penalty", "position"), ("delay_secs", "queue_priority")),
            },
        ),
    )


@admin.register(AgentSkill)
class AgentSkillAdmin(ModelAdmin):
    list_display = ("agent", "skill", "level")
    list_select_related = ("agent", "skill")
    list_filter = ("skill", "level")
    search_fields = ("agent__name", "skill__name")
    autocomplete_fields = ("agent", "skill")


@admin.register(SupervisorPhone)
class SupervisorPhoneAdmin(ModelAdmin):
    list_display = ("user", "address")
    list_select_related = ("user",)
    search_fields = ("user__username", "address")
    autocomplete_fields = ("user",)
    fieldsets = (
        (
            None,
            {
                "description": "Where a supervisor is rung when he wants to listen.",
                "fields": ("user", "address"),
            },
        ),
    )
