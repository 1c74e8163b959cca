"""What a conference hears, presses and has recorded: play, speak, stop, DTMF, gather, recording."""

from callcenter.simulator import errors, gathering, params, playback
from callcenter.simulator import recording as recordings
from callcenter.simulator.commands.fields import REGION
from callcenter.simulator.commands.media import as_loop, audio_prompt, collecting, running
from callcenter.simulator.model import Channel, Conference, Json, Media
from callcenter.simulator.operation import OK, Arguments, conference_action
from callcenter.simulator.params import Fields, between, check_either, flag, needed, one_of, sized, text, tokens
from callcenter.simulator.world import World


def play(world: World, args: Arguments) -> Json:
    conference = args.conference(world)
    check_either(args.body, "audio_url", "media_name", required=True)
    for channel in _channels(conference, args):
        media = playback.audio_file(
            audio_url=args.text("audio_url"),
            media_name=args.text("media_name"),
            loop=as_loop(args.body.get("loop")),
        )
        playback.play(world, channel, media)
    return OK


def speak(world: World, args: Arguments) -> Json:
    conference = args.conference(world)
    for channel in _channels(conference, args):
        media: Media = playback.speech(args.text("payload") or "")
        playback.play(world, channel, media)
    return OK


def stop(world: World, args: Arguments) -> Json:
    """For everyone: what plays to the whole conference and to each; for some: what plays to them alone."""
    conference = args.conference(world)
    if not args.tokens("call_control_ids"):
        playback.stop(world, conference.channel)
    for participant in args.participants(conference):
        playback.stop(world, participant.channel)
    return OK


def _channels(conference: Conference, args: Arguments) -> list[Channel]:
    """The conference's one channel for everyone, or those of the legs named."""
    if not args.tokens("call_control_ids"):
        return [conference.channel]
    return [participant.channel for participant in args.participants(conference)]


def record_start(world: World, args: Arguments) -> Json:
    conference = args.conference(world)
    if conference.recording is not None:
        raise errors.refusal("90053")
    recordings.start(
        world,
        conference.creator,
        conference=conference,
        channels=args.text("channels") or "single",
        format=args.text("format") or "mp3",
        initiated_by="StartConferenceRecordingAPI",
        custom_file_name=args.text("custom_file_name"),
    )
    return OK


def record_stop(world: World, args: Arguments) -> Json:
    recordings.stop(world, running(args.conference(world).recording, args))
    return OK


def record_pause(world: World, args: Arguments) -> Json:
    recordings.pause(world, running(args.conference(world).recording, args))
    return OK


def record_resume(world: World, args: Arguments) -> Json:
    recordings.resume(world, running(args.conference(world).recording, args))
    return OK


def send_dtmf(world: World, args: Arguments) -> Json:
    """The phones hear the tones; nothing in the world changes."""
    args.participants(args.conference(world, by_name=False))
    return OK


def gather_using_audio(world: World, args: Arguments) -> Json:
    conference = args.conference(world, by_name=False)
    participant = args.participant(world, conference)
    wanted = collecting(args)
    wanted.prompt = audio_prompt(args)
    gathering.begin(world, participant.leg, wanted)
    return OK


_ONE_RECORDING: Fields = {**REGION, "command_id": text, "recording_id": text}
_LEGS: Fields = {**REGION, "call_control_ids": tokens}

OPERATIONS = (
    conference_action("play", play, {**_LEGS, "audio_url": text, "media_name": text, "loop": params.loop}),
    conference_action(
        "speak",
        speak,
        {
            **_LEGS,
            "payload": needed(sized(1, 3000)),
            "voice": needed(text),
            "payload_type": one_of("text", "ssml"),
            "language": text,
            "command_id": text,
        },
    ),
    conference_action("stop", stop, _LEGS),
    conference_action(
        "record_start",
        record_start,
        {
            **REGION,
            "format": needed(one_of("wav", "mp3")),
            "channels": one_of("single", "dual"),
            "command_id": text,
            "custom_file_name": sized(1, 40),
            "play_beep": flag,
            "trim": one_of("trim-silence"),
        },
    ),
    conference_action("record_stop", record_stop, {**_ONE_RECORDING, "client_state": params.client_state}),
    conference_action("record_pause", record_pause, _ONE_RECORDING),
    conference_action("record_resume", record_resume, _ONE_RECORDING),
    conference_action(
        "send_dtmf",
        send_dtmf,
        {
            "digits": needed(text),
            "call_control_ids": tokens,
            "client_state": params.client_state,
            "duration_millis": between(100, 500),
        },
    ),
    conference_action(
        "gather_using_audio",
        gather_using_audio,
        {
            "call_control_id": needed(text),
            "audio_url": text,
            "media_name": text,
            "invalid_audio_url": text,
            "invalid_media_name": text,
            "client_state": params.client_state,
            "gather_id": sized(0, 100),
            "initial_timeout_millis": between(1),
            "inter_digit_timeout_millis": between(1),
            "maximum_digits": between(1),
            "maximum_tries": between(1),
            "minimum_digits": between(1),
            "stop_playback_on_dtmf": flag,
            "terminating_digit": text,
            "timeout_millis": between(1),
            "valid_digits": text,
        },
        about="participant",
    ),
)
