"""What a leg hears, presses and has recorded: speak, playback, gather, DTMF, recording."""

from typing import Any

from callcenter.simulator import errors, gathering, params, playback, recording
from callcenter.simulator.commands.fields import COMMON
from callcenter.simulator.model import Gather, Json, Leg, Loop, Media, Recording
from callcenter.simulator.operation import OK, Arguments, call_action
from callcenter.simulator.params import Fields, between, check_either, flag, needed, one_of, sized, text, whole
from callcenter.simulator.world import World

_STOPS = one_of("current", "all")
_SPEECH: Fields = {
    "payload_type": one_of("text", "ssml"),
    "service_level": one_of("basic", "premium"),
    "language": text,
}
_DIGITS: Fields = {
    "inter_digit_timeout_millis": between(1),
    "maximum_digits": between(1, 128),
    "minimum_digits": between(1, 128),
    "terminating_digit": text,
    "timeout_millis": between(1),
    "valid_digits": text,
}


def as_loop(value: Any) -> Loop:
    if value == "infinity":
        return "infinity"
    return int(value) if value is not None else 1


def speak(world: World, args: Arguments) -> Json:
    leg = args.leg(world)
    for target in _targets(leg, args):
        media = playback.speech(args.text("payload") or "", loop=as_loop(args.body.get("loop")))
        playback.play(world, target.channel, media, stop=args.text("stop"))
    return OK


def playback_start(world: World, args: Arguments) -> Json:
    leg = args.leg(world)
    check_either(args.body, "audio_url", "media_name", "playback_content", required=True)
    for target in _targets(leg, args):
        media = playback.audio_file(
            audio_url=args.text("audio_url"),
            media_name=args.text("media_name"),
            loop=as_loop(args.body.get("loop")),
            overlay=args.flag("overlay"),
        )
        playback.play(world, target.channel, media, stop=args.text("stop"))
    return OK


def playback_stop(world: World, args: Arguments) -> Json:
    leg = args.leg(world)
    playback.stop(world, leg.channel, args.text("stop") or "all", overlay=args.flag("overlay"))
    return OK


def _targets(leg: Leg, args: Arguments) -> list[Leg]:
    """The leg itself, the one it is bridged with, or both."""
    wanted = args.text("target_legs") or "self"
    opposite = leg.bridge.other(leg) if leg.bridge is not None else None
    if wanted != "self" and opposite is None:
        raise errors.refusal("10015", detail="The call is not bridged.", pointer="/target_legs")
    chosen: dict[str, tuple[Leg | None, ...]] = {
        "self": (leg,),
        "opposite": (opposite,),
        "both": (leg, opposite),
    }
    return [target for target in chosen[wanted] if target is not None]


def gather(world: World, args: Arguments) -> Json:
    leg = args.leg(world)
    wanted = collecting(args)
    initial = args.whole("initial_timeout_millis")
    wanted.initial_timeout = 5.0 if initial is None else initial / 1000
    gathering.begin(world, leg, wanted)
    return OK


def gather_using_speak(world: World, args: Arguments) -> Json:
    """The prompt's speech has no events of its own; a wrong entry is answered with ``invalid_payload``."""
    leg = args.leg(world)
    wanted = collecting(args)
    payload, invalid = args.text("payload") or "", args.text("invalid_payload")

    def prompt(again: bool) -> Media:
        said = f"{invalid} {payload}" if again and invalid else payload
        return playback.speech(said, silent=True)

    wanted.prompt = prompt
    gathering.begin(world, leg, wanted)
    return OK


def gather_using_audio(world: World, args: Arguments) -> Json:
    leg = args.leg(world)
    wanted = collecting(args)
    wanted.prompt = audio_prompt(args)
    gathering.begin(world, leg, wanted)
    return OK


def collecting(args: Arguments) -> Gather:
    """The digits a body asks for; times in it are milliseconds."""
    return Gather(
        valid_digits=args.text("valid_digits") or "0123456789#*",
        terminating_digit=args.text("terminating_digit") or "#",
        minimum_digits=args.whole("minimum_digits") or 1,
        maximum_digits=args.whole("maximum_digits") or 128,
        initial_timeout=None,
        inter_digit_timeout=(args.whole("inter_digit_timeout_millis") or 5000) / 1000,
        timeout=(args.whole("timeout_millis") or 60_000) / 1000,
        tries_left=args.whole("maximum_tries") or (3 if args.operation.endswith(("speak", "audio")) else 1),
    )


