"""When the house is compared with Telnyx: whole at the start and every 30 s, at once where something is in doubt,
and every 10 s as to which legs live.

A run asks first and writes afterwards, so that one that fails has changed nothing. What was missing is looked at a
second time two seconds later at the earliest; a run is done when that has happened and all it told is applied, and if
it began in the dark (webhooks.dispatch), only then is anybody dialled again.
"""

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import OuterRef, Q, Subquery

from callcenter.models import Doubt, ReconcileRun
from callcenter.reconcile import ask
from callcenter.reconcile.ask import Line, Snapshot
from callcenter.reconcile.compare import Comparison
from callcenter.reconcile.explain import adopt, confirm, examine
from callcenter.reconcile.findings import Finding, subject_of
from callcenter.reconcile.mend import mend
from conferences.models import CallLeg, Conference, Participant, SupervisionSession
from queues import services
from queues.models import Call, Offer
from webhooks import dispatch
from webhooks.models import Command, WebhookEvent
from webhooks.telnyx.errors import TelnyxError

logger = logging.getLogger(__name__)

EVERY = timedelta(seconds=30)
LEGS_EVERY = timedelta(seconds=10)  # one request: Telnyx hangs up a caller whom nobody has answered for 30 s
SECOND_LOOK = timedelta(seconds=2)
AGAIN_AFTER = timedelta(seconds=5)  # a run that failed
UNHEARD = timedelta(seconds=6)  # for what usually follows within a second; less would meet its event on the way
CLOSELY_EVERY = timedelta(seconds=5)
SILENCE = timedelta(seconds=120)
LEFT_UNFINISHED = timedelta(seconds=120)
CLEAN_RUNS_KEPT = timedelta(hours=1)
RUNS_KEPT = timedelta(days=30)

Kind, State = ReconcileRun.Kind, ReconcileRun.State


# when --------------------------------------------------------------------------------------------------------


def due(now: datetime) -> list[str]:
    """Which of ``full`` and ``look`` are to be run now."""
    found = []
    if _full_is_due(now):
        found.append("full")
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
        return last.created_at <= now - LEFT_UNFINISHED
    if last.state == State.FAILED and last.ended_at is not None:
        return last.ended_at <= now - AGAIN_AFTER
    if last.created_at <= now - EVERY or runs.filter(state=State.REQUESTED).exists():
        return True
    return not dispatch.is_open()


def _look_is_due(now: datetime) -> bool:
    failed = ReconcileRun.objects.filter(kind=Kind.LOOK, state=State.FAILED, ended_at__gt=now - AGAIN_AFTER)
    if failed.exists():
        return False
    return (
        Doubt.objects.filter(not_before__lte=now).exists()
        or ReconcileRun.objects.filter(kind=Kind.FULL, state=State.LOOKING_AGAIN).exists()
        or _legs_are_due(now)
        or not _Suspects(now).is_empty
    )


def _legs_are_due(now: datetime) -> bool:
    return not ReconcileRun.objects.filter(created_at__gt=now - LEGS_EVERY, started_at__isnull=False).exists()


class _Suspects:
    """Of which legs and conferences we should have heard by now, and have not."""

    def __init__(self, now: datetime, *, silent: bool = False) -> None:
        since = now - UNHEARD
        suspected = CallLeg.objects.live().filter(suspected_at__isnull=False)
        self.suspected = set(suspected.values_list("call_control_id", flat=True))
        ringing = Offer.objects.filter(state__in=Offer.UNANSWERED, offered_at__lte=since)
        rung = set(ringing.filter(leg__isnull=False).values_list("leg__call_control_id", flat=True))
        undialled = {
            subject_of("offer", str(pk)) for pk in ringing.filter(leg__isnull=True).values_list("pk", flat=True)
        }
        arriving = Call.objects.filter(ended_at__isnull=True, leg__answered_at__isnull=True, arrived_at__lte=since)
        rung |= set(arriving.values_list("leg__call_control_id", flat=True))
        sessions = SupervisionSession.objects.filter(requested_at__lte=since).exclude(
            state__in=[SupervisionSession.State.ACTIVE, SupervisionSession.State.ENDED]
        )
        rung |= set(sessions.filter(leg__isnull=False).values_list("leg__call_control_id", flat=True))
        rung |= {_leg_of(command) for command in Command.objects.filter(state=Command.State.UNKNOWN)}
        if silent:
            rung |= _silent(now)
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


def _leg_of(command: Command) -> str:
    is_about_a_leg = command.operation.startswith("calls.")
    return command.target if is_about_a_leg else str(command.arguments.get("call_control_id") or "")


