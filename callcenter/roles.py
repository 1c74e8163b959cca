"""The two groups a call center begins with. They are filled once; afterwards they are its own to change."""

from collections.abc import Mapping
from typing import Any

from django.contrib.auth.models import Group, Permission
from django.db.models import Q

SUPERVISORS = "Supervisors"
ADMINISTRATORS = "Administrators"

_OURS = ("queues", "conferences", "webhooks")
_LISTENING = ("monitor_conference", "whisper_conference", "barge_conference", "take_over_conference")
_SET_UP = (
    "agent",
    "agentskill",
    "number",
    "queue",
    "queuemembership",
    "skill",
    "supervisorphone",
    "team",
)

# Who listens and acts is not who sets up: a person may be in both.
ROLES: Mapping[str, Q] = {
    SUPERVISORS: Q(content_type__app_label__in=_OURS, codename__startswith="view_")
    | Q(content_type__app_label="conferences", codename__in=(*_LISTENING, "control_conference", "listen_recording"))
    | Q(content_type__app_label="queues", codename="force_agent_state"),
    ADMINISTRATORS: Q(content_type__app_label__in=(*_OURS, "callcenter"), codename__startswith="view_")
    | Q(content_type__app_label="queues", content_type__model__in=_SET_UP) & ~Q(codename="force_agent_state")
    # to say whose an agent or a phone is; to replay and revoke
    | Q(content_type__app_label="auth", codename="view_user")
    | Q(codename__in=("change_webhookevent", "change_conference", "change_apikey", "add_reconcilerun")),
}


def create(**_: Any) -> None:
    """After migrate, when the permissions are there: make the groups that are missing.

    A group that exists is left as it is, so that a right taken away does not come back with the next release.
    """
    for name, rights in ROLES.items():
        group, is_new = Group.objects.get_or_create(name=name)
        if is_new:
            group.permissions.set(Permission.objects.filter(rights))
