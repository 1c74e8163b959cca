"""How things end: a leg hangs up, leaves a bridge or a conference, a conference is over.

One ending brings the next, so they live together: the last participant ends the conference, the host takes the
others down, a conference ended by force takes its creator down wherever it is (CONTRACT §5.2, §8.3).
"""

from callcenter.simulator import gathering, playback, queueing, recording
from callcenter.simulator.model import Conference, Leg, Participant
from callcenter.simulator.payloads import conference_leg, hangup
from callcenter.simulator.world import REMEMBERED_SECS, World

CONFERENCE_REMEMBERED_SECS = 3600.0
SIP_CODES = {
    "normal_clearing": "200",
    "originator_cancel": "487",
    "timeout": "487",
    "no_answer": "487",
    "call_rejected": "603",
    "user_busy": "486",
    "not_found": "404",
    "time_limit": "200",
    "unspecified": "408",
}


def hang_up(world: World, leg: Leg, cause: str, *, source: str = "unknown", sip: str | None = None) -> None:
    """End a leg, whatever it was doing, and everything that ends with it."""
    if not leg.is_live:
        return
    world.touch(leg)
    leg.ended_at = world.now
    leg.hangup_cause = cause
    for timer in (*leg.timers, leg.persona.patience_timer):
        if timer is not None:
            timer.cancel()
    leg.timers.clear()
    gathering.finish(world, leg, "call_hangup")
    playback.hush(leg.channel, "call_hangup")
    if world.switches.abandon_order == "dequeued_first":
        _abandon_queue(world, leg)
    conference = leg.participant.conference if leg.participant is not None else None
    participant = _leave(world, leg)
    world.emit(
        "call.hangup",
        hangup(leg, cause=cause, source=source, sip=SIP_CODES.get(cause, "200") if sip is None else sip),
        leg=leg,
    )
    _abandon_queue(world, leg)
    if leg.recording is not None:
        recording.stop(world, leg.recording)
    world.silence.ended(leg, now=world.now)
    if conference is not None and participant is not None:
        _after_exit(world, conference, participant)
    unbridge(world, leg)
    for supervisor in list(leg.supervisors):
        hang_up(world, supervisor, "normal_clearing")
    if leg.supervises is not None and leg in leg.supervises.supervisors:
        leg.supervises.supervisors.remove(leg)
    _give_up_bridging(world, leg)
    world.after(REMEMBERED_SECS, lambda: _forget(world, leg))


def _abandon_queue(world: World, leg: Leg) -> None:
    if leg.slot is not None and not leg.slot.keep_after_hangup:
        queueing.dequeue(world, leg, "hangup")
    elif leg.slot is not None and leg.slot.timer is not None:
        leg.slot.timer.cancel()


def _give_up_bridging(world: World, leg: Leg) -> None:
    """A transfer's ringing leg is cancelled when the leg it rings for ends; not the other way round."""
    waiting_for, leg.bridging_to = leg.bridging_to, None
    if waiting_for is not None:
        waiting_for.bridging_from = None
        if waiting_for.rings_for_transfer and not waiting_for.is_answered:
            hang_up(world, waiting_for, "originator_cancel", source="caller")
    if leg.bridging_from is not None:
        world.touch(leg.bridging_from)
        leg.bridging_from.bridging_to = None
        leg.bridging_from = None


def _forget(world: World, leg: Leg) -> None:
    """Ten minutes after its end nobody can ask for a leg any more."""
    if leg.slot is not None:
        world.after(REMEMBERED_SECS, lambda: _forget(world, leg))
        return
    world.legs.pop(leg.call_control_id, None)
    world.legs_by_leg_id.pop(leg.call_leg_id, None)


def vacate(world: World, leg: Leg, reason: str) -> None:
    """Take a leg out of its queue, bridge or conference, because it goes elsewhere; ``reason`` is the queue's.

    A bridge or transfer that was still ringing for it is off.
    """
    world.touch(leg)
    _give_up_bridging(world, leg)
    queueing.dequeue(world, leg, reason)
    unbridge(world, leg)
    leave_conference(world, leg)
    world.touch(leg)


