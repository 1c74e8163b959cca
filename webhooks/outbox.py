"""We tell Telnyx: issue a row → send it under a lease → look when nobody answered → close it with its effects.

Commands of one ``ordering_key`` go out in creation order, each after the one before is closed; a hang-up
overtakes and cancels the rest. ``callcenter.wiring`` fills the table: kind → still_wanted, closed; and says who is
told of a leg that is not what we took it for.
"""

import dataclasses
import inspect
import logging
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import models, transaction
from django.db.models import Exists, F, OuterRef, Q
from django.db.models.functions import Coalesce, Now
from django.utils import timezone

from webhooks import breaker, dispatch, inbox, meters, prepared
from webhooks.clock import from_now
from webhooks.models import Command
from webhooks.nudge import nudge
from webhooks.telnyx.client import TelnyxClient
from webhooks.telnyx.errors import CallEnded, CallUnknown, InvalidRequest, NotFound, TelnyxRejected, TelnyxUnavailable
from webhooks.telnyx.transport import TOTAL_SECS, not_after

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=10)
LEAST_LEASE_SECS = 6.0  # one request takes 5 s at most; less lease than this and it is not begun
MOST_LOST_LEASES = 5  # a command that kills whoever sends it is set aside
NEVER_CAME_BACK = "whoever was sending it never came back"
RESEND_FOR = timedelta(seconds=20)  # Telnyx forgets a command_id after 60 s
BACKOFF_SECS = (0.5, 1, 2, 4)
LOOK_AGAIN_SECS = 2.0
CLOSE_AGAIN_SECS = 5.0  # effects that failed; twice as long after each further try ...
LONGEST_CLOSE_AGAIN_SECS = 300.0  # ... up to this
CLOSED_LINE_SECS = 1.0  # between two glances at whether Telnyx is back, or has room for us
# However long Telnyx asks us to wait: a caller rings, a leg goes on, meanwhile.
LONGEST_DELAY_SECS: Mapping[int, float] = {
    Command.Priority.HANG_UP: 2.0,
    Command.Priority.ANSWER: 2.0,
    Command.Priority.REST: 10.0,
}
DIAL = "calls.dial"
DIAL_WINDOW = timedelta(seconds=5)  # Telnyx counts dials in windows of this length (CONTRACT §3)
NEVER_REPEATED = frozenset(
    {
        "conferences.play",
        "conferences.send_dtmf",
        "conferences.gather_using_audio",
    }
)
# Hanging up twice is hanging up once, and no leg may live on because nobody answered us.
REPEATED_UNTIL_ANSWERED = frozenset({"calls.hangup"})


@dataclasses.dataclass(frozen=True, slots=True)
class Kind:
    """What the house knows of one kind of command.

    ``still_wanted`` is asked just before sending (authority, precondition, destination). ``closed`` applies the
    outcome, in one transaction with its effects, under the call's lock.
    """

    still_wanted: Callable[[Command], bool]
    closed: Callable[[Command, datetime], None]


# Such a refusal, or none at all, is a fact about the leg whose event is late or lost. Never repeated, and never taken
# for the event either: Telnyx is asked.
_CAST_DOUBT = frozenset({*CallEnded.codes, *CallUnknown.codes, Command.LOST})

Suspect = Callable[[str, datetime], None]

_kinds: Mapping[str, Kind] = {}
_suspect: Suspect


def configure(kinds: Mapping[str, Kind], *, suspect: Suspect) -> None:
    """``suspect`` is told, in the outcome's transaction, which leg (``call_control_id``) is to be verified."""
    global _kinds, _suspect
    _kinds, _suspect = kinds, suspect


# issue -------------------------------------------------------------------------------------------------------


