"""The API as a whole: closed, strict, in problems where it refuses, and never with a token of Telnyx's."""

import json
import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from callcenter.access.scopes import SCOPES, SIGNED_IN_USER
from callcenter.api import router
from queues.api import verbs
from queues.models import Queue
from tests.callcenter import clients
from tests.queues import scene

# What anybody may reach. The webhook's own wall is its signature.
OPEN = {"/webhooks/telnyx", "/healthz", "/readyz", "/login", "/admin/login/"}
# Scripts of Django's own admin pages: texts without data.
HARMLESS = {"/admin/jsi18n/"}
# Says to nobody who lacks its token that it is there (test_metrics).
HIDDEN = {"/metrics"}


def addresses(patterns: Any = None, prefix: str = "/") -> Iterator[str]:
    """Every path of the URLconf, with something plausible in its blanks."""
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        text = prefix + _example(str(pattern.pattern))
        if isinstance(pattern, URLResolver):
            yield from addresses(pattern.url_patterns, text)
        elif isinstance(pattern, URLPattern):
            yield text


def _example(route: str) -> str:
    route = re.sub(r"\(\?P<\w*format\w*>[^)]*\)", "json", route)
    route = re.sub(r"\(\?P<\w+>(?:[^()]|\([^)]*\))*\)", str(uuid.uuid4()), route)
    route = re.sub(r"<[^>]*>", "1", route)
    return route.replace("^.*$", "nowhere").replace("\\.", ".").strip("^").replace("$", "").replace("\\Z", "")


@pytest.mark.django_db
@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete"])
def test_every_path_asks_who_is_there(method: str) -> None:
    visitor = Client()
    walked = set(addresses())
    assert len(walked) > 60
    assert walked >= OPEN
    for path in sorted(walked - OPEN - HARMLESS - HIDDEN):
        answer = getattr(visitor, method)(path)
        assert answer.status_code in (301, 302, 401, 403, 405), (method, path, answer.status_code)
        if answer.status_code in (301, 302):
            to = answer["Location"]
            assert re.match(r"/login|/admin/($|login/)|" + re.escape(path), to), (path, to)


def test_every_view_names_its_scopes() -> None:
    for prefix, view, _ in router.registry:
        assert view.required_scope in SCOPES, prefix
        for verb in view.get_extra_actions():
            scope = verb.kwargs.get("write_scope", view.write_scope)
            assert scope in SCOPES or scope == SIGNED_IN_USER == verbs.SIGNED_IN_USER, verb.url_path


def test_listening_is_for_people() -> None:
    conference = next(view for prefix, view, _ in router.registry if prefix == "conferences")
    for_people = {v.url_path for v in conference.get_extra_actions() if v.kwargs.get("write_scope") == SIGNED_IN_USER}
    assert for_people == {"monitor", "whisper", "barge", "update", "take_over", "stop_supervising"}


# no token of Telnyx's ----------------------------------------------------------------------------------------

TOKENS = re.compile(
    r"call_control_id|call_leg_id|call_session_id|connection_id|conference_id|recording_id|participant_id"
    r"|client_state|recording_url|telnyx_queue_id"
)


