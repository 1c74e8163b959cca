"""What we did, append-only and numbered per call; and who was allowed to do what."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db.models import Max

from webhooks.models import AuditEntry, JournalEntry

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def note(call_id: uuid.UUID, kind: str, *, at: datetime, **facts: Any) -> None:
    """Add a line to a call's story. The caller holds the call's lock, which is what numbers the lines."""
    last = JournalEntry.objects.filter(call_id=call_id).aggregate(last=Max("number"))["last"] or 0
    JournalEntry.objects.create(call_id=call_id, number=last + 1, at=at, kind=kind, facts=facts)


def audit(
    action: str,
    *,
    at: datetime,
    actor: str,
    user: "User | None" = None,
    allowed: bool,
    call_id: uuid.UUID | None = None,
    queue_id: uuid.UUID | None = None,
    subject_id: uuid.UUID | None = None,
    reason: str = "",
    detail: Mapping[str, Any] | None = None,
) -> AuditEntry:
    """Keep who did or tried what, and whether it was allowed."""
    return AuditEntry.objects.create(
        at=at,
        actor=actor,
        user=user,
        action=action,
        allowed=allowed,
        call_id=call_id,
        queue_id=queue_id,
        subject_id=subject_id,
        reason=reason,
        detail=dict(detail or {}),
    )
