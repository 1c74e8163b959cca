"""The life of a leg up to its end: ringing in, dialled out, answered, bridged, transferred, supervised."""

from collections.abc import Callable
from dataclasses import dataclass, field

from callcenter.simulator import endings, gathering, playback
from callcenter.simulator.model import Bridge, Direction, Json, Leg, Persona
from callcenter.simulator.payloads import answered as answered_payload
from callcenter.simulator.payloads import initiated, leg_ids, with_numbers
from callcenter.simulator.world import LEG_LIMIT_SECS, World

CALLER_HEADER = "x-caller-leg-id"


@dataclass(slots=True, kw_only=True)
class Dial:
    """A leg to be dialled; seconds are real ones."""

    to: str
    from_: str
    timeout_secs: float = 30.0
    retry_on_timeout: bool = True
    time_limit_secs: float = LEG_LIMIT_SECS
    session_of: Leg | None = None
    client_state: str | None = None
    caller_id_name: str = ""
    custom_headers: list[Json] = field(default_factory=list)
    sip_headers: list[Json] = field(default_factory=list)
    webhook_url: str | None = None
    webhook_urls: dict[str, str] = field(default_factory=dict)
    webhook_retries: dict[str, tuple[float, ...]] = field(default_factory=dict)
    answering_machine_detection: str = "disabled"


def ring_in(world: World, *, from_: str, to: str, persona: Persona) -> Leg:
    """A caller rings one of our numbers."""
    leg = _new(world, "incoming", from_=from_, to=to, session_of=None)
    leg.persona = persona
    world.silence.caller_rings(leg)
    world.emit("call.initiated", initiated(leg), leg=leg)
    if world.application["first_command_timeout"]:
        secs = world.application["first_command_timeout_secs"]
        leg.timers.append(world.after(secs, lambda: _uncommanded(world, leg)))
    return leg


def _uncommanded(world: World, leg: Leg) -> None:
    if not leg.commanded and not leg.is_answered:
        endings.hang_up(world, leg, "timeout", source="callee", sip="480")


def dial(world: World, wanted: Dial) -> Leg:
    """Ring a phone. What happens then is up to whoever is there; the ring limit doubles with other routes."""
    leg = _new(world, "outgoing", from_=wanted.from_, to=wanted.to, session_of=wanted.session_of)
    leg.client_state = wanted.client_state
    leg.caller_id_name = wanted.caller_id_name
    leg.custom_headers = wanted.custom_headers
    leg.sip_headers = wanted.sip_headers
    leg.webhook_url = wanted.webhook_url
    leg.webhook_urls = wanted.webhook_urls
    leg.webhook_retries = wanted.webhook_retries
    leg.commanded = True
    for header in wanted.custom_headers:
        if str(header.get("name", "")).lower() == CALLER_HEADER:
            leg.caller_leg_id = str(header.get("value", ""))
    if leg.caller_leg_id:
        world.silence.phone_rings(leg)
    world.emit("call.initiated", initiated(leg), leg=leg)
    limit = wanted.timeout_secs * (2 if wanted.retry_on_timeout else 1)
    cause = "timeout" if wanted.retry_on_timeout else "no_answer"
    leg.timers.append(world.after(limit, lambda: _rang_out(world, leg, cause)))
    leg.on_answer.append(lambda: _limit(world, leg, wanted.time_limit_secs))
    if wanted.answering_machine_detection != "disabled":
        leg.on_answer.append(lambda: _detect(world, leg, wanted.answering_machine_detection))
    return leg


def _new(world: World, direction: Direction, *, from_: str, to: str, session_of: Leg | None) -> Leg:
    leg = Leg(
        call_control_id=world.new_token(),
        call_leg_id=world.new_uuid(),
        call_session_id=world.new_uuid() if session_of is None else session_of.call_session_id,
        connection_id=world.connection_id,
        direction=direction,
        from_=from_,
        to=to,
        started_at=world.now,
    )
    leg.channel = playback.leg_channel(world, leg)
    world.legs[leg.call_control_id] = leg
    world.legs_by_leg_id[leg.call_leg_id] = leg
    return leg


def _rang_out(world: World, leg: Leg, cause: str) -> None:
    if not leg.is_answered:
        endings.hang_up(world, leg, cause)


def _limit(world: World, leg: Leg, secs: float) -> None:
    leg.timers.append(world.after(secs, lambda: endings.hang_up(world, leg, "time_limit")))


