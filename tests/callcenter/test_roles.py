"""The groups a call center begins with."""

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from callcenter import roles

pytestmark = pytest.mark.django_db


def rights(name: str) -> set[str]:
    pairs = Group.objects.get(name=name).permissions.values_list("content_type__app_label", "codename")
    return {".".join(pair) for pair in pairs}


def test_supervisors_see_listen_and_control_and_set_nothing_up() -> None:
    held = rights(roles.SUPERVISORS)
    assert {
        "conferences.monitor_conference",
        "conferences.whisper_conference",
        "conferences.barge_conference",
        "conferences.take_over_conference",
        "conferences.control_conference",
        "queues.force_agent_state",
        "queues.view_call",
        "queues.view_queue",
        "queues.view_agent",
        "webhooks.view_auditentry",
    } <= held
    assert not {right for right in held if any(f".{verb}_" in right for verb in ("add", "change", "delete"))}


def test_administrators_set_up_and_never_listen() -> None:
    held = rights(roles.ADMINISTRATORS)
    assert {"queues.add_queue", "queues.delete_agent", "webhooks.change_webhookevent", "callcenter.view_lease"} <= held
    assert {right for right in held if right.startswith("auth.")} == {"auth.view_user"}
    assert not {right for right in held if "monitor_" in right or "control_" in right}
    assert "queues.force_agent_state" not in held
    assert "queues.change_call" not in held


def test_administrators_find_the_user_an_agent_is() -> None:
    client = Client()
    user = User.objects.create_user("ada", is_staff=True)
    user.groups.add(Group.objects.get(name=roles.ADMINISTRATORS))
    client.force_login(user)
    asked = {"app_label": "queues", "model_name": "agent", "field_name": "user", "term": "ad"}
    assert client.get(reverse("admin:autocomplete"), asked).json()["results"] == [{"id": str(user.pk), "text": "ada"}]
    assert client.get(reverse("admin:queues_agent_add")).status_code == 200


def test_nobody_is_in_them_by_himself() -> None:
    assert not User.objects.filter(groups__isnull=False).exists()


def test_a_right_taken_away_does_not_come_back() -> None:
    group = Group.objects.get(name=roles.SUPERVISORS)
    group.permissions.remove(Permission.objects.get(codename="barge_conference"))
    call_command("migrate", verbosity=0)
    assert "conferences.barge_conference" not in rights(roles.SUPERVISORS)


def test_a_group_that_is_gone_is_made_again() -> None:
    Group.objects.get(name=roles.SUPERVISORS).delete()
    roles.create()
    assert "conferences.monitor_conference" in rights(roles.SUPERVISORS)