def issue(
    kind: str,
    *,
    operation: str,
    dedupe_key: object,
    now: datetime,
    target: str = "",
    arguments: Mapping[str, Any] | None = None,
    ordering_key: str = "",
    priority: int = Command.Priority.REST,
    call_id: uuid.UUID | None = None,
    subject_id: uuid.UUID | None = None,
    actor_id: int | None = None,
) -> Command | None:
    """Write down one intent, in the caller's transaction. None if this very intent stands already.

    ``operation`` is the client method, ``resource.method``; ``target`` what its path names; ``arguments`` its
    keywords. (kind, dedupe_key) is what makes an intent one: repeat it at will.
    """
    assert kind in _kinds, f"{kind} is not in callcenter.wiring"  # noqa: S101
    command = Command(
        kind=kind,
        operation=operation,
        dedupe_key=str(dedupe_key),
        target=target,
        arguments=dict(arguments or {}),
        ordering_key=ordering_key or target,
        priority=priority,
        call_id=call_id,
        subject_id=subject_id,
        actor_id=actor_id,
        created_at=now,
    )
    if not prepared.insert(command, one_per=("kind", "dedupe_key")):
        return None
    if priority == Command.Priority.HANG_UP:
        cancel(Q(ordering_key=command.ordering_key), now=now, but=command)
    nudge("webhooks.send", command.pk)
    return command


def cancel(which: Q, *, now: datetime, but: Command | None = None) -> int:
    """Withdraw commands that nobody has begun to send."""
    unsent = Command.objects.filter(which, state=Command.State.NEW)
    if but is not None:
        unsent = unsent.exclude(pk=but.pk)
    return unsent.update(state=Command.State.CANCELLED, closed_at=now, error="overtaken")


# send --------------------------------------------------------------------------------------------------------


def due(*, created_before: datetime) -> list[int]:
    """Commands to send now: unsent, or sent under a lease that ran out; hang-ups, answers and dials first.

    Not those that would only be told to wait: while Telnyx is away that may be thousands, each second.
    """
    return list(
        _sendable()
        .filter(~_held_up(), created_at__lte=created_before)
        .order_by("priority", "sequence")
        .values_list("sequence", flat=True)[:500]
    )


def unapplied() -> list[int]:
    """Outcomes whose effects nobody has applied yet."""
    return list(
        Command.objects.filter(closed_at__isnull=False, applied_at__isnull=True)
        .filter(Q(not_before__isnull=True) | Q(not_before__lte=Now()))
        .order_by("sequence")
        .values_list("sequence", flat=True)[:500]
    )


def send(sequence: int, client: TelnyxClient, *, now: Callable[[], datetime] = timezone.now) -> None:
    """Send one command if it is its turn, apply its outcome, and go on with the next of its key."""
    following: int | None = sequence
    while following is not None:
        following = _send_one(following, client, now)


def _send_one(sequence: int, client: TelnyxClient, now: Callable[[], datetime]) -> int | None:
    began = time.monotonic()
    command = _claim(sequence)
    if command is None:
        return None
    with not_after(began + LEASE.total_seconds() - LEAST_LEASE_SECS + TOTAL_SECS):
        outcome = _advance(command, client, began=began)
    if not _record(command, outcome, now()):
        return None
    close(command, now=now())
    return _next_of(command.ordering_key)


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    state: str
    result: Any = None
    status: int | None = None
    code: str = ""
    error: str = ""
    retry_after: float | None = None
    was_not_sent: bool = False


def _advance(command: Command, client: TelnyxClient, *, began: float) -> Outcome:
    """Take a claimed command one step further: withdraw it, let it wait, look for it, or send it."""
    if command.lost_leases >= MOST_LOST_LEASES:
        return Outcome(Command.State.REJECTED, code=Command.LOST, error="no sender lived to tell what went wrong")
    wanted = _kinds[command.kind].still_wanted(command)
    looks = command.state == Command.State.UNKNOWN
    if not wanted and not looks:
        looks = command.operation in _LOOKS and not _began_with_this_attempt(command)
        if not looks:
            return Outcome(Command.State.CANCELLED, error="no longer wanted", was_not_sent=True)
    hindrance = _hindrance(command)
    if hindrance is not None:
        return hindrance
    if looks:
        return _look(command, client, wanted=wanted)
    if time.monotonic() - began > LEASE.total_seconds() - LEAST_LEASE_SECS:
        return Outcome(Command.State.SENT, error="slept through its lease", was_not_sent=True)
    return _perform(command, client)