def _silent(now: datetime) -> set[str]:
    """Live legs of calls of which nothing has been heard for two minutes."""
    last = WebhookEvent.objects.filter(call_id=OuterRef("pk")).order_by("-id").values("received_at")[:1]
    calls = Call.objects.filter(ended_at__isnull=True).annotate(heard_at=Subquery(last))
    quiet = list(calls.filter(Q(heard_at__isnull=True) | Q(heard_at__lt=now - SILENCE)).values_list("pk", flat=True))
    legs = set(CallLeg.objects.live().filter(call_id__in=quiet).values_list("call_control_id", flat=True))
    subjects = {subject_of("leg", leg): leg for leg in legs}
    looked = Doubt.objects.filter(subject__in=subjects, looked_at__gt=now - SILENCE)
    return legs - {subjects[subject] for subject in looked.values_list("subject", flat=True)}


# runs --------------------------------------------------------------------------------------------------------


Say = Callable[[Finding], None]


def full(line: Line, *, now: datetime, reason: str = "", say: Say | None = None) -> ReconcileRun:
    """Compare everything, mend what differs, remember what was missing for the second look.

    ``say`` is told each finding.
    """
    run = _begin(Kind.FULL, now, reason=reason)
    suspects = _Suspects(now, silent=True)

    def look() -> Round:
        return Round.over(ask.everything(line, now=now), line, doubts=_doubts(), suspects=suspects)

    if _carry_out(run, look, suspects, say, now):
        _forget(now)
        _finish(run, now)
    return run


def look(line: Line, *, now: datetime, say: Say | None = None) -> ReconcileRun | None:
    """Which legs live, and closely at what is in doubt; None if nothing is due. Ends a full run that waited for it."""
    suspects = _Suspects(now)
    doubts = _doubts()
    again = set(Doubt.objects.filter(not_before__lte=now).values_list("subject", flat=True))
    run = None
    if again or not suspects.is_empty or _legs_are_due(now):
        run = _begin(Kind.LOOK, now)
        places = {
            subject.split(" ")[1] for subject in again if subject.split(" ")[0] in ("conference", "seat", "stranger")
        }

        def ask_again() -> Round:
            snapshot = ask.some(line, conferences=places | suspects.of("conference"), now=now)
            return Round.over(snapshot, line, doubts=doubts, suspects=suspects, again=again)

        if _carry_out(run, ask_again, suspects, say, now):
            ReconcileRun.objects.filter(pk=run.pk).update(state=State.DONE, ended_at=now)
        else:
            Doubt.objects.filter(subject__in=again).update(not_before=now + AGAIN_AFTER)
    for unfinished in ReconcileRun.objects.filter(kind=Kind.FULL, state=State.LOOKING_AGAIN):
        _finish(unfinished, now)
    return run


def drift(line: Line, *, clock: Callable[[], datetime], wait: Callable[[float], None]) -> list[Finding]:
    """What a run would find and mend, by two looks; no row is written. Raises TelnyxError."""
    first = Round.over(ask.everything(line, now=clock()), line, doubts={}, suspects=_Suspects(clock(), silent=True))
    if not first.missed:
        return first.findings
    wait(SECOND_LOOK.total_seconds())
    snapshot = ask.everything(line, now=clock())
    doubts = dict.fromkeys(first.missed, snapshot.started_at - SECOND_LOOK)
    return Round.over(snapshot, line, doubts=doubts, suspects=_Suspects(clock(), silent=True)).findings


@dataclass(slots=True)
class Round:
    """One look at Telnyx beside our rows. ``missed`` are subjects for a second look, ``looked_at`` those settled."""

    snapshot: Snapshot
    findings: list[Finding] = field(default_factory=list)
    missed: set[str] = field(default_factory=set)
    looked_at: set[str] = field(default_factory=set)

    @classmethod
    def over(
        cls,
        snapshot: Snapshot,
        line: Line,
        *,
        doubts: Mapping[str, datetime],
        suspects: _Suspects,
        again: Collection[str] = (),
    ) -> "Round":
        """``doubts``: what was missed before, and when; ``again``: those whose second look is due."""
        comparison = Comparison(snapshot, certain={*doubts, *(subject_of("leg", leg) for leg in suspects.suspected)})
        found = cls(snapshot, [*comparison.differences()])
        missing = {absent.subject: absent for absent in comparison.absent()}
        if not snapshot.is_whole:
            missing |= {absent.subject: absent for absent in comparison.still_queued(again)}
        for subject, absent in missing.items():
            found._weigh(subject, doubts, lambda absent=absent: confirm(line, absent, snapshot))  # type: ignore[misc]
        for subject, finding in comparison.strangers():
            found._weigh(subject, doubts, lambda finding=finding: finding)  # type: ignore[misc]
        closely = suspects.of("leg") | suspects.suspected
        for leg in (comparison.live[token] for token in closely if token in comparison.live):
            if leg.call_control_id in snapshot.legs:
                found._add(examine(line, leg, snapshot))
        for active in comparison.unknown:
            found._add(adopt(line, active, snapshot))
        covered = set(doubts) if snapshot.is_whole else set(again)
        found.looked_at |= (covered - found.missed) | suspects.subjects
        return found

    def _weigh(self, subject: str, doubts: Mapping[str, datetime], explain: Callable[[], Finding | None]) -> None:
        """Once is a doubt; twice, not at once, is worth the question what it is."""
        first_at = doubts.get(subject)
        if first_at is None or self.snapshot.started_at - first_at < SECOND_LOOK:
            self.missed.add(subject)
        else:
            self._add(explain())
            self.looked_at.add(subject)

    def _add(self, finding: Finding | None) -> None:
        if finding is not None:
            self.findings.append(finding)


