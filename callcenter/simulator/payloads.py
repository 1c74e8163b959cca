"""What each event's payload holds (CONTRACT Appendix C). A ``client_state`` nobody set is left out."""

from callcenter.simulator.clock import iso_millis
from callcenter.simulator.model import Conference, Json, Leg, Media, Participant, Recording


def leg_ids(leg: Leg) -> Json:
    payload: Json = {
        "call_control_id": leg.call_control_id,
        "call_leg_id": leg.call_leg_id,
        "call_session_id": leg.call_session_id,
        "connection_id": leg.connection_id,
    }
    if leg.client_state is not None:
        payload["client_state"] = leg.client_state
    return payload


def with_numbers(leg: Leg) -> Json:
    return {**leg_ids(leg), "from": leg.from_, "to": leg.to}


def initiated(leg: Leg) -> Json:
    payload = with_numbers(leg) | {
        "direction": leg.direction,
        "state": "parked" if leg.direction == "incoming" else "bridging",
        "start_time": iso_millis(leg.started_at),
        "caller_id_name": leg.caller_id_name or leg.from_,
        "connection_codecs": "PCMU,PCMA",
        "offered_codecs": "PCMU,PCMA",
    }
    return payload | _headers(leg)


def answered(leg: Leg) -> Json:
    payload = with_numbers(leg) | {"state": "answered", "start_time": iso_millis(leg.started_at)}
    return payload | _headers(leg)


def hangup(leg: Leg, *, cause: str, source: str, sip: str) -> Json:
    payload = with_numbers(leg) | {
        "state": "hangup",
        "hangup_cause": cause,
        "hangup_source": source,
        "sip_hangup_cause": sip,
        "start_time": iso_millis(leg.started_at),
        "call_quality_stats": None,
    }
    return payload | _headers(leg)


def _headers(leg: Leg) -> Json:
    return {
        **({"custom_headers": leg.custom_headers} if leg.custom_headers else {}),
        **({"sip_headers": leg.sip_headers} if leg.sip_headers else {}),
    }


def media_of(media: Media) -> Json:
    """How a playback's events name their file; content sent inline has no name (CONTRACT Appendix A)."""
    if media.media_name is not None:
        return {"media_name": media.media_name}
    return {} if media.media_url is None else {"media_url": media.media_url}


def conference_whole(conference: Conference) -> Json:
    """Events about everyone name no leg."""
    return {
        "conference_id": conference.id,
        "connection_id": conference.creator.connection_id,
        "creator_call_session_id": conference.creator.call_session_id,
    }


def conference_leg(conference: Conference, leg: Leg) -> Json:
    """A leg's ids with the conference creator's client_state (CONTRACT §3)."""
    payload: Json = {
        "call_control_id": leg.call_control_id,
        "call_leg_id": leg.call_leg_id,
        "call_session_id": leg.call_session_id,
        "conference_id": conference.id,
        "connection_id": conference.creator.connection_id,
    }
    if conference.client_state is not None:
        payload["client_state"] = conference.client_state
    return payload


def participant_media(participant: Participant) -> Json:
    conference = participant.conference
    return conference_leg(conference, participant.leg) | {"creator_call_session_id": conference.creator.call_session_id}


def call_recording(recording: Recording, urls: Json) -> Json:
    """Names neither the recording nor the call_control_id (CONTRACT §8.2)."""
    payload = leg_ids(recording.leg)
    del payload["call_control_id"]
    return payload | _recorded(recording, urls)


def conference_recording(recording: Recording, urls: Json) -> Json:
    conference = recording.conference
    assert conference is not None  # noqa: S101  (the caller has just looked)
    payload = conference_leg(conference, conference.creator)
    del payload["call_leg_id"]
    return payload | _recorded(recording, urls) | {"recording_id": recording.id, "format": recording.format}


def _recorded(recording: Recording, urls: Json) -> Json:
    ended_at = recording.ended_at if recording.ended_at is not None else recording.started_at
    return {
        "channels": recording.channels,
        "recording_started_at": iso_millis(recording.started_at),
        "recording_ended_at": iso_millis(ended_at),
        "recording_urls": urls,
        "public_recording_urls": {"mp3": None, "wav": None},
    }
