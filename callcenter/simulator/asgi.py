"""The face with a port: ASGI, for uvicorn."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any

from callcenter.simulator.errors import refusal
from callcenter.simulator.simulator import Simulator
from callcenter.simulator.wire import Request, Response

logger = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

LARGEST_BODY = 1_000_000
# Longer than any client of ours waits for an answer.
SILENT_SECS = 30.0


class ConnectionLost(Exception):
    """Raised to make the server drop a connection half-way, as a fault demands."""


class SimulatorApp:
    """One ASGI application over one simulator. The server's lifespan starts and stops its timers."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self.simulator.start()
                await send({"type": "lifespan.startup.complete"})
            else:
                self.simulator.close()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _read(receive)
        if len(body) > LARGEST_BODY:
            await _send(send, Response(status=413, json={"error": f"a body has {LARGEST_BODY} bytes at most"}))
            return
        request = Request(
            method=scope["method"],
            path=scope["raw_path"].decode("ascii", "replace").partition("?")[0],
            query=scope["query_string"].decode("ascii", "replace"),
            headers={name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
            body=body,
        )
        try:
            response = self.simulator.handle(request)
        except Exception:
            logger.exception("A request failed, %s %s", request.method, request.path)
            response = Response(status=500, json=refusal("10007").as_json())
        if response.lost == "timeout":
            await _say_nothing(receive)
        if response.lost:
            await _break_off(send)
        if response.after_secs:
            await asyncio.sleep(response.after_secs)
        await _send(send, response)


async def _read(receive: Receive) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        part = message.get("body", b"")
        size += len(part)
        if size <= LARGEST_BODY + 1:
            parts.append(part)
        if not message.get("more_body"):
            return b"".join(parts) if size <= LARGEST_BODY else b" " * (LARGEST_BODY + 1)


async def _send(send: Send, response: Response) -> None:
    content = response.content()
    headers = {"content-length": str(len(content)), **response.headers}
    if content:
        headers["content-type"] = "application/json"
    encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": response.status, "headers": encoded})
    await send({"type": "http.response.body", "body": content})


async def _say_nothing(receive: Receive) -> None:
    """Until the client gives up, or nobody can be waiting any more."""
    with suppress(TimeoutError):
        await asyncio.wait_for(receive(), SILENT_SECS)


async def _break_off(send: Send) -> None:
    """Promise a body and close the connection instead of sending it."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1000")]})
    await send({"type": "http.response.body", "body": b"", "more_body": True})
    raise ConnectionLost
