"""Commands to one leg: answer, end, bridge, queue, supervise; and looking at calls."""

from callcenter.simulator import endings, errors, legs, paging, params, queueing, resources
from callcenter.simulator.commands.dialling import record_from_answer, retry_delays
from callcenter.simulator.commands.fields import COMMON, RECORD_FIELDS, WEBHOOK_FIELDS
from callcenter.simulator.model import Json, Leg
from callcenter.simulator.operation import OK, Arguments, Operation, call_action
from callcenter.simulator.params import between, check_either, flag, needed, nested, objects, one_of, text
from callcenter.simulator.world import World


def retrieve(world: World, args: Arguments) -> Json:
    leg = world.legs.get(args.path["call_control_id"])
    if leg is None:
        raise errors.refusal("90015", pointer="/call_control_id")
    return {"data": resources.call(leg, now=world.now)}


def answer(world: World, args: Arguments) -> Json:
    """Only an incoming leg; one that is answered already stays so, and nothing is told again."""
    leg = args.leg(world, answered=False)
    if leg.direction == "outgoing":
        raise errors.refusal("90102")
    retries = retry_delays(args.body.get("webhook_retries_policies"))
    if leg.is_answered:
        return OK
    leg.webhook_url = args.text("webhook_url") or leg.webhook_url
    leg.webhook_urls = dict(args.body.get("webhook_urls") or leg.webhook_urls)
    leg.webhook_retries = retries or leg.webhook_retries
    recording_id = record_from_answer(world, leg, args, initiated_by="StartCallRecordingAPI")
    legs.answer(world, leg)
    return OK if recording_id is None else {"data": {"result": "ok", "recording_id": recording_id}}


def reject(world: World, args: Arguments) -> Json:
    leg = args.leg(world, answered=False)
    if leg.direction == "outgoing" or leg.is_answered:
        raise errors.refusal("10015", detail="Only an incoming call that is not answered can be rejected.")
    causes = {
        "CALL_REJECTED": ("call_rejected", "603"),
        "USER_BUSY": ("user_busy", "486"),
        "NOT_FOUND": ("not_found", "404"),
        "TEMPORARILY_UNAVAILABLE": ("unspecified", "480"),
    }
    cause, sip = causes[args.text("cause") or "CALL_REJECTED"]
    endings.hang_up(world, leg, cause, source="callee", sip=sip)
    return OK


def hangup(world: World, args: Arguments) -> Json:
    """Our side of an incoming leg is the callee, of a dialled one the caller."""
    leg = args.leg(world, answered=False)
    if leg.direction == "outgoing" and not leg.is_answered:
        endings.hang_up(world, leg, "originator_cancel", source="caller")
    else:
        source = "callee" if leg.direction == "incoming" else "caller"
        endings.hang_up(world, leg, "normal_clearing", source=source)
    return OK


def bridge(world: World, args: Arguments) -> Json:
    """With a leg, or with the head of a queue, which is taken out of it whether or not bridging succeeds."""
    leg = args.leg(world)
    check_either(args.body, "call_control_id", "queue", "video_room_id", required=True)
    if args.text("video_room_id") is not None:
        raise errors.refusal("10005", detail="The video room could not be found.", pointer="/video_room_id")
    parks = args.text("park_after_unbridge") == "self" or args.flag("hold_after_unbridge")
    queue_name = args.text("queue")
    other = _head(world, queue_name) if queue_name is not None else args.body_leg(world, answered=False)
    if other is leg:
        raise errors.refusal("10015", detail="A call can't be bridged with itself.", pointer="/call_control_id")
    if args.flag("prevent_double_bridge") and other.bridge is not None:
        raise errors.refusal("10015", detail="The target call is already bridged.", pointer="/call_control_id")
    leg.parks_after_unbridge = parks
    legs.bridge_when_answered(world, leg, other, ringtone=args.flag("play_ringtone"))
    return OK


