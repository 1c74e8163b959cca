"""``Idempotency-Key``: the same key again gives the same answer and changes nothing.

The key is claimed in a row of its own before the view runs; the row's id is the token under which the view's
commands are written, and holds the answer afterwards. A refused request changed nothing, so its key is free again;
one that broke may have, so the next try takes its row over, token and all.
"""

import hashlib
import json
import re
import uuid
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db import IntegrityError, transaction
from django.utils import timezone
from rest_framework.exceptions import APIException
from rest_framework.permissions import SAFE_METHODS
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet, ViewSetMixin

from callcenter.models import IdempotencyKey

HEADER = "Idempotency-Key"
KEPT_FOR = timedelta(hours=24)
ANSWERED_WITHIN = timedelta(seconds=30)  # a claim older than this belongs to a process that died

_SHAPE = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)


class WrongKey(APIException):
    status_code = 400
    default_code = "idempotency_key"
    default_detail = f"{HEADER}: accepted are 1 to 255 printable ASCII characters without spaces."


class KeyReused(APIException):
    status_code = 422
    default_code = "idempotency_key_reused"
    default_detail = f"This {HEADER} came with another request before; give each request a key of its own."


class StillAnswering(APIException):
    status_code = 409
    default_code = "idempotency_key_in_use"
    default_detail = f"The first request with this {HEADER} is being answered; ask again in a moment."


class Answered(Exception):
    """Not an error: the answer is there already (callcenter.problems sends it again)."""

    def __init__(self, row: IdempotencyKey) -> None:
        super().__init__(row.pk)
        self.status = row.status
        self.body = row.body


if TYPE_CHECKING:
    _View = GenericViewSet[Any]
else:
    _View = object


class Once(_View):
    """What callcenter.api puts in front of every view: claim after the permission check, keep the answer."""

    claimed: IdempotencyKey | None = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if request.method not in SAFE_METHODS and HEADER in request.headers:
            self.claimed = claim(
                principal=f"{request.user.pk}",
                key=request.headers[HEADER],
                fingerprint=_fingerprint(request),
                now=timezone.now(),
            )
            request.token = self.claimed.pk  # type: ignore[attr-defined]

    def handle_exception(self, exc: Exception) -> Response:
        try:
            return super().handle_exception(exc)
        except Exception:
            if self.claimed is not None:
                _hand_over(self.claimed)
            raise

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        if self.claimed is not None:
            if 200 <= response.status_code < 300:
                body = json.loads(JSONRenderer().render(response.data) or "null")
                IdempotencyKey.objects.filter(pk=self.claimed.pk).update(status=response.status_code, body=body)
            elif response.status_code < 500:
                _free(self.claimed)
            else:
                _hand_over(self.claimed)
        return super().finalize_response(request, response, *args, **kwargs)


def once(viewset: type[ViewSetMixin]) -> type[ViewSetMixin]:
    """The same view set, each of its unsafe requests done once per key."""
    return type(viewset.__name__, (Once, viewset), {"__doc__": viewset.__doc__, "__module__": viewset.__module__})


def claim(*, principal: str, key: str, fingerprint: str, now: datetime) -> IdempotencyKey:
    """The row of this key, ours to answer. Raises Answered, StillAnswering, KeyReused or WrongKey."""
    if not _SHAPE.fullmatch(key):
        raise WrongKey
    IdempotencyKey.objects.filter(claimed_at__lte=now - KEPT_FOR).delete()
    row = IdempotencyKey(id=uuid.uuid4(), principal=principal, key=key, fingerprint=fingerprint, claimed_at=now)
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError:
        return _claimed_before(row, now)
    return row


def _free(row: IdempotencyKey) -> None:
    IdempotencyKey.objects.filter(pk=row.pk, status__isnull=True).delete()


def _hand_over(row: IdempotencyKey) -> None:
    """As if this process had died long enough ago: part of the work may be done, under this token."""
    abandoned_at = timezone.now() - ANSWERED_WITHIN
    IdempotencyKey.objects.filter(pk=row.pk, status__isnull=True).update(claimed_at=abandoned_at)


def _claimed_before(wanted: IdempotencyKey, now: datetime) -> IdempotencyKey:
    row = IdempotencyKey.objects.filter(principal=wanted.principal, key=wanted.key).first()
    if row is None:  # freed just now
        raise StillAnswering
    if row.fingerprint != wanted.fingerprint:
        raise KeyReused
    if row.status is not None:
        raise Answered(row)
    abandoned = IdempotencyKey.objects.filter(pk=row.pk, status__isnull=True, claimed_at__lte=now - ANSWERED_WITHIN)
    if not abandoned.update(claimed_at=now):
        raise StillAnswering
    return row  # its token is kept, so whatever the dead process has written is not written again


def _fingerprint(request: Request) -> str:
    words = json.dumps([request.method, request.path, request.data], sort_keys=True, default=str)
    return hashlib.sha256(words.encode()).hexdigest()
