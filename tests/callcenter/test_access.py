"""Who is let in: API keys in the header, users with their session and CSRF, nobody else."""

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone
from rest_framework.test import APIClient

from callcenter.access import keys
from callcenter.models import ApiKey
from tests.callcenter import clients
from tests.queues import scene
from webhooks.models import AuditEntry

pytestmark = pytest.mark.django_db
QUEUES = "/api/v1/queues"


def bearer(text: str) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {text}")
    return client


def made(**fields: object) -> tuple[ApiKey, str]:
    row, text = keys.issue(name="crm", scopes=["queues:read"], now=timezone.now())
    ApiKey.objects.filter(pk=row.pk).update(**fields) if fields else None
    return row, text


def test_a_key_opens_what_its_scope_names() -> None:
    assert bearer(made()[1]).get(QUEUES).status_code == 200


def test_of_a_key_only_prefix_and_digest_are_kept() -> None:
    row, text = made()
    secret = text.rpartition(f"{row.prefix}_")[2]
    assert len(secret) == 43  # 256 bits
    assert secret not in str(ApiKey.objects.values().get())


def test_two_keys_are_never_alike() -> None:
    one, other = keys.issue(name="a", scopes=["queues:read"], now=timezone.now()), made()
    assert one[1] != other[1]


def test_a_use_is_noted_once_a_minute() -> None:
    row, text = made()
    now = timezone.now()
    keys.find(text, now=now)
    keys.find(text, now=now + timedelta(seconds=59))
    row.refresh_from_db()
    assert row.last_used_at == now
    keys.find(text, now=now + timedelta(seconds=60))
    row.refresh_from_db()
    assert row.last_used_at == now + timedelta(seconds=60)


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"revoked_at": timezone.now()}, id="revoked"),
        pytest.param({"expires_at": timezone.now() - timedelta(seconds=1)}, id="expired"),
        pytest.param({"digest": "0" * 64}, id="another secret"),
        pytest.param({"prefix": "ffffffff"}, id="another prefix"),
    ],
)
def test_a_key_that_is_over_opens_nothing(fields: dict[str, object]) -> None:
    answer = bearer(made(**fields)[1]).get(QUEUES)
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_key")
    assert answer["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("text", ["", "cc_", "x" * 5000, "cc_12345678_" + "ü" * 43, "cc_12345678_" + "a" * 43, "null"])
def test_what_is_no_key_opens_nothing(text: str) -> None:
    answer = bearer(text).get(QUEUES)
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_key")


@pytest.mark.parametrize("name", ["api_key", "key", "token", "access_token", "Authorization"])
def test_a_key_in_the_address_is_refused_even_beside_a_good_one(name: str) -> None:
    text = made()[1]
    for client in (bearer(text), APIClient()):
        answer = client.get(QUEUES, {name: text})
        assert (answer.status_code, answer.json()["code"]) == (401, "key_in_url")


def test_basic_authentication_is_none() -> None:
    clients.user(name="root", is_superuser=True, is_staff=True)
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION="Basic cm9vdDphIHBhc3N3b3JkIG9mIGhlcnM=")
    assert client.get(QUEUES).status_code == 401


def test_an_unknown_scope_is_no_scope() -> None:
    with pytest.raises(ValidationError, match="Unknown scope: calls:dial"):
        keys.issue(name="crm", scopes=["calls:dial"], now=timezone.now())


def test_a_refusal_for_want_of_a_scope_is_audited_where_something_would_have_changed() -> None:
    call = scene.waiting(scene.queue())
    client = clients.key("calls:read")
    answer = client.post(f"/api/v1/calls/{call.pk}/leave_queue", {"then": "hangup"})
    assert (answer.status_code, answer.json()["code"]) == (403, "missing_scope")
    assert "calls:write" in answer.json()["detail"]
    kept = AuditEntry.objects.get()
    assert (kept.action, kept.allowed, kept.actor) == ("leave_queue", False, ApiKey.objects.get().prefix)


# users -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rights", "fields", "status"),
    [
        pytest.param((), {}, 403, id="anybody"),
        pytest.param((), {"is_staff": True}, 200, id="staff"),
        pytest.param(("conferences.monitor_conference",), {}, 200, id="who may listen"),
        pytest.param(("conferences.control_conference",), {}, 200, id="who may control"),
        pytest.param(("queues.view_queue",), {}, 403, id="another right"),
    ],
)
def test_users_read_who_may_watch(rights: tuple[str, ...], fields: dict[str, bool], status: int) -> None:
    client = clients.session(clients.user(*rights, **fields))
    for path in ("queues", "agents", "calls", "conferences"):
        assert client.get(f"/api/v1/{path}").status_code == status


def test_recordings_are_for_who_may_listen_to_them() -> None:
    assert clients.session(clients.user(is_staff=True)).get("/api/v1/recordings").status_code == 403
    who = clients.user("conferences.listen_recording", name="ear")
    assert clients.session(who).get("/api/v1/recordings").status_code == 200


def test_a_user_who_was_switched_off_is_out_at_once() -> None:
    who = clients.user(is_staff=True)
    client = clients.session(who)
    who.is_active = False
    who.save()
    assert client.get(QUEUES).status_code == 401


def test_a_session_writes_only_with_its_csrf_token() -> None:
    call = scene.waiting(scene.queue())
    client = clients.session(clients.user("conferences.control_conference"))
    path = f"/api/v1/calls/{call.pk}/leave_queue"
    client.credentials()
    refused = client.post(path, {"then": "hangup"})
    assert refused.status_code == 403
    assert "CSRF" in refused.json()["detail"]
    client.credentials(HTTP_X_CSRFTOKEN="c" * 32)
    assert client.post(path, {"then": "hangup"}).status_code == 202
