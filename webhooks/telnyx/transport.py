"""One request to Telnyx and its reply: timeouts, one deadline over all of it, a size limit, errors, pages.

httpx limits each wait but not their sum: a reply that trickles in byte by byte would hold a worker for ever.
So every wait on the socket is also cut at the request's deadline, and after the deadline nothing is written
any more. Only name resolution cannot be interrupted; a name that resolves too late ends in an error, never in
a late command.
"""

import json
import logging
import math
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any
from urllib.parse import quote

import httpcore
import httpx

from webhooks.telnyx.errors import InvalidRequest, TelnyxUnavailable, from_response
from webhooks.telnyx.records import RateLimit

logger = logging.getLogger(__name__)
# At INFO httpx logs whole URLs, with the tokens of legs and the numbers of filters in them.
logging.getLogger("httpx").setLevel(logging.WARNING)

CONNECT_SECS = 1.0
READ_SECS = 3.0
TOTAL_SECS = 5.0
MAX_REPLY_BYTES = 8 * 1024 * 1024
USER_AGENT = "callcenter"

_deadline: ContextVar[float] = ContextVar("telnyx_deadline", default=math.inf)


@contextmanager
def not_after(instant: float) -> Iterator[None]:
    """Within it no request writes or waits beyond ``instant`` of ``time.monotonic()``, which counts on while a
    process is stopped. What is left of a request's own time goes before.
    """
    token = _deadline.set(instant)
    try:
        yield
    finally:
        _deadline.reset(token)


def _left(timeout: float | None, expired: type[Exception]) -> float | None:
    """``timeout`` or what is left until the deadline, whichever is shorter.

    Raises ``expired`` if nothing is.
    """
    left = _deadline.get() - time.monotonic()
    if left <= 0:
        raise expired("the request took too long in all")
    return timeout if math.isinf(left) else left if timeout is None else min(timeout, left)


class _Stream(httpcore.NetworkStream):
    """A connection whose every wait ends at the deadline of the request that uses it."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = _left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _Backend(httpcore.NetworkBackend):
    """TCP connections under the deadline, to each address of a name in turn."""

    def __init__(self) -> None:
        self._backend = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        # Left to itself the socket module gives every address the whole timeout, whatever their number.
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in self._addresses(host, port):
            left = _left(timeout, httpcore.ConnectTimeout)
            try:
                return _Stream(self._backend.connect_tcp(address, port, left, local_address, socket_options))
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    @staticmethod
    def _addresses(host: str, port: int) -> list[str]:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        return [str(address[0]) for *_, address in found]


class _Transport(httpx.HTTPTransport):
    """httpx's own transport on our backend. No proxies and no certificates from the environment."""

    def __init__(self) -> None:
        super().__init__(trust_env=False)
        # httpx has no public way to choose the backend; the tests on real sockets would notice its loss.
        self._pool = httpcore.ConnectionPool(
            ssl_context=httpx.create_ssl_context(trust_env=False),
            network_backend=_Backend(),
            # One for each thread that sends, and no worker has that many: nobody waits for another's connection.
            max_connections=50,
            max_keepalive_connections=20,
            keepalive_expiry=5.0,
        )