def _doubts() -> dict[str, datetime]:
    return {doubt.subject: doubt.missed_at for doubt in Doubt.objects.exclude(missed_at=None) if doubt.missed_at}


def _begin(kind: str, now: datetime, *, reason: str = "") -> ReconcileRun:
    """A full run takes the place of what was asked for and of one that was left unfinished."""
    run = ReconcileRun(kind=kind, state=State.RUNNING, reason=reason, created_at=now, started_at=now)
    if kind == Kind.FULL:
        run.in_the_dark = not dispatch.is_open()
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
    run: ReconcileRun, look: Callable[[], Round], suspects: _Suspects, say: Say | None, now: datetime
) -> bool:
    """Ask, then write. False, and nothing written but that, if Telnyx did not answer everything."""
    try:
        found = look()
    except TelnyxError as error:
        logger.error("not reconciled, Telnyx did not answer everything: %s", error)
        _fail(run, str(error), now)
        return False
    except Exception as error:
        _fail(run, f"{type(error).__name__}: {error}", now)
        raise
    try:
        for finding in found.findings:
            mend(finding, run, now=now)
            if say is not None:
                say(finding)
        _remember(found, suspects, now)
    except Exception as error:
        _fail(run, f"{type(error).__name__}: {error}", now)
        raise
    snapshot = found.snapshot
    going_on = ReconcileRun.objects.filter(pk=run.pk, state=State.RUNNING)
    return bool(
        going_on.update(
            state=State.LOOKING_AGAIN,
            legs=len(snapshot.legs),
            conferences=len(snapshot.conferences),
            queue_calls=len(snapshot.queued) if snapshot.is_whole else None,
            findings=len(found.findings),
        )
    )


def _fail(run: ReconcileRun, error: str, now: datetime) -> None:
    ReconcileRun.objects.filter(pk=run.pk).update(state=State.FAILED, ended_at=now, error=error[:2000])


def _remember(found: Round, suspects: _Suspects, now: datetime) -> None:
    snapshot = found.snapshot
    for subject in found.missed:
        Doubt.objects.get_or_create(subject=subject)
        first = Doubt.objects.filter(subject=subject, missed_at__isnull=True)
        first.update(missed_at=snapshot.started_at, not_before=snapshot.started_at + SECOND_LOOK)
    for subject in found.looked_at - found.missed:
        settled = {"missed_at": None, "not_before": None, "looked_at": now}
        Doubt.objects.update_or_create(subject=subject, defaults=settled)
    cleared = CallLeg.objects.filter(call_control_id__in=suspects.suspected, suspected_at__lte=snapshot.started_at)
    cleared.update(suspected_at=None)
    services.queues_seen(snapshot.queues.values(), now=now)


def _finish(run: ReconcileRun, now: datetime) -> None:
    """Done once nothing it missed waits for its second look, and what was told has been applied."""
    missed = Doubt.objects.filter(missed_at__lte=run.started_at)
    untold = WebhookEvent.objects.filter(status=WebhookEvent.Status.NEW, source=WebhookEvent.Source.RECONCILE)
    if missed.exists() or untold.exists():
        return
    with transaction.atomic():
        waiting = ReconcileRun.objects.filter(pk=run.pk, state=State.LOOKING_AGAIN)
        if waiting.update(state=State.DONE, ended_at=now) and run.in_the_dark:
            dispatch.reopen()
            logger.info("the house is in line with Telnyx again, agents are dialled run=%s", run.pk)


def _forget(now: datetime) -> None:
    """Runs that found nothing are soon of no interest."""
    over = ReconcileRun.objects.exclude(state__in=[State.REQUESTED, *ReconcileRun.GOING_ON])
    over.filter(state=State.DONE, created_at__lt=now - CLEAN_RUNS_KEPT, corrections__isnull=True).delete()
    over.filter(created_at__lt=now - RUNS_KEPT).delete()
    Doubt.objects.filter(missed_at__isnull=True, looked_at__lt=now - 2 * SILENCE).delete()