def answer(world: World, leg: Leg) -> None:
    """The leg is up: told, and everything the dial or a bridge wanted of this moment happens."""
    if leg.is_answered or not leg.is_live:
        return
    leg.answered_at = world.now
    world.silence.answered(leg, now=world.now)
    if leg.direction == "incoming":
        _limit(world, leg, LEG_LIMIT_SECS)
    world.emit("call.answered", answered_payload(leg), leg=leg)
    world.touch(leg)
    wanted, leg.on_answer = leg.on_answer, []
    for action in wanted:
        if leg.is_live:
            action()
    if leg.bridging_from is not None and leg.is_live:
        waiting, leg.bridging_from = leg.bridging_from, None
        waiting.bridging_to = None
        bridge(world, waiting, leg)
    if leg.is_live:
        world.people.answered(leg)


def bridge(world: World, leg: Leg, other: Leg, *, reason: str = "bridged") -> None:
    """Join two answered legs; each leaves where it was. ``leg`` is the one that was commanded."""
    for member in (leg, other):
        endings.vacate(world, member, reason)
    joined = Bridge(legs=(leg, other))
    joined.parked.update(member for member in (leg, other) if member.parks_after_unbridge)
    leg.bridge = other.bridge = joined
    for member in (leg, other):
        world.emit("call.bridged", leg_ids(member) | {"from": member.from_, "to": member.to}, leg=member)
    world.touch(leg)


def bridge_when_answered(world: World, leg: Leg, other: Leg, *, ringtone: bool) -> None:
    """Bridge with a leg that may still ring; one that rings in is answered by this (CONTRACT §7)."""
    if other.is_answered:
        bridge(world, leg, other)
        return
    leg.bridging_to, leg.bridging_ringtone = other, ringtone
    other.bridging_from = leg
    world.touch(leg)
    if other.direction == "incoming":
        answer(world, other)


def supervise(world: World, leg: Leg, supervised: Leg, role: str) -> None:
    """A dialled leg that, once answered, listens to another leg's bridge."""

    def attach() -> None:
        if not supervised.is_live:
            endings.hang_up(world, leg, "normal_clearing")
            return
        leg.supervises, leg.supervisor_role = supervised, role
        supervised.supervisors.append(leg)
        world.touch(leg)

    leg.on_answer.append(attach)


def switch_role(world: World, leg: Leg, role: str) -> None:
    leg.supervisor_role = role
    world.touch(leg)


# The far end's own phone


def far_end_hangs_up(world: World, leg: Leg) -> None:
    """The person at this leg hangs up, gives up ringing us, or declines our ringing."""
    source = "caller" if leg.direction == "incoming" else "callee"
    if leg.is_answered:
        endings.hang_up(world, leg, "normal_clearing", source=source)
    elif leg.direction == "incoming":
        endings.hang_up(world, leg, "originator_cancel", source=source)
    else:
        endings.hang_up(world, leg, "call_rejected", source=source)


def far_end_holds(world: World, leg: Leg, *, hold: bool) -> None:
    """The phone's own hold key."""
    if leg.phone_hold == hold:
        return
    leg.phone_hold = hold
    world.emit("call.hold" if hold else "call.unhold", with_numbers(leg), leg=leg)
    world.touch(leg)


def far_end_presses(world: World, leg: Leg, digits: str) -> None:
    for pressed in digits:
        if leg.is_live:
            gathering.digit(world, leg, pressed)


# Answering-machine detection

_GREETING_SECS = 8.0
_DETECTION_SECS = 2.0


def _detect(world: World, leg: Leg, mode: str) -> None:
    """Tell what answered after a moment, and, when asked for, that the machine's greeting is over."""
    machine = leg.persona.is_machine
    if mode == "premium":
        result, middle = ("machine" if machine else "human_residence"), "premium."
        greeting = "beep_detected"
    else:
        result, middle = ("machine" if machine else "human"), ""
        greeting = "beep_detected" if mode == "detect_beep" else "ended"

    def told(event: str, outcome: str) -> Callable[[], None]:
        payload = with_numbers(leg) | {"result": outcome}
        return lambda: world.emit(f"call.machine.{middle}{event}.ended", payload, leg=leg)

    leg.timers.append(world.after(_DETECTION_SECS, told("detection", result)))
    if machine and mode != "detect":
        leg.timers.append(world.after(_GREETING_SECS, told("greeting", greeting)))
