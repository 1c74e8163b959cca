"""API keys: made once, shown once, kept as a digest, found by their prefix.

A key reads ``cc_<prefix>_<secret>``. The secret is 256 random bits, so one round of SHA-256 is enough to keep.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db.models import Q

from callcenter.models import ApiKey

_SHAPE = re.compile(r"cc_(?P<prefix>[0-9a-f]{8})_(?P<secret>[A-Za-z0-9_-]{43})", re.ASCII)
_NO_DIGEST = "0" * 64
USE_NOTED_EVERY = timedelta(minutes=1)


def issue(*, name: str, scopes: Iterable[str], now: datetime, expires_at: datetime | None = None) -> tuple[ApiKey, str]:
    """Make a key. Returns its row and its text, which nobody can read again. Raises ValidationError."""
    prefix, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
    key = ApiKey(
        name=name,
        prefix=prefix,
        digest=_digest(secret),
        scopes=sorted(set(scopes)),
        created_at=now,
        expires_at=expires_at,
    )
    key.full_clean()
    key.save(force_insert=True)
    return key, f"cc_{prefix}_{secret}"


def find(text: str, *, now: datetime) -> ApiKey | None:
    """The key of this text if it is one of ours and may be used now; its use is noted once a minute."""
    match = _SHAPE.fullmatch(text)
    if match is None:
        return None
    key = ApiKey.objects.filter(prefix=match["prefix"]).first()
    right = hmac.compare_digest(_digest(match["secret"]), key.digest if key else _NO_DIGEST)
    if key is None or not right or not key.is_usable(now):
        return None
    unnoted = Q(last_used_at__isnull=True) | Q(last_used_at__lte=now - USE_NOTED_EVERY)
    ApiKey.objects.filter(unnoted, pk=key.pk).update(last_used_at=now)
    return key


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("ascii")).hexdigest()
