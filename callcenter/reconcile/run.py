"""When the house is compared with Telnyx: whole at the start and every 30 s, at once where something is in doubt,
and every 5 s as to which legs live, which no other comparison holds up.

A run has all the lists first, and fails if it has not: half a snapshot is none. Then it asks further and mends, thing
by thing; what could not be asked keeps its doubt and spoils nothing else. What was missing is looked at a second time
two seconds later at the earliest; a run is done when that has happened and all it told is applied, and if
it began in the dark (webhooks.dispatch), only then is anybody dialled again.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

from django.db import Error, transaction
from django.db.models import F, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce

from callcenter.models import Doubt, ReconcileRun
from callcenter.reconcile import ask
from callcenter.reconcile.ask import Line, Snapshot
from callcenter.reconcile.compare import Comparison
from callcenter.reconcile.explain import adopt, confirm, examine, orphan, readmit
from callcenter.reconcile.findings import Finding, Undecided, subject_of
from callcenter.reconcile.mend import mend
from conferences import services as mirror
from conferences.models import CallLeg, Conference, Participant, SupervisionSession
from queues import services
from queues.engine.limits import RING_GRACE
from queues.models import Call, Offer
from webhooks import dispatch
from webhooks.models import WebhookEvent
from webhooks.telnyx.errors import TelnyxError
from webhooks.telnyx.records import ActiveCall

logger = logging.getLogger(__name__)

EVERY = timedelta(seconds=30)
LEGS_EVERY = timedelta(seconds=5)  # one request: Telnyx hangs up a caller whom nobody has answered for 30 s
SECOND_LOOK = timedelta(seconds=2)
AGAIN_AFTER = timedelta(seconds=5)  # a run that failed
UNHEARD = timedelta(seconds=6)  # for what usually follows within a second; less would meet its event on the way
CLOSELY_EVERY = timedelta(seconds=5)
SILENCE = timedelta(seconds=120)
SILENT_AT_ONCE = 20  # a run looks at no more of them closely
LEFT_RUNNING = timedelta(seconds=15)  # whoever runs one says so between his questions
LEFT_LOOKING = timedelta(seconds=120)  # its second look is anybody's, and what it told is to be applied
RENEWED_EVERY = timedelta(seconds=5)
FIRST_RECORDINGS = timedelta(days=1)
RECORDINGS_AGAIN = timedelta(minutes=2)
START = "start"
CLEAN_RUNS_KEPT = timedelta(hours=1)
RUNS_KEPT = timedelta(days=30)

LONG_AGO = datetime.min.replace(tzinfo=UTC)

Kind, State = ReconcileRun.Kind, ReconcileRun.State


# when --------------------------------------------------------------------------------------------------------


def due(now: datetime) -> list[str]:
    """Which of ``full``, ``legs`` and ``look`` are to be run now. Only the leading sweeper asks, every second, which
    keeps the gate (webhooks.dispatch) from closing, too.
    """
    dispatch.keep_open()
    found = []
    if _full_is_due(now):
        found.append("full")
    if not ReconcileRun.objects.filter(kind=Kind.LEGS, created_at__gt=now - LEGS_EVERY).exists():
        found.append("legs")
    if _look_is_due(now):
        found.append("look")
    return found


def request(*, reason: str, now: datetime) -> None:
    """Have everything compared as soon as the sweeper can."""
    ReconcileRun.objects.create(kind=Kind.FULL, state=State.REQUESTED, reason=reason[:60], created_at=now)


def _full_is_due(now: datetime) -> bool:
    runs = ReconcileRun.objects.filter(kind=Kind.FULL)
    last = runs.filter(started_at__isnull=False).order_by("-created_at").first()
    if last is None:
        return True
    if last.state in ReconcileRun.GOING_ON:
        return not _gets_on(last, now)
    if last.state == State.FAILED and last.ended_at is not None:
        return last.ended_at <= now - AGAIN_AFTER
    if last.created_at <= now - EVERY or runs.filter(state=State.REQUESTED).exists():
        return True
    return not dispatch.is_open()


def _gets_on(run: ReconcileRun, now: datetime) -> bool:
    left = LEFT_RUNNING if run.state == State.RUNNING else LEFT_LOOKING
    return (run.renewed_at or run.created_at) > now - left


def _look_is_due(now: datetime) -> bool:
    failed = ReconcileRun.objects.filter(kind=Kind.LOOK, state=State.FAILED, ended_at__gt=now - AGAIN_AFTER)
    if failed.exists():
        return False
    return (
        Doubt.objects.filter(not_before__lte=now).exists()
        or ReconcileRun.objects.filter(kind=Kind.FULL, state=State.LOOKING_AGAIN).exists()
        or not _Suspects(now).is_empty
    )


class _Suspects:
    """Of which legs and conferences we should have heard by now, and have not. Of none without ``now``."""

    def __init__(self, now: datetime | None = None, *, silent: bool = False) -> None:
        self.suspected: set[str] = set()
        self.silent: list[str] = []
        self.subjects: set[str] = set()
        if now is not None:
            self._find(now, silent=silent)

    def _find(self, now: datetime, *, silent: bool) -> None:
        since = now - UNHEARD
        suspected = CallLeg.objects.live().filter(suspected_at__isnull=False)
        self.suspected = set(suspected.values_list("call_control_id", flat=True))
        ringing = Offer.objects.filter(state__in=Offer.UNANSWERED, offered_at__lte=since)
        rung_out = now + RING_GRACE  # a phone that still rings has nothing to tell
        rung = set(
            ringing.filter(leg__isnull=False, expires_at__lte=rung_out).values_list("leg__call_control_id", flat=True)
        )
        undialled = {
            subject_of("offer", str(pk)) for pk in ringing.filter(leg__isnull=True).values_list("pk", flat=True)
        }
        arriving = Call.objects.filter(ended_at__isnull=True, leg__answered_at__isnull=True, arrived_at__lte=since)
        rung |= set(arriving.values_list("leg__call_control_id", flat=True))
        sessions = SupervisionSession.objects.filter(requested_at__lte=since).exclude(
            state__in=[SupervisionSession.State.ACTIVE, SupervisionSession.State.ENDED]
        )
        late = sessions.filter(leg__isnull=False, expires_at__lte=rung_out)
        rung |= set(late.values_list("leg__call_control_id", flat=True))
        self.silent = _silent(now) if silent else []
        joining = set(
            Offer.objects.filter(state=Offer.State.CONNECTING, won_at__lte=since).values_list("call_id", flat=True)
        )
        joining |= set(sessions.filter(state=SupervisionSession.State.JOINING).values_list("call_id", flat=True))
        live = Conference.objects.filter(call_id__in=joining, ended_at__isnull=True)
        seats = set(live.values_list("conference_id", flat=True))
        doubtful = Participant.objects.present().filter(leg__call_control_id__in=self.suspected)
        seats |= set(doubtful.values_list("conference__conference_id", flat=True))

        asked = {subject_of("leg", leg) for leg in rung if leg}
        asked |= {subject_of("conference", ident) for ident in seats} | undialled
        lately = Q(looked_at__gt=now - CLOSELY_EVERY)
        recent = set(Doubt.objects.filter(lately, subject__in=asked).values_list("subject", flat=True))
        self.subjects = asked - recent

    @property
    def is_empty(self) -> bool:
        return not (self.suspected or self.subjects)

    def of(self, kind: str) -> set[str]:
        return {ident for found, _, ident in (each.partition(" ") for each in self.subjects) if found == kind}

    def closely(self, snapshot: Snapshot) -> set[str]:
        """Legs to ask about one by one. Two minutes of silence are an ordinary conversation: of the silent ones only
        those that no queue and no conference lists, a few at a time.
        """
        nowhere = [leg for leg in self.silent if not snapshot.has_answered(leg)]
        return self.of("leg") | self.suspected | set(nowhere[:SILENT_AT_ONCE])


def _silent(now: datetime) -> list[str]:
    """Live legs of calls unheard of for two minutes, those first that were looked at longest ago."""
    last = WebhookEvent.objects.filter(call_id=OuterRef("pk")).order_by("-id").values("received_at")[:1]
    calls = Call.objects.filter(ended_at__isnull=True).annotate(heard_at=Subquery(last))
    quiet = list(calls.filter(Q(heard_at__isnull=True) | Q(heard_at__lt=now - SILENCE)).values_list("pk", flat=True))
    legs = CallLeg.objects.live().filter(call_id__in=quiet).order_by("pk").values_list("call_control_id", flat=True)
    subjects = {subject_of("leg", leg): leg for leg in legs}
    looked = dict(
        Doubt.objects.filter(subject__in=subjects, looked_at__isnull=False).values_list("subject", "looked_at")
    )
    ages = {subject: looked.get(subject) or LONG_AGO for subject in subjects}
    due = [subject for subject, at in ages.items() if at <= now - SILENCE]
    return [subjects[subject] for subject in sorted(due, key=ages.__getitem__)]


def _recorded_since(now: datetime) -> datetime:
    """What ended before the last comparison is known, or was on its way."""
    done = ReconcileRun.objects.filter(kind=Kind.FULL, state=State.DONE, started_at__isnull=False)
    last = done.order_by("-started_at").values_list("started_at", flat=True).first()
    return (last or now - FIRST_RECORDINGS) - RECORDINGS_AGAIN


# runs --------------------------------------------------------------------------------------------------------


Say = Callable[[Finding], None]
Clock = Callable[[], datetime]  # a run may take a minute: each step of it has its own now


def full(line: Line, *, clock: Clock, reason: str = "", say: Say | None = None) -> ReconcileRun:
    """Compare everything, mend what differs, remember what was missing for the second look.

    ``say`` is told each finding. For the reason START, of whoever has just taken the lead, one that is looking again is
    enough; one that is running was of another, who leads no more.
    """
    now = clock()
    if reason == START:
        looking = ReconcileRun.objects.filter(kind=Kind.FULL, state=State.LOOKING_AGAIN)
        last = looking.order_by("-created_at").first()
        if last is not None and _gets_on(last, now):
            return last
    run = _begin(Kind.FULL, now, reason=reason)
    suspects = _Suspects(now, silent=True)
    gets_on = partial(_renew, run, clock)
    everything = partial(ask.everything, line, now=now, recorded_since=_recorded_since(now), gets_on=gets_on)
    if _carry_out(run, line, everything, suspects, say=say, clock=clock):
        _forget(clock())
        _finish(run, clock())
    return run


def legs(line: Line, *, clock: Clock) -> ReconcileRun:
    """Which legs live: who is unknown is taken in; who is missing is put in doubt, and looked for in a moment."""
    run = _begin(Kind.LEGS, clock())
    who = partial(ask.some, line, conferences=(), now=clock())
    if _carry_out(run, line, who, _Suspects(), clock=clock, looks_closely=False):
        ReconcileRun.objects.filter(pk=run.pk).update(state=State.DONE, ended_at=clock())
    return run


def look(line: Line, *, clock: Clock, say: Say | None = None) -> ReconcileRun | None:
    """Closely at what is in doubt; None if nothing is. Ends a full run that waited for it."""
    now = clock()
    suspects = _Suspects(now)
    again = set(Doubt.objects.filter(not_before__lte=now).values_list("subject", flat=True))
    run = None
    try:
        if again or not suspects.is_empty:
            run = _begin(Kind.LOOK, now)
            kinds = ("conference", "seat", "stranger", "back")
            places = {subject.split(" ")[1] for subject in again if subject.split(" ")[0] in kinds}
            places |= suspects.of("conference")
            snapshot = partial(ask.some, line, conferences=places, now=now)
            if _carry_out(run, line, snapshot, suspects, say=say, clock=clock, again=again):
                ReconcileRun.objects.filter(pk=run.pk).update(state=State.DONE, ended_at=clock())
            else:
                Doubt.objects.filter(subject__in=again).update(not_before=clock() + AGAIN_AFTER)
    finally:
        for unfinished in ReconcileRun.objects.filter(kind=Kind.FULL, state=State.LOOKING_AGAIN):
            _finish(unfinished, clock())
    return run


def drift(line: Line, *, clock: Clock, wait: Callable[[float], None]) -> list[Finding]:
    """What a run would find and mend, by two looks; no row is written. Raises TelnyxError."""
    since = _recorded_since(clock())
    first = Round(ask.everything(line, now=clock(), recorded_since=since))
    first.go(line, doubts={}, suspects=_Suspects(clock(), silent=True))
    if not first.missed:
        return first.findings
    wait(SECOND_LOOK.total_seconds())
    second = Round(ask.everything(line, now=clock(), recorded_since=since))
    doubts = dict.fromkeys(first.missed, second.snapshot.started_at - SECOND_LOOK)
    second.go(line, doubts=doubts, suspects=_Suspects(clock(), silent=True))
    return second.findings


@dataclass(slots=True)
class Round:
    """One look at Telnyx beside our rows. ``missed`` are subjects for a second look, ``looked_at`` those settled,
    ``put_off`` those to be asked about again, and when. ``settle`` is given each finding as soon as it is made;
    ``gets_on`` is called before each question. One that does not look closely leaves every second look to another.
    ``strays`` were found to be none of ours a moment ago: each question about them is one the less for a caller.
    """

    snapshot: Snapshot
    settle: Callable[[Finding], object] = lambda finding: None
    gets_on: Callable[[], object] = lambda: None
    looks_closely: bool = True
    strays: Collection[str] = ()
    findings: list[Finding] = field(default_factory=list)
    missed: set[str] = field(default_factory=set)
    looked_at: set[str] = field(default_factory=set)
    put_off: dict[str, timedelta] = field(default_factory=dict)

    def go(
        self, line: Line, *, doubts: Mapping[str, datetime], suspects: _Suspects, again: Collection[str] = ()
    ) -> None:
        """``doubts``: what was missed before, and when; ``again``: those whose second look is due."""
        snapshot = self.snapshot
        comparison = Comparison(snapshot, certain={*doubts, *(subject_of("leg", leg) for leg in suspects.suspected)})
        # First, as who is not answered is soon hung up on.
        for active in comparison.unknown:
            lost, token = orphan(active), active.call_control_id
            if lost is not None:
                self._weigh(subject_of("orphan", token), doubts, partial(_found, lost))
            elif subject_of("stray", token) not in self.strays and mirror.known_leg(token) is None:
                self._take_in(line, active)
        for subject, find in comparison.differences():
            self._try(subject, find)
        missing = {absent.subject: absent for absent in comparison.absent()}
        if not snapshot.is_whole:
            missing |= {absent.subject: absent for absent in comparison.still_queued(again)}
        for subject, absent in missing.items():
            self._weigh(subject, doubts, partial(confirm, line, absent, snapshot))
        for subject, finding in comparison.weighed():
            self._weigh(subject, doubts, partial(_found, finding))
        for caller in comparison.ended_untold:
            self._weigh(subject_of("over", caller.call_control_id), doubts, partial(readmit, line, caller, snapshot))
        for token in suspects.closely(snapshot):
            leg = comparison.live.get(token)
            if leg is not None and token in snapshot.legs:
                subject = subject_of("leg", token)
                if self._try(subject, partial(_one, partial(examine, line, leg, snapshot))):
                    self.looked_at.add(subject)
        before = {subject for subject, at in doubts.items() if at < snapshot.started_at}
        covered = {subject for subject in before if snapshot.is_whole or subject.startswith("leg ")} | set(again)
        self.looked_at |= ((covered - self.missed) | suspects.subjects) - self.put_off.keys()

    def _take_in(self, line: Line, active: ActiveCall) -> None:
        """What turns out to be none of ours is a stray. Of whom nothing tells yet what he is may be a caller."""
        token, found = active.call_control_id, len(self.findings)
        if self._try(subject_of("unknown", token), partial(_one, partial(adopt, line, active, self.snapshot))):
            self.looked_at.add(subject_of("leg", token))  # its log has just been read
            if any(finding.kind == "foreign_leg" for finding in self.findings[found:]):
                self.looked_at.add(subject_of("stray", token))

    def _weigh(
        self, subject: str, doubts: Mapping[str, datetime], explain: Callable[[datetime], Finding | None]
    ) -> None:
        """Once is a doubt; twice, not at once, is worth the question what it is. ``explain`` is told since when."""
        first_at = doubts.get(subject)
        if first_at is None or self.snapshot.started_at - first_at < SECOND_LOOK or not self.looks_closely:
            self.missed.add(subject)
        elif self._try(subject, partial(_one, partial(explain, first_at))):
            self.looked_at.add(subject)

    def _try(self, subject: str, find: Callable[[], Iterable[Finding]]) -> bool:
        """Find and settle. What goes wrong is noted, and concerns this one only."""
        try:
            self.gets_on()
            for finding in find():
                self.settle(finding)
                self.findings.append(finding)
            return True
        except Undecided:
            self.put_off[subject] = EVERY
        except (TelnyxError, Error) as error:
            logger.error("not looked at, kept in doubt subject=%s: %s", subject.partition(" ")[0], error)
            self.put_off[subject] = AGAIN_AFTER
        except Exception:
            logger.exception("not looked at, kept in doubt subject=%s", subject.partition(" ")[0])
            self.put_off[subject] = AGAIN_AFTER
        return False


def _one(question: Callable[[], Finding | None]) -> list[Finding]:
    found = question()
    return [] if found is None else [found]


def _found(finding: Finding, missed_at: datetime) -> Finding:
    return finding


def _doubts() -> dict[str, datetime]:
    return {doubt.subject: doubt.missed_at for doubt in Doubt.objects.exclude(missed_at=None) if doubt.missed_at}


def _begin(kind: str, now: datetime, *, reason: str = "") -> ReconcileRun:
    """A full run takes the place of what was asked for and of one that was left unfinished."""
    run = ReconcileRun(kind=kind, state=State.RUNNING, reason=reason, created_at=now, started_at=now)
    if kind == Kind.FULL:
        run.in_the_dark = not dispatch.is_open()
        run.dark_since = dispatch.dark_since() if run.in_the_dark else None
        others = ReconcileRun.objects.filter(kind=Kind.FULL)
        asked = others.filter(state=State.REQUESTED).order_by("created_at").first()
        if asked is not None:
            run.reason = reason or asked.reason
            others.filter(state=State.REQUESTED).delete()
        unfinished = others.filter(state__in=ReconcileRun.GOING_ON)
        unfinished.update(state=State.FAILED, ended_at=now, error="another took its place")
    run.save(force_insert=True)
    return run


def _carry_out(
    run: ReconcileRun,
    line: Line,
    snapshot: Callable[[], Snapshot],
    suspects: _Suspects,
    *,
    clock: Clock,
    say: Say | None = None,
    again: Collection[str] = (),
    looks_closely: bool = True,
) -> bool:
    """False, and nothing written but that, if Telnyx did not give all the lists."""

    def settle(finding: Finding) -> None:
        mend(finding, run, now=clock())
        if say is not None:
            say(finding)

    try:
        strays = Doubt.objects.filter(subject__startswith=subject_of("stray", ""), looked_at__gt=clock() - EVERY)
        known = [] if run.kind == Kind.FULL else list(strays.values_list("subject", flat=True))
        gets_on = partial(_renew, run, clock)
        found = Round(snapshot(), settle=settle, gets_on=gets_on, looks_closely=looks_closely, strays=known)
        found.go(line, doubts=_doubts(), suspects=suspects, again=again)
        _remember(found, suspects, clock())
    except TelnyxError as error:
        logger.error("not reconciled, Telnyx did not answer everything: %s", error)
        _fail(run, str(error), clock())
        return False
    except Exception as error:
        _fail(run, f"{type(error).__name__}: {error}", clock())
        raise
    seen = found.snapshot
    going_on = ReconcileRun.objects.filter(pk=run.pk, state=State.RUNNING)
    return bool(
        going_on.update(
            state=State.LOOKING_AGAIN,
            legs=len(seen.legs),
            conferences=len(seen.conferences),
            queue_calls=len(seen.queued) if seen.is_whole else None,
            findings=len(found.findings),
            renewed_at=clock(),
        )
    )


def _renew(run: ReconcileRun, clock: Clock) -> None:
    at = clock()
    if run.renewed_at is None or at - run.renewed_at >= RENEWED_EVERY:
        run.renewed_at = at
        ReconcileRun.objects.filter(pk=run.pk).update(renewed_at=at)


def _fail(run: ReconcileRun, error: str, now: datetime) -> None:
    ended = {"state": State.FAILED, "ended_at": now, "error": error[:2000]}
    ReconcileRun.objects.filter(pk=run.pk).update(**ended)


def _remember(found: Round, suspects: _Suspects, now: datetime) -> None:
    snapshot = found.snapshot
    for subject in found.missed:
        Doubt.objects.get_or_create(subject=subject)
        first = Doubt.objects.filter(subject=subject, missed_at__isnull=True)
        first.update(missed_at=snapshot.started_at, not_before=snapshot.started_at + SECOND_LOOK)
    for subject in found.looked_at - found.missed:
        settled = {"missed_at": None, "not_before": None, "looked_at": now}
        Doubt.objects.update_or_create(subject=subject, defaults=settled)
    for subject, wait in found.put_off.items():
        Doubt.objects.update_or_create(subject=subject, defaults={"looked_at": now})
        Doubt.objects.filter(subject=subject, missed_at__isnull=False).update(not_before=now + wait)
    looked = [leg for leg in suspects.suspected if found.put_off.get(subject_of("leg", leg)) != AGAIN_AFTER]
    cleared = CallLeg.objects.filter(call_control_id__in=looked, suspected_at__lte=snapshot.started_at)
    cleared.update(suspected_at=None)
    services.queues_seen(snapshot.queues.values(), now=snapshot.started_at)


def _finish(run: ReconcileRun, now: datetime) -> None:
    """Done once nothing it missed waits for its second look, and what was told has been applied. What was looked at a
    second time and could not be settled stays in doubt, and keeps nobody waiting.
    """
    missed = Doubt.objects.filter(missed_at__lte=run.started_at).filter(
        Q(looked_at__isnull=True) | Q(looked_at__lte=F("missed_at"))
    )
    untold = WebhookEvent.objects.filter(status=WebhookEvent.Status.NEW, source=WebhookEvent.Source.RECONCILE)
    if missed.exists() or untold.exists():
        return
    with transaction.atomic():
        waiting = ReconcileRun.objects.filter(pk=run.pk, state=State.LOOKING_AGAIN)
        is_done = waiting.update(state=State.DONE, ended_at=now)
        if is_done and run.dark_since is not None and dispatch.reopen(run.dark_since):
            logger.info("the house is in line with Telnyx again, agents are dialled run=%s", run.pk)


def _forget(now: datetime) -> None:
    """Runs that found nothing are soon of no interest."""
    over = ReconcileRun.objects.exclude(state__in=[State.REQUESTED, *ReconcileRun.GOING_ON])
    over.filter(state=State.DONE, created_at__lt=now - CLEAN_RUNS_KEPT, corrections__isnull=True).delete()
    over.filter(created_at__lt=now - RUNS_KEPT).delete()
    left = ReconcileRun.objects.filter(state__in=ReconcileRun.GOING_ON, created_at__lt=now - LEFT_LOOKING)
    of_the_dead = left.exclude(kind=Kind.FULL).exclude(renewed_at__gt=now - LEFT_LOOKING)
    last_heard_of = Coalesce(F("renewed_at"), F("created_at"))
    of_the_dead.update(state=State.FAILED, ended_at=last_heard_of, error="nobody has ended it")
    Doubt.objects.filter(missed_at__isnull=True, looked_at__lt=now - 2 * SILENCE).delete()
