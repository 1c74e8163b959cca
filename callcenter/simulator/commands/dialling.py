"""Commands that make a new leg: dial and transfer."""

from typing import Any, TypeGuard

from callcenter.simulator import endings, errors, legs, params, playback, recording, resources
from callcenter.simulator.commands import joining
from callcenter.simulator.commands.fields import BEEP, RECORD_FIELDS, ROLE, WEBHOOK_FIELDS
from callcenter.simulator.model import Json, Leg
from callcenter.simulator.operation import OK, Arguments, Operation
from callcenter.simulator.params import (
    between,
    check_either,
    flag,
    needed,
    nested,
    objects,
    one_of,
    sized,
    text,
    tokens,
)
from callcenter.simulator.world import World

_OUTBOUND_FIELDS: params.Fields = {
    "answering_machine_detection": one_of(
        "premium", "detect", "detect_beep", "detect_words", "greeting_end", "disabled"
    ),
    "answering_machine_detection_config": nested({}),
    "audio_url": text,
    "media_name": text,
    "client_state": params.client_state,
    "command_id": text,
    "custom_headers": objects,
    "sip_headers": objects,
    "from_display_name": sized(0, 128),
    "media_encryption": one_of("disabled", "SRTP", "DTLS"),
    "park_after_unbridge": one_of("self"),
    "privacy": one_of("id", "none"),
    "send_digits_on_answer": sized(0, 64),
    "sip_auth_password": text,
    "sip_auth_username": text,
    "sip_region": one_of("US", "Europe", "Canada", "Australia", "Middle East"),
    "sip_transport_protocol": one_of("UDP", "TCP", "TLS"),
    "time_limit_secs": between(30, 14_400),
    "timeout_secs": between(5, 600),
    **RECORD_FIELDS,
    **WEBHOOK_FIELDS,
}
DIAL_FIELDS: params.Fields = {
    **_OUTBOUND_FIELDS,
    "connection_id": needed(text),
    "to": needed(params.addresses),
    "from": needed(params.number),
    "billing_group_id": text,
    "bridge_intent": flag,
    "bridge_on_answer": flag,
    "conference_config": nested(
        {
            "id": text,
            "conference_name": text,
            "beep_enabled": BEEP,
            "early_media": flag,
            "end_conference_on_exit": flag,
            "soft_end_conference_on_exit": flag,
            "hold": flag,
            "hold_audio_url": text,
            "hold_media_name": text,
            "mute": flag,
            "start_conference_on_create": flag,
            "start_conference_on_enter": flag,
            "supervisor_role": ROLE,
            "whisper_call_control_ids": tokens,
        }
    ),
    "link_to": text,
    "prevent_double_bridge": flag,
    "retry_on_timeout": flag,
    "send_silence_when_idle": flag,
    "supervise_call_control_id": text,
    "supervisor_role": one_of("barge", "whisper", "monitor"),
    "transcription": flag,
    "transcription_config": nested({}),
}
TRANSFER_FIELDS: params.Fields = {
    **_OUTBOUND_FIELDS,
    "to": needed(params.address),
    "from": params.number,
    "early_media": flag,
    "mute_dtmf": one_of("none", "both", "self", "opposite"),
    "target_leg_client_state": params.client_state,
}


def dial(world: World, args: Arguments) -> Json:
    """Several addresses ring as one leg at the first of them: what Telnyx does with more is not documented."""
    if args.text("connection_id") != world.application["id"]:
        raise errors.refusal(
            "10015",
            detail="The requested connection_id (Call Control App ID) is either invalid or does not exist. "
            "Only Call Control Apps with valid webhook URL are accepted.",
            pointer="/connection_id",
        )
    check_either(args.body, "audio_url", "media_name")
    linked = _named_leg(world, args, "link_to")
    if linked is None:
        for dependent in ("bridge_intent", "bridge_on_answer", "park_after_unbridge"):
            if args.body.get(dependent):
                raise errors.refusal("10004", "link_to", pointer="/link_to")
    supervised = _named_leg(world, args, "supervise_call_control_id")
    config = args.body.get("conference_config")
    if config is not None:
        joining.check_config(world, config)
    from_ = linked.from_ if linked is not None and args.flag("bridge_intent") else args.text("from") or ""
    to = args.body["to"]
    wanted = _wanted(args, to=to if isinstance(to, str) else to[0], from_=from_)
    wanted.session_of = linked
    wanted.client_state = args.text("client_state")
    wanted.retry_on_timeout = args.flag("retry_on_timeout", default=True)
    leg = legs.dial(world, wanted)
    leg.parks_after_unbridge = args.text("park_after_unbridge") == "self"
    recording_id = record_from_answer(world, leg, args, initiated_by="OutboundAPI")
    _greet(world, leg, args)
    if supervised is not None:
        legs.supervise(world, leg, supervised, args.text("supervisor_role") or "barge")
    if linked is not None and args.flag("bridge_on_answer"):
        leg.on_answer.append(lambda: _bridge_on_answer(world, linked, leg, once=args.flag("prevent_double_bridge")))
    if config is not None:
        joining.enter_by_config(world, leg, config)
    world.people.rings(leg)
    return {"data": resources.dialled(leg, recording_id)}


