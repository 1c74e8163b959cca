"""The Telnyx client: every operation of Telnyx's Voice API that the product uses, one method each.

It reads no settings and knows no Django. All of its errors are in ``errors``, all that it returns in
``records``.
"""

from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import httpx

from webhooks.telnyx.applications import Applications
from webhooks.telnyx.calls import Calls
from webhooks.telnyx.conferences import Conferences
from webhooks.telnyx.queues import Queues
from webhooks.telnyx.recordings import Recordings
from webhooks.telnyx.records import RateLimit
from webhooks.telnyx.transport import Wire

BASE_URL = "https://api.telnyx.com/v2"


class TelnyxClient:
    """One account's access to Telnyx; make one per process and share it among threads.

    No request takes more than 5 s in all: 1 s to connect, 3 s between two pieces of the reply. Nothing is
    repeated and no redirect is followed: what to do after an error is the caller's to decide. ``transport``
    replaces the network, for a simulator in the same process.

    Raises ValueError for a key or a URL that cannot be used; the message does not show the key.
    """

    def __init__(self, *, api_key: str, base_url: str = BASE_URL, transport: httpx.BaseTransport | None = None) -> None:
        if not api_key or not all("!" <= character <= "~" for character in api_key):
            raise ValueError("a Telnyx API key is visible ASCII text without spaces; this one is empty or is not")
        self._base_url = _checked(base_url)
        self._wire = Wire(api_key=api_key, base_url=self._base_url, transport=transport)
        self.calls = Calls(self._wire)
        self.queues = Queues(self._wire)
        self.conferences = Conferences(self._wire)
        self.recordings = Recordings(self._wire)
        self.applications = Applications(self._wire)

    @property
    def rate_limit(self) -> RateLimit | None:
        """What Telnyx last said to this thread about our rate, None as long as it has said nothing."""
        return self._wire.rate_limit

    def close(self) -> None:
        """Close the connections. The client cannot be used afterwards."""
        self._wire.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"TelnyxClient(base_url={self._base_url!r})"


def _checked(base_url: str) -> str:
    try:
        parts = urlsplit(base_url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        usable = usable and not (parts.query or parts.fragment or "@" in parts.netloc)
    except ValueError:  # brackets or a port that are none
        usable = False
    if not usable or any(map(str.isspace, base_url)):
        raise ValueError("Telnyx's base URL is http:// or https://, a host and a path, without credentials")
    return base_url.rstrip("/")