def _hindrance(command: Command) -> Outcome | None:
    """Why it cannot go out just now, though it should."""
    telnyx, dials = breaker.look(), command.operation == DIAL
    if telnyx.is_open and command.priority > Command.Priority.ANSWER:
        if dials and _began_with_this_attempt(command):  # so that nobody is kept for a call that does not come
            said = "Telnyx does not answer; it was not dialled"
            return Outcome(Command.State.REJECTED, code=Command.AWAY, error=said, was_not_sent=True)
        return _wait(command, "Telnyx does not answer", CLOSED_LINE_SECS)
    spent = telnyx.dials_are_spent if dials else telnyx.requests_are_spent
    if spent and command.priority > Command.Priority.HANG_UP:
        return _wait(command, "Telnyx's window is nearly full", CLOSED_LINE_SECS)
    if dials and command.state != Command.State.UNKNOWN:
        if not dispatch.is_open():
            return _wait(command, "our rows have not been compared with Telnyx yet", CLOSED_LINE_SECS)
        if secs := _until_next_dial(command):
            return _wait(command, "paced", secs)
    return None


def _held_up() -> Q:
    """Which commands ``_hindrance`` would make wait, whoever they are for; not the pace of dials, which soon passes."""
    telnyx, dials = breaker.look(), Q(operation=DIAL)
    held = Q(pk__in=[])
    if telnyx.is_open:
        held |= Q(priority__gt=Command.Priority.ANSWER)
    if telnyx.requests_are_spent:
        held |= Q(priority__gt=Command.Priority.HANG_UP) & ~dials
    if telnyx.dials_are_spent:
        held |= Q(priority__gt=Command.Priority.HANG_UP) & dials
    if not dispatch.is_open():
        held |= dials & ~Q(state=Command.State.UNKNOWN) & ~_not_again()  # those are looked for
    return held & ~(dials & Q(state=Command.State.NEW)) if telnyx.is_open else held


def _wait(command: Command, why: str, secs: float) -> Outcome:
    return Outcome(command.state, error=why, retry_after=secs, was_not_sent=True)


def _sendable() -> "models.QuerySet[Command]":
    earlier = Command.objects.filter(
        ordering_key=OuterRef("ordering_key"), sequence__lt=OuterRef("sequence"), state__in=Command.OPEN
    )
    return (
        Command.objects.filter(state__in=Command.OPEN)
        .filter(Q(lease_until__isnull=True) | Q(lease_until__lte=Now()))
        .filter(Q(not_before__isnull=True) | Q(not_before__lte=Now()))
        .filter(Q(priority=Command.Priority.HANG_UP) | Q(ordering_key="") | ~Exists(earlier))
    )


def _not_again() -> Q:
    """Of what was sent before: which may not go again, because Telnyx forgets its id or because it takes none."""
    again = Q(operation__in=REPEATED_UNTIL_ANSWERED)
    return (Q(first_sent_at__lte=from_now(-RESEND_FOR)) | Q(operation__in=NEVER_REPEATED)) & ~again


def _claim(sequence: int) -> Command | None:
    """Take the lease, on the database's clock; None if it is another's, done, or not yet its turn.

    What went out before and may not go again is unknown from here on, whether its sender was left without an answer
    or died.
    """
    command = _LEASED.first(sequence)
    if command is not None and command.error == NEVER_CAME_BACK:
        meters.lease_expired_total.inc("command")
    return command


