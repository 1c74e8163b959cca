"""Ed25519 signatures over ``<telnyx-timestamp>|<raw body>``: verify what comes in, sign what a simulator sends.

Source: CONTRACT §9. The raw bytes are what is signed: JSON that was parsed and written again fails.
"""

import base64
import binascii
from collections.abc import Iterable

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

SIGNATURE_HEADER = "telnyx-signature-ed25519"
TIMESTAMP_HEADER = "telnyx-timestamp"
TOLERANCE_SECS = 300


class SignatureError(Exception):
    """The request is refused and nothing of it is stored. ``reason`` is for our own counters only."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def parse_public_key(text: str) -> VerifyKey:
    """The key of base64 text as the Telnyx portal shows it: 32 bytes.

    Raises ValueError, saying what was found and what is accepted.
    """
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("a Telnyx public key is base64 text of 32 bytes; this one is not base64") from None
    if len(raw) != 32:
        raise ValueError(f"a Telnyx public key is base64 text of 32 bytes; this one has {len(raw)} bytes")
    return VerifyKey(raw)


def parse_timestamp(text: str, *, now: float) -> str:
    """The header's text, unchanged, if it is plain unix seconds within ±300 s of ``now``.

    Raises SignatureError for anything ``int()`` would be more generous about.
    """
    if not (0 < len(text) <= 12 and text.isascii() and text.isdigit()):
        raise SignatureError("timestamp_shape")
    if abs(now - int(text)) > TOLERANCE_SECS:
        raise SignatureError("timestamp_stale")
    return text


def parse_signature(text: str) -> bytes:
    """The 64 bytes of a strictly spelt base64 header. Raises SignatureError."""
    if len(text) != 88:
        raise SignatureError("signature_shape")
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise SignatureError("signature_shape") from None
    if len(raw) != 64:
        raise SignatureError("signature_shape")
    return raw


def verify(body: bytes, *, signature: bytes, timestamp: str, keys: Iterable[VerifyKey]) -> None:
    """Check the raw body against each key in turn. Raises SignatureError if none signed it."""
    message = timestamp.encode("ascii") + b"|" + body
    for key in keys:
        try:
            key.verify(message, signature)
        except BadSignatureError:
            continue
        return
    raise SignatureError("signature_wrong")


def sign(body: bytes, *, timestamp: str, key: SigningKey) -> dict[str, str]:
    """The two headers Telnyx would send with this body."""
    signed = key.sign(timestamp.encode("ascii") + b"|" + body)
    return {
        SIGNATURE_HEADER: base64.b64encode(signed.signature).decode("ascii"),
        TIMESTAMP_HEADER: timestamp,
    }
