"""Callers who hang up at every moment there is, and agents whose phones do whatever phones do.

Half the callers mean to be served: they wait as long as they have patience, talk, and hang up. The others hang up in
a state that each has been given, as soon as he is seen in it; every state comes equally often.
"""

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

import httpx

from callcenter.chaos.schedule import RUSH_SECS, Profile
from callcenter.demo.traffic import Habit
from queues.models import Call, Offer

# Where a caller can be when he hangs up, by our own rows.
STATES = ("arriving", "greeting", "queued", "ringing", "confirming", "connecting", "talking", "on_hold")


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """``leaves_in``: the state he hangs up in; '' for one who waits and talks as long as he has a mind to."""

    number: str
    to: str
    patience_secs: float | None
    talk_secs: float | None
    leaves_in: str = ""


def callers(profile: Profile, rng: random.Random, numbers: Sequence[str]) -> Iterator[Caller]:
    """One after the other; the last few stay on, so that there is something to compare when the faults have ended."""
    for number in range(profile.calls):
        known = {"number": f"+447700{rng.randrange(900100, 900999)}", "to": rng.choice(numbers)}
        if number >= profile.calls - profile.stays:
            yield Caller(**known, patience_secs=None, talk_secs=profile.stays_secs)
        elif number % 2:
            yield Caller(
                **known,
                patience_secs=rng.expovariate(1 / profile.patience_secs),
                talk_secs=rng.uniform(*profile.talk_secs),
            )
        else:
            leaves_in = STATES[number // 2 % len(STATES)]
            yield Caller(
                **known,
                patience_secs=profile.patience_secs * 3,
                talk_secs=profile.talk_secs[1] * 2,
                leaves_in=leaves_in,
            )


def moments_in_the_dark(calls: int, secs: float, rng: random.Random) -> list[float]:
    """When so many callers ring while nobody of ours is there: three quarters of them in the last RUSH_SECS.

    Whom nobody answers Telnyx hangs up after 30 s, so it is they who are there when our processes start.
    """
    rush = max(0.0, secs - RUSH_SECS)
    return sorted(rng.uniform(rush if number % 4 else 0.0, secs) for number in range(calls))


def habit(rng: random.Random, *, ring_secs: int) -> Habit:
    """What an agent's phone does from now on: 70 % answer, the rest is every way of not doing so."""
    answer: Habit = {"on_ring": "answer", "after_secs": rng.uniform(0.3, 2)}
    ways: list[tuple[int, Habit]] = [
        (58, answer),
        (12, {**answer, "talk_secs": rng.uniform(1, 5)}),
        (6, {"on_ring": "busy", "after_secs": 0.3}),
        (6, {"on_ring": "decline", "after_secs": 1}),
        (6, {"on_ring": "no_answer"}),
        # Within a moment of the ring limit, on either side of it.
        (6, {"on_ring": "answer", "after_secs": ring_secs + rng.uniform(-0.3, 0.3)}),
        (6, {**answer, "drop_after_secs": rng.uniform(0.5, 4)}),
    ]
    return rng.choices([way for _, way in ways], weights=[weight for weight, _ in ways])[0]


class Crowd:
    """Everybody who has rung. Legs are call_control_ids."""

    def __init__(self, simulator: httpx.Client) -> None:
        self._simulator = simulator
        self.placed: list[str] = []
        self.left_in: Counter[str] = Counter()
        self._leaving: dict[str, str] = {}

    def ring(self, caller: Caller) -> None:
        habits = {"patience_secs": caller.patience_secs, "talk_secs": caller.talk_secs}
        said = {"from": caller.number, "to": caller.to, **{k: v for k, v in habits.items() if v is not None}}
        leg = self._simulator.post("/_sim/calls", json=said).raise_for_status().json()["call_control_id"]
        self.placed.append(leg)
        if caller.leaves_in:
            self._leaving[leg] = caller.leaves_in

    def set_phone(self, address: str, habit: Habit) -> None:
        self._simulator.put(f"/_sim/phones/{quote(address, safe='')}", json=dict(habit)).raise_for_status()

    def leave(self, ended: set[str]) -> None:
        """Whoever is now where he means to hang up does so."""
        for leg in ended & self._leaving.keys():
            del self._leaving[leg]
        if not self._leaving:
            return
        for leg, (state, agent_leg) in whereabouts(self._leaving).items():
            wanted = self._leaving[leg]
            if state == wanted:
                if self._press(leg, "hangup"):
                    self.left_in[state] += 1
                del self._leaving[leg]
            elif wanted == "on_hold" and state == "talking" and agent_leg:
                self._press(agent_leg, "hold")
            elif state in ("talking", "on_hold") and STATES.index(wanted) < STATES.index("talking"):
                self._leaving[leg] = "talking"  # his moment has passed unseen

    def hang_up(self, legs: Iterable[str]) -> None:
        """At once, whatever they were waiting for."""
        self._leaving.clear()
        for leg in legs:
            self._press(leg, "hangup")

    def _press(self, leg: str, key: str) -> bool:
        """False if the phone has been hung up in this instant (409), or is forgotten."""
        return self._simulator.post(f"/_sim/calls/{quote(leg, safe='')}/{key}").status_code == httpx.codes.OK


def whereabouts(legs: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """The state each of these callers is in, and the leg of the agent he talks with, by our rows."""
    calls = Call.objects.filter(leg__call_control_id__in=list(legs), ended_at__isnull=True)
    known = dict(calls.values_list("pk", "leg__call_control_id"))
    live = Offer.objects.live().filter(call_id__in=list(known)).select_related("leg")
    offers = {offer.call_id: offer for offer in live}
    found = {}
    for pk, state in calls.values_list("pk", "state"):
        offer = offers.get(pk)
        agent_leg = offer.leg.call_control_id if offer is not None and offer.leg is not None else ""
        if pk in known:
            found[known[pk]] = (_word(state, offer.state if offer is not None else ""), agent_leg)
    return found


def _word(state: str, offer_state: str) -> str:
    match state, offer_state:
        case Call.State.ARRIVING, _:
            return "arriving"
        case Call.State.IN_FLOW, _:
            return "greeting"
        case _, (Offer.State.PENDING | Offer.State.RINGING):
            return "ringing"
        case _, (Offer.State.CONFIRMING | Offer.State.CONNECTING):
            return offer_state
        case Call.State.QUEUED, _:
            return "queued"
        case Call.State.CONNECTED, _:
            return "talking"
        case Call.State.ON_HOLD, _:
            return "on_hold"
    return ""
