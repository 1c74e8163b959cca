"""A simulator on a manual clock in this process, a client to command it, and a receiver that keeps every post."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

from callcenter.simulator.simulator import Simulator
from callcenter.simulator.transport import SimulatorTransport

CALLER = "+15550100001"
NUMBER = "+15550100002"
AGENT = "sip:ann@agents.example.com"
MUSIC = "https://media.example.com/music.mp3"
STARTS_AT = 1_700_000_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """One webhook as it arrived."""

    url: str
    body: bytes
    headers: Mapping[str, str]

    @property
    def data(self) -> dict[str, Any]:
        document = json.loads(self.body)
        return document.get("data", document)

    @property
    def event_type(self) -> str:
        return self.data["event_type"]

    @property
    def payload(self) -> dict[str, Any]:
        return self.data["payload"]


class Rig:
    """``posts`` is what arrived, in order; ``status`` what the receiver answers, or raises."""

    def __init__(self, **options: Any) -> None:
        self.posts: list[Posted] = []
        self.status: int | Exception = 200
        self.simulator = Simulator(
            **{"clock": "manual", "seed": 7, "post": self._receive, "starts_at": STARTS_AT} | options
        )
        self.world = self.simulator.world
        self.http = httpx.Client(
            transport=SimulatorTransport(self.simulator), base_url="http://simulator", timeout=None
        )

    @classmethod
    def over(cls, simulator: Simulator) -> "Rig":
        """The same handles on a simulator that is already there; its posts go elsewhere."""
        rig = cls.__new__(cls)
        rig.simulator, rig.world, rig.posts, rig.status = simulator, simulator.world, [], 200
        rig.http = httpx.Client(transport=SimulatorTransport(simulator), base_url="http://simulator", timeout=None)
        return rig

    def _receive(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        self.posts.append(Posted(url=url, body=body, headers=headers))
        if isinstance(self.status, Exception):
            raise self.status
        return self.status

    # Telnyx's face

    def request(self, method: str, path: str, body: Any = None, **query: Any) -> httpx.Response:
        return self.http.request(method, f"/v2{path}", json=body, params=query or None)

    def get(self, path: str, **query: Any) -> Any:
        response = self.request("GET", path, **query)
        assert response.status_code == 200, response.text
        return response.json()

    def post(self, path: str, **body: Any) -> Any:
        """A command that has to be accepted; returns its ``data``."""
        response = self.request("POST", path, body)
        assert response.status_code == 200, response.text
        return response.json()["data"]

    def refused(self, path: str, method: str = "POST", **body: Any) -> tuple[int, str]:
        """A command that has to be refused; returns status and code."""
        response = self.request(method, path, body or None)
        assert response.status_code >= 400, response.text
        return response.status_code, response.json()["errors"][0]["code"]

    def call(self, leg: str, action: str, **body: Any) -> Any:
        return self.post(f"/calls/{quote(leg, safe='')}/actions/{action}", **body)

    def call_refused(self, leg: str, action: str, **body: Any) -> str:
        return self.refused(f"/calls/{quote(leg, safe='')}/actions/{action}", **body)[1]

    def conference(self, conference: str, action: str, **body: Any) -> Any:
        return self.post(f"/conferences/{quote(conference, safe='')}/actions/{action}", **body)

    def conference_refused(self, conference: str, action: str, **body: Any) -> str:
        return self.refused(f"/conferences/{quote(conference, safe='')}/actions/{action}", **body)[1]

    # The world outside

    def sim(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        response = self.http.request(method, f"/_sim/{path}", json=body, params=query or None)
        assert response.status_code == 200, response.text
        return response.json()

    def sim_refused(self, method: str, path: str, body: Any = None) -> tuple[int, str]:
        response = self.http.request(method, f"/_sim/{path}", json=body)
        assert response.status_code >= 400, response.text
        return response.status_code, response.json()["error"]

    def phone(self, address: str = "default", **habits: Any) -> None:
        self.sim("PUT", f"phones/{quote(address, safe='')}", habits)

    def on_phone(self, leg: str, action: str, **body: Any) -> None:
        self.sim("POST", f"calls/{quote(leg, safe='')}/{action}", body)

    def ring_in(self, **habits: Any) -> str:
        ringing: str = self.sim("POST", "calls", {"from": CALLER, "to": NUMBER, **habits})["call_control_id"]
        return ringing

    def caller(self, **habits: Any) -> str:
        """A caller whose call is answered."""
        leg = self.ring_in(**habits)
        self.call(leg, "answer")
        return leg

    def waiting(self, queue: str = "support", **body: Any) -> str:
        leg = self.caller()
        self.call(leg, "enqueue", queue_name=queue, **body)
        return leg

    def dial(self, to: str = AGENT, **body: Any) -> str:
        wanted = {"connection_id": self.world.connection_id, "to": to, "from": NUMBER} | body
        dialled: str = self.post("/calls", **wanted)["call_control_id"]
        return dialled

    def agent(self, to: str = AGENT, **body: Any) -> str:
        """A dialled leg that has answered, which takes the phone a second."""
        leg = self.dial(to, **body)
        self.advance(1)
        return leg

    def meeting(self, *legs: str, name: str = "room", **body: Any) -> str:
        """A conference created by the first leg and joined by the rest."""
        created: str = self.post("/conferences", call_control_id=legs[0], name=name, **body)["id"]
        for leg in legs[1:]:
            self.conference(created, "join", call_control_id=leg)
        return created

    def advance(self, secs: float) -> None:
        self.simulator.advance(secs)

    # What there is to see

    def told(self) -> list[str]:
        """The types of every event that has arrived since the last look."""
        self.simulator.drain()
        types = [posted.event_type for posted in self.posts]
        self.posts.clear()
        return types

    def payload(self, event_type: str) -> dict[str, Any]:
        """The payload of the last event of a type in the world's log."""
        return next(event.payload for event in reversed(self.world.events) if event.event_type == event_type)

    def hears(self, leg: str) -> set[str]:
        return set(self.sim("GET", "audio")[leg]["hears"])

    def media(self, leg: str) -> list[tuple[str, str]]:
        return [(each["kind"], each["source"]) for each in self.sim("GET", "audio")[leg]["media"]]

    def leg(self, token: str) -> dict[str, Any]:
        legs: list[dict[str, Any]] = self.sim("GET", "state")["legs"]
        return next(leg for leg in legs if leg["call_control_id"] == token)

    def participants(self, conference: str) -> dict[str, dict[str, Any]]:
        listed = self.get(f"/conferences/{conference}/participants", **{"page[size]": 250})["data"]
        return {each["call_control_id"]: each for each in listed}


@contextmanager
def rigged(**options: Any) -> Iterator[Rig]:
    rig = Rig(**options)
    with rig.http:
        yield rig
    rig.simulator.close()
