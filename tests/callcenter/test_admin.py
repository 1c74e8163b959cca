"""Every page of every model, for those who may see it, in a number of queries that does not grow."""

import logging
import re
from collections.abc import Iterator

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from callcenter import site
from callcenter.models import ApiKey
from conferences.models import CallLeg, Conference, Participant, Recording, SupervisionSession
from queues.models import (
    Agent,
    AgentSkill,
    Call,
    Number,
    Offer,
    Queue,
    QueueEntry,
    QueueMembership,
    Skill,
    SupervisorPhone,
    Team,
)
from tests.callcenter import clients, furniture
from tests.queues import scene
from webhooks.models import AuditEntry, Command, JournalEntry, WebhookEvent

pytestmark = pytest.mark.django_db

MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)
READ_ONLY = (
    CallLeg, Conference, Participant, Recording, SupervisionSession,
    WebhookEvent, Command, JournalEntry, AuditEntry,
    Call, QueueEntry, Offer,
)  # fmt: skip
SET_UP = (Agent, AgentSkill, Number, Queue, QueueMembership, Skill, SupervisorPhone, Team)
MOST_QUERIES = 30


def page(model: type[Model], name: str, *args: object) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}", args=args)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """A refusal is logged with its traceback, which takes longer to draw than the page."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def root() -> Iterator[Client]:
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


def queries_of(client: Client, url: str) -> int:
    with CaptureQueriesContext(connection) as queries:
        assert client.get(url).status_code == 200, url
    return len(queries)


every_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)


def test_every_model_of_ours_has_pages() -> None:
    ours = {
        model
        for model in apps.get_models()
        if model._meta.app_label in ("queues", "conferences", "webhooks", "callcenter") and not model._meta.auto_created
    }
    assert ours <= set(MODELS)


@every_model
def test_a_list_asks_as_often_for_many_rows_as_for_few(root: Client, model: type[Model]) -> None:
    furniture.furnish("a")
    assert model._default_manager.exists()
    queries_of(root, page(model, "changelist"))  # content types are cached
    few = queries_of(root, page(model, "changelist"))
    for name in "bcd":
        furniture.furnish(name)
    assert queries_of(root, page(model, "changelist")) <= few <= MOST_QUERIES


@every_model
def test_a_row_has_a_page(root: Client, model: type[Model]) -> None:
    furniture.furnish("a")
    row = model._default_manager.first()
    assert row is not None
    assert queries_of(root, page(model, "change", row.pk)) <= MOST_QUERIES


@every_model
def test_rows_are_added_where_they_are_ours(root: Client, model: type[Model]) -> None:
    ours = model in SET_UP or model._meta.app_label == "auth"
    assert root.get(page(model, "add")).status_code == (200 if ours else 403)


@pytest.mark.parametrize("model", READ_ONLY, ids=lambda model: model._meta.label)
def test_mirrors_and_logs_are_changed_by_nobody(root: Client, model: type[Model]) -> None:
    furniture.furnish("a")
    row = model._default_manager.first()
    assert row is not None
    assert root.get(page(model, "add")).status_code == 403
    assert root.get(page(model, "delete", row.pk)).status_code == 403
    assert root.post(page(model, "change", row.pk), {"state": "nonsense"}).status_code == 403


@every_model
def test_words_and_ids_are_searched_for(root: Client, model: type[Model]) -> None:
    call = furniture.furnish("a")
    for words in ("nonsense", str(call.pk), "' OR 1=1 --"):
        assert root.get(page(model, "changelist"), {"q": words}).status_code == 200


@pytest.mark.parametrize("model", [Call, QueueEntry, Offer, CallLeg, Participant, JournalEntry, Command], ids=str)
def test_a_calls_id_finds_what_belongs_to_it(root: Client, model: type[Model]) -> None:
    call = furniture.furnish("a")
    furniture.furnish("b")
    found = root.get(page(model, "changelist"), {"q": str(call.pk)}).context["cl"].result_list
    assert 1 <= len(found) < model._default_manager.count()


def test_every_page_of_the_navigation_is_there(root: Client) -> None:
    furniture.furnish("a")
    html = root.get(reverse("admin:index")).content.decode()
    for _, names in site.NAVIGATION:
        for name, _ in names:
            assert f'href="{page(apps.get_model(name), "changelist")}"' in html
    assert {name for _, names in site.NAVIGATION for name, _ in names} == {model._meta.label_lower for model in MODELS}
    assert html.index(reverse("admin:live")) < html.index(page(Call, "changelist"))


def test_the_navigation_shows_what_one_may_see() -> None:
    client = Client()
    client.force_login(clients.user("queues.view_call", is_staff=True))
    html = client.get(reverse("admin:index")).content.decode()
    assert page(Call, "changelist") in html
    assert page(CallLeg, "changelist") not in html


@pytest.mark.parametrize("model", [WebhookEvent, Command, CallLeg, Conference, Participant, Recording], ids=str)
def test_telnyxs_tokens_are_for_superusers(root: Client, model: type[Model]) -> None:
    furniture.furnish("a")
    row = model._default_manager.first()
    assert row is not None
    name = model._meta
    client = Client()
    client.force_login(clients.user(f"{name.app_label}.view_{name.model_name}", is_staff=True))
    token = re.compile(rf"{re.escape(scene.TOKEN)}-(?!leg|session|conn|recording)")
    if model not in (Conference, Recording):  # a conference's floor and the links are all they have
        assert token.search(root.get(page(model, "change", row.pk)).content.decode())
    html = client.get(page(model, "change", row.pk)).content.decode()
    hidden = re.sub(rf"{re.escape(scene.TOKEN)}-(conference|seat)-\w+", "", html)
    assert not token.search(hidden)


def test_links_to_recordings_are_for_those_who_may_listen() -> None:
    furniture.furnish("a")
    url = page(Recording, "change", Recording.objects.get().pk)
    for rights, seen in ((("conferences.view_recording",), False),
                         (("conferences.view_recording", "conferences.listen_recording"), True)):  # fmt: skip
        client = Client()
        client.force_login(clients.user(*rights, name=f"listens {seen}", is_staff=True))
        assert (".example.com/a.mp3" in client.get(url).content.decode()) is seen


def test_keyed_digits_are_shown_to_nobody(root: Client) -> None:
    furniture.furnish("a")
    CallLeg.objects.update(gathered_digits="4111111111111111")
    assert "4111111111111111" not in root.get(page(CallLeg, "change", CallLeg.objects.first().pk)).content.decode()


def test_what_a_caller_calls_himself_is_text(root: Client) -> None:
    call = furniture.furnish("a")
    Call.objects.filter(pk=call.pk).update(from_number="<img src=x onerror=alert(1)>")
    for url in (page(Call, "changelist"), page(Call, "change", call.pk), reverse("admin:live")):
        html = root.get(url).content.decode()
        assert "<img src=x" not in html
        assert "&lt;img src=x" in html


def test_a_revoked_key_opens_nothing_any_more(root: Client) -> None:
    furniture.furnish("a")
    key = ApiKey.objects.get()
    form = {"action": "revoke", "_selected_action": [str(key.pk)]}
    for said in ("revoked.", "was revoked before."):
        html = root.post(page(ApiKey, "changelist"), form, follow=True).content.decode()
        assert said in html
    key.refresh_from_db()
    assert key.revoked_at is not None