def unbridge(world: World, leg: Leg) -> None:
    """Part a bridge because ``leg`` goes; the other leg is hung up unless its own command said to park it."""
    bridge = leg.bridge
    if bridge is None:
        return
    other = bridge.other(leg)
    world.touch(leg)
    leg.bridge = other.bridge = None
    if other not in bridge.parked:
        hang_up(world, other, "normal_clearing")


def leave_conference(world: World, leg: Leg) -> None:
    """Out of the conference and parked; what follows from leaving follows."""
    conference = leg.participant.conference if leg.participant is not None else None
    participant = _leave(world, leg)
    if conference is not None and participant is not None:
        _after_exit(world, conference, participant)


def _leave(world: World, leg: Leg, *, tell: bool = True) -> Participant | None:
    participant = leg.participant
    if participant is None:
        return None
    conference = participant.conference
    world.touch(leg)
    playback.hush(participant.channel, "completed")
    leg.participant = None
    del conference.participants[leg.call_control_id]
    participant.left_at = participant.updated_at = conference.updated_at = world.now
    conference.former.append(participant)
    if conference.floor is leg:
        conference.floor = None
    if tell:
        world.emit("conference.participant.left", conference_leg(conference, leg), leg=leg)
    beep = participant.beep_enabled or conference.beep_enabled
    if beep in {"always", "on_exit"} and conference.is_live:
        beep_now(world, conference)
    return participant


def _after_exit(world: World, conference: Conference, participant: Participant) -> None:
    if not conference.is_live:
        return
    if participant.end_conference_on_exit:
        end_conference(world, conference, "host_left", by=participant.leg, forced=True)
    elif not conference.participants:
        end_conference(world, conference, "all_left", by=participant.leg, forced=False)
    elif participant.soft_end_conference_on_exit:
        if world.switches.soft_end == "ends":
            end_conference(world, conference, "host_left", by=participant.leg, forced=False)
        else:
            conference.closed_to_joins = True


def end_conference(world: World, conference: Conference, reason: str, *, by: Leg | None, forced: bool) -> None:
    """End it for everyone: left, hung up, ended, in that order.

    ``forced`` hangs up the participants, and the creator's leg wherever it is by now; otherwise who is left is
    parked. The creator's cause is ``time_limit`` (seen live, CONTRACT §5.2).
    """
    if not conference.is_live:
        return
    playback.hush(conference.channel, "completed")
    conference.ended_at = conference.updated_at = world.now
    conference.end_reason = reason
    conference.ended_by = by
    if world.active_conferences.get(conference.name) is conference:
        del world.active_conferences[conference.name]
    if conference.timer is not None:
        conference.timer.cancel()
    present = [participant.leg for participant in conference.participants.values()]
    for leg in present:
        _leave(world, leg, tell=world.switches.participant_left_on_conference_end)
    creator = conference.creator
    if forced:
        for leg in present:
            hang_up(world, leg, "time_limit" if leg is creator else "normal_clearing")
        hang_up(world, creator, "time_limit")
    told = world.switches.ended_via_api_reason if reason == "ended_via_api" else reason
    world.emit("conference.ended", conference_leg(conference, creator) | {"reason": told}, leg=creator)
    if conference.recording is not None:
        recording.stop(world, conference.recording)
    world.after(CONFERENCE_REMEMBERED_SECS, lambda: _forget_conference(world, conference))


def _forget_conference(world: World, conference: Conference) -> None:
    world.conferences.pop(conference.id, None)


def beep_now(world: World, conference: Conference) -> None:
    """A short tone for everyone inside."""
    conference.beep_until = world.now + 0.5
    world.touch_conference(conference)
    world.after(0.5, lambda: world.touch_conference(conference))
