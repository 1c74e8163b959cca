"""Whatever JSON is signed: 200 or 400, never a fault of ours; and applying it never does more than set it aside."""

import json
from typing import Any

import pytest

pytest.importorskip("hypothesis", reason="hypothesis is in requirements-dev.txt")

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.webhooks.sender import post
from webhooks import inbox
from webhooks.models import WebhookEvent
from webhooks.telnyx.events import KNOWN_EVENTS

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("door")]

often = settings(
    max_examples=500,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

texts = st.text(st.characters(), max_size=20)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4))
FIELDS = (
    "call_control_id", "call_leg_id", "call_session_id", "conference_id", "connection_id", "client_state", "direction",
    "from", "to", "occurred_at", "hangup_cause", "queue", "current_position", "reason", "status", "digits",
    "recording_id", "recording_started_at", "recording_ended_at", "recording_urls", "channels",
)  # fmt: skip
payloads = st.dictionaries(st.sampled_from(FIELDS), values) | values
events = st.fixed_dictionaries(
    {"event_type": st.sampled_from(sorted(KNOWN_EVENTS)) | values, "payload": payloads},
    optional={"id": texts | values, "occurred_at": texts | values | st.datetimes().map(str)},
)


@often
@given(st.binary(min_size=1, max_size=200) | values.map(lambda value: json.dumps(value).encode()))
def test_no_signed_bytes_are_a_fault_of_ours(body: bytes) -> None:
    assert post(body).status_code in (200, 400)


@often
@given(events, st.booleans())
def test_no_signed_event_is_a_fault_of_ours(event: dict[str, Any], enveloped: bool) -> None:
    WebhookEvent.objects.all().delete()
    assert post({"data": event} if enveloped else event).status_code in (200, 400)
    row = WebhookEvent.objects.first()
    if row is None or row.status == WebhookEvent.Status.IGNORED:
        return
    for _ in range(inbox.MAX_ATTEMPTS):
        WebhookEvent.objects.filter(pk=row.pk).update(not_before=None)
        inbox.apply(row.pk)
    row.refresh_from_db()
    assert row.status in (WebhookEvent.Status.DONE, WebhookEvent.Status.DEAD)
    assert bool(row.error) == (row.status == WebhookEvent.Status.DEAD)
