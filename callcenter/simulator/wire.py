"""One request and one response, without a server: what both faces translate to and from."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """``path`` is still percent-encoded, ``headers`` have lower-case names."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def parameters(self) -> dict[str, str]:
        """The query, one value per name; the last one wins."""
        return dict(parse_qsl(self.query, keep_blank_values=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """``after_secs`` and ``lost`` are faults for the face to act out."""

    status: int
    json: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    after_secs: float = 0.0
    lost: Literal["", "timeout", "reset"] = ""

    def content(self) -> bytes:
        """Empty for a 204."""
        return b"" if self.status == 204 else json.dumps(self.json, separators=(",", ":")).encode()


def segments(path: str) -> list[str]:
    """A path's parts, split before they are decoded, so that an id may hold a slash."""
    return [unquote(part) for part in path.strip("/").split("/")]
