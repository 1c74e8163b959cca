"""How soon what is stuck comes loose, measured on real processes, one thing at a time (RELIABILITY §9).

Nobody rings but the callers of the measure that is being taken, so each figure has one cause. Each is taken a few
times, and the longest counts.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from django.db import Error, connection
from django.utils import timezone

from callcenter.chaos import checker, table
from callcenter.chaos.fleet import Fleet
from callcenter.chaos.schedule import POSTGRES, REDIS, REDIS_FREEZE, SWEEP, WORKER, Strike
from callcenter.chaos.table import Line
from callcenter.demo import house
from conferences.models import CallLeg, Role
from queues import services
from queues.models import Agent, Call, Offer, QueueEntry
from webhooks.models import Command, WebhookEvent

ROUNDS = 3
POLL_SECS = 0.05
STORE_AWAY_SECS = 30.0
POSTGRES_AWAY_SECS = 2.0
GAP_SECS = 0.5  # between the callers who ring while a store is away
HELPED_SECS = 90.0  # when a measure is given up

GOES_ON_SECS = 15.0
RESERVED_SECS = 10.0  # and the ring
HANG_UP_SECS = 60.0
ORPHAN_SECS = 10.0
ALONE_SECS = 10.0
DIAL_SECS = 3.0
ANSWERED_SECS = 0.3
FIRST_GOOD_SECS = 2.0
SOUND_SECS = 15.0

ANSWERS = {"on_ring": "answer", "after_secs": 0.5}
IGNORES = {"on_ring": "no_answer"}


class Recovery:
    """``ring_secs`` is the queues'; ``tell`` gets one line for each figure."""

    def __init__(self, fleet: Fleet, *, ring_secs: int, tell: Callable[[str], None]) -> None:
        self._fleet = fleet
        self._simulator = fleet.simulator
        self._ring_secs = ring_secs
        self._tell = tell
        self._number = house.numbers()[0]

    def run(self) -> list[Line]:
        lines = []
        for line in self._measures():
            self._tell(f"{line.what}: {line.found}")
            lines.append(line)
        return lines

    def _measures(self) -> Iterator[Line]:
        yield self._longest("both workers killed: the call goes on", GOES_ON_SECS, self._workers_killed)
        yield self._longest("worker and leading sweeper killed: the call goes on", GOES_ON_SECS, self._all_hands_killed)
        yield self._longest("stuck reservation, from the offer", self._ring_secs + RESERVED_SECS, self._stuck)
        yield self._longest("hang-up in line lost: the call is over", HANG_UP_SECS, self._hang_up_lost)
        yield self._longest("orphan leg, from the end of its offer", ORPHAN_SECS, self._orphan)
        yield self._longest("caller left alone: in line again, with music", ALONE_SECS, self._left_alone)
        for kind, what in ((REDIS, "Redis killed"), (REDIS_FREEZE, "Redis a black hole")):
            dialled, answered = self._without_redis(kind)
            yield table.within(f"{what}: idle agent to dial, p95", DIAL_SECS, dialled)
            yield table.within(f"{what}: webhook to answer, p99", ANSWERED_SECS, answered)
        yield from self._postgres_restarted()

    def _longest(self, what: str, secs: float, measure: Callable[[], float | None]) -> Line:
        took = []
        for _ in range(ROUNDS):
            self._start_afresh()
            took.append(measure())
        return table.within(what, secs, None if None in took else max(filter(None, took), default=0.0))

    # the measures --------------------------------------------------------------------------------------------

    def _workers_killed(self) -> float | None:
        return self._killed_while_it_rings((WORKER, 1), (WORKER, 2))

    def _all_hands_killed(self) -> float | None:
        return self._killed_while_it_rings((WORKER, 1), (WORKER, 2), (SWEEP, self._fleet.leading_sweeper()))

    def _killed_while_it_rings(self, *victims: tuple[str, int]) -> float | None:
        """From the kill until the caller talks with the agent whose phone was ringing, less the time it rang on."""
        self._phones(ANSWERS)
        leg = self._ring()
        if self._until(lambda: self._live_offer(leg) is not None) is None:
            return None
        for kind, copy in victims:
            self._fleet.strike(Strike(after_calls=0, kind=kind, copy=copy, down_secs=20.0))
        return self._until(lambda: Call.objects.filter(leg__call_control_id=leg, state=Call.State.CONNECTED).exists())

    def _stuck(self) -> float | None:
        """Nothing more is heard of the agent's phone: until he is free for another."""
        self._phones(IGNORES)
        leg = self._ring()
        if self._until(lambda: self._live_offer(leg) is not None) is None:
            return None
        self._faults({"drop": 1.0})
        offer = self._live_offer(leg)
        if offer is None:
            return None
        until_over = self._until(lambda: not Offer.objects.live().filter(pk=offer.pk).exists())
        return None if until_over is None else (timezone.now() - offer.offered_at).total_seconds()

    def _hang_up_lost(self) -> float | None:
        self._nobody_is_ready()
        leg = self._ring()
        if self._until(lambda: Call.objects.filter(leg__call_control_id=leg, state=Call.State.QUEUED).exists()) is None:
            return None
        self._faults({"drop": 1.0})
        self._press(leg, "hangup")
        return self._until(lambda: Call.objects.filter(leg__call_control_id=leg, ended_at__isnull=False).exists())

    def _orphan(self) -> float | None:
        """A dial took effect, its answer and its events are lost, and the caller goes: until that phone is quiet."""
        self._phones(IGNORES)
        self._nobody_is_ready()
        leg = self._ring()
        if self._until(lambda: Call.objects.filter(leg__call_control_id=leg, state=Call.State.QUEUED).exists()) is None:
            return None
        self._faults(
            {
                "api_timeout_after_effect": {"share": 1.0, "match": {"operation": "calls.dial"}},
                "drop": {"share": 1.0, "match": {"event_type": "call.initiated"}},
            }
        )
        self._everybody_is_ready()
        if self._until(lambda: bool(self._rings())) is None:
            return None
        self._press(leg, "hangup")
        self._faults({"drop": {"share": 1.0, "match": {"event_type": "call.initiated"}}})
        if self._until(lambda: not Offer.objects.live().exists()) is None:
            return None
        return self._until(lambda: not self._rings())

    def _left_alone(self) -> float | None:
        """The agent's line breaks in the conversation."""
        self._phones({**ANSWERS, "drop_after_secs": 1.0})
        leg = self._ring()
        if (
            self._until(lambda: Call.objects.filter(leg__call_control_id=leg, state=Call.State.CONNECTED).exists())
            is None
        ):
            return None
        self._phones(IGNORES)
        entry = QueueEntry.objects.filter(call__leg__call_control_id=leg, rescued_from__isnull=False)
        if self._until(lambda: self._hears_music(leg) and entry.exists()) is None:
            return None
        agents = CallLeg.objects.filter(call_id=entry.get().call_id, role=Role.AGENT, hangup_at__isnull=False)
        dropped = agents.order_by("hangup_at").values_list("hangup_at", flat=True).first()
        return None if dropped is None else (timezone.now() - dropped).total_seconds()

    def _without_redis(self, kind: str) -> tuple[float | None, float | None]:
        """p95 of idle agent and waiting caller to the dial, p99 of webhook to its answer, while Redis is away.

        Of all callers who rang meanwhile, whenever they were dialled for, and of all attempts that began meanwhile.
        """
        self._start_afresh()
        self._phones({**ANSWERS, "talk_secs": 1.0})
        self._fleet.strike(Strike(after_calls=0, kind=kind, down_secs=STORE_AWAY_SECS))
        began, seen = timezone.now(), self._last_delivery()
        legs = self._ring_for(STORE_AWAY_SECS - 2)
        until = timezone.now()
        self._until(self._is_quiet)
        answered = _until_answered(self._attempts(seen), began, until)
        return checker.percentile(_until_dialled(legs), 95), checker.percentile(answered, 99)

    def _postgres_restarted(self) -> Iterator[Line]:
        """SIGQUIT under load: what was answered 200 is there, it is soon answered again, and no error lasts."""
        self._start_afresh()
        self._phones({**ANSWERS, "talk_secs": 1.0})
        seen = self._last_delivery()
        self._ring_for(5)
        self._fleet.strike(Strike(after_calls=0, kind=POSTGRES, down_secs=POSTGRES_AWAY_SECS))
        accepts = _Noticed(self._fleet.postgres.accepts)
        self._ring_for(20, meanwhile=accepts.look)
        self._until(lambda: not WebhookEvent.objects.filter(status=WebhookEvent.Status.NEW).exists())
        entries = self._get(f"deliveries?after={seen}")["deliveries"]
        answered = {p["event_id"] for p in entries if any(a["status"] == 200 for a in p["attempts"])}
        kept = set(WebhookEvent.objects.filter(event_id__in=answered).values_list("event_id", flat=True))
        lost = [f"event {ident} was answered 200 and is not in the inbox" for ident in sorted(answered - kept)]
        attempts = list(self._attempts(seen))
        yield table.none_of(f"Postgres restarted: of {len(answered)} acknowledged events, missing", lost)
        first, last = _first_good(attempts, accepts.at), _last_error(attempts, accepts.at)
        yield table.within("Postgres restarted: the first good request, after it accepts", FIRST_GOOD_SECS, first)
        yield table.within("Postgres restarted: the last error, after it accepts", SOUND_SECS, last)

    # the world -----------------------------------------------------------------------------------------------

    def _start_afresh(self) -> None:
        """Whole, without faults, everybody at work and nobody on the phone."""
        self._faults({})
        self._until(lambda: self._fleet.is_whole)
        for leg in self._get("state")["legs"]:
            if leg["is_alive"]:
                self._press(leg["call_control_id"], "hangup")
        self._until(self._is_quiet)
        self._everybody_is_ready()

    def _is_quiet(self) -> bool:
        return not (
            Call.objects.filter(ended_at__isnull=True).exists()
            or Offer.objects.live().exists()
            or Command.objects.filter(state__in=Command.OPEN).exists()
            or WebhookEvent.objects.filter(status=WebhookEvent.Status.NEW).exists()
        )

    def _everybody_is_ready(self) -> None:
        house.back_to_work(now=timezone.now(), after=timedelta())

    def _nobody_is_ready(self) -> None:
        for pk in Agent.objects.values_list("pk", flat=True):
            services.go_not_ready(pk, "rona", now=timezone.now())

    def _phones(self, habit: Mapping[str, object]) -> None:
        for name in house.AGENTS:
            address = quote(house.address_of(name), safe="")
            self._simulator.put(f"/_sim/phones/{address}", json=dict(habit)).raise_for_status()

    def _faults(self, faults: Mapping[str, object]) -> None:
        self._simulator.put("/_sim/faults", json=dict(faults)).raise_for_status()

    def _ring(self, **habits: float) -> str:
        said = {"from": "+447700900123", "to": self._number, **habits}
        answer = self._simulator.post("/_sim/calls", json=said).raise_for_status().json()
        leg: str = answer["call_control_id"]
        return leg

    def _ring_for(self, secs: float, *, meanwhile: Callable[[], bool] = lambda: False) -> list[str]:
        """The legs of those who rang. ``meanwhile`` is called again and again, and returns False."""
        end, legs = time.monotonic() + secs, []
        while time.monotonic() < end:
            legs.append(self._ring(talk_secs=1.0, patience_secs=20.0))
            self._until(meanwhile, secs=GAP_SECS)
        return legs

    def _press(self, leg: str, key: str) -> None:
        self._simulator.post(f"/_sim/calls/{quote(leg, safe='')}/{key}")

    def _live_offer(self, leg: str) -> Offer | None:
        return Offer.objects.live().filter(call__leg__call_control_id=leg, state=Offer.State.RINGING).first()

    def _rings(self) -> list[str]:
        """Agents' phones that make a noise."""
        phones = {house.address_of(name) for name in house.AGENTS}
        legs = self._get("state")["legs"]
        return [leg["to"] for leg in legs if leg["to"] in phones and leg["is_alive"]]

    def _hears_music(self, leg: str) -> bool:
        return any(media["kind"] == "hold" for media in self._get("audio")[leg]["media"])

    def _last_delivery(self) -> int:
        return max((parcel["seq"] for parcel in self._get("deliveries")["deliveries"]), default=0)

    def _attempts(self, after: int) -> "Iterator[Attempt]":
        """Of each attempt to deliver an event."""
        for parcel in self._get(f"deliveries?after={after}")["deliveries"]:
            for attempt in parcel["attempts"]:
                ended_at = datetime.fromisoformat(attempt["at"])
                yield Attempt(status=attempt["status"], ended_at=ended_at, took_secs=attempt["took_secs"])

    def _get(self, path: str) -> dict[str, Any]:
        answer: dict[str, Any] = self._simulator.get(f"/_sim/{path}").raise_for_status().json()
        return answer

    def _until(self, true: Callable[[], bool], secs: float = HELPED_SECS) -> float | None:
        """After how many seconds it was so; None if it was not."""
        began = time.monotonic()
        while time.monotonic() - began < secs:
            self._fleet.repair()
            try:
                if true():
                    return time.monotonic() - began
            except Error:
                connection.close()
            time.sleep(POLL_SECS)
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """``status`` None: nobody answered within the sender's patience."""

    status: int | None
    ended_at: datetime
    took_secs: float

    @property
    def began_at(self) -> datetime:
        return self.ended_at - timedelta(seconds=self.took_secs)


