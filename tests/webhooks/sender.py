"""Telnyx as a sender of webhooks: events as it writes them, signed with a key of the test's."""

import base64
import itertools
import json
import time
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.http import HttpResponseBase
from django.test import Client
from nacl.signing import SigningKey

from webhooks.telnyx.signature import SIGNATURE_HEADER, TIMESTAMP_HEADER, sign

URL = "/webhooks/telnyx"
KEY = SigningKey(b"the key of every test that posts")
OTHER_KEY = SigningKey(b"a key that nobody has ever named")

_numbers = itertools.count(1)


def public(key: SigningKey) -> str:
    return base64.b64encode(bytes(key.verify_key)).decode("ascii")


def event(
    event_type: str = "call.answered", *, event_id: str | None = None, at: datetime | None = None, **payload: Any
) -> dict[str, Any]:
    """One event in its envelope, of our connection unless the payload says otherwise."""
    when = (at or datetime.now(UTC)).isoformat().replace("+00:00", "Z")
    known = {"connection_id": settings.TELNYX_CONNECTION_ID, "call_control_id": "v3:leg"}
    return {
        "data": {
            "record_type": "event",
            "event_type": event_type,
            "id": event_id or f"event-{next(_numbers)}",
            "occurred_at": when,
            "payload": known | payload,
        },
        "meta": {"attempt": 1},
    }


def body_of(document: Any) -> bytes:
    return document if isinstance(document, bytes) else json.dumps(document).encode()


def headers(body: bytes, *, key: SigningKey = KEY, timestamp: str | None = None) -> dict[str, str]:
    return sign(body, timestamp=timestamp or str(int(time.time())), key=key)


def post(
    document: Any,
    *,
    key: SigningKey = KEY,
    timestamp: str | None = None,
    client: Client | None = None,
    content_type: str = "application/json",
    **extra: Any,
) -> HttpResponseBase:
    """A validly signed post of an object, or of bytes as they are."""
    body = body_of(document)
    signed = headers(body, key=key, timestamp=timestamp)
    return post_raw(body, signed, client=client, content_type=content_type, **extra)


def post_raw(
    body: bytes,
    signed: dict[str, str],
    *,
    client: Client | None = None,
    content_type: str = "application/json",
    **extra: Any,
) -> HttpResponseBase:
    """A post with these headers, whatever they say."""
    return (client or Client()).post(URL, data=body, content_type=content_type, headers=signed, **extra)


def with_headers(signature: str | None, timestamp: str | None) -> dict[str, str]:
    given = {SIGNATURE_HEADER: signature, TIMESTAMP_HEADER: timestamp}
    return {name: value for name, value in given.items() if value is not None}
