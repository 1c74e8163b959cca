"""What the Django settings say about Telnyx: the one client of this process, and the keys of webhooks."""

import os
from functools import cache
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed
from django.dispatch import receiver
from nacl.signing import VerifyKey

from webhooks.telnyx.client import TelnyxClient
from webhooks.telnyx.signature import parse_public_key


@cache
def client() -> TelnyxClient:
    """The client of this process, from TELNYX_API_KEY and TELNYX_BASE_URL.

    Raises ValueError for a key or a URL that cannot be used.
    """
    return TelnyxClient(api_key=settings.TELNYX_API_KEY, base_url=settings.TELNYX_BASE_URL)


@cache
def public_keys() -> tuple[VerifyKey, ...]:
    """The keys that may have signed a webhook: two during a rotation; none refuses every webhook.

    Raises ValueError for a key of another shape, saying what was found.
    """
    texts = (text.strip() for text in settings.TELNYX_PUBLIC_KEY.split(","))
    return tuple(parse_public_key(text) for text in texts if text)


# A forked worker must not share its parent's connections: two replies on one socket would mix.
os.register_at_fork(after_in_child=client.cache_clear)


@receiver(setting_changed)
def forget(*, setting: str, **_: Any) -> None:
    """Read the settings again; they change in tests only."""
    if setting.startswith("TELNYX_"):
        if client.cache_info().currsize:
            client().close()
        client.cache_clear()
        public_keys.cache_clear()
