"""Signed references for Telnyx's ``client_state``: what a leg was made for, in a form nobody else can write.

Telnyx echoes ``client_state`` in each webhook of a leg, but any command on that leg could have set it, so the
reference carries our own MAC. Authority still comes from our rows (SECURITY §0.6).
"""

import base64
import binascii
import uuid
from typing import NamedTuple

from django.conf import settings
from django.utils.crypto import constant_time_compare, salted_hmac

_SALT = "webhooks.references"


class Reference(NamedTuple):
    kind: str
    id: uuid.UUID


def write(kind: str, ident: uuid.UUID) -> str:
    """Base64 text for ``client_state``."""
    text = f"{kind}:{ident}"
    return base64.b64encode(f"{text}:{_mac(text, settings.SECRET_KEY)}".encode("ascii")).decode("ascii")


def read(client_state: str) -> Reference | None:
    """The reference, or None for anything we did not write, with the secret of now or one just replaced."""
    try:
        text = base64.b64decode(client_state, validate=True).decode("ascii")
        kind, ident, mac = text.split(":")
        reference = Reference(kind, uuid.UUID(ident))
    except (binascii.Error, ValueError):
        return None
    secrets = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    ours = any(constant_time_compare(mac, _mac(f"{kind}:{ident}", secret)) for secret in secrets)
    return reference if ours else None


def _mac(text: str, secret: str) -> str:
    return salted_hmac(_SALT, text, secret=secret, algorithm="sha256").hexdigest()[:32]
