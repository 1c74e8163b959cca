"""What the simulator saw, read while it happens: its logs forget the oldest, and a soak is longer than they are."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from callcenter.demo.truth import Truth

Entry = Mapping[str, Any]
FORGERIES = frozenset({"tamper", "stale_timestamp"})
# An outcome says whether caller and agent met; who does not answer, as far as we hear, is let into no conference.
DECIDING = "conference.participant.joined"
_LOST = frozenset({"dropped", "failed"})
_ON_THEIR_WAY = frozenset({"waiting", "sending", "held"})


@dataclass(slots=True)
class Deliveries:
    """What became of every copy of every event: which reached us, and which might have."""

    answered: set[str] = field(default_factory=set)
    attempted: set[str] = field(default_factory=set)
    told_of: set[str] = field(default_factory=set)
    kept_from_us: set[str] = field(default_factory=set)
    forged_and_accepted: list[str] = field(default_factory=list)
    given_up: int = 0
    on_their_way: int = 0

    def learn(self, parcels: Iterable[Entry]) -> None:
        """Parcels that will not change any more.

        ``told_of``: the legs of events we have acknowledged, but for those of which the end alone was told.
        ``kept_from_us``: those of whom a join was lost; a look at Telnyx may come too late for it.
        """
        for parcel in parcels:
            accepted = any(200 <= (attempt["status"] or 0) < 300 for attempt in parcel["attempts"])
            if parcel["kind"] in FORGERIES:
                if accepted:
                    self.forged_and_accepted.append(f"{parcel['kind']} of {parcel['event_type']} {parcel['event_id']}")
                continue
            self.given_up += parcel["status"] == "failed"
            if parcel["status"] in _LOST and parcel["event_type"] == DECIDING:
                self.kept_from_us.add(parcel["call_control_id"])
            if parcel["attempts"]:
                self.attempted.add(parcel["event_id"])
            if accepted:
                self.answered.add(parcel["event_id"])
                if parcel["event_type"] != "call.hangup":
                    self.told_of.add(parcel["call_control_id"])


@dataclass(slots=True)
class Hangups:
    """Whose leg somebody else than the caller ended, and when."""

    by_others: dict[str, str] = field(default_factory=dict)

    def learn(self, events: Iterable[Entry]) -> None:
        for event in events:
            if event["event_type"] == "call.hangup" and event["payload"]["hangup_source"] != "caller":
                self.by_others[event["call_control_id"]] = event["occurred_at"]


class Witness:
    """Reads on from where it stopped. ``see`` is to be called every second or so, ``see_deliveries`` now and then."""

    def __init__(self, simulator: httpx.Client) -> None:
        self._simulator = simulator
        self._read = {"events": 0, "commands": 0}
        self._delivered_before = 0
        self.truth = Truth()
        self.hangups = Hangups()
        self.deliveries = Deliveries()
        self.commands: list[Entry] = []

    def see(self) -> None:
        events = self._new("events")
        self.truth.learn(events)
        self.hangups.learn(events)
        self.commands += self._new("commands")

    def see_deliveries(self) -> None:
        """Up to the first event of which a copy is still on its way."""
        parcels: list[Entry] = self._get(f"deliveries?after={self._delivered_before}")["deliveries"]
        open_since = min((p["seq"] for p in parcels if p["status"] in _ON_THEIR_WAY), default=None)
        done = [p for p in parcels if open_since is None or p["seq"] < open_since]
        self.deliveries.learn(done)
        self.deliveries.on_their_way = len(parcels) - len(done)
        self._delivered_before = max((p["seq"] for p in done), default=self._delivered_before)

    def state(self) -> dict[str, Any]:
        """``/_sim/state``."""
        return self._get("state")

    def injected(self) -> dict[str, int]:
        """How often each fault has struck."""
        injected: dict[str, int] = self._get("faults")["injected"]
        return injected

    def _new(self, log: str) -> list[Entry]:
        entries: list[Entry] = self._get(f"{log}?after={self._read[log]}")[log]
        self._read[log] = max((entry["seq"] for entry in entries), default=self._read[log])
        return entries

    def _get(self, path: str) -> dict[str, Any]:
        answer: dict[str, Any] = self._simulator.get(f"/_sim/{path}").raise_for_status().json()
        return answer
