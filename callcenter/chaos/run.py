"""One run: callers ring, faults and kills strike, invariants are sampled; then all comes to rest and is checked."""

import contextlib
import itertools
import random
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import datetime, timedelta

from django.db import Error, connection
from django.db.models import F, Min
from django.utils import timezone

from callcenter.chaos import checker, crowd, mirror, table
from callcenter.chaos.crowd import Crowd
from callcenter.chaos.fleet import Fleet
from callcenter.chaos.schedule import BLACKOUT, IN_THE_DARK, Profile, Strike, strikes
from callcenter.chaos.supervisors import Supervisors
from callcenter.chaos.table import Line
from callcenter.chaos.witness import Witness
from callcenter.demo import house
from callcenter.demo.summary import OUTCOMES, find_wrongs
from callcenter.invariants import INVARIANTS, violations
from callcenter.sweep import LEFT_TO_WORKERS
from conferences.models import CallLeg, Role
from queues.engine.gather import Start
from queues.engine.route import decide
from queues.models import Agent, Call, Offer
from webhooks import breaker, dispatch, inbox, outbox
from webhooks.models import Command, WebhookEvent

TICK_SECS = 0.2
SAMPLE_SECS = 0.5
SEE_SECS = 1.0
SEE_DELIVERIES_SECS = 5.0  # each look is at all since the oldest that is still on its way
SETTLE_SECS = 60.0
ADOPT_SECS = 30.0
# What a kill may hold up and for how long: RELIABILITY §9, "the same call progresses within 15 s".
RECOVERY_SECS = 15.0
LONGEST_GAP_SECS = 8.0
BACKLOG = 8  # events and commands that are overdue, and that nobody has taken up
BACK_TO_WORK_SECS = 5.0
LEAST_ANSWERED = 1 / 10  # of all calls, else nothing was tried; a third is usual

# True at any instant, whatever is down.
ALWAYS = ("I1", "I2", "I6", "I9", "I11", "I12", "I13", "I15", "I16")
# Somebody has to be there to see to it, and to get a turn on a busy machine: what lasts for RECOVERY_SECS counts.
ATTENDED = ("I3", "I4", "I5")
SAMPLED = ("I1", "I2", "I3", "I4", "I5", "I6")  # every SAMPLE_SECS; the rest every tenth time


