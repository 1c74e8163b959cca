"""Is a command still wanted? Asked just before it is sent: the row was written a moment ago, the world moves on."""

from collections.abc import Callable
from datetime import timedelta

from conferences import supervision
from conferences.models import CallLeg, Conference, SupervisionSession
from queues import permissions
from queues.models import Call, Offer, QueueEntry
from webhooks.models import Command

ON_ITS_WAY = timedelta(seconds=5)  # the news of a leg's end


def always(command: Command) -> bool:
    return True


def leg_lives(command: Command) -> bool:
    """For commands to a leg: nothing that ended can be told anything."""
    return not CallLeg.objects.filter(call_control_id=command.target, hangup_at__isnull=False).exists()


def leg_is_up(command: Command) -> bool:
    """For a hang-up: what was over by our rows when it was ordered has been seen alive all the same."""
    ended = CallLeg.objects.filter(call_control_id=command.target, hangup_at__gte=command.created_at - ON_ITS_WAY)
    return not ended.exists()


def caller_lives(command: Command) -> bool:
    return Call.objects.filter(pk=command.call, leg__hangup_at__isnull=True).exists()


def caller_waits(command: Command) -> bool:
    """For music: he is in the greeting or in line, and nobody has taken him yet."""
    return Call.objects.filter(
        pk=command.call,
        leg__hangup_at__isnull=True,
        state__in=[Call.State.IN_FLOW, Call.State.QUEUED, Call.State.OFFERING],
    ).exists()


def entry_is_open(command: Command) -> bool:
    return (
        caller_lives(command)
        and QueueEntry.objects.filter(pk=command.subject).exclude(state=QueueEntry.State.ENDED).exists()
    )


def caller_waits_alone(command: Command) -> bool:
    """For a conference ahead of any agent: he still waits, and no agent has been won who would make one."""
    taken = Offer.objects.filter(entry=command.subject_id, state__in=Offer.WON)
    return entry_is_open(command) and not taken.exists() and actor_may(command)


def offer_is(*states: str) -> Callable[[Command], bool]:
    """A check that the command's offer is in one of these states and its caller is there."""

    def check(command: Command) -> bool:
        return caller_lives(command) and Offer.objects.filter(pk=command.subject, state__in=states).exists()

    return check


def needs_conference(command: Command) -> bool:
    """For an agent's conference: unless the caller has been given one ahead of him meanwhile."""
    waiting = Conference.objects.filter(call_id=command.call_id, name__startswith="waiting-", ended_at__isnull=True)
    return (
        offer_is(Offer.State.CONNECTING)(command) and not waiting.exclude(participants__left_at__isnull=False).exists()
    )


def conference_goes_on(command: Command) -> bool:
    return not Conference.objects.filter(conference_id=command.target, ended_at__isnull=False).exists()


def supervisor_may(command: Command) -> bool:
    """The session lives and its supervisor still holds the permission of its mode."""
    session = SupervisionSession.objects.select_related("supervisor").filter(pk=command.subject).first()
    return (
        session is not None
        and session.is_live
        and session.stopped_at is None
        and caller_lives(command)
        and permissions.may_listen(session.supervisor, session.role)
    )


def supervisor_goes_on(command: Command) -> bool:
    live = SupervisionSession.objects.filter(pk=command.subject).exclude(state=SupervisionSession.State.ENDED)
    return live.exists() and conference_goes_on(command)


def opens_nobody(command: Command) -> bool:
    """For an unmute: nobody it names has become a listener since, whose microphone it would open to everybody."""
    legs = CallLeg.objects.filter(call_control_id__in=command.arguments["call_control_ids"])
    return actor_may(command) and not any(supervision.only_listens(leg) for leg in legs)


def actor_may(command: Command) -> bool:
    """A person's command: the conference goes on and the person still has the right."""
    actor = command.actor
    return conference_goes_on(command) and (actor is None or permissions.may_control(actor))
