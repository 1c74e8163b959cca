"""The in-process face: an ``httpx.BaseTransport`` that needs no port. httpx and the official SDK both take it."""

import time

import httpx

from callcenter.simulator.clock import ManualClock
from callcenter.simulator.simulator import Simulator
from callcenter.simulator.wire import Request, Response


class SimulatorTransport(httpx.BaseTransport):
    """Answers every host. A fault that loses the answer raises what httpx would; a slow one waits on a real clock."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        raw_path, _, query = request.url.raw_path.decode("ascii").partition("?")
        response = self.simulator.handle(
            Request(
                method=request.method,
                path=raw_path,
                query=query,
                headers={name.lower(): value for name, value in request.headers.items()},
                body=request.read(),
            )
        )
        self._act_out(response, request)
        content = response.content()
        headers = {"content-type": "application/json"} if content else {}
        return httpx.Response(
            response.status, headers={**headers, **response.headers}, content=content, request=request
        )

    def _act_out(self, response: Response, request: httpx.Request) -> None:
        if response.lost == "timeout":
            raise httpx.ReadTimeout("The simulator keeps its answer to itself.", request=request)
        if response.lost == "reset":
            raise httpx.ReadError("The simulator reset the connection.", request=request)
        if response.after_secs and not isinstance(self.simulator.clock, ManualClock):
            time.sleep(response.after_secs)
