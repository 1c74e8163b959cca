"""One demo, tick by tick: calls are placed, callers lose patience, phones change, stories are told."""

import random
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from django.utils import timezone

from callcenter.demo import house, traffic
from callcenter.demo.story import Storyteller
from callcenter.demo.summary import Summary, Wrongs, find_wrongs, summarise
from callcenter.demo.truth import Truth
from callcenter.invariants import violations
from callcenter.stand import Stand
from conferences.models import CallLeg
from queues.models import Call, Offer, QueueEntry
from webhooks.models import Command, WebhookEvent

TICK_SECS = 0.2
# Invariants, truth and agents' buttons are looked at less often than impatient callers.
LOOK_SECS = 1.0
BACK_TO_WORK_SECS = 20.0
STUCK_SECS = 120.0


class Demo:
    """``calls`` None: callers go on ringing until the process is stopped."""

    def __init__(
        self,
        stand: Stand,
        *,
        calls: int | None,
        speed: float,
        seed: int,
        answering: bool,
        tell: Callable[[str], None],
    ) -> None:
        self._stand = stand
        self._calls = calls
        self._speed = speed
        self._answering = answering
        self._tell = tell
        self._rng = random.Random(seed)
        self._lines = traffic.Lines(stand.simulator, speed=speed)
        self._since = timezone.now()
        self._stories = Storyteller(since=self._since)
        self._truth = Truth()
        self._last_event = 0
        self._violations: set[str] = set()

    def run(self) -> tuple[Summary, Wrongs]:
        """Until every call is over or stuck. Raises StandError if a process ends."""
        for name in house.AGENTS:
            self._change_phone(name)
        callers = traffic.callers(self._rng, house.numbers(), speed=self._speed)
        next_caller = next(callers)
        next_at = next_look = time.monotonic()
        while True:
            self._stand.check()
            clock = time.monotonic()
            while clock >= next_at and not self._all_placed():
                self._lines.ring(next_caller)
                self._change_phone(self._rng.choice(house.AGENTS))
                next_caller = next(callers)
                next_at += next_caller.gap_secs / self._speed
            self._lines.lose_patience(self._waiting(), clock=clock)
            if clock >= next_look:
                next_look = clock + LOOK_SECS
                self._look(timezone.now())
                if self._all_placed() and self._is_over(clock - next_at):
                    return self._sum_up()
            time.sleep(max(0.0, TICK_SECS - (time.monotonic() - clock)))

    def _sum_up(self) -> tuple[Summary, Wrongs]:
        placed = [call.leg for call in self._lines.placed]
        silence = self._stand.simulator.get("/_sim/silence").raise_for_status().json()
        wrongs = find_wrongs(placed, truth=self._truth, violations=self._violations, since=self._since)
        backends = self._stand.plan.backends
        return summarise(placed, wrongs=wrongs, silence=silence, backends=backends, since=self._since), wrongs

    def _all_placed(self) -> bool:
        return self._calls is not None and len(self._lines.placed) >= self._calls

    def _change_phone(self, name: str) -> None:
        address = house.address_of(name)
        self._lines.set_phone(address, traffic.habit(self._rng, address, answering=self._answering))

    def _waiting(self) -> set[str]:
        """The callers' legs that are in line by our own rows: nobody hangs up before he is."""
        open_entries = QueueEntry.objects.exclude(state=QueueEntry.State.ENDED).filter(entered_at__gte=self._since)
        return set(open_entries.values_list("call__leg__call_control_id", flat=True))

    def _look(self, now: datetime) -> None:
        self._violations.update(violations(now))
        events = self._stand.simulator.get("/_sim/events", params={"after": self._last_event})
        learned = events.raise_for_status().json()["events"]
        self._truth.learn(learned)
        self._last_event = max((event["seq"] for event in learned), default=self._last_event)
        house.back_to_work(now=now, after=timedelta(seconds=BACK_TO_WORK_SECS / self._speed))
        for line in self._stories.new_lines():
            self._tell(line)

    def _is_over(self, secs_since_last: float) -> bool:
        """Every caller has gone and nothing is left to be done about it."""
        callers = {call.leg for call in self._lines.placed}
        over = (
            callers <= self._truth.ended
            and Call.objects.filter(arrived_at__gte=self._since, ended_at__isnull=False).count() == len(callers)
            and not Offer.objects.live().exists()
            and not CallLeg.objects.live().filter(initiated_at__gte=self._since).exists()
            and not Command.objects.filter(state__in=Command.OPEN).exists()
            and not WebhookEvent.objects.filter(status=WebhookEvent.Status.NEW).exists()
        )
        longest = (traffic.LONGEST_PATIENCE_SECS + traffic.TALK_SECS[1]) / self._speed + STUCK_SECS
        if not over and secs_since_last > longest:
            self._tell(f"Nothing more ended within {longest:.0f} s of the last call; some are stuck.")
            return True
        return over
