"""What really happened, by the simulator's own log: who spoke with whom, who is gone, whose phone was taken twice."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Event = Mapping[str, Any]


@dataclass(slots=True)
class Truth:
    """Legs are call_control_ids. Feed it the events of ``/_sim/events`` in their order."""

    spoke_with_an_agent: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)
    taken_twice: list[str] = field(default_factory=list)
    _dialled: dict[str, str] = field(default_factory=dict)
    _answered: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    _together: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def learn(self, events: Iterable[Event]) -> None:
        for event in events:
            self._learn(event, event["payload"])

    def _learn(self, event: Event, payload: Mapping[str, Any]) -> None:
        leg = payload.get("call_control_id", "")
        match event["event_type"]:
            case "call.initiated" if payload.get("direction") == "outgoing":
                self._dialled[leg] = payload.get("to", "")
            case "call.answered" if leg in self._dialled:
                address = self._dialled[leg]
                self._answered[address].add(leg)
                if len(self._answered[address]) > 1:
                    self.taken_twice.append(
                        f"{address} was on {len(self._answered[address])} calls at {event['occurred_at']}"
                    )
            case "call.hangup":
                self.ended.add(leg)
                self._answered[self._dialled.get(leg, "")].discard(leg)
            case "conference.participant.joined":
                self._join(self._together[payload["conference_id"]], leg)
            case "conference.participant.left":
                self._together[payload["conference_id"]].discard(leg)

    def _join(self, company: set[str], leg: str) -> None:
        company.add(leg)
        agents = {other for other in company if other in self._dialled}
        if agents:
            self.spoke_with_an_agent |= company - agents
