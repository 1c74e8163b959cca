"""The admin site: its navigation, and the live page, which comes first in it."""

import uuid
from typing import Any
from zoneinfo import ZoneInfo

from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.text import capfirst
from unfold.sites import UnfoldAdminSite

from callcenter.access.login import StaffLoginForm
from queues import controls, wallboard

# Group, and in it "app.model" with its icon (Material Symbols, bundled with unfold).
NAVIGATION: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    (
        "Calls",
        (
            ("queues.call", "call"),
            ("queues.queueentry", "hourglass_top"),
            ("queues.offer", "ring_volume"),
            ("queues.routingdecision", "alt_route"),
            ("queues.routingpass", "account_tree"),
            ("conferences.supervisionsession", "hearing"),
            ("conferences.recording", "voicemail"),
        ),
    ),
    (
        "Set-up",
        (
            ("queues.queue", "stacks"),
            ("queues.number", "dialpad"),
            ("queues.agent", "support_agent"),
            ("queues.queuemembership", "group_add"),
            ("queues.skill", "school"),
            ("queues.agentskill", "star"),
            ("queues.team", "groups"),
            ("queues.supervisorphone", "phone_forwarded"),
        ),
    ),
    (
        "At Telnyx",
        (
            ("conferences.callleg", "phone_in_talk"),
            ("conferences.conference", "forum"),
            ("conferences.participant", "record_voice_over"),
        ),
    ),
    (
        "Logs",
        (
            ("webhooks.journalentry", "menu_book"),
            ("webhooks.auditentry", "policy"),
            ("webhooks.webhookevent", "move_to_inbox"),
            ("webhooks.command", "outbox"),
            ("webhooks.telnyxstatus", "cell_tower"),
            ("callcenter.reconcilerun", "compare_arrows"),
            ("callcenter.correction", "healing"),
            ("callcenter.doubt", "help"),
            ("webhooks.dispatchgate", "traffic"),
            ("callcenter.lease", "key"),
            ("callcenter.processheartbeat", "monitor_heart"),
        ),
    ),
    (
        "Access",
        (
            ("auth.user", "person"),
            ("auth.group", "shield_person"),
            ("callcenter.apikey", "vpn_key"),
            ("callcenter.idempotencykey", "repeat_one"),
        ),
    ),
)


class Site(UnfoldAdminSite):
    """Unfold's site with one page more."""

    login_form = StaffLoginForm

    def extra_urls(self) -> list[URLPattern]:
        return [
            path("live/", self.admin_view(self.live), name="live"),
            path("live/board/", self.admin_view(self.live_board), name="live_board"),
        ]

    def live(self, request: HttpRequest) -> HttpResponse:
        """Queues, agents and conversations, as they are now."""
        request.current_app = self.name
        context = {**self.each_context(request), "title": "Live", "is_fullwidth": "1", **board(request)}
        return TemplateResponse(request, "callcenter/live.html", context)

    def live_board(self, request: HttpRequest) -> HttpResponse:
        """The part of the page that changes."""
        return TemplateResponse(request, "callcenter/_board.html", board(request))


def board(request: HttpRequest) -> dict[str, Any]:
    """What is on the board, each conversation and agent with the buttons this user may press."""
    user = request.user
    assert isinstance(user, User)  # noqa: S101  admin_view lets nobody else in
    seen = wallboard.board(timezone.now(), zone=ZoneInfo(settings.TIME_ZONE_BUSINESS))
    his = controls.call_he_is_on(user)
    return {
        "board": seen,
        "conversations": [(each, controls.of_conversation(user, each, he_is_on=his)) for each in seen.conversations],
        "agents": [(row, controls.of_agent(user, row.agent)) for row in seen.agents],
        "here": reverse("admin:live"),
        "token": uuid.uuid4,  # called anew for each form
    }


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """The side bar: what this user may see (named in settings.UNFOLD)."""
    live = {"title": "Live", "icon": "monitoring", "link": reverse("admin:live")}
    groups = [{"items": [live]}]
    for title, names in NAVIGATION:
        items = [_item(*name) for name in names if _may_see(request, name[0])]
        if items:
            groups.append({"title": title, "separator": True, "items": items})  # type: ignore[dict-item]
    return groups


def _may_see(request: HttpRequest, name: str) -> bool:
    app, model = name.split(".")
    return any(request.user.has_perm(f"{app}.{right}_{model}") for right in ("view", "change"))


def _item(name: str, icon: str) -> dict[str, str]:
    model = apps.get_model(name)
    link = reverse(f"admin:{name.replace('.', '_')}_changelist")
    return {"title": capfirst(model._meta.verbose_name_plural), "icon": icon, "link": link}