class Run:
    """``tell`` gets one line for each thing that happens.

    ``stops_when_caught``: a violated invariant is what the run was for; it need not be seen to the end.
    """

    def __init__(
        self,
        fleet: Fleet,
        profile: Profile,
        *,
        seed: int,
        pace: house.Pace,
        password: str,
        tell: Callable[[str], None],
        stops_when_caught: bool = False,
    ) -> None:
        self._fleet = fleet
        self._profile = profile
        self._tell = tell
        self._stops_when_caught = stops_when_caught
        self._rng = random.Random(seed)
        self._ring_secs = pace.queue_settings()["ring_secs"]
        self._crowd = Crowd(fleet.simulator)
        self._witness = Witness(fleet.simulator)
        self._supervisors = Supervisors(fleet.web_urls, password, random.Random(seed), is_attended=self._is_attended)
        self._strikes = strikes(profile, self._rng)
        self._since = timezone.now()
        self._began = time.monotonic()
        self._next_sample = self._next_look = self._next_deliveries = 0.0
        self._samples = 0
        self._violations: dict[str, None] = {}
        self._revived = Revived()
        self._lasting = Lasting(RECOVERY_SECS)
        self._stranded = Lasting(RECOVERY_SECS)
        self._struck: Counter[str] = Counter()
        self._excused: set[str] = set()
        self._came_back_at: datetime | None = None
        self._back_by = 0.0
        self._there: list[str] = []
        self._equal_after: float | None = None

    # the run -------------------------------------------------------------------------------------------------

    def run(self) -> list[Line]:
        """The table. Raises StandError if the simulator or a store ends by itself."""
        for name in house.AGENTS:
            self._change_phone(name)
        self._set_faults(self._profile.fault_settings())
        self._traffic()
        if self._is_caught:
            return [self._violated()]
        self._fleet.repair_all()
        self._set_faults({})
        equal_after = self._until(self._nothing_stays_different(), SETTLE_SECS)
        differed = [] if equal_after is not None else self._differences()
        alive = self._alive()
        self._tell(f"{self._clock()}  the last fault has been; the last callers talk, then all hang up")
        self._until(self._all_have_gone, self._profile.stays_secs)
        self._crowd.hang_up(self._still_there())
        self._until(self._all_have_gone, SETTLE_SECS)
        self._supervisors.finish()
        settled_after = self._until(self._is_at_rest, SETTLE_SECS)
        if self._is_caught:
            return [self._violated()]
        self._note(violations(timezone.now(), of=INVARIANTS))
        self._witness.see()
        self._witness.see_deliveries()
        compared = table.none_but_late("mirror equal after the last fault", SETTLE_SECS, equal_after, differed)
        at_rest = table.within("at rest after the last call", SETTLE_SECS, settled_after)
        return list(self._table(compared, alive, at_rest))

    def _traffic(self) -> None:
        next_at = time.monotonic()
        callers = crowd.callers(self._profile, self._rng, house.numbers())
        for caller in callers:
            if self._is_caught:
                return
            while not self._is_caught and self._is_too_early(next_at):
                self._tick()
            self._crowd.ring(caller)
            self._change_phone(self._rng.choice(house.AGENTS))
            next_at = max(next_at, time.monotonic() - 1) + self._rng.expovariate(1 / self._profile.gap_secs)
            while self._strikes and self._strikes[0].after_calls <= len(self._crowd.placed):
                blow = self._strikes.pop(0)
                self._strike(blow)
                if blow.kind == BLACKOUT:
                    self._sit_out(callers, blow.down_secs)

    def _is_too_early(self, next_at: float) -> bool:
        """Callers come as fast as the machine bears: a run looks for what goes wrong, not for what goes slowly.

        Busy is the machine with what has been due for a second and is in nobody's hands. What waits out a fault (an
        answer that does not come, the next try) says nothing of it, nor what is on its way to a worker. Where nothing
        moves at all they come nevertheless.
        """
        now = time.monotonic()
        if now < next_at or now > next_at + LONGEST_GAP_SECS:
            return now < next_at
        if self._alive() >= self._profile.at_once or self._fleet.postgres.is_down:
            return True
        with self._database_may_be_away():
            at = timezone.now() - LEFT_TO_WORKERS
            return len(inbox.due(received_before=at)) + len(outbox.due(created_before=at)) > BACKLOG
        return False

    def _strike(self, blow: Strike) -> None:
        self._tell(f"{self._clock()}  after {len(self._crowd.placed)} calls: {blow}")
        self._struck[blow.kind] += 1
        self._fleet.strike(blow)

    def _sit_out(self, callers: Iterator[crowd.Caller], secs: float) -> None:
        """Nobody of ours is there, and callers ring all the same: those who wait hear music, or give up; those who ring
        are hung up on after 30 s. Then those who are left are to be found."""
        began, before = time.monotonic(), set(self._crowd.placed)
        calls = round(self._profile.calls * IN_THE_DARK)
        moments = crowd.moments_in_the_dark(calls, secs, self._rng)
        for at, caller in zip(moments, itertools.islice(callers, calls), strict=False):
            while time.monotonic() < began + at and not self._fleet.is_whole:
                self._tick()
            self._crowd.ring(caller)
        while not self._fleet.is_whole:
            self._tick()
        self._came_back_at = timezone.now()
        self._back_by = time.monotonic() + ADOPT_SECS
        self._witness.see()
        self._there = self._still_there()
        self._excused = before & self._witness.truth.ended
        self._tell(f"{self._clock()}  our processes start again; {len(self._there)} callers are there")
        self._equal_after = self._until(self._nothing_stays_different(), SETTLE_SECS)
        self._excused |= (set(self._crowd.placed) - before) & self._witness.truth.ended

    def _tick(self) -> None:
        """One look at everything that goes on by itself."""
        began = time.monotonic()
        self._fleet.repair()
        if self._fleet.postgres.is_down:  # each look at it would wait for two seconds, and so would its start
            time.sleep(TICK_SECS)
            return
        if began >= self._next_look:
            self._next_look = began + SEE_SECS
            self._witness.see()
            if began >= self._next_deliveries:
                self._next_deliveries = began + SEE_DELIVERIES_SECS
                self._witness.see_deliveries()
            with self._database_may_be_away():
                house.back_to_work(now=timezone.now(), after=timedelta(seconds=BACK_TO_WORK_SECS))
            with self._database_may_be_away():
                self._supervisors.act()
        with self._database_may_be_away():
            self._crowd.leave(self._witness.truth.ended)
        if began >= self._next_sample:
            self._next_sample = began + SAMPLE_SECS
            self._samples += 1
            self._sample(at_length=self._samples % 10 == 0)
        time.sleep(max(0.0, TICK_SECS - (time.monotonic() - began)))

    def _until(self, true: Callable[[], bool], secs: float) -> float | None:
        """After how many seconds it was so, or None if it was not within ``secs``."""
        began = next_look = time.monotonic()
        while (now := time.monotonic()) <= began + secs and not self._is_caught:
            if now >= next_look:
                next_look = now + SEE_SECS
                with self._database_may_be_away():
                    if true():
                        return now - began
            self._tick()
        return None

    @contextlib.contextmanager
    def _database_may_be_away(self) -> Iterator[None]:
        try:
            yield
        except Error:
            connection.close()

    @property
    def _is_caught(self) -> bool:
        return self._stops_when_caught and bool(self._violations)

    # looks ---------------------------------------------------------------------------------------------------

    def _is_attended(self) -> bool:
        """Nothing of ours is down, or has just come back."""
        return time.monotonic() > self._fleet.down_until + RECOVERY_SECS

    def _sample(self, *, at_length: bool) -> None:
        """Those in ``ATTENDED`` count once they have lasted, the others at once."""
        which = (*ALWAYS, *ATTENDED) if at_length else SAMPLED
        with self._database_may_be_away():
            now, at = timezone.now(), time.monotonic()
            at_once = violations(now, of=[name for name in which if name not in ATTENDED])
            nobody_attends = at < max(self._fleet.down_until, self._back_by - RECOVERY_SECS)
            waits = [] if nobody_attends else violations(now, of=ATTENDED)
            self._note([*at_once, *self._lasting.of(waits, at), *self._revived.look()])
            if at_length:
                self._note(self._stranded.of([] if nobody_attends else passed_over(now), at))

    def _note(self, lines: Iterable[str]) -> None:
        for line in lines:
            if line not in self._violations:
                self._violations[line] = None
                self._tell(f"{self._clock()}  violated: {line}")

    def _still_there(self) -> list[str]:
        return [leg for leg in self._crowd.placed if leg not in self._witness.truth.ended]

    def _alive(self) -> int:
        return len(self._still_there())

    def _all_have_gone(self) -> bool:
        return not self._still_there()

    def _is_at_rest(self) -> bool:
        """Every call is over, and nothing is left to be done about any."""
        self._witness.see_deliveries()
        return (
            self._witness.deliveries.on_their_way == 0
            and not WebhookEvent.objects.filter(status=WebhookEvent.Status.NEW).exists()
            and not self._outbox()
            and not Offer.objects.live().exists()
            and not Agent.objects.filter(state__in=[Agent.State.RESERVED, Agent.State.BUSY]).exists()
            and not CallLeg.objects.live().exists()
            and not Call.objects.filter(ended_at__isnull=True).exists()
            and not self._differences()
        )

    def _outbox(self) -> list[str]:
        """What is not sent, not closed or not applied."""
        unfinished = Command.objects.filter(state__in=Command.OPEN) | Command.objects.filter(
            closed_at__isnull=False, applied_at__isnull=True
        )
        return [f"command {c.pk} {c.kind} is {c.state}: {c.error}" for c in unfinished]

    def _differences(self) -> list[str]:
        return mirror.differences(mirror.ours(), mirror.truth(self._witness.state()))

    def _nothing_stays_different(self) -> Callable[[], bool]:
        """Asked twice in a row, whatever differed the first time does not any more: events are always under way."""
        before: set[str] | None = None

        def look() -> bool:
            nonlocal before
            now, last = set(self._differences()), before
            before = now
            return last is not None and not now & last

        return look

    # the world -----------------------------------------------------------------------------------------------

    def _change_phone(self, name: str) -> None:
        self._crowd.set_phone(house.address_of(name), crowd.habit(self._rng, ring_secs=self._ring_secs))

    def _set_faults(self, faults: dict[str, object]) -> None:
        self._fleet.simulator.put("/_sim/faults", json=faults).raise_for_status()

    def _clock(self) -> str:
        return f"{time.monotonic() - self._began:6.1f} s"

    # the table -----------------------------------------------------------------------------------------------

    def _table(self, compared: Line, alive: int, at_rest: Line) -> Iterator[Line]:
        placed, gone_unseen, met_unseen = self._crowd.placed, self._gone_unseen(), self._met_unseen()
        wrongs = find_wrongs(
            [leg for leg in placed if leg not in gone_unseen | met_unseen],
            truth=self._witness.truth,
            violations=self._violations,
            since=self._since,
        )
        outcomes = Counter(Call.objects.values_list("outcome", flat=True))
        events = WebhookEvent.objects.filter(source=WebhookEvent.Source.TELNYX).values_list("event_id", flat=True)
        inbox, deliveries, commands = list(events), self._witness.deliveries, self._witness.commands
        yield table.equal("calls placed", self._profile.calls, len(placed))
        answered = outcomes[Call.Outcome.ANSWERED]
        yield table.at_least("answered by an agent", round(self._profile.calls * LEAST_ANSWERED), answered)
        yield table.figure("gone before anything told of them", str(len(gone_unseen)))
        yield table.figure("of whom a join was lost, and who spoke too shortly to be seen", str(len(met_unseen)))
        yield table.figure("outcomes", ", ".join(f"{outcomes[name]} {name}" for name in OUTCOMES if outcomes[name]))
        yield table.figure("hung up in", ", ".join(f"{n} {state}" for state, n in self._crowd.left_in.most_common()))
        yield table.figure("kills", ", ".join(f"{n} {kind}" for kind, n in self._struck.most_common()) or "none")
        yield table.figure("faults", ", ".join(f"{n} {name}" for name, n in self._witness.injected().items() if n))
        if self._came_back_at is not None:
            yield from self._adoption(self._came_back_at)
        yield table.none_of("lost, or with a wrong outcome", [*wrongs.lost, *_without_outcome(met_unseen)])
        yield table.none_of(
            "callers cut off",
            checker.cut_off(placed, self._witness.hangups.by_others, commands, excused=self._excused),
        )
        yield table.none_of("double-booked", wrongs.double_booked)
        yield table.none_of("double effects", checker.double_effects(commands))
        yield table.figure("supervisors", self._supervisors.in_words())
        yield table.none_of("calls taken over by two", self._supervisors.taken_twice)
        yield table.none_of("strangers let in to listen", self._supervisors.let_in)
        yield table.none_of("supervisors answered 5xx for no reason", self._supervisors.failed)
        yield table.none_of("acknowledged events not in the inbox", checker.acknowledged_and_lost(deliveries, inbox))
        yield table.none_of("events in the inbox that nobody sent", checker.never_delivered(deliveries, inbox))
        yield table.none_of("forged events accepted", deliveries.forged_and_accepted)
        yield table.none_of("events not applied", _not_applied())
        yield table.none_of("outbox not empty", self._outbox())
        yield compared
        yield table.none_of("mirror differences in the end", self._differences())
        yield at_rest
        yield self._violated()
        yield table.none_of("processes that ended by themselves", self._fleet.fell_over)
        yield table.figure("workers that Celery ended after Redis was struck", str(len(self._fleet.ended_by_celery)))
        yield table.figure("callers there when the mirror was equal", str(alive))
        yield from _figures()
        yield table.figure("took", f"{time.monotonic() - self._began:.0f} s")

    def _gone_unseen(self) -> set[str]:
        known = set(Call.objects.values_list("leg__call_control_id", flat=True)) | self._witness.deliveries.told_of
        lived = self._witness.truth.lived_secs
        return checker.gone_unseen(self._crowd.placed, known=known, lived_secs=lived, excused=self._excused)

    def _met_unseen(self) -> set[str]:
        kept = CallLeg.objects.filter(call_control_id__in=self._witness.deliveries.kept_from_us)
        calls = kept.filter(role__in=[Role.CUSTOMER, Role.AGENT], call_id__isnull=False).values("call_id")
        callers = Call.objects.filter(pk__in=calls).values_list("leg__call_control_id", flat=True)
        return checker.met_unseen(callers, spoke_secs=self._witness.truth.spoke_secs)

    def _violated(self) -> Line:
        return table.none_of(f"invariants violated in {self._samples} samples", list(self._violations))

    def _adoption(self, since: datetime) -> Iterator[Line]:
        """Of the callers who were there when our processes started again."""
        events = WebhookEvent.objects.filter(applied_at__isnull=False).values_list("call_control_id")
        found = checker.Adoption(
            since=since,
            there=self._there,
            known_at=dict(events.annotate(at=Min("applied_at"))),
            ended_at=self._witness.truth.ended_at,
        )
        dials = [command["at"] for command in self._witness.commands if command["operation"] == "calls.dial"]
        yield table.figure("callers there at the start", f"{len(self._there)}, {len(found.strangers)} unknown to us")
        yield table.within("all of them known after the start", ADOPT_SECS, found.secs(ADOPT_SECS))
        yield table.none_of("dials before all were known", found.early(map(datetime.fromisoformat, dials)))
        yield table.within("mirror equal after the start", SETTLE_SECS, self._equal_after)