def transfer(world: World, args: Arguments) -> Json:
    """A second leg rings; when it answers the two are bridged, when it fails the first stays alive."""
    leg = args.leg(world)
    check_either(args.body, "audio_url", "media_name")
    leg.parks_after_unbridge = args.text("park_after_unbridge") == "self"
    endings.vacate(world, leg, "bridging-in-process")
    wanted = _wanted(args, to=args.text("to") or "", from_=args.text("from") or leg.to)
    wanted.session_of = leg
    wanted.client_state = args.text("target_leg_client_state")
    target = legs.dial(world, wanted)
    target.rings_for_transfer = True
    record_from_answer(world, target, args, initiated_by="OutboundAPI")
    _greet(world, target, args)
    legs.bridge_when_answered(world, leg, target, ringtone=args.flag("early_media", default=True))
    world.people.rings(target)
    return OK


def _wanted(args: Arguments, *, to: str, from_: str) -> legs.Dial:
    wanted = legs.Dial(to=to, from_=from_, caller_id_name=args.text("from_display_name") or "")
    wanted.timeout_secs = args.whole("timeout_secs") or wanted.timeout_secs
    wanted.time_limit_secs = args.whole("time_limit_secs") or wanted.time_limit_secs
    wanted.custom_headers = list(args.body.get("custom_headers") or [])
    wanted.sip_headers = list(args.body.get("sip_headers") or [])
    wanted.answering_machine_detection = args.text("answering_machine_detection") or "disabled"
    wanted.webhook_url = args.text("webhook_url")
    wanted.webhook_urls = dict(args.body.get("webhook_urls") or {})
    wanted.webhook_retries = retry_delays(args.body.get("webhook_retries_policies"))
    return wanted


def retry_delays(policies: Any) -> dict[str, tuple[float, ...]]:
    """Seconds between attempts by event type, at most five of them and 60 s in all (CONTRACT §9)."""
    found: dict[str, tuple[float, ...]] = {}
    for event_type, policy in (policies or {}).items():
        millis = policy.get("retries_ms") if isinstance(policy, dict) else None
        if not _are_delays(millis) or len(millis) > 5 or sum(millis) > 60_000:
            raise errors.refusal(
                "10015",
                detail="retries_ms holds at most 5 delays, 60 seconds in all.",
                pointer=f"/webhook_retries_policies/{event_type}",
            )
        found[event_type] = tuple(delay / 1000 for delay in millis)
    return found


def _are_delays(millis: Any) -> TypeGuard[list[int]]:
    return isinstance(millis, list) and all(isinstance(delay, int) and delay >= 0 for delay in millis)


def record_from_answer(world: World, leg: Leg, args: Arguments, *, initiated_by: str) -> str | None:
    """If the body asks for it, record as soon as the leg answers; returns the id the recording will have."""
    if args.text("record") is None:
        return None
    recording_id = world.new_uuid()

    def begin() -> None:
        recording.start(
            world,
            leg,
            channels=args.text("record_channels") or "dual",
            format=args.text("record_format") or "mp3",
            initiated_by=initiated_by,
            custom_file_name=args.text("record_custom_file_name"),
            max_length=args.whole("record_max_length") or 0,
            recording_id=recording_id,
        )

    leg.on_answer.append(begin)
    return recording_id


def _greet(world: World, leg: Leg, args: Arguments) -> None:
    audio_url, media_name = args.text("audio_url"), args.text("media_name")
    if audio_url or media_name:
        media = playback.audio_file(audio_url=audio_url, media_name=media_name)
        leg.on_answer.append(lambda: playback.play(world, leg.channel, media))


def _bridge_on_answer(world: World, linked: Leg, leg: Leg, *, once: bool) -> None:
    if not linked.is_talking or (once and linked.bridge is not None):
        endings.hang_up(world, leg, "normal_clearing")
    else:
        legs.bridge(world, linked, leg)


def _named_leg(world: World, args: Arguments, field: str) -> Leg | None:
    """The leg another field of the body names, if it does."""
    token = args.text(field)
    if token is None:
        return None
    leg = world.legs.get(token)
    if leg is None:
        raise errors.refusal("90015", pointer=f"/{field}")
    if not leg.is_live:
        raise errors.refusal("90018")
    return leg


OPERATIONS = (
    Operation(name="calls.dial", method="POST", path="/calls", handler=dial, fields=DIAL_FIELDS, about="account"),
    Operation(
        name="calls.transfer",
        method="POST",
        path="/calls/{call_control_id}/actions/transfer",
        handler=transfer,
        fields=TRANSFER_FIELDS,
        about="leg",
    ),
)