class Wire:
    """Sends requests, turns everything but a readable success into our errors.

    Safe to share among threads.
    """

    def __init__(self, *, api_key: str, base_url: str, transport: httpx.BaseTransport | None) -> None:
        self._said = threading.local()
        self._http = httpx.Client(
            base_url=base_url,
            headers={
                "authorization": f"Bearer {api_key}",
                "accept": "application/json",
                # Compressed, a small reply could unfold beyond the size limit in one step.
                "accept-encoding": "identity",
                "user-agent": USER_AGENT,
            },
            timeout=httpx.Timeout(READ_SECS, connect=CONNECT_SECS, write=CONNECT_SECS, pool=CONNECT_SECS),
            # Nothing of one request may ride on the next.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            follow_redirects=False,
            trust_env=False,
            transport=transport or _Transport(),
        )

    @property
    def rate_limit(self) -> RateLimit | None:
        """What the last reply to this thread that had the headers said; another thread's may be about other things."""
        found: RateLimit | None = getattr(self._said, "rate_limit", None)
        return found

    def close(self) -> None:
        self._http.close()

    def request(
        self,
        method: str,
        template: str,
        ids: Mapping[str, str],
        *,
        query: Mapping[str, object] | None = None,
        body: Mapping[str, object] | None = None,
    ) -> Mapping[str, Any] | None:
        """The JSON object of a success, None for one without a body. Fields that are None are not sent.

        Raises InvalidRequest for what cannot be sent, TelnyxRejected or TelnyxUnavailable for what came of
        it.
        """
        request = self._http.build_request(
            method,
            path(template, ids),
            params=_query(query) if query else None,
            content=_json(body) if body is not None else None,
            headers={"content-type": "application/json"} if body is not None else None,
        )
        started = time.monotonic()
        token = _deadline.set(min(started + TOTAL_SECS, _deadline.get()))
        try:
            status, headers, content = self._exchange(request)
        except httpx.RequestError as error:
            sent = not isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout))
            reason = f"no answer ({type(error).__name__})" if sent else f"no connection ({type(error).__name__})"
            logger.debug("Telnyx did not answer: %s %s, %s.", method, template, reason)
            # Not "from error": its request carries the key.
            raise TelnyxUnavailable(None, None, reason, sent=sent) from None
        finally:
            _deadline.reset(token)
        self._said.rate_limit = _rate_limit(headers) or self.rate_limit
        took = time.monotonic() - started
        logger.debug("Telnyx answered: %s %s, %s after %.3f s.", method, template, status, took)
        if not 200 <= status < 300:
            raise from_response(status, content, headers)
        return _object(status, content)

    def pages(
        self, template: str, ids: Mapping[str, str], query: Mapping[str, object], *, page_size: int
    ) -> Iterator[Mapping[str, Any]]:
        """The items of every page of a list that is paged by number."""
        number = 1
        while True:
            page = {**query, "page[number]": number, "page[size]": page_size}
            items, meta = self._page(template, ids, page)
            yield from items
            total = meta.get("total_pages")
            # Without a total a short page is the last one; an empty one is the end in any case.
            last = number >= total if type(total) is int else len(items) < page_size
            if last or not items:
                return
            number += 1

    def cursor_pages(self, template: str, ids: Mapping[str, str], *, page_size: int) -> Iterator[Mapping[str, Any]]:
        """The items of every page of a list that is paged by cursor."""
        after, seen = None, set()
        while True:
            items, meta = self._page(template, ids, {"page[after]": after, "page[limit]": page_size})
            yield from items
            cursors = meta.get("cursors")
            after = cursors.get("after") if isinstance(cursors, dict) else None
            # The description gives "null" as the cursors' default; a repeated one would go round for ever.
            if not items or not isinstance(after, str) or after in ("", "null") or after in seen:
                return
            seen.add(after)

    def _page(
        self, template: str, ids: Mapping[str, str], query: Mapping[str, object]
    ) -> tuple[list[Mapping[str, Any]], Mapping[str, Any]]:
        reply = self.request("GET", template, ids, query=query) or {}
        items, meta = reply.get("data"), reply.get("meta")
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise unreadable("data is not a list of objects")
        return items, meta if isinstance(meta, dict) else {}

    def _exchange(self, request: httpx.Request) -> tuple[int, httpx.Headers, bytes]:
        _left(None, httpx.ConnectTimeout)
        response = self._http.send(request, stream=True)
        try:
            content = bytearray()
            for chunk in response.iter_bytes():
                content += chunk
                if len(content) > MAX_REPLY_BYTES:
                    raise httpx.ReadError("the reply is too long")
                # Again here, for the transports that are not ours.
                _left(None, httpx.ReadTimeout)
            return response.status_code, response.headers, bytes(content)
        finally:
            response.close()


def path(template: str, ids: Mapping[str, str]) -> str:
    """The template with its ids percent-encoded, each as one segment.

    Raises InvalidRequest for an id that would lead to another path: an empty one, "." and "..".
    """
    segments = {}
    for name, value in ids.items():
        if not isinstance(value, str) or value in ("", ".", ".."):
            raise InvalidRequest(name, "must be an identifier", "no usable text")
        try:
            segments[name] = quote(value, safe="")
        except UnicodeEncodeError:
            raise InvalidRequest(name, "must be an identifier", "text that is not Unicode") from None
    return template.format_map(segments)


def unreadable(reason: str, status: int = 200) -> TelnyxUnavailable:
    """A success whose body tells nothing: not Telnyx's answer, perhaps, so the outcome is unknown."""
    return TelnyxUnavailable(status, None, f"the reply cannot be read: {reason}")


def _object(status: int, content: bytes) -> Mapping[str, Any] | None:
    if status == httpx.codes.NO_CONTENT or not content:
        return None
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        raise unreadable("it is not JSON", status) from None
    if not isinstance(document, dict):
        raise unreadable("it is not an object", status)
    return document


def _json(body: Mapping[str, object]) -> bytes:
    given = {field: value for field, value in body.items() if value is not None}
    try:
        return json.dumps(given, allow_nan=False).encode("ascii")
    except (TypeError, ValueError, RecursionError):
        raise InvalidRequest("the body", "must be values that JSON has") from None


def _query(query: Mapping[str, object]) -> dict[str, str]:
    given = {field: value for field, value in query.items() if value is not None}
    return {field: str(value).lower() if isinstance(value, bool) else str(value) for field, value in given.items()}


def _rate_limit(headers: Mapping[str, str]) -> RateLimit | None:
    found = {key: _number(headers.get(f"x-ratelimit-{key}")) for key in ("limit", "remaining", "reset")}
    if all(value is None for value in found.values()):
        return None
    limit, remaining = found["limit"], found["remaining"]
    return RateLimit(
        limit=None if limit is None else int(limit),
        remaining=None if remaining is None else int(remaining),
        reset=found["reset"],
    )


def _number(text: str | None) -> float | None:
    """The first number of a header such as ``150`` or ``150, 150;w=5``."""
    try:
        value = float((text or "").split(",")[0].split(";")[0])
    except ValueError:
        return None
    return value if math.isfinite(value) else None