def passed_over(now: datetime) -> list[str]:
    """Whom a pass would offer to somebody free now, and none has."""
    if breaker.is_open() or not dispatch.is_open():
        return []
    _, result = decide(Start(), now=now)
    return [f"stay {each.call_id} waits though somebody is free who may take it" for each in result.assignments]


class Lasting:
    """What is no fault before it has been so for ``secs`` on end."""

    def __init__(self, secs: float) -> None:
        self._secs = secs
        self._since: dict[str, float] = {}

    def of(self, lines: Iterable[str], at: float) -> list[str]:
        """Those of them, seen now, that have been seen at every look for that long. ``at``: seconds of any clock."""
        self._since = {line: self._since.get(line, at) for line in lines}
        return [line for line, since in self._since.items() if at - since >= self._secs]


class Revived:
    """I16, as only somebody who looks twice can see it: what was over lives again."""

    def __init__(self) -> None:
        self._living: dict[str, set[str]] = {}
        self._over: dict[str, set[str]] = {}

    def look(self) -> Iterator[str]:
        yield from self._again("leg", CallLeg.objects.live().values_list("call_control_id", flat=True))
        yield from self._again("offer", map(str, Offer.objects.live().values_list("pk", flat=True)))

    def _again(self, what: str, living: Iterable[str]) -> Iterator[str]:
        now = set(living)
        over = self._over.setdefault(what, set())
        over |= self._living.get(what, set()) - now
        self._living[what] = now
        yield from (f"I16 {what} {ident} was over and lives again" for ident in sorted(now & over))


