"""Errors as RFC 9457 problems: one shape, a stable ``code``, a ``detail`` that says what to do."""

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views import defaults
from rest_framework import exceptions
from rest_framework.response import Response

from callcenter.access.once import Answered
from queues.errors import QueueError
from webhooks import meters

MEDIA_TYPE = "application/problem+json"
REPLAYED = {"Idempotency-Replayed": "true"}

# What schemas and tests know a problem by.
SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "description": "RFC 9457. `code` is stable and meant for programs, `detail` for people.",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference", "example": "about:blank"},
        "title": {"type": "string", "example": "Conflict"},
        "status": {"type": "integer", "example": 409},
        "code": {"type": "string", "example": "call_over"},
        "detail": {"type": "string", "example": "This call is over."},
        "errors": {
            "type": "object",
            "description": "For invalid_input: what is wrong, by field.",
            "additionalProperties": {"type": "array", "items": {"type": "string"}},
        },
    },
}


def problem(status: int, code: str, detail: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
        **more,
    }


def answer(exc: Exception, context: Mapping[str, Any]) -> Response | None:
    """DRF's exception handler: ours, DRF's and Django's refusals. None is a fault of ours, a 500."""
    if isinstance(exc, Answered):
        return Response(exc.body, status=exc.status, headers=REPLAYED)
    if isinstance(exc, QueueError):
        if exc.status == HTTPStatus.CONFLICT:
            meters.conflict_total.inc()
        return _response(problem(exc.status, exc.code, exc.detail))
    if isinstance(exc, RequestDataTooBig):
        longest = settings.DATA_UPLOAD_MAX_MEMORY_SIZE // 1024
        return _response(problem(413, "too_large", f"The body is longer than {longest} KiB."))
    if isinstance(exc, Http404):
        exc = exceptions.NotFound("There is no such thing.")
    elif isinstance(exc, PermissionDenied):
        exc = exceptions.PermissionDenied()
    if not isinstance(exc, exceptions.APIException):
        return None
    response = _response(_words(exc))
    if header := getattr(exc, "auth_header", None):
        response["WWW-Authenticate"] = header
    if wait := getattr(exc, "wait", None):
        response["Retry-After"] = str(round(wait) or 1)
    return response


def _words(exc: exceptions.APIException) -> dict[str, Any]:
    if isinstance(exc, exceptions.ValidationError):
        errors = _flat(exc.detail)
        field, lines = next(iter(errors.items()))
        return problem(exc.status_code, "invalid_input", f"{field}: {lines[0]}" if field else lines[0], errors=errors)
    codes = exc.get_codes()
    return problem(exc.status_code, codes if isinstance(codes, str) else exc.default_code, str(exc.detail))


def _flat(detail: Any) -> dict[str, list[str]]:
    """``{"participants": {0: ["…"]}}`` → ``{"participants.0": ["…"]}``; '' is the body as a whole."""
    flat: dict[str, list[str]] = {}
    for path, line in _lines(detail, ""):
        flat.setdefault(path, []).append(line)
    return flat


def _lines(detail: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(detail, Mapping):
        for name, inner in detail.items():
            here = "" if name == "non_field_errors" else str(name)
            yield from _lines(inner, ".".join(part for part in (path, here) if part))
    elif isinstance(detail, list):
        for inner in detail:
            yield from _lines(inner, path)
    else:
        yield _shown(path, 60), _shown(str(detail), 300)


def _shown(text: str, longest: int) -> str:
    """Text that may quote what was sent: not too much of it, and no halves of characters, which no answer can hold."""
    return text[:longest].encode("utf-8", "replace").decode()


def _response(words: Mapping[str, Any]) -> Response:
    return Response(words, status=words["status"], content_type=MEDIA_TYPE)


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler500: a problem where the API was asked, a page elsewhere."""
    if not request.path.startswith("/api/"):
        return defaults.server_error(request)
    words = problem(500, "internal_error", "Something went wrong here; it has been logged.")
    return JsonResponse(words, status=500, content_type=MEDIA_TYPE)
