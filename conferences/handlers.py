"""Telnyx's words about legs and conferences → one service each. No HTTP, no decisions."""

from collections.abc import Callable
from datetime import datetime

from conferences import services
from conferences.models import CallLeg, Conference
from webhooks.models import WebhookEvent

Handler = Callable[[WebhookEvent, datetime], None]


def leg_of(event: WebhookEvent) -> CallLeg:
    """The leg an event speaks of, created if this is the first we hear of it."""
    payload = event.payload
    is_leg_event = event.event_type.startswith("call.")
    return services.note_leg(
        event.call_control_id,
        call_leg_id=payload.get("call_leg_id") or "",
        call_session_id=payload.get("call_session_id") or "",
        connection_id=payload.get("connection_id") or "",
        direction=payload.get("direction") or "",
        from_number=(payload.get("from") or "")[:255] if is_leg_event else "",
        to_number=(payload.get("to") or "")[:255] if is_leg_event else "",
    )


def conference_of(event: WebhookEvent) -> Conference:
    return services.note_conference(
        event.conference_id,
        call_id=event.call_id,
        connection_id=event.payload.get("connection_id") or "",
        name=(event.payload.get("name") or "")[:255],  # told by our reconciler only
    )


def on_leg(field: str, *beside: str) -> Handler:
    """A handler that notes one instant of a leg, with the payload fields that came with it."""

    def on_event(event: WebhookEvent, now: datetime) -> None:
        words = {name: str(event.payload.get(name) or "")[:20] for name in beside}
        services.leg_fact(leg_of(event), field, event.occurred_at, **words)

    return on_event


on_call_initiated = on_leg("initiated_at")
on_call_answered = on_leg("answered_at")
on_call_bridged = on_leg("bridged_at")
on_call_hold = on_leg("held_at")
on_call_unhold = on_leg("unheld_at")
on_call_enqueued = on_leg("enqueued_at")
on_call_playback_started = on_leg("playback_started_at")
on_call_playback_ended = on_leg("playback_ended_at")
on_call_speak_started = on_leg("speak_started_at")
on_call_hangup = on_leg("hangup_at", "hangup_cause", "hangup_source", "sip_hangup_cause")


def on_call_dequeued(event: WebhookEvent, now: datetime) -> None:
    reason = str(event.payload.get("reason") or "")[:40]
    services.leg_fact(leg_of(event), "dequeued_at", event.occurred_at, dequeue_reason=reason)


def on_call_speak_ended(event: WebhookEvent, now: datetime) -> None:
    """A prompt that ended because the caller hung up is no cue."""
    leg = leg_of(event)
    if event.payload.get("status") != "call_hangup":
        services.leg_fact(leg, "speak_ended_at", event.occurred_at)


def on_call_gather_ended(event: WebhookEvent, now: datetime) -> None:
    """Digits are kept only where they are an answer to us; a hang-up while gathering is no answer."""
    leg = leg_of(event)
    if event.payload.get("status") != "call_hangup":
        digits = str(event.payload.get("digits") or "")[:1]
        services.leg_fact(leg, "gathered_at", event.occurred_at, gathered_digits=digits)


def on_call_recording_saved(event: WebhookEvent, now: datetime) -> None:
    services.recording_saved(event.payload, conference=None, call_id=event.call_id)


def on_conference_created(event: WebhookEvent, now: datetime) -> None:
    services.conference_created(conference_of(event), event.occurred_at)


def on_conference_ended(event: WebhookEvent, now: datetime) -> None:
    reason = str(event.payload.get("reason") or "")[:40]
    services.conference_ended(conference_of(event), event.occurred_at, reason)


def on_floor_changed(event: WebhookEvent, now: datetime) -> None:
    if not services.floor_changed(event.conference_id, event.call_control_id, event.occurred_at):
        conference = conference_of(event)  # heard of for the first time, or the news is old
        services.floor_changed(conference.conference_id, event.call_control_id, event.occurred_at)


def on_participant(field: str) -> Handler:
    """A handler that notes one instant of a participant."""

    def on_event(event: WebhookEvent, now: datetime) -> None:
        participant = services.note_participant(conference_of(event), leg_of(event))
        services.participant_fact(participant, field, event.occurred_at)

    return on_event


on_participant_joined = on_participant("joined_at")
on_participant_left = on_participant("left_at")
on_participant_playback_started = on_participant("playback_started_at")
on_participant_playback_ended = on_participant("playback_ended_at")
on_participant_speak_started = on_participant("speak_started_at")
on_participant_speak_ended = on_participant("speak_ended_at")


def on_conference(field: str) -> Handler:
    """A handler that notes one instant of a whole conference."""

    def on_event(event: WebhookEvent, now: datetime) -> None:
        conference = conference_of(event)
        services.latest(Conference.objects.filter(pk=conference.pk), field, event.occurred_at)

    return on_event


on_conference_playback_started = on_conference("playback_started_at")
on_conference_playback_ended = on_conference("playback_ended_at")
on_conference_speak_started = on_conference("speak_started_at")
on_conference_speak_ended = on_conference("speak_ended_at")


def on_conference_recording_saved(event: WebhookEvent, now: datetime) -> None:
    conference = conference_of(event)
    services.recording_saved(event.payload, conference=conference, call_id=conference.call_id)
