"""From an HTTP request to the words of queues.supervision: who asks, under which token, why."""

import uuid

from django.contrib.auth.models import User
from django.utils import timezone
from rest_framework.request import Request

from queues import supervision


def asked(request: Request, *, reason: str = "", conference_id: uuid.UUID | None = None) -> supervision.Request:
    """``request.token`` is there where the client sent an Idempotency-Key; else each request is one of its own."""
    token: uuid.UUID | None = getattr(request, "token", None)
    return supervision.Request(
        actor=actor(request),
        token=str(token or uuid.uuid4()),
        now=timezone.now(),
        reason=reason,
        conference_id=conference_id,
    )


def actor(request: Request) -> supervision.Actor:
    return supervision.Actor(name=request.user.get_username(), user=person(request))


def person(request: Request) -> User | None:
    """The signed-in user; None where an API key asks."""
    return request.user if isinstance(request.user, User) else None
