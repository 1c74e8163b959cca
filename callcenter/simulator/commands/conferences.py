"""Conferences over REST, and the part of a dial that goes straight into one."""

from typing import Any

from callcenter.simulator import conferencing, endings, errors, paging, params, resources
from callcenter.simulator.commands.fields import BEEP, REGION, ROLE
from callcenter.simulator.commands.joining import stay
from callcenter.simulator.model import Json
from callcenter.simulator.operation import OK, Arguments, Operation, conference_action
from callcenter.simulator.params import Fields, between, check_either, flag, needed, text, tokens
from callcenter.simulator.world import World


def list_conferences(world: World, args: Arguments) -> Json:
    """The one that expires last comes first."""
    name, status = args.query.get("filter[name]"), args.query.get("filter[status]")
    region, connection_id = args.query.get("region"), args.query.get("filter[connection_id]")
    found = [
        conference
        for conference in world.conferences.values()
        if (name is None or conference.name == name)
        and (status is None or conference.status == status)
        and (region is None or conference.region == region)
        and (connection_id is None or conference.creator.connection_id == connection_id)
    ]
    found.sort(key=lambda conference: conference.expires_at, reverse=True)
    return paging.numbered([resources.conference(each) for each in found], args.query, world.switches)


def create(world: World, args: Arguments) -> Json:
    check_either(args.body, "hold_audio_url", "hold_media_name")
    leg = args.body_leg(world)
    name = args.text("name") or ""
    if name in world.active_conferences:
        raise errors.refusal("90033")
    conference = conferencing.create(
        world,
        leg,
        name=name,
        client_state=leg.client_state,
        region=args.text("region") or conferencing.DEFAULT_REGION,
        max_participants=args.whole("max_participants") or conferencing.DEFAULT_MAX_PARTICIPANTS,
        beep_enabled=args.text("beep_enabled") or "never",
        started=args.flag("start_conference_on_create", default=True),
        hold_media=conferencing.as_hold_media(args.body, "hold_audio_url", "hold_media_name"),
        duration_minutes=args.whole("duration_minutes"),
    )
    return {"data": resources.conference(conference)}


def retrieve(world: World, args: Arguments) -> Json:
    return {"data": resources.conference(args.conference(world, by_name=False, live=False))}


def join(world: World, args: Arguments) -> Json:
    conference = args.conference(world)
    check_either(args.body, "hold_audio_url", "hold_media_name")
    leg = args.body_leg(world)
    conferencing.check_join(conference, leg)
    conferencing.join(world, conference, leg, **stay(args.body))
    return OK


def leave(world: World, args: Arguments) -> Json:
    conference = args.conference(world)
    participant = args.participant(world, conference)
    if args.text("beep_enabled") is not None:
        participant.beep_enabled = args.text("beep_enabled")
    endings.leave_conference(world, participant.leg)
    return OK


def hold(world: World, args: Arguments) -> Json:
    conference = args.conference(world)
    check_either(args.body, "audio_url", "media_name")
    media = conferencing.as_hold_media(args.body, "audio_url", "media_name")
    conferencing.hold(world, args.participants(conference), media=media)
    return OK


def unhold(world: World, args: Arguments) -> Json:
    conferencing.unhold(world, args.participants(args.conference(world)))
    return OK


def mute(world: World, args: Arguments) -> Json:
    conferencing.mute(world, args.participants(args.conference(world)))
    return OK


def unmute(world: World, args: Arguments) -> Json:
    conferencing.unmute(world, args.participants(args.conference(world)))
    return OK


def update(world: World, args: Arguments) -> Json:
    conference = args.conference(world)
    conferencing.change_role(
        world,
        args.participant(world, conference),
        supervisor_role=args.text("supervisor_role") or "none",
        whisper_call_control_ids=args.tokens("whisper_call_control_ids"),
    )
    return OK


def end(world: World, args: Arguments) -> Json:
    """The end by API is by nobody in the conference."""
    conference = args.conference(world, by_name=False)
    endings.end_conference(world, conference, "ended_via_api", by=None, forced=True)
    return OK


