"""Fields that more than one serializer needs."""

import re
from typing import Any

from rest_framework import serializers
from rest_framework.request import Request


def masked(number: str) -> str:
    """``+442071838750`` → ``+4420****8750``; of a SIP address the host is left, of anything else nothing."""
    if re.fullmatch(r"\+\d{9,15}", number):
        return f"{number[:5]}****{number[-4:]}"
    if number.startswith("sip:") and "@" in number:
        return f"sip:****@{number.rpartition('@')[2]}"
    return "****" if number else ""


class PhoneNumberField(serializers.CharField):
    """A number or SIP address: whole for people, masked for API keys without ``pii:read``."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(read_only=True, help_text="Masked for API keys without `pii:read`.", **kwargs)

    def to_representation(self, value: str) -> str:
        return value if self._may_be_seen() else masked(value)

    def _may_be_seen(self) -> bool:
        request: Request | None = self.context.get("request")
        if request is None or not request.user.is_authenticated:
            return False
        key = request.auth  # a signed-in user comes without one
        return key is None or "pii:read" in getattr(key, "scopes", ())
