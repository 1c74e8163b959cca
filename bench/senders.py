"""What bench.ingest sends: Telnyx's events to us and Stripe's to dj-stripe, signed, as they go over the wire."""

import hashlib
import hmac
import json
import time
import uuid
from datetime import UTC, datetime

from nacl.signing import SigningKey

from bench import load
from webhooks.telnyx.signature import sign

CONNECTION_ID = "1494404757140276705"
KEY = SigningKey(hashlib.sha256(b"bench").digest())
# The life of one leg; a payment method gets as many events.
STORY = (
    "call.initiated",
    "call.answered",
    "call.bridged",
    "call.playback.started",
    "call.playback.ended",
    "call.hangup",
)

ENDPOINT, SECRET = str(uuid.UUID(int=7)), "whsec_bench"


def telnyx_body(number: int, run: str) -> bytes:
    """The event of that number in a run: of a leg we would have dialled, so that a worker mirrors it."""
    leg, step = divmod(number, len(STORY))
    at = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    session = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{run} {leg}"))
    data = {
        "record_type": "event",
        "event_type": STORY[step],
        "id": str(uuid.uuid4()),
        "occurred_at": at,
        "payload": {
            "call_control_id": f"v3:{run}-{leg:08}-MdI91X4lWFEs7IgbBEOT9M4AigoY08M0WWZFISt1Yw2axZ",
            "call_leg_id": session,
            "call_session_id": session,
            "client_state": None,
            "connection_id": CONNECTION_ID,
            "direction": "outgoing",
            "from": "+442079460001",
            "to": "sip:agent-7@phones.example.com",
            "start_time": at,
        },
    }
    meta = {"attempt": 1, "delivered_to": "https://cc.example.com/webhooks/telnyx"}
    return json.dumps({"data": data, "meta": meta}).encode()


def telnyx_request(body: bytes) -> bytes:
    return load.request("/webhooks/telnyx", body, sign(body, timestamp=str(int(time.time())), key=KEY))


def stripe_body(number: int, run: str) -> bytes:
    """The event of that number in a run: a payment method was detached."""
    now = int(time.time())
    event = {
        "id": f"evt_{uuid.uuid4().hex}",
        "object": "event",
        "api_version": "2026-05-27.dahlia",
        "created": now,
        "data": {
            "object": {
                "id": f"pm_{run}{number // len(STORY):08}",
                "object": "payment_method",
                "billing_details": {"address": {"country": "GB", "postal_code": "SW1A 1AA"}, "email": "jo@example.com"},
                "card": {"brand": "visa", "exp_month": 8, "exp_year": 2030, "last4": "4242", "funding": "credit"},
                "created": now,
                "customer": None,
                "livemode": False,
                "metadata": {},
                "type": "card",
            },
            "previous_attributes": {"customer": "cus_123456789"},
        },
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": "payment_method.detached",
    }
    return json.dumps(event).encode()


def stripe_request(body: bytes) -> bytes:
    now = int(time.time())
    digest = hmac.new(SECRET.encode(), f"{now}.".encode() + body, hashlib.sha256).hexdigest()
    return load.request(f"/stripe/webhook/{ENDPOINT}/", body, {"stripe-signature": f"t={now},v1={digest}"})