def _leased() -> Mapping[str, Any]:
    return {
        "state": models.Case(
            models.When(state=Command.State.NEW, then=models.Value(Command.State.SENT)),
            models.When(_not_again(), then=models.Value(Command.State.UNKNOWN)),
            default=F("state"),
        ),
        "lease_until": from_now(LEASE),
        "fence": F("fence") + 1,
        "attempts": F("attempts") + 1,
        "lost_leases": F("lost_leases") + models.Case(models.When(lease_until__isnull=False, then=1), default=0),
        "first_sent_at": Coalesce(F("first_sent_at"), Now()),
        "error": models.Case(
            models.When(lease_until__isnull=False, then=models.Value(NEVER_CAME_BACK)),
            default=F("error"),
            output_field=models.TextField(),
        ),
    }


_LEASED = prepared.Update(lambda sequence: _sendable().filter(pk=sequence), _leased)


def _until_next_dial(command: Command) -> float:
    """Seconds until Telnyx takes another dial of ours (CONTRACT §3), 0 if it does now; the sweeper sends it then.

    Counted are the dials that are claimed, ours among them: of many senders at once, each sees all the others, so
    the limits hold; a few may turn each other away, and come again.
    """
    at = _claimed_at(command)
    others = Command.objects.filter(operation=DIAL, first_sent_at__gt=at - DIAL_WINDOW).exclude(pk=command.pk)
    lately = Q(first_sent_at__gt=at - timedelta(seconds=1))
    made = others.aggregate(window=models.Count("pk"), second=models.Count("pk", filter=lately))
    if made["second"] < settings.DIALS_PER_SECOND and made["window"] < settings.DIALS_PER_WINDOW:
        return 0.0
    ahead = Command.objects.filter(operation=DIAL, state=Command.State.NEW, sequence__lt=command.pk).count()
    return min(max(ahead / settings.DIALS_PER_SECOND, 0.1), 1.0)


def _perform(command: Command, client: TelnyxClient) -> Outcome:
    resource, _, method = command.operation.partition(".")
    arguments = dict(command.arguments)
    try:
        call = getattr(getattr(client, resource), method)
        if "command_id" in inspect.signature(call).parameters:
            arguments["command_id"] = str(command.command_id)
        with breaker.told(client, dial=command.operation == DIAL):
            answer = _plain(call(*([command.target] if command.target else []), **arguments))
        return Outcome(Command.State.ACCEPTED, result=answer)
    except TelnyxRejected as error:
        return Outcome(Command.State.REJECTED, status=error.status, code=error.code, error=str(error)[:2000])
    except (InvalidRequest, TypeError, AttributeError) as error:
        logger.exception("command cannot be sent kind=%s sequence=%s", command.kind, command.pk)
        return Outcome(Command.State.REJECTED, code="invalid", error=f"{type(error).__name__}: {error}"[:2000])
    except TelnyxUnavailable as error:
        return _unanswered(command, error)


def _unanswered(command: Command, error: TelnyxUnavailable) -> Outcome:
    said = str(error)[:2000]
    if not error.sent:  # a 429, or no connection: not a first send
        longest = LONGEST_DELAY_SECS.get(command.priority, LONGEST_DELAY_SECS[Command.Priority.REST])
        retry_after = min(error.retry_after or 1.0, longest)
        return Outcome(Command.State.SENT, error=said, retry_after=retry_after, was_not_sent=True)
    backoff = BACKOFF_SECS[min(command.attempts, len(BACKOFF_SECS)) - 1]
    return Outcome(Command.State.SENT, error=said, retry_after=backoff)


