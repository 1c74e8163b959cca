"""How hard a run is: how many calls, which share of which fault, what is killed when. Purely from a seed."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

# What can be done to a process or a store, and what it is done to.
WORKER, WEB, SWEEP, REDIS, REDIS_FREEZE, FLUSH, POSTGRES, FREEZE, FREEZE_LEADER, BLACKOUT = (
    "worker",
    "web",
    "sweep",
    "redis",
    "redis_freeze",
    "flush",
    "postgres",
    "freeze",
    "freeze_leader",
    "blackout",
)
COPIES = 2  # of webs, workers and sweepers
FROZEN_SECS = 30.0
# A blackout begins after a fifth of the calls, and three fifths ring while it lasts.
BEFORE_DARK, IN_THE_DARK = 1 / 5, 3 / 5
RUSH_SECS = 30.0  # its end, in which most of them ring

DELIVERY = ("duplicate", "duplicate_new_id", "delay", "reorder", "tamper", "stale_timestamp")
API = ("api_slow", "api_5xx", "api_5xx_after_effect", "api_timeout", "api_timeout_after_effect", "api_429", "reset")
# Only a look at Telnyx finds out what no event told.
LOST = ("drop",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """``faults``: each with its share of events or of requests. ``kills``: how often each is done.

    Callers come as fast as the house takes them, ``at_once`` at most; seconds are real ones.
    """

    name: str
    calls: int
    faults: Mapping[str, float]
    kills: Mapping[str, int] = field(default_factory=dict)
    delay_secs: float = 10.0
    reorder_secs: float = 5.0
    at_once: int = 24
    gap_secs: float = 0.25
    patience_secs: float = 60.0
    talk_secs: tuple[float, float] = (2.0, 10.0)
    stays: int = 6
    stays_secs: float = 20.0
    blackout_secs: float = 0.0

    def with_calls(self, calls: int) -> "Profile":
        """The same with so many calls, and with as many kills as go with them."""
        share = calls / self.calls
        kills = {what: max(1, round(times * share)) for what, times in self.kills.items()}
        return replace(self, calls=calls, kills=kills)

    def fault_settings(self) -> dict[str, object]:
        """The body of ``PUT /_sim/faults``."""
        secs = {"delay": self.delay_secs, "reorder": self.reorder_secs}
        return {
            name: {"share": share, "secs": secs[name]} if name in secs else share
            for name, share in self.faults.items()
            if share
        }


def every(share: float, *, lost: float = 0.0) -> dict[str, float]:
    """Every kind of fault with the same share; lost events apart, which only a reconciler makes good."""
    return {**dict.fromkeys((*DELIVERY, *API), share), **dict.fromkeys(LOST, lost)}


PROFILES: Mapping[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile(
            name="smoke",
            calls=300,
            faults=every(0.02, lost=0.02),
            kills={WORKER: 3, WEB: 1, REDIS: 1},
            delay_secs=5.0,
            reorder_secs=2.0,
            at_once=48,
            patience_secs=15.0,
            talk_secs=(1.0, 5.0),
            stays_secs=12.0,
        ),
        Profile(
            name="standard",
            calls=2_000,
            faults=every(0.05, lost=0.05),
            kills={WORKER: 10, WEB: 5, REDIS: 1, FLUSH: 1, POSTGRES: 1},
            delay_secs=30.0,
            at_once=64,
            patience_secs=30.0,
            talk_secs=(1.0, 6.0),
        ),
        Profile(
            name="soak",
            calls=10_000,
            faults=every(0.05, lost=0.05),
            kills={WORKER: 20, WEB: 10, SWEEP: 5, REDIS: 4, FLUSH: 1, POSTGRES: 3, FREEZE: 2, FREEZE_LEADER: 2},
            delay_secs=90.0,
            at_once=64,
            patience_secs=30.0,
            talk_secs=(1.0, 6.0),
        ),
        Profile(
            name="blackout",
            calls=500,
            faults={},
            kills={BLACKOUT: 1},
            patience_secs=600.0,
            blackout_secs=300.0,
        ),
    )
}


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Strike:
    """Once ``after_calls`` have been placed, ``kind`` is done to copy number ``copy`` of it, for ``down_secs``."""

    after_calls: int
    kind: str
    copy: int = 1
    down_secs: float = 1.0

    def __str__(self) -> str:
        words = {
            WORKER: f"worker {self.copy} killed",
            WEB: f"web {self.copy} killed",
            SWEEP: f"sweeper {self.copy} killed",
            REDIS: f"Redis killed, for {self.down_secs:.1f} s",
            REDIS_FREEZE: f"Redis frozen for {self.down_secs:.0f} s",
            FLUSH: "Redis emptied",
            POSTGRES: f"Postgres stopped at once, for {self.down_secs:.1f} s",
            FREEZE: f"worker {self.copy} frozen for {self.down_secs:.0f} s",
            FREEZE_LEADER: f"leading sweeper frozen for {self.down_secs:.0f} s",
            BLACKOUT: f"all our processes down for {self.down_secs:.0f} s",
        }
        return words[self.kind]


def strikes(profile: Profile, rng: random.Random) -> list[Strike]:
    """The kills of one run, spread over its calls in a random order; none before the first tenth has come."""
    kinds = [kind for kind, times in profile.kills.items() for _ in range(times)]
    rng.shuffle(kinds)
    turns: Counter[str] = Counter()
    first, last = profile.calls // 10, profile.calls * 9 // 10
    found = []
    for kind, place in zip(kinds, _places(len(kinds), first, last, rng), strict=True):
        # In turn, and the first copy first: it is the web that events are sent to before any other.
        copy = turns[kind] % COPIES + 1
        turns[kind] += 1
        after_calls = round(profile.calls * BEFORE_DARK) if kind == BLACKOUT else place
        found.append(Strike(after_calls=after_calls, kind=kind, copy=copy, down_secs=_down_secs(kind, profile, rng)))
    return sorted(found)


def _places(count: int, first: int, last: int, rng: random.Random) -> Sequence[int]:
    """One in each of ``count`` equal stretches, somewhere inside."""
    width = (last - first) / max(1, count)
    return [int(first + width * (number + rng.random())) for number in range(count)]


def _down_secs(kind: str, profile: Profile, rng: random.Random) -> float:
    match kind:
        case "freeze" | "freeze_leader":
            return FROZEN_SECS
        case "blackout":
            return profile.blackout_secs
        case "flush":
            return 0.0
    return rng.uniform(0.5, 2.0)