def _head(world: World, queue_name: str) -> Leg:
    """The first call of a queue, taken out of it. Raises ApiError when there is none, or it has hung up."""
    queue = world.queues.get(queue_name)
    slot = next(iter(queue.slots.values()), None) if queue is not None else None
    if slot is None:
        code = world.switches.empty_queue_bridge_code
        raise errors.refusal(code, status=422, detail="The queue is empty.", pointer="/queue")
    if not slot.leg.is_live:
        queueing.remove(world, slot)
        gone = {"call_control_id": slot.leg.call_control_id, "from": slot.leg.from_, "to": slot.leg.to}
        raise errors.refusal("90018", meta=gone)
    queueing.dequeue(world, slot.leg, "bridged")
    return slot.leg


def enqueue(world: World, args: Arguments) -> Json:
    accepted = world.switches.enqueue_of_an_unanswered_call == "accepted"
    leg = args.leg(world, answered=not accepted)
    name = args.text("queue_name") or ""
    queueing.check_room(world, leg, name, max_size=args.whole("max_size"))
    endings.vacate(world, leg, "leave")
    queueing.enqueue(
        world,
        leg,
        name,
        max_size=args.whole("max_size"),
        max_wait_time_secs=args.whole("max_wait_time_secs"),
        keep_after_hangup=args.flag("keep_after_hangup"),
    )
    return OK


def leave_queue(world: World, args: Arguments) -> Json:
    leg = args.leg(world, answered=False)
    if leg.slot is None:
        raise errors.refusal("90035")
    queueing.dequeue(world, leg, "leave")
    return OK


def switch_supervisor_role(world: World, args: Arguments) -> Json:
    leg = args.leg(world, answered=False)
    if leg.supervises is None:
        raise errors.refusal("10015", detail="This call does not supervise another one.")
    legs.switch_role(world, leg, args.text("role") or "")
    return OK


def client_state_update(world: World, args: Arguments) -> Json:
    """The new state is set for every command alike; this one does nothing else."""
    args.leg(world, answered=False)
    return OK


def active(world: World, args: Arguments) -> Json:
    """Every leg of the connection that has not ended, ringing ones included."""
    connection_id = args.path["connection_id"]
    shown = [
        resources.active_call(leg, now=world.now)
        for leg in world.legs.values()
        if leg.is_live and leg.connection_id == connection_id
    ]
    path = f"/v2/connections/{connection_id}/active_calls"
    return paging.by_cursor(shown, args.query, world.switches, path=path, key="call_control_id")


OPERATIONS = (
    Operation(name="calls.retrieve", method="GET", path="/calls/{call_control_id}", handler=retrieve),
    Operation(name="calls.active", method="GET", path="/connections/{connection_id}/active_calls", handler=active),
    call_action(
        "answer",
        answer,
        {
            **COMMON,
            **RECORD_FIELDS,
            **WEBHOOK_FIELDS,
            "billing_group_id": text,
            "custom_headers": objects,
            "sip_headers": objects,
            "send_silence_when_idle": flag,
            "transcription": flag,
            "transcription_config": nested({}),
        },
    ),
    call_action(
        "reject",
        reject,
        {
            **COMMON,
            "cause": needed(one_of("CALL_REJECTED", "USER_BUSY", "NOT_FOUND", "TEMPORARILY_UNAVAILABLE")),
        },
    ),
    call_action("hangup", hangup, {**COMMON, "custom_headers": objects, "reason": text}),
    call_action(
        "bridge",
        bridge,
        {
            **COMMON,
            **RECORD_FIELDS,
            "call_control_id": text,
            "queue": text,
            "video_room_id": text,
            "video_room_context": text,
            "hold_after_unbridge": flag,
            "mute_dtmf": one_of("none", "both", "self", "opposite"),
            "park_after_unbridge": one_of("self"),
            "play_ringtone": flag,
            "prevent_double_bridge": flag,
            "ringtone": text,
        },
    ),
    call_action(
        "enqueue",
        enqueue,
        {
            **COMMON,
            "queue_name": needed(params.sized(1, 255)),
            "max_size": between(1),
            "max_wait_time_secs": between(1),
            "keep_after_hangup": flag,
        },
    ),
    call_action("leave_queue", leave_queue, COMMON),
    call_action(
        "switch_supervisor_role",
        switch_supervisor_role,
        {"role": needed(one_of("barge", "whisper", "monitor"))},
    ),
    call_action(
        "client_state_update",
        client_state_update,
        {"client_state": needed(params.client_state)},
        method="PUT",
    ),
)
