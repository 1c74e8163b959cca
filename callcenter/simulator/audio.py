"""Who hears whom, what plays to whom, and how long anyone has heard nothing.

x hears y iff both are in the same bridge or the same started conference, both are answered, neither is held, y is
not muted, and y's role is none or barge, or y whispers and x is among its targets; a monitor or whisperer hears
none and barge only. A held leg hears its hold media and nothing else. A supervising leg follows the same rule over
the bridged pair; its whisper target is the supervised leg.
"""

from collections.abc import Callable, Iterator

from callcenter.simulator.model import Json, Leg

_LISTENERS = ("monitor", "whisper")


def company(leg: Leg) -> Iterator[Leg]:
    """Everyone in the same bridge or conference, supervisors included, without the leg itself."""
    if leg.participant is not None:
        for participant in leg.participant.conference.participants.values():
            if participant.leg is not leg:
                yield participant.leg
    for member in _pair(leg):
        if member is not leg:
            yield member
        for supervisor in member.supervisors:
            if supervisor is not leg:
                yield supervisor


def _pair(leg: Leg) -> tuple[Leg, ...]:
    """The bridged pair a leg belongs to or supervises."""
    center = leg if leg.supervises is None else leg.supervises
    if center.bridge is not None:
        return center.bridge.legs
    return (center,) if center is not leg or leg.supervisors else ()


def hears(leg: Leg) -> Iterator[Leg]:
    """The legs this one hears right now."""
    if not leg.is_talking or _held(leg):
        return
    listens_only = _role(leg) in _LISTENERS
    for other in company(leg):
        if other.is_talking and not _held(other) and _speaks_to(other, leg, listens_only=listens_only):
            yield other


def _held(leg: Leg) -> bool:
    return leg.phone_hold or (leg.participant is not None and leg.participant.held)


def _role(leg: Leg) -> str:
    """The role that counts for the ear: a monitor someone unmuted speaks like anybody."""
    participant = leg.participant
    if participant is not None:
        if participant.opened and participant.only_listens:
            return "none"
        return "monitor" if participant.only_listens else participant.supervisor_role
    return leg.supervisor_role if leg.supervises is not None else "none"


def _speaks_to(speaker: Leg, listener: Leg, *, listens_only: bool) -> bool:
    if speaker.participant is not None and speaker.participant.muted:
        return False
    role = _role(speaker)
    if role in {"none", "barge"}:
        return True
    if role == "monitor" or listens_only:
        return False
    if speaker.participant is not None:
        return listener.call_control_id in speaker.participant.whisper_call_control_ids
    return listener is speaker.supervises


def media(leg: Leg, *, now: float) -> list[Json]:
    """What plays to this leg right now, apart from people."""
    if not leg.is_live:
        return []
    if not leg.is_answered:
        ringing = leg.direction == "incoming"
        return [{"kind": "ringback", "source": "network", "loop": "infinity"}] if ringing else []
    if leg.phone_hold:
        return []
    participant = leg.participant
    if participant is not None and participant.held:
        source = participant.hold_media if participant.on_hold else None
        if source is None and not participant.conference.started:
            source = participant.conference.hold_media
        if source is None:
            return []
        return [{"kind": "hold", "source": source, "loop": "infinity"}]
    playing = list(leg.channel.audible)
    found: list[Json] = []
    if participant is not None:
        playing += participant.channel.audible + participant.conference.channel.audible
        if participant.conference.beep_until > now:
            found.append({"kind": "beep", "source": "conference", "loop": 1})
    if leg.bridging_to is not None and leg.bridging_ringtone:
        found.append({"kind": "ringback", "source": leg.bridging_to.to, "loop": "infinity"})
    return [{"kind": item.kind, "source": item.source, "loop": item.loop} for item in playing] + found


def listen(leg: Leg, *, now: float) -> bool:
    """Bring a leg's ear up to date; True when it has just heard another human for the first time."""
    ear = leg.ear
    if not leg.is_talking:
        if ear.silent_since is not None:
            ear.longest_silence = max(ear.longest_silence, now - ear.silent_since)
            ear.silent_since = None
        return False
    human = any(other.is_human for other in hears(leg))
    # A caller who has put us on hold hears nothing of ours by his own choice: that is not our silence.
    sound = human or leg.phone_hold or bool(media(leg, now=now))
    if sound:
        if ear.first_sound_at is None:
            ear.first_sound_at = now
        if ear.silent_since is not None:
            ear.longest_silence = max(ear.longest_silence, now - ear.silent_since)
            ear.silent_since = None
    elif ear.silent_since is None:
        ear.silent_since = now
    first = human and ear.first_human_at is None
    if first:
        ear.first_human_at = now
    return first


class SilenceLog:
    """The legs whose silence counts: callers, and phones dialled for a caller. Of those that are over, the sums."""

    def __init__(self) -> None:
        self._callers: dict[str, Leg | float] = {}
        self._agents: dict[str, Leg | float] = {}
        self._rang_for_gone: dict[str, Leg | float] = {}
        self._caller_gone_at: dict[str, float] = {}

    def as_json(self, *, now: float) -> Json:
        def secs(legs: dict[str, Leg | float], measure: Callable[[Leg, float], float]) -> dict[str, float]:
            return {
                token: round(measure(found, now) if isinstance(found, Leg) else found, 3)
                for token, found in legs.items()
            }

        return {
            "callers": secs(self._callers, _longest_silence),
            "agents": secs(self._agents, _dead_air),
            "rang_for_gone_caller_secs": secs(self._rang_for_gone, self._rung_in_vain),
        }

    def caller_rings(self, leg: Leg) -> None:
        self._callers[leg.call_control_id] = leg

    def phone_rings(self, leg: Leg) -> None:
        self._rang_for_gone[leg.call_control_id] = leg

    def answered(self, leg: Leg, *, now: float) -> None:
        """A phone has stopped ringing, and from now on waits for someone to speak."""
        if leg.call_control_id in self._rang_for_gone:
            self._rang_for_gone[leg.call_control_id] = self._rung_in_vain(leg, now)
            self._agents[leg.call_control_id] = leg

    def ended(self, leg: Leg, *, now: float) -> None:
        """Keep the sums and let the leg go. Its ear has to be up to date."""
        token = leg.call_control_id
        if token in self._callers:
            self._callers[token] = _longest_silence(leg, now)
            self._caller_gone_at[leg.call_leg_id] = now
        if token in self._agents:
            self._agents[token] = _dead_air(leg, now)
        elif token in self._rang_for_gone:
            self._rang_for_gone[token] = self._rung_in_vain(leg, now)

    def _rung_in_vain(self, leg: Leg, now: float) -> float:
        gone_at = self._caller_gone_at.get(leg.caller_leg_id)
        return 0.0 if gone_at is None else now - max(gone_at, leg.started_at)


def _longest_silence(leg: Leg, now: float) -> float:
    running = 0.0 if leg.ear.silent_since is None else now - leg.ear.silent_since
    return max(leg.ear.longest_silence, running)


def _dead_air(leg: Leg, now: float) -> float:
    """From answer to the first human or prompt; without either, to the hang-up or to now."""
    if leg.answered_at is None:
        return 0.0
    until = leg.ear.first_sound_at if leg.ear.first_sound_at is not None else now
    return until - leg.answered_at
