"""The two tables of the house, on one screen: Telnyx event → handlers, command kind → still_wanted, closed."""

from collections.abc import Mapping

from conferences import handlers as mirror
from conferences import services as legs
from queues import handlers as calls
from queues import wanted
from queues.models import Offer
from queues.services import Calls
from webhooks import inbox, outbox
from webhooks.outbox import Kind

EVENTS: Mapping[str, tuple[inbox.Handler, ...]] = {
    "call.initiated": (mirror.on_call_initiated, calls.on_call_initiated),
    "call.answered": (mirror.on_call_answered, calls.on_leg_changed),
    "call.bridged": (mirror.on_call_bridged,),
    "call.hangup": (mirror.on_call_hangup, calls.on_leg_changed),
    "call.hold": (mirror.on_call_hold, calls.on_leg_changed),
    "call.unhold": (mirror.on_call_unhold, calls.on_leg_changed),
    "call.enqueued": (mirror.on_call_enqueued, calls.on_call_enqueued),
    "call.dequeued": (mirror.on_call_dequeued, calls.on_call_dequeued),
    "call.playback.started": (mirror.on_call_playback_started,),
    "call.playback.ended": (mirror.on_call_playback_ended, calls.on_leg_changed),
    "call.speak.started": (mirror.on_call_speak_started,),
    "call.speak.ended": (mirror.on_call_speak_ended, calls.on_leg_changed),
    "call.gather.ended": (mirror.on_call_gather_ended, calls.on_leg_changed),
    "call.recording.saved": (mirror.on_call_recording_saved,),
    "conference.created": (mirror.on_conference_created,),
    "conference.ended": (mirror.on_conference_ended, calls.on_conference_changed),
    "conference.floor.changed": (mirror.on_floor_changed,),
    "conference.participant.joined": (mirror.on_participant_joined, calls.on_conference_changed),
    "conference.participant.left": (mirror.on_participant_left, calls.on_conference_changed),
    "conference.participant.playback.started": (mirror.on_participant_playback_started,),
    "conference.participant.playback.ended": (mirror.on_participant_playback_ended,),
    "conference.participant.speak.started": (mirror.on_participant_speak_started,),
    "conference.participant.speak.ended": (mirror.on_participant_speak_ended,),
    "conference.playback.started": (mirror.on_conference_playback_started,),
    "conference.playback.ended": (mirror.on_conference_playback_ended,),
    "conference.speak.started": (mirror.on_conference_speak_started,),
    "conference.speak.ended": (mirror.on_conference_speak_ended,),
    "conference.recording.saved": (mirror.on_conference_recording_saved,),
}

_UNANSWERED = wanted.offer_is(*Offer.UNANSWERED)
_CONFIRMING = wanted.offer_is(Offer.State.CONFIRMING)
_CONNECTING = wanted.offer_is(Offer.State.CONNECTING)
_CONNECTED = wanted.offer_is(Offer.State.CONNECTED)

COMMANDS: Mapping[str, Kind] = {
    # the caller's way
    "reject_caller": Kind(wanted.leg_lives, calls.after_command),
    "answer_caller": Kind(wanted.leg_lives, calls.after_command),
    "greet_caller": Kind(wanted.leg_lives, calls.after_command),
    "play_music": Kind(wanted.caller_waits, calls.after_command),
    "enqueue_caller": Kind(wanted.entry_is_open, calls.after_enqueue_caller),
    "resize_queue": Kind(wanted.always, calls.after_command),
    "say_goodbye": Kind(wanted.leg_lives, calls.after_command),
    "hang_up": Kind(wanted.leg_is_up, calls.after_hang_up),
    # an offer's way
    "dial_agent": Kind(_UNANSWERED, calls.after_dial_agent),
    "confirm_agent": Kind(_CONFIRMING, calls.after_command),
    "create_conference": Kind(wanted.needs_conference, calls.after_connecting),
    "find_conference": Kind(_CONNECTING, calls.after_find_conference),
    "join_agent": Kind(_CONNECTING, calls.after_connecting),
    "stop_music": Kind(wanted.leg_lives, calls.after_command),
    "read_participants": Kind(_CONNECTED, calls.after_read_participants),
    "read_back": Kind(wanted.conference_goes_on, calls.after_read_back),
    "hold_caller": Kind(wanted.conference_goes_on, calls.after_hold),
    "unhold_caller": Kind(wanted.conference_goes_on, calls.after_hold),
    "record_conference": Kind(wanted.conference_goes_on, calls.after_record),
    # a supervisor's way
    "dial_supervisor": Kind(wanted.supervisor_may, calls.after_dial_supervisor),
    "confirm_supervisor": Kind(wanted.supervisor_may, calls.after_command),
    "join_supervisor": Kind(wanted.supervisor_may, calls.after_supervisor_role),
    "set_supervisor_role": Kind(wanted.supervisor_may, calls.after_supervisor_role),
    "read_supervisor": Kind(wanted.supervisor_goes_on, calls.after_read_supervisor),
    # what a person asks for
    "hold": Kind(wanted.actor_may, calls.after_hold),
    "unhold": Kind(wanted.actor_may, calls.after_hold),
    "mute": Kind(wanted.actor_may, calls.after_mute),
    "unmute": Kind(wanted.opens_nobody, calls.after_mute),
    "play": Kind(wanted.actor_may, calls.after_command),
    "speak": Kind(wanted.actor_may, calls.after_command),
    "stop_audio": Kind(wanted.actor_may, calls.after_command),
    "record": Kind(wanted.actor_may, calls.after_record),
    "join": Kind(wanted.actor_may, calls.after_command),
    "leave": Kind(wanted.actor_may, calls.after_leave),
    "leave_queue": Kind(wanted.actor_may, calls.after_command),
    "create_conference_for_caller": Kind(wanted.caller_waits_alone, calls.after_create_conference_for_caller),
    "end_conference": Kind(wanted.actor_may, calls.after_command),
    # what the reconciler finds
    "remove_stranger": Kind(wanted.conference_goes_on, calls.after_command),
}


def connect() -> None:
    """Fill the tables of webhooks.inbox and webhooks.outbox; called once, when the app is ready."""
    inbox.configure(EVENTS, Calls())
    outbox.configure(COMMANDS, suspect=legs.suspect)