class _Noticed:
    """When something was so for the first time."""

    def __init__(self, is_so: Callable[[], bool]) -> None:
        self._is_so = is_so
        self.at: datetime | None = None

    def look(self) -> bool:
        """False, that the looks go on."""
        if self.at is None and self._is_so():
            self.at = timezone.now()
        return False


def _until_answered(attempts: Iterable[Attempt], since: datetime, until: datetime) -> list[float]:
    """Seconds until each attempt that began in this time was answered 200; infinite where it was not."""
    meant = [attempt for attempt in attempts if since <= attempt.began_at <= until]
    return [attempt.took_secs if attempt.status == 200 else math.inf for attempt in meant]


def _first_good(attempts: Iterable[Attempt], since: datetime | None) -> float | None:
    """Seconds until an event was answered 200 again."""
    if since is None:
        return None
    good = [attempt.ended_at for attempt in attempts if attempt.status == 200 and attempt.ended_at >= since]
    return (min(good) - since).total_seconds() if good else None


def _last_error(attempts: Iterable[Attempt], since: datetime | None) -> float | None:
    """Seconds until the last that was answered 5xx or not at all."""
    if since is None:
        return None
    wrong = [attempt.ended_at for attempt in attempts if attempt.status is None or attempt.status >= 500]
    return max(0.0, max(((at - since).total_seconds() for at in wrong), default=0.0))


def _until_dialled(legs: Sequence[str]) -> list[float]:
    """For each of these callers: seconds from when he and an agent were both there to his first dial; infinite where
    there was none."""
    rung = Call.objects.filter(leg__call_control_id__in=legs)
    calls = dict(rung.values_list("leg__call_control_id", "pk"))
    first: dict[Any, Offer] = {}
    for offer in Offer.objects.filter(call_id__in=calls.values()).select_related("entry").order_by("offered_at"):
        first.setdefault(offer.call_id, offer)
    sent = dict(Command.objects.filter(kind="dial_agent").values_list("subject_id", "first_sent_at"))
    offers = [first.get(calls.get(leg)) for leg in legs]
    return [math.inf if offer is None else _wait(offer, sent.get(offer.pk)) for offer in offers]


def _wait(offer: Offer, dialled_at: datetime | None) -> float:
    if dialled_at is None:
        return math.inf
    return (dialled_at - max(offer.agent_available_since or offer.offered_at, offer.entry.entered_at)).total_seconds()