def _record(command: Command, outcome: Outcome, now: datetime) -> bool:
    """Write the outcome if the lease is still ours. True if the command is closed by it.

    What has never left us is as new as it was: it may be withdrawn, and its 20 s have not begun.
    """
    closed = outcome.state not in Command.OPEN
    never_left = outcome.was_not_sent and _began_with_this_attempt(command)
    held = Command.objects.filter(pk=command.pk, fence=command.fence, state__in=Command.OPEN)
    written = held.update(
        state=Command.State.NEW if never_left and not closed else outcome.state,
        result=outcome.result,
        status=outcome.status,
        code=outcome.code,
        error=outcome.error,
        lease_until=None,
        not_before=from_now(timedelta(seconds=outcome.retry_after or 0)) if not closed else None,
        first_sent_at=None if never_left else command.first_sent_at,
        attempts=command.attempts - outcome.was_not_sent,  # counted before, given back: one may wait for hours
        closed_at=now if closed else None,
    )
    if not written:
        meters.fence_rejected_total.inc()
        logger.warning("late outcome dropped kind=%s sequence=%s", command.kind, command.pk)
        return False
    if outcome.state == Command.State.REJECTED:
        meters.command_rejected_total.inc(outcome.code)
    if not outcome.was_not_sent and command.first_sent_at is not None and _began_with_this_attempt(command):
        waited = (command.first_sent_at - command.created_at).total_seconds()
        meters.command_wait_seconds.observe(max(0.0, waited), Command.Priority(command.priority).name.lower())
    return closed


def _began_with_this_attempt(command: Command) -> bool:
    """Its first sending is the one that this lease was taken for."""
    return _sent_for(command) < timedelta(milliseconds=10)


def _sent_for(command: Command) -> timedelta:
    """How long ago it was first sent, when this lease was taken."""
    assert command.first_sent_at is not None  # noqa: S101  the claim sets it
    return _claimed_at(command) - command.first_sent_at


def _claimed_at(command: Command) -> datetime:
    """By the database's clock, as everything that is measured against it."""
    assert command.lease_until is not None  # noqa: S101  the claim sets it
    return command.lease_until - LEASE


def _next_of(ordering_key: str) -> int | None:
    following = _FOLLOWING.first(ordering_key) if ordering_key else None
    return following.pk if following else None


_FOLLOWING = prepared.Select(
    lambda ordering_key: (
        Command.objects.filter(ordering_key=ordering_key, state=Command.State.NEW)
        .order_by("priority", "sequence")
        .only("pk")[:1]
    )
)


# close -------------------------------------------------------------------------------------------------------


def close(closing: Command, *, now: datetime) -> bool:
    """Apply an outcome with its effects, once. True if this call applied it. ``closing`` is the command as anybody
    saw it."""
    unapplied = Command.objects.filter(pk=closing.pk, applied_at__isnull=True)
    try:
        with transaction.atomic():
            if closing.call_id is not None:
                inbox.lock_call(closing.call_id)
            command = _OUTCOME.first(closing.pk)
            if command is None or command.closed_at is None:
                return False
            _kinds[command.kind].closed(command, now)
            if command.state == Command.State.REJECTED and command.code in _CAST_DOUBT and command.leg:
                _suspect(command.leg, now)
            return bool(unapplied.update(applied_at=now))
    except Exception as error:
        logger.exception("outcome not applied sequence=%s", closing.pk)
        unapplied.update(
            error=f"{type(error).__name__}: {error}"[:2000],
            not_before=Coalesce(F("not_before"), from_now(timedelta(seconds=CLOSE_AGAIN_SECS))),
        )
        return False


def close_again(sequence: int, *, now: datetime) -> bool:
    """The same for an outcome that was left. True if this call applied it.

    The try is counted, and the next put off for longer each time, before anything runs: effects that kill whoever
    applies them do so seldom. It is never given up, for nobody else knows of it (I10, ``outbox_unapplied``).
    """
    left = Command.objects.filter(pk=sequence, closed_at__isnull=False, applied_at__isnull=True)
    command = left.first()
    if command is None:
        return False
    tries = command.closed_again
    pause = timedelta(seconds=min(CLOSE_AGAIN_SECS * 2 ** min(tries, 10), LONGEST_CLOSE_AGAIN_SECS))
    ours = left.filter(closed_again=tries).update(closed_again=tries + 1, not_before=from_now(pause))
    return bool(ours) and close(command, now=now)


_OUTCOME = prepared.Select(lambda sequence: Command.objects.filter(pk=sequence, applied_at__isnull=True))


# look --------------------------------------------------------------------------------------------------------