def _without_outcome(legs: Collection[str]) -> list[str]:
    calls = Call.objects.filter(leg__call_control_id__in=legs, outcome="")
    return [f"call {call.pk} is {call.state}" for call in calls]


def _not_applied() -> list[str]:
    left = WebhookEvent.objects.filter(status__in=[WebhookEvent.Status.NEW, WebhookEvent.Status.DEAD])
    return [f"event {event.event_id} {event.event_type} is {event.status}: {event.error}" for event in left]


def _figures() -> Iterator[Line]:
    """How long things took; nothing hangs on them."""
    applied = WebhookEvent.objects.filter(applied_at__isnull=False).annotate(took=F("applied_at") - F("received_at"))
    yield _spread("event to state", applied.values_list("took", flat=True))
    sent = Command.objects.filter(closed_at__isnull=False, first_sent_at__isnull=False)
    yield _spread(
        "command to answer", sent.annotate(took=F("closed_at") - F("created_at")).values_list("took", flat=True)
    )
    yield _spread("idle agent and waiting caller to offer", _until_offered())


def _until_offered() -> Iterator[timedelta]:
    """For the first offer of each stay: since both agent and caller were there to be matched."""
    seen = set()
    for offer in Offer.objects.select_related("entry").order_by("offered_at"):
        if offer.entry_id not in seen and offer.agent_available_since is not None:
            seen.add(offer.entry_id)
            yield offer.offered_at - max(offer.agent_available_since, offer.entry.entered_at)


def _spread(what: str, took: Collection[timedelta] | Iterator[timedelta]) -> Line:
    secs = [duration.total_seconds() for duration in took]
    found = [at for share in (50, 95, 100) if (at := checker.percentile(secs, share)) is not None]
    told = "p50 {:.2f} s, p95 {:.2f} s, longest {:.2f} s".format(*found) if found else "none"
    return table.figure(what, told)
