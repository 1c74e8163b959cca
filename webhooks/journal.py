"""What we did, append-only and numbered per call; and who was allowed to do what."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import connection

from webhooks import prepared
from webhooks.models import AuditEntry, JournalEntry

if TYPE_CHECKING:
    from django.contrib.auth.models import User


# One statement that numbers what it writes.
ADD_LINE = (
    f"INSERT INTO {JournalEntry._meta.db_table} (call_id, at, kind, facts, number)"  # noqa: S608
    " SELECT %s, %s, %s, %s, coalesce(max(number), 0) + 1"
    f" FROM {JournalEntry._meta.db_table} WHERE call_id = %s"
)


def note(call_id: uuid.UUID, kind: str, *, at: datetime, **facts: Any) -> None:
    """Add a line to a call's story. The caller holds the call's lock, which is what numbers the lines."""
    fields: Any = JournalEntry._meta
    line = {"call_id": call_id, "at": at, "kind": kind, "facts": facts}
    words = [fields.get_field(name).get_db_prep_save(said, connection) for name, said in line.items()]
    with prepared.cursor() as cursor:
        cursor.execute(ADD_LINE, [*words, words[0]])


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
