"""Callers and phones: who rings when, how long he waits and talks, and what an agent's phone does.

All seconds are of real life; the simulator and ``Lines`` divide them by the speed.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx

MEAN_GAP_SECS = 18.0  # twelve agents with calls of two minutes and wrap-up are then busy most of the time
# One machine plays everybody: faster than this it would be measuring itself.
SHORTEST_MEAN_GAP_REAL_SECS = 1.5
SHORTEST_PATIENCE_SECS, MEAN_PATIENCE_SECS, LONGEST_PATIENCE_SECS = 60.0, 180.0, 420.0
TALK_SECS = (40.0, 180.0)
SHORTEST_REAL_PATIENCE_SECS = 3.0

Habit = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """``gap_secs`` after the one before, somebody rings ``to``."""

    number: str
    to: str
    gap_secs: float
    patience_secs: float
    talk_secs: float


def callers(rng: random.Random, numbers: Sequence[str], *, speed: float) -> Iterator[Caller]:
    """Without end. Their own numbers are of the range that Ofcom keeps free for fiction."""
    mean_gap = max(MEAN_GAP_SECS, SHORTEST_MEAN_GAP_REAL_SECS * speed)
    while True:
        patience = SHORTEST_PATIENCE_SECS + rng.expovariate(1 / (MEAN_PATIENCE_SECS - SHORTEST_PATIENCE_SECS))
        yield Caller(
            number=f"+447700{rng.randrange(900100, 900999)}",
            to=rng.choice(numbers),
            gap_secs=min(rng.expovariate(1 / mean_gap), 3 * mean_gap),
            patience_secs=min(patience, LONGEST_PATIENCE_SECS),
            talk_secs=rng.uniform(*TALK_SECS),
        )


def habit(rng: random.Random, address: str, *, answering: bool) -> Habit:
    """What a phone does from now on. Only numbers have a voicemail, which their confirmation then catches."""
    if answering:
        return {"on_ring": "answer", "after_secs": 2}
    answer: Habit = {"on_ring": "answer", "after_secs": rng.uniform(1, 8)}
    hangs_up: Habit = {**answer, "talk_secs": rng.uniform(*TALK_SECS)}
    drops: Habit = {**answer, "drop_after_secs": rng.uniform(20, 60)}
    others: list[Habit] = [{"on_ring": "decline", "after_secs": 3}, {"on_ring": "busy", "after_secs": 1}]
    others += [{"on_ring": "unreachable", "after_secs": 1}, {"on_ring": "no_answer"}]
    if not address.startswith("sip:"):
        others.append({"on_ring": "voicemail", "after_secs": 15})
    kinds: list[Habit] = [answer, hangs_up, drops, rng.choice(others)]
    return rng.choices(kinds, weights=[60, 24, 4, 12])[0]


@dataclass(slots=True, kw_only=True, eq=False)
class Placed:
    """A call that rang: its leg at Telnyx, and until when its caller waits once he is in line."""

    leg: str
    caller: Caller
    waiting_since: float | None = None
    gave_up: bool = field(default=False)


class Lines:
    """The telephone network: places calls and lets callers hang up, over the simulator's control paths."""

    def __init__(self, simulator: httpx.Client, *, speed: float) -> None:
        self._simulator = simulator
        self._speed = speed
        self.placed: list[Placed] = []

    def set_phone(self, address: str, habit: Habit) -> None:
        self._simulator.put(f"/_sim/phones/{quote(address, safe='')}", json=dict(habit)).raise_for_status()

    def ring(self, caller: Caller) -> None:
        said = {"from": caller.number, "to": caller.to, "talk_secs": caller.talk_secs}
        answer = self._simulator.post("/_sim/calls", json=said).raise_for_status().json()
        self.placed.append(Placed(leg=answer["call_control_id"], caller=caller))

    def lose_patience(self, waiting: set[str], *, clock: float) -> None:
        """Whoever has been in line for longer than he likes hangs up. ``waiting``: the legs that are in line."""
        for call in self.placed:
            if call.gave_up:
                continue
            if call.leg not in waiting:
                call.waiting_since = None
            elif call.waiting_since is None:
                call.waiting_since = clock
            elif clock - call.waiting_since >= self.patience(call.caller):
                call.gave_up = True
                # 409: he has hung up or been hung up on in this instant
                self._simulator.post(f"/_sim/calls/{quote(call.leg, safe='')}/hangup")

    def patience(self, caller: Caller) -> float:
        """In seconds of the clock."""
        return max(SHORTEST_REAL_PATIENCE_SECS, caller.patience_secs / self._speed)


def longest_patience_secs(speed: float) -> float:
    """In seconds of the clock."""
    return max(SHORTEST_REAL_PATIENCE_SECS, LONGEST_PATIENCE_SECS / speed)
