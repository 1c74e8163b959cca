"""The one door Telnyx knocks at: verify, store, 200. Nothing else happens before the answer (SECURITY §3)."""

import logging
import time

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from webhooks import inbox, meters
from webhooks.telnyx import conf
from webhooks.telnyx.events import MalformedEvent, parse_event
from webhooks.telnyx.signature import (
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    SignatureError,
    parse_signature,
    parse_timestamp,
    verify,
)

logger = logging.getLogger(__name__)

MAX_BODY = 256 * 1024


@csrf_exempt
@require_POST
def telnyx(request: HttpRequest) -> HttpResponse:
    """POST /webhooks/telnyx: 200 once the event's row is committed.

    411 without a length, 413 above 256 KiB, 415 for another content type, 408 for a body of which only a part came
    (the server waits 5 s for it), 403 with one uniform body for whatever is wrong with the signature, 400 for a
    signed body that is no event. A fault of ours is a 5xx, which makes Telnyx try again.
    """
    began = time.perf_counter()
    try:
        return _answer(request)
    finally:
        meters.webhook_ack_seconds.observe(time.perf_counter() - began)


def _answer(request: HttpRequest) -> HttpResponse:
    length = request.META.get("CONTENT_LENGTH") or ""
    if "HTTP_TRANSFER_ENCODING" in request.META or not (length.isascii() and length.isdigit()):
        return _refuse(411, "length_required")
    if len(length) > 7 or int(length) > MAX_BODY:
        return _refuse(413, "too_large")
    if request.content_type != "application/json":
        return _refuse(415, "content_type")
    now = timezone.now()
    try:
        timestamp = parse_timestamp(request.headers.get(TIMESTAMP_HEADER, ""), now=now.timestamp())
        signature = parse_signature(request.headers.get(SIGNATURE_HEADER, ""))
        if len(request.body) < int(length):
            return _refuse(408, "cut_short")
        verify(request.body, signature=signature, timestamp=timestamp, keys=conf.public_keys())
    except SignatureError as error:
        return _refuse(403, error.reason)
    meters.webhook_skew_seconds.observe(now.timestamp() - int(timestamp))
    try:
        event = parse_event(request.body)
    except MalformedEvent as error:
        meters.webhook_rejected_total.inc("malformed")
        logger.warning("signed webhook is no event reason=%s", error)
        return HttpResponse(f"{error}\n", status=400, content_type="text/plain")
    if not inbox.store(event, received_at=now):
        meters.inbox_duplicates_total.inc()
    elif event.occurred_at is not None:
        meters.event_age_seconds.observe(max(0.0, (now - event.occurred_at).total_seconds()))
    return HttpResponse(status=200)


_SAID = {
    403: "refused\n",
    408: "the body did not come\n",
    411: "send a Content-Length\n",
    413: "too large\n",
    415: "send application/json\n",
}


def _refuse(status: int, reason: str) -> HttpResponse:
    meters.webhook_rejected_total.inc(reason)
    logger.warning("webhook refused status=%s reason=%s", status, reason)
    return HttpResponse(_SAID[status], status=status, content_type="text/plain")