def _names(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        for name, inner in schema.get("properties", {}).items():
            yield name
            yield from _names(inner)
        for name, inner in schema.items():
            if name != "properties":
                yield from _names(inner)
        if "in" in schema and "name" in schema:
            yield schema["name"]
    elif isinstance(schema, list):
        for inner in schema:
            yield from _names(inner)


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    file = tmp_path_factory.mktemp("schema") / "schema.json"
    call_command("spectacular", "--format", "openapi-json", "--validate", "--fail-on-warn", "--file", str(file))
    read: dict[str, Any] = json.loads(file.read_text())
    return read


def test_the_schema_names_no_token(schema: dict[str, Any]) -> None:
    names = set(_names(schema))
    assert {"call", "leg", "conference", "participants", "supervisor_role"} <= names
    assert {name for name in names if TOKENS.search(name)} == set()


def test_the_schema_says_scope_key_and_problem_of_every_operation(schema: dict[str, Any]) -> None:
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            assert re.search(r"Scope: `[a-z]+:(read|write)`\.|Needs a signed-in user\.", operation["description"]), path
            keys = [p for p in operation.get("parameters", []) if p["name"] == "Idempotency-Key"]
            assert bool(keys) == (method != "get"), path
            assert "application/problem+json" in operation["responses"]["default"]["content"], path


@pytest.mark.django_db
def test_no_answer_holds_a_token() -> None:
    call = scene.talking(scene.queue(record=Queue.Record.ON_DEMAND))
    scene.listening(call, "whisper")
    scene.recording(call)
    client = clients.key()
    conference = f"/api/v1/conferences/{scene.conference_of(call).pk}"
    said = client.post(f"{conference}/hold", {"everyone": True}).content
    command = json.loads(said)["command"]
    for path in (
        "/api/v1/queues",
        "/api/v1/agents",
        "/api/v1/calls",
        f"/api/v1/calls/{call.pk}",
        "/api/v1/conferences",
        conference,
        f"{conference}/participants",
        "/api/v1/recordings",
        f"/api/v1/commands/{command}",
    ):
        answer = client.get(path)
        assert answer.status_code == 200, path
        said += answer.content
    assert scene.TOKEN.encode() not in said
    assert not re.search(TOKENS, said.decode())
    assert b"example.com" not in said  # no links to sound


# strict ------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("path", "field"),
    [
        pytest.param("/api/v1/calls?ordering=password", "ordering", id="ordering"),
        pytest.param("/api/v1/agents?user__password__startswith=a", "user__password__startswith", id="injection"),
        pytest.param("/api/v1/calls?state=busy", "state", id="no such state"),
        pytest.param("/api/v1/calls?queue=1", "queue", id="no uuid"),
        pytest.param("/api/v1/calls?arrived_after=yesterday", "arrived_after", id="no instant"),
        pytest.param("/api/v1/calls?arrived_after=0001-01-01T00:00:00%2B14:00", "arrived_after", id="before time"),
        pytest.param("/api/v1/calls?arrived_before=9999-12-31T23:59:59-14:00", "arrived_before", id="after time"),
        pytest.param("/api/v1/calls?page_size=201", "page_size", id="large page"),
        pytest.param("/api/v1/calls?page_size=0", "page_size", id="empty page"),
        pytest.param("/api/v1/calls?page_size=1e9", "page_size", id="huge page"),
        pytest.param("/api/v1/calls?page_size=%EF%BC%91", "page_size", id="full-width digit"),
        pytest.param(f"/api/v1/conferences?call={'0' * 31}", "call", id="short uuid"),
    ],
)
def test_a_parameter_that_is_none_is_refused(path: str, field: str) -> None:
    answer = clients.key().get(path)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_input")
    assert list(answer.json()["errors"]) == [field]


@pytest.mark.django_db
def test_pages() -> None:
    for number in range(3):
        scene.queue(f"queue {number}")
    page = clients.key().get("/api/v1/queues?page_size=2").json()
    assert (page["count"], len(page["results"]), page["previous"]) == (3, 2, None)
    assert [queue["name"] for queue in clients.key().get(page["next"]).json()["results"]] == ["queue 2"]
    assert clients.key().get("/api/v1/queues?page=9").status_code == 404


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("body", "content_type", "status", "code"),
    [
        pytest.param("{", "application/json", 400, "parse_error", id="broken"),
        pytest.param('{"then": NaN}', "application/json", 400, "parse_error", id="NaN"),
        pytest.param("[" * 100_000, "application/json", 400, "parse_error", id="deep"),
        pytest.param("[]", "application/json", 400, "invalid_input", id="a list"),
        pytest.param('"x"', "application/json", 400, "invalid_input", id="a text"),
        pytest.param("null", "application/json", 400, "invalid_input", id="null"),
        pytest.param("", "application/json", 400, "invalid_input", id="nothing"),
        pytest.param("then=hangup", "application/x-www-form-urlencoded", 415, "unsupported_media_type", id="a form"),
        pytest.param('{"then": "' + "x" * 300_000 + '"}', "application/json", 413, "too_large", id="large"),
        pytest.param('{"then": "hang\\u0000up"}', "application/json", 400, "invalid_input", id="NUL"),
        pytest.param('{"then": "\\ud800"}', "application/json", 400, "invalid_input", id="half a character"),
        pytest.param('{"then": "hangup", "reason": "\\ud800"}', "application/json", 400, "invalid_input", id="reason"),
        pytest.param('{"then": "hangup", "reason": "\\u0000"}', "application/json", 400, "invalid_input", id="NUL 2"),
        pytest.param('{"then": ["hangup"]}', "application/json", 400, "invalid_input", id="listed"),
    ],
)
def test_a_body_that_is_none_is_refused(body: str, content_type: str, status: int, code: str) -> None:
    call = scene.waiting(scene.queue())
    answer = clients.key().post(f"/api/v1/calls/{call.pk}/leave_queue", body, content_type=content_type)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer["Content-Type"] == "application/problem+json"


