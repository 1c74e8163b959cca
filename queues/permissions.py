"""Who may do what to a live conversation. Listening needs a signed-in user; a key never listens."""

from django.contrib.auth.models import User

from conferences.models import SupervisionSession

LISTENING = {
    SupervisionSession.Mode.MONITOR: "conferences.monitor_conference",
    SupervisionSession.Mode.WHISPER: "conferences.whisper_conference",
    SupervisionSession.Mode.BARGE: "conferences.barge_conference",
    SupervisionSession.Mode.TAKEOVER: "conferences.take_over_conference",
}
CONTROL = "conferences.control_conference"
FORCE = "queues.force_agent_state"


def may_listen(user: User, mode: str) -> bool:
    return user.is_active and user.has_perm(LISTENING[SupervisionSession.Mode(mode)])


def may_control(user: User) -> bool:
    return user.is_active and user.has_perm(CONTROL)


def may_force(user: User) -> bool:
    return user.is_active and user.has_perm(FORCE)


def may_watch(user: User) -> bool:
    """See queues, agents and conversations: staff, and whoever may do something to a conversation."""
    return user.is_active and (user.is_staff or any(user.has_perm(right) for right in (CONTROL, *LISTENING.values())))
