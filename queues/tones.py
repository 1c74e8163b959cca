"""Which colour a word has on the pages: the same for a queue's, an agent's, a call's and an offer's state."""

from collections.abc import Mapping

from conferences.models import Conference, SupervisionSession
from queues.models import Agent, Call, Offer, QueueEntry
from webhooks.models import Command, WebhookEvent

SUCCESS, INFO, WARNING, DANGER, PRIMARY = "success", "info", "warning", "danger", "primary"

TONES: Mapping[str, str] = {
    Agent.State.AVAILABLE: SUCCESS,
    Agent.State.RESERVED: WARNING,
    Agent.State.BUSY: INFO,
    Agent.State.WRAP_UP: PRIMARY,
    Agent.State.NOT_READY: DANGER,
    Call.State.ARRIVING: INFO,
    Call.State.IN_FLOW: INFO,
    Call.State.QUEUED: WARNING,
    Call.State.OFFERING: WARNING,
    Call.State.CONNECTED: SUCCESS,
    Call.State.ON_HOLD: PRIMARY,
    Call.State.CLOSING: DANGER,
    Call.Outcome.ANSWERED: SUCCESS,
    Call.Outcome.ABANDONED: DANGER,
    Call.Outcome.FLOW_OUT: WARNING,
    QueueEntry.State.WAITING: WARNING,
    Offer.State.PENDING: INFO,
    Offer.State.RINGING: INFO,
    Offer.State.CONFIRMING: INFO,
    Offer.State.CONNECTING: WARNING,
    Offer.State.DECLINED: DANGER,
    Offer.State.TIMED_OUT: DANGER,
    Offer.State.LEG_FAILED: DANGER,
    Offer.State.EXPIRED: DANGER,
    SupervisionSession.Mode.MONITOR: INFO,
    SupervisionSession.Mode.WHISPER: WARNING,
    SupervisionSession.Mode.BARGE: DANGER,
    SupervisionSession.Mode.TAKEOVER: DANGER,
    Conference.RecordingState.RECORDING: DANGER,
    Conference.RecordingState.PAUSED: WARNING,
    Command.State.NEW: INFO,
    Command.State.SENT: INFO,
    Command.State.UNKNOWN: WARNING,
    Command.State.ACCEPTED: SUCCESS,
    Command.State.REJECTED: DANGER,
    WebhookEvent.Status.DONE: SUCCESS,
    WebhookEvent.Status.DEAD: DANGER,
}