def audio_prompt(args: Arguments) -> Any:
    check_either(args.body, "audio_url", "media_name")
    audio_url, media_name = args.text("audio_url"), args.text("media_name")
    invalid_url, invalid_name = args.text("invalid_audio_url"), args.text("invalid_media_name")

    def prompt(again: bool) -> Media | None:
        if again and (invalid_url or invalid_name):
            return playback.audio_file(audio_url=invalid_url, media_name=invalid_name)
        if audio_url is None and media_name is None:
            return None
        return playback.audio_file(audio_url=audio_url, media_name=media_name)

    return prompt


def gather_stop(world: World, args: Arguments) -> Json:
    gathering.stop(world, args.leg(world))
    return OK


def send_dtmf(world: World, args: Arguments) -> Json:
    """The phone hears the tones; nothing in the world changes."""
    args.leg(world)
    return OK


def record_start(world: World, args: Arguments) -> Json:
    leg = args.leg(world, answered=False)
    if not leg.is_answered:
        raise errors.refusal("90020")
    if leg.recording is not None:
        raise errors.refusal("90053")
    recording.start(
        world,
        leg,
        channels=args.text("channels") or "single",
        format=args.text("format") or "mp3",
        initiated_by="StartCallRecordingAPI",
        custom_file_name=args.text("custom_file_name"),
        max_length=args.whole("max_length") or 0,
    )
    return OK


def record_stop(world: World, args: Arguments) -> Json:
    recording.stop(world, running(args.leg(world).recording, args))
    return OK


def record_pause(world: World, args: Arguments) -> Json:
    recording.pause(world, running(args.leg(world).recording, args))
    return OK


def record_resume(world: World, args: Arguments) -> Json:
    recording.resume(world, running(args.leg(world).recording, args))
    return OK


def running(found: Recording | None, args: Arguments) -> Recording:
    """The recording under way, which a ``recording_id`` has to match. Raises ApiError."""
    wanted = args.text("recording_id")
    if found is None or (wanted is not None and wanted != found.id):
        raise errors.refusal(
            "10005",
            detail="The recording could not be found. Please check the recording_id and try again.",
            pointer="/recording_id",
        )
    return found


_ONE_RECORDING: Fields = {**COMMON, "recording_id": text}

OPERATIONS = (
    call_action(
        "speak",
        speak,
        {
            **COMMON,
            **_SPEECH,
            "payload": needed(sized(1, 3000)),
            "voice": needed(text),
            "loop": params.loop,
            "stop": _STOPS,
            "target_legs": one_of("self", "opposite", "both"),
        },
    ),
    call_action(
        "playback_start",
        playback_start,
        {
            **COMMON,
            "audio_type": one_of("mp3", "wav"),
            "audio_url": text,
            "cache_audio": flag,
            "loop": params.loop,
            "media_name": text,
            "overlay": flag,
            "playback_content": text,
            "stop": _STOPS,
            "target_legs": one_of("self", "opposite", "both"),
        },
    ),
    call_action("playback_stop", playback_stop, {**COMMON, "overlay": flag, "stop": _STOPS}),
    call_action(
        "gather",
        gather,
        {**COMMON, **_DIGITS, "gather_id": sized(1, 40), "initial_timeout_millis": between(1)},
    ),
    call_action(
        "gather_using_speak",
        gather_using_speak,
        {
            **COMMON,
            **_DIGITS,
            **_SPEECH,
            "payload": needed(sized(1, 3000)),
            "voice": needed(text),
            "invalid_payload": text,
            "maximum_tries": between(1),
        },
    ),
    call_action(
        "gather_using_audio",
        gather_using_audio,
        {
            **COMMON,
            **_DIGITS,
            "audio_url": text,
            "media_name": text,
            "invalid_audio_url": text,
            "invalid_media_name": text,
            "maximum_tries": between(1),
        },
    ),
    call_action("gather_stop", gather_stop, COMMON),
    call_action("send_dtmf", send_dtmf, {**COMMON, "digits": needed(text), "duration_millis": between(100, 500)}),
    call_action(
        "record_start",
        record_start,
        {
            **COMMON,
            "channels": needed(one_of("single", "dual")),
            "format": needed(one_of("wav", "mp3")),
            "custom_file_name": sized(1, 40),
            "max_length": between(0, 43_200),
            "play_beep": flag,
            "recording_track": one_of("both", "inbound", "outbound"),
            "timeout_secs": between(0),
            "transcription": flag,
            "trim": one_of("trim-silence"),
            "transcription_min_speaker_count": whole,
            "transcription_max_speaker_count": whole,
        },
    ),
    call_action("record_stop", record_stop, _ONE_RECORDING),
    call_action("record_pause", record_pause, _ONE_RECORDING),
    call_action("record_resume", record_resume, _ONE_RECORDING),
)