# problems ----------------------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        pytest.param("get", f"/api/v1/calls/{uuid.uuid4()}", 404, "not_found", id="no such call"),
        pytest.param("get", "/api/v1/calls/1", 404, "not_found", id="no uuid"),
        pytest.param("get", "/api/v1/nonsense", 404, "not_found", id="no such path"),
        pytest.param("get", "/api/v1/calls/", 404, "not_found", id="a slash"),
        pytest.param("get", f"/api/v1/conferences/{uuid.uuid4()}/participants", 404, "not_found", id="of nothing"),
        pytest.param("delete", f"/api/v1/calls/{uuid.uuid4()}", 405, "method_not_allowed", id="delete"),
        pytest.param("post", "/api/v1/queues", 403, "permission_denied", id="nothing to write"),
        pytest.param("post", "/api/v1/calls", 405, "method_not_allowed", id="post"),
        pytest.param("options", "/api/v1/calls", 405, "method_not_allowed", id="options"),
        pytest.param("get", "/api/v1/calls?format=api", 406, "not_acceptable", id="browsable"),
    ],
)
def test_every_refusal_is_a_problem(method: str, path: str, status: int, code: str) -> None:
    answer = getattr(clients.key(), method)(path)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code)
    assert set(problem) == {"type", "title", "status", "code", "detail"}
    assert (problem["status"], answer["Content-Type"]) == (status, "application/problem+json")


@pytest.mark.django_db
def test_a_rule_of_ours_that_says_no_is_a_problem_with_its_code() -> None:
    call = scene.talking(scene.queue())
    answer = clients.key().post(f"/api/v1/calls/{call.pk}/leave_queue", {"then": "hangup"})
    assert answer.status_code == 409
    assert answer.json() == {
        "type": "about:blank",
        "title": "Conflict",
        "status": 409,
        "code": "not_waiting",
        "detail": "This caller waits in no queue.",
    }


@pytest.mark.django_db
def test_a_fault_of_ours_is_a_problem_without_details(monkeypatch: pytest.MonkeyPatch) -> None:
    class Secret(Exception):
        pass

    def fails(*_: object) -> None:
        raise Secret("the database password is hunter2")

    monkeypatch.setattr("queues.api.views.QueueViewSet.get_queryset", fails)
    client = clients.key()
    client.raise_request_exception = False
    answer = client.get("/api/v1/queues")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "hunter2" not in answer.content.decode()


@pytest.mark.django_db
def test_too_many_requests_are_told_when_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    from django.core.cache import cache
    from rest_framework.throttling import UserRateThrottle

    cache.clear()
    monkeypatch.setattr(UserRateThrottle, "THROTTLE_RATES", {"user": "2/min"})
    client = clients.key("queues:read")
    answers = [client.get("/api/v1/queues") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert 0 < int(answers[2]["Retry-After"]) <= 60
    assert clients.key("queues:read").get("/api/v1/queues").status_code == 200  # another key has its own count
    cache.clear()


# beside the API ----------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_docs_and_schema_are_for_who_is_let_in() -> None:
    visitor = Client()
    assert visitor.get("/api/docs")["Location"] == "/login?next=/api/docs"
    assert visitor.get("/api/schema").status_code == 401
    person = clients.session(clients.user(is_staff=True))
    page = person.get("/api/docs")
    assert page.status_code == 200
    assert re.findall(rb'(?:src|href)="(https?:)?//', page.content) == []  # nothing from elsewhere
    assert person.get("/api/schema").status_code == 200
    assert clients.key("queues:read").get("/api/schema").status_code == 200


def test_numbers_are_masked_in_the_log_and_keys_too() -> None:
    from callcenter.logs import _mask_rendered

    line = _mask_rendered(None, "", "GET /api/v1/queues?api_key=cc_0123abcd_" + "s3cret-_" * 5 + "abc HTTP/1.1")
    assert line == "GET /api/v1/queues?api_key=cc_0123abcd_**** HTTP/1.1"


def test_the_api_asks_nobody_but_the_settings_who_may() -> None:
    assert settings.REST_FRAMEWORK["DEFAULT_PERMISSION_CLASSES"] == ["callcenter.access.permissions.HasScope"]