def list_participants(world: World, args: Arguments) -> Json:
    conference = args.conference(world, by_name=False, live=False)
    switches = world.switches
    shows_former = switches.lists_who_left if conference.is_live else switches.participants_after_end == "left"
    found = [*conference.participants.values(), *(conference.former if shows_former else ())]
    wanted = {
        "muted": args.query.get("filter[muted]"),
        "on_hold": args.query.get("filter[on_hold]"),
        "whispering": args.query.get("filter[whispering]"),
    }
    shown = [
        resources.listed_participant(participant)
        for participant in found
        if _matches(wanted["muted"], participant.muted)
        and _matches(wanted["on_hold"], participant.held)
        and _matches(wanted["whispering"], bool(participant.whisper_call_control_ids))
    ]
    return paging.numbered(shown, args.query, world.switches)


def _matches(wanted: str | None, found: bool) -> bool:
    return wanted is None or (wanted.lower() == "true") == found


def retrieve_participant(world: World, args: Arguments) -> Json:
    return {"data": resources.participant(_participant(world, args))}


def update_participant(world: World, args: Arguments) -> Json:
    participant = _participant(world, args)
    participant.beep_enabled = args.text("beep_enabled") or participant.beep_enabled
    participant.end_conference_on_exit = args.flag("end_conference_on_exit", default=participant.end_conference_on_exit)
    participant.soft_end_conference_on_exit = args.flag(
        "soft_end_conference_on_exit", default=participant.soft_end_conference_on_exit
    )
    participant.updated_at = world.now
    return {"data": resources.participant(participant)}


def _participant(world: World, args: Arguments) -> Any:
    conference = args.conference(world, by_name=False, live=False)
    wanted = args.path["participant_id"]
    for participant in conference.participants.values():
        if participant.id == wanted:
            return participant
    raise errors.refusal("10005", detail="The participant could not be found.", pointer="/participant_id")


_LEGS: Fields = {**REGION, "call_control_ids": tokens}

OPERATIONS = (
    Operation(name="conferences.list", method="GET", path="/conferences", handler=list_conferences),
    Operation(
        name="conferences.create",
        method="POST",
        path="/conferences",
        handler=create,
        about="participant",
        fields={
            **REGION,
            "call_control_id": needed(text),
            "name": needed(text),
            "beep_enabled": BEEP,
            "client_state": params.client_state,
            "comfort_noise": flag,
            "command_id": text,
            "duration_minutes": between(1),
            "hold_audio_url": text,
            "hold_media_name": text,
            "max_participants": between(2, 800),
            "start_conference_on_create": flag,
        },
    ),
    Operation(name="conferences.retrieve", method="GET", path="/conferences/{id}", handler=retrieve),
    conference_action(
        "join",
        join,
        {
            **REGION,
            "call_control_id": needed(text),
            "beep_enabled": BEEP,
            "client_state": params.client_state,
            "command_id": text,
            "end_conference_on_exit": flag,
            "soft_end_conference_on_exit": flag,
            "hold": flag,
            "hold_audio_url": text,
            "hold_media_name": text,
            "mute": flag,
            "start_conference_on_enter": flag,
            "supervisor_role": ROLE,
            "whisper_call_control_ids": tokens,
        },
        about="participant",
    ),
    conference_action(
        "leave",
        leave,
        {**REGION, "call_control_id": needed(text), "beep_enabled": BEEP, "command_id": text},
        about="participant",
    ),
    conference_action("hold", hold, {**_LEGS, "audio_url": text, "media_name": text}),
    conference_action("unhold", unhold, {**REGION, "call_control_ids": needed(tokens)}),
    conference_action("mute", mute, _LEGS),
    conference_action("unmute", unmute, _LEGS),
    conference_action(
        "update",
        update,
        {
            **REGION,
            "call_control_id": needed(text),
            "supervisor_role": needed(ROLE),
            "whisper_call_control_ids": tokens,
            "command_id": text,
        },
        about="participant",
    ),
    conference_action("end", end, {"command_id": text}),
    Operation(
        name="conferences.list_participants",
        method="GET",
        path="/conferences/{id}/participants",
        handler=list_participants,
    ),
    Operation(
        name="conferences.retrieve_participant",
        method="GET",
        path="/conferences/{id}/participants/{participant_id}",
        handler=retrieve_participant,
    ),
    Operation(
        name="conferences.update_participant",
        method="PATCH",
        path="/conferences/{id}/participants/{participant_id}",
        handler=update_participant,
        fields={
            "beep_enabled": BEEP,
            "end_conference_on_exit": flag,
            "soft_end_conference_on_exit": flag,
        },
    ),
)
