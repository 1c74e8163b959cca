"""What really happened, by the simulator's own log: who spoke with whom, who is gone, whose phone was taken twice."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Event = Mapping[str, Any]


@dataclass(slots=True)
class Truth:
    """Legs are call_control_ids. Feed it the events of ``/_sim/events`` in their order.

    ``taken_twice``: a phone that was on two calls, or rung while it was rung or on a call. ``spoke_secs``: how long a
    caller was in a conference with somebody whom we dialled, the longest time on end.
    """

    spoke_with_an_agent: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)
    taken_twice: list[str] = field(default_factory=list)
    began_at: dict[str, datetime] = field(default_factory=dict)
    ended_at: dict[str, datetime] = field(default_factory=dict)
    spoke_secs: dict[str, float] = field(default_factory=dict)
    _dialled: dict[str, str] = field(default_factory=dict)
    _up: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    _answered: set[str] = field(default_factory=set)
    _together: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    _speaking_since: dict[str, datetime] = field(default_factory=dict)

    @property
    def lived_secs(self) -> dict[str, float]:
        """How long each leg that has ended was there."""
        return {leg: (at - self.began_at.get(leg, at)).total_seconds() for leg, at in self.ended_at.items()}

    def learn(self, events: Iterable[Event]) -> None:
        for event in events:
            self._learn(event, event["payload"], datetime.fromisoformat(event["occurred_at"]))

    def _learn(self, event: Event, payload: Mapping[str, Any], at: datetime) -> None:
        leg = payload.get("call_control_id", "")
        match event["event_type"]:
            case "call.initiated":
                self.began_at[leg] = at
                if payload.get("direction") == "outgoing":
                    self._ring(leg, payload.get("to", ""), at)
            case "call.answered" if leg in self._dialled:
                self._answer(leg, at)
            case "call.hangup":
                self.ended.add(leg)
                self.ended_at[leg] = at
                self._up[self._dialled.get(leg, "")].discard(leg)
                self._answered.discard(leg)
            case "conference.participant.joined":
                self._meet(payload["conference_id"], at, joins=leg)
            case "conference.participant.left":
                self._meet(payload["conference_id"], at, leaves=leg)

    def _ring(self, leg: str, address: str, at: datetime) -> None:
        self._dialled[leg] = address
        if others := self._up[address]:
            doing = "was on a call" if others & self._answered else "rang"
            self.taken_twice.append(f"{address} was rung by {leg} at {at} while it {doing}: {', '.join(others)}")
        self._up[address].add(leg)

    def _answer(self, leg: str, at: datetime) -> None:
        self._answered.add(leg)
        answered = self._up[self._dialled[leg]] & self._answered
        if len(answered) > 1:
            self.taken_twice.append(f"{self._dialled[leg]} was on {len(answered)} calls at {at}")

    def _meet(self, conference: str, at: datetime, *, joins: str = "", leaves: str = "") -> None:
        company = self._together[conference]
        before = self._speaking(company)
        company.discard(leaves)
        company.update(filter(None, [joins]))
        now = self._speaking(company)
        self.spoke_with_an_agent |= now
        self._speaking_since.update(dict.fromkeys(now - before, at))
        for caller in before - now:
            secs = (at - self._speaking_since.pop(caller)).total_seconds()
            self.spoke_secs[caller] = max(secs, self.spoke_secs.get(caller, 0.0))

    def _speaking(self, company: set[str]) -> set[str]:
        """The callers in it, if anybody is there whom we dialled."""
        callers = company - self._dialled.keys()
        return callers if callers != company else set()
