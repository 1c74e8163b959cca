"""Conferences: created from a leg, joined, held, muted, supervised, spoken into (CONTRACT §5)."""

from collections.abc import Iterable

from callcenter.simulator import endings, errors, playback
from callcenter.simulator.model import Conference, Json, Leg, Participant
from callcenter.simulator.payloads import conference_leg, with_numbers
from callcenter.simulator.world import LEG_LIMIT_SECS, World

DEFAULT_REGION = "US"
DEFAULT_MAX_PARTICIPANTS = 250


def create(
    world: World,
    leg: Leg,
    *,
    name: str,
    client_state: str | None,
    region: str,
    max_participants: int,
    beep_enabled: str,
    started: bool,
    hold_media: str | None,
    duration_minutes: int | None,
) -> Conference:
    """Make a conference of an answered leg, which is its first participant and its owner for good."""
    endings.vacate(world, leg, world.switches.dequeue_reason_on_conference)
    lifetime = LEG_LIMIT_SECS if duration_minutes is None else min(duration_minutes * 60, LEG_LIMIT_SECS)
    conference = Conference(
        id=world.new_uuid(),
        name=name,
        creator=leg,
        client_state=client_state,
        region=region,
        max_participants=max_participants,
        beep_enabled=beep_enabled,
        started=started,
        hold_media=hold_media,
        created_at=world.now,
        updated_at=world.now,
        expires_at=world.now + lifetime,
    )
    conference.channel = playback.conference_channel(world, conference)
    world.conferences[conference.id] = conference
    world.active_conferences[name] = conference
    conference.timer = world.after(lifetime, lambda: _expire(world, conference))
    world.emit("conference.created", conference_leg(conference, leg), leg=leg)
    _enter(world, conference, leg)
    return conference


def _expire(world: World, conference: Conference) -> None:
    """The end nobody asked for: whoever is inside is hung up, a creator who has moved on is not."""
    present = [participant.leg for participant in conference.participants.values()]
    endings.end_conference(world, conference, "time_exceeded", by=None, forced=False)
    for leg in present:
        endings.hang_up(world, leg, "normal_clearing")


def check_join(conference: Conference, leg: Leg) -> None:
    """Whether a leg may join. Raises ApiError with Telnyx's reason."""
    if not conference.is_live or conference.closed_to_joins:
        raise errors.refusal("90019")
    if leg.call_control_id in conference.participants:
        raise errors.refusal("90044")
    if len(conference.participants) >= conference.max_participants:
        raise errors.refusal("90032", conference.max_participants)


def join(
    world: World,
    conference: Conference,
    leg: Leg,
    *,
    mute: bool = False,
    hold: bool = False,
    hold_media: str | None = None,
    supervisor_role: str = "none",
    whisper_call_control_ids: Iterable[str] = (),
    start_conference_on_enter: bool = False,
    end_conference_on_exit: bool = False,
    soft_end_conference_on_exit: bool = False,
    beep_enabled: str | None = None,
) -> Participant:
    """Move a leg in; ``check_join`` has been asked."""
    endings.vacate(world, leg, world.switches.dequeue_reason_on_conference)
    if leg is conference.creator:
        conference.client_state = leg.client_state
    participant = _enter(world, conference, leg, beep_enabled=beep_enabled)
    participant.muted_by_command = mute
    participant.on_hold = hold
    participant.hold_media = hold_media
    participant.supervisor_role = supervisor_role
    participant.whisper_call_control_ids = list(whisper_call_control_ids)
    participant.end_conference_on_exit = end_conference_on_exit
    participant.soft_end_conference_on_exit = soft_end_conference_on_exit
    if start_conference_on_enter and not conference.started:
        _start(world, conference)
    return participant


def _enter(world: World, conference: Conference, leg: Leg, *, beep_enabled: str | None = None) -> Participant:
    participant = Participant(
        id=world.new_uuid(),
        conference=conference,
        leg=leg,
        created_at=world.now,
        updated_at=world.now,
        beep_enabled=beep_enabled,
    )
    participant.channel = playback.participant_channel(world, participant)
    conference.participants[leg.call_control_id] = participant
    conference.updated_at = world.now
    leg.participant = participant
    world.emit("conference.participant.joined", conference_leg(conference, leg), leg=leg)
    if (beep_enabled or conference.beep_enabled) in {"always", "on_enter"}:
        endings.beep_now(world, conference)
    world.touch(leg)
    return participant


def _start(world: World, conference: Conference) -> None:
    if not world.switches.start_releases_held:
        for participant in conference.participants.values():
            if not participant.on_hold:
                participant.on_hold = True
                participant.hold_media = participant.hold_media or conference.hold_media
    conference.started = True
    conference.updated_at = world.now
    world.touch_conference(conference)


def hold(world: World, participants: Iterable[Participant], *, media: str | None) -> None:
    for participant in participants:
        _held(world, participant, held=True, media=media)


def unhold(world: World, participants: Iterable[Participant]) -> None:
    for participant in participants:
        _held(world, participant, held=False, media=None)


def _held(world: World, participant: Participant, *, held: bool, media: str | None) -> None:
    was_held = participant.on_hold
    participant.on_hold = held
    participant.hold_media = media
    participant.updated_at = world.now
    world.touch(participant.leg)
    if world.switches.conference_hold_events and was_held != held:
        event_type = "call.hold" if held else "call.unhold"
        world.emit(event_type, with_numbers(participant.leg), leg=participant.leg)


def mute(world: World, participants: Iterable[Participant]) -> None:
    for participant in participants:
        participant.muted_by_command = True
        participant.opened = False
        participant.updated_at = world.now
        world.touch(participant.leg)


def unmute(world: World, participants: Iterable[Participant]) -> None:
    """Everyone named can be heard again; a monitor too, if the switch says so."""
    for participant in participants:
        participant.muted_by_command = False
        participant.opened = participant.only_listens and world.switches.unmute_opens_monitor
        participant.updated_at = world.now
        world.touch(participant.leg)


def change_role(
    world: World, participant: Participant, *, supervisor_role: str, whisper_call_control_ids: Iterable[str]
) -> None:
    """From now on; a whisper without targets is a monitor."""
    participant.supervisor_role = supervisor_role
    participant.whisper_call_control_ids = list(whisper_call_control_ids)
    participant.opened = False
    participant.updated_at = world.now
    world.touch(participant.leg)


def take_floor(world: World, leg: Leg) -> None:
    """A leg speaks up: told when everyone can hear it and someone else, or nobody, had the floor."""
    participant = leg.participant
    if participant is None or participant.held or leg.phone_hold or participant.muted:
        return
    conference = participant.conference
    whispers = participant.supervisor_role == "whisper" and not participant.only_listens
    if conference.floor is leg or whispers:
        return
    conference.floor = leg
    world.emit("conference.floor.changed", conference_leg(conference, leg), leg=leg)


def as_hold_media(body: Json, url_field: str, name_field: str) -> str | None:
    """The one of the two fields that is given."""
    found = body.get(url_field) or body.get(name_field)
    return found if isinstance(found, str) else None