def _look(command: Command, client: TelnyxClient, *, wanted: bool) -> Outcome:
    """It was sent, and nobody answered: ask Telnyx what is, before anything else is done.

    After 20 s, what is not there is lost. What is not wanted any more is looked for at once, since its effect is to
    be undone, and until then may still come.
    """
    try:
        with breaker.told(client):
            found = _LOOKS.get(command.operation, _not_to_be_seen)(command, client)
    except TelnyxUnavailable as error:
        return Outcome(Command.State.UNKNOWN, error=str(error)[:2000], retry_after=LOOK_AGAIN_SECS)
    except TelnyxRejected as error:
        return Outcome(Command.State.REJECTED, status=error.status, code=error.code, error=str(error)[:2000])
    if found is not None:
        return Outcome(Command.State.ACCEPTED, result=found)
    if wanted:
        said = "no answer for 20 s, and its effect is not there"
        return Outcome(Command.State.REJECTED, code=Command.LOST, error=said)
    if _sent_for(command) < RESEND_FOR:
        return Outcome(Command.State.UNKNOWN, error="no longer wanted, and not there yet", retry_after=LOOK_AGAIN_SECS)
    return Outcome(Command.State.CANCELLED, error="no longer wanted, and not there")


def _look_for_leg(command: Command, client: TelnyxClient) -> Any:
    """A dialled leg is known by the reference it carries."""
    arguments = command.arguments
    for leg in client.calls.active(arguments["connection_id"]):
        if leg.client_state == arguments.get("client_state"):
            return _plain(leg)
    return None


def _look_for_conference(command: Command, client: TelnyxClient) -> Any:
    """One that waits for its first participant to start it is ``init``, and is there all the same."""
    for conference in client.conferences.list(name=command.arguments["name"]):
        if conference.status != "completed":
            return _plain(conference)
    return None


def _look_for_participant(command: Command, client: TelnyxClient) -> Any:
    for participant in client.conferences.list_participants(command.target):
        if participant.call_control_id == command.arguments["call_control_id"]:
            return {}
    return None


def _look_for_hold(command: Command, client: TelnyxClient) -> Any:
    return _all_are(command, client, on_hold=command.operation == "conferences.hold")


def _look_for_mute(command: Command, client: TelnyxClient) -> Any:
    return _all_are(command, client, muted=command.operation == "conferences.mute")


def _all_are(command: Command, client: TelnyxClient, **as_wanted: bool) -> Any:
    """The legs it names, as far as they are in the conference."""
    named = command.arguments.get("call_control_ids", [])
    found = [each for each in client.conferences.list_participants(command.target) if each.call_control_id in named]
    done = all(getattr(each, field) == value for each in found for field, value in as_wanted.items())
    return {} if found and done else None


def _look_in_queue(command: Command, client: TelnyxClient) -> Any:
    """A caller who has left the queue again is not seen; enqueued once more, he is refused or in line."""
    try:
        waiting = client.queues.retrieve_call(command.arguments["queue_name"], command.target)
    except NotFound:
        return None
    return {} if waiting.is_alive is not False else None


def _not_to_be_seen(command: Command, client: TelnyxClient) -> Any:
    """Commands whose effect no GET shows are taken as not done; what they were for is looked at by its deadline."""
    return None


_LOOKS: Mapping[str, Callable[[Command, TelnyxClient], Any]] = {
    DIAL: _look_for_leg,
    "conferences.create": _look_for_conference,
    "conferences.join": _look_for_participant,
    "conferences.hold": _look_for_hold,
    "conferences.unhold": _look_for_hold,
    "conferences.mute": _look_for_mute,
    "conferences.unmute": _look_for_mute,
    "calls.enqueue": _look_in_queue,
}


def _plain(answer: Any) -> Any:
    """What a client method returned, as JSON."""
    if answer is None:
        return {}
    if isinstance(answer, Iterator):
        return [_plain(each) for each in answer]
    return dataclasses.asdict(answer)
