"""Faults to inject, each with a share of 0..1 drawn from a seeded source, and perhaps a match; and counts of them."""

import random
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from callcenter.simulator.model import Event, Json

DELIVERY_FAULTS = (
    "duplicate",
    "duplicate_new_id",
    "drop",
    "delay",
    "reorder",
    "tamper",
    "stale_timestamp",
)
API_FAULTS = (
    "api_slow",
    "api_5xx",
    "api_5xx_after_effect",
    "api_timeout",
    "api_timeout_after_effect",
    "api_429",
    "reset",
)
_DEFAULT_SECS = {"delay": 30.0, "reorder": 5.0}
_MATCHES = ("event_type", "operation", "leg")
SLOW_SECS = (0.2, 2.0)


class BadFault(ValueError):
    """The message names the fault, what was found and what is accepted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """``secs`` is how long a delay lasts, and the longest a reordering holds back."""

    share: float
    secs: float | None = None
    match: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> Json:
        shown: Json = {"share": self.share}
        if self.secs is not None:
            shown["secs"] = self.secs
        if self.match:
            shown["match"] = dict(self.match)
        return shown


class Faults:
    """What is switched on now, and how often each has struck."""

    def __init__(self, *, seed: int | None, operations: Collection[str]) -> None:
        self._seed = seed
        self._operations = frozenset(operations)
        self.reset()

    def reset(self) -> None:
        self.random = random.Random(None if self._seed is None else f"faults {self._seed}")
        self.active: dict[str, Fault] = {}
        self.injected: Counter[str] = Counter()

    def as_json(self) -> Json:
        return {
            "faults": {name: fault.as_json() for name, fault in self.active.items()},
            "injected": {name: self.injected[name] for name in (*DELIVERY_FAULTS, *API_FAULTS)},
        }

    def replace(self, wanted: Mapping[str, Any]) -> None:
        """Switch on exactly these; what is not named is off. Raises BadFault."""
        self.active = {name: self._parse(name, value) for name, value in wanted.items()}

    def _parse(self, name: str, value: Any) -> Fault:
        if name not in DELIVERY_FAULTS and name not in API_FAULTS:
            accepted = ", ".join((*DELIVERY_FAULTS, *API_FAULTS))
            raise BadFault(f"{name}: no such fault; accepted are {accepted}")
        given = value if isinstance(value, dict) else {"share": value}
        for key in given:
            if key not in {"share", "secs", "match"}:
                raise BadFault(f"{name}.{key}: unknown; accepted are share, secs, match")
        share, secs = given.get("share", 1), given.get("secs", _DEFAULT_SECS.get(name))
        if not _is_number(share) or not 0 <= share <= 1:
            raise BadFault(f"{name}.share: found {share!r}, accepted is a number from 0 to 1")
        if name not in _DEFAULT_SECS and secs is not None:
            raise BadFault(f"{name}.secs: only delay and reorder take seconds")
        if secs is not None and (not _is_number(secs) or not 0 <= secs <= 3600):
            raise BadFault(f"{name}.secs: found {secs!r}, accepted are seconds from 0 to 3600")
        return Fault(share=share, secs=secs, match=self._parse_match(name, given.get("match") or {}))

    def _parse_match(self, name: str, match: Any) -> Mapping[str, str]:
        if not isinstance(match, dict) or not all(isinstance(value, str) for value in match.values()):
            raise BadFault(f"{name}.match: found {match!r}, accepted is an object of texts")
        for key, value in match.items():
            if key not in _MATCHES:
                raise BadFault(f"{name}.match.{key}: unknown; accepted are {', '.join(_MATCHES)}")
            if key == "operation" and value not in self._operations:
                accepted = ", ".join(sorted(self._operations))
                raise BadFault(f"{name}.match.operation: found {value!r}, accepted are {accepted}")
        return match

    def strikes_delivery(self, name: str, event: Event) -> Fault | None:
        """The fault, if it is on, matches, and the draw falls inside its share."""
        found = self.active.get(name)
        if found is None or "operation" in found.match:
            return None
        facts = {"event_type": event.event_type, "leg": event.call_control_id}
        return self._draw(name, found, facts)

    def strikes_request(self, name: str, *, operation: str, leg: str) -> Fault | None:
        found = self.active.get(name)
        if found is None or "event_type" in found.match:
            return None
        return self._draw(name, found, {"operation": operation, "leg": leg})

    def _draw(self, name: str, fault: Fault, facts: Mapping[str, str]) -> Fault | None:
        if any(facts[key] != value for key, value in fault.match.items()):
            return None
        if self.random.random() >= fault.share:
            return None
        self.injected[name] += 1
        return fault


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
