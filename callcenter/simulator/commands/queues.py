"""Queues and the calls in them, over REST."""

from callcenter.simulator import errors, paging, queueing, resources
from callcenter.simulator.model import Json, QueueSlot
from callcenter.simulator.operation import Arguments, Operation
from callcenter.simulator.params import between, flag, needed, sized
from callcenter.simulator.world import World


def list_queues(world: World, args: Arguments) -> Json:
    shown = [resources.queue(queue, now=world.now) for queue in world.queues.values()]
    return paging.numbered(shown, args.query, world.switches)


def create(world: World, args: Arguments) -> Json:
    name = args.text("queue_name") or ""
    if name in world.queues:
        raise errors.refusal("10015", detail="A queue with this name already exists.", pointer="/queue_name")
    queue = queueing.create(world, name, max_size=args.whole("max_size") or queueing.DEFAULT_MAX_SIZE)
    return {"data": resources.queue(queue, now=world.now)}


def retrieve(world: World, args: Arguments) -> Json:
    return {"data": resources.queue(args.queue(world), now=world.now)}


def update(world: World, args: Arguments) -> Json:
    """The one way to change a queue's size; a smaller one turns nobody out."""
    queue = args.queue(world)
    queue.max_size = args.whole("max_size") or queue.max_size
    queue.updated_at = world.now
    return {"data": resources.queue(queue, now=world.now)}


def delete(world: World, args: Arguments) -> None:
    queue = args.queue(world)
    if queue.slots:
        raise errors.refusal("90050")
    queueing.delete(world, queue)


def list_calls(world: World, args: Arguments) -> Json:
    slots = enumerate(args.queue(world).slots.values(), start=1)
    shown = [resources.queue_call(slot, position, now=world.now) for position, slot in slots]
    return paging.numbered(shown, args.query, world.switches)


def retrieve_call(world: World, args: Arguments) -> Json:
    slot = _slot(world, args)
    return {"data": resources.queue_call(slot, slot.queue.position(slot), now=world.now)}


def update_call(world: World, args: Arguments) -> None:
    slot = _slot(world, args)
    slot.keep_after_hangup = args.flag("keep_after_hangup", default=slot.keep_after_hangup)


def remove_call(world: World, args: Arguments) -> None:
    """Only of a call that has ended and was kept."""
    slot = _slot(world, args)
    if slot.leg.is_live:
        raise errors.refusal("10015", detail="Only a call that is no longer active can be removed.")
    queueing.remove(world, slot)


def _slot(world: World, args: Arguments) -> QueueSlot:
    slot = args.queue(world).slots.get(args.path["call_control_id"])
    if slot is None:
        raise errors.refusal("10005", detail="The call could not be found in this queue.", pointer="/call_control_id")
    return slot


OPERATIONS = (
    Operation(name="queues.list", method="GET", path="/queues", handler=list_queues),
    Operation(
        name="queues.create",
        method="POST",
        path="/queues",
        handler=create,
        fields={"queue_name": needed(sized(1, 255)), "max_size": between(1)},
    ),
    Operation(name="queues.retrieve", method="GET", path="/queues/{queue_name}", handler=retrieve),
    Operation(
        name="queues.update",
        method="POST",
        path="/queues/{queue_name}",
        handler=update,
        fields={"max_size": needed(between(1))},
    ),
    Operation(name="queues.delete", method="DELETE", path="/queues/{queue_name}", handler=delete),
    Operation(name="queues.list_calls", method="GET", path="/queues/{queue_name}/calls", handler=list_calls),
    Operation(
        name="queues.retrieve_call",
        method="GET",
        path="/queues/{queue_name}/calls/{call_control_id}",
        handler=retrieve_call,
    ),
    Operation(
        name="queues.update_call",
        method="PATCH",
        path="/queues/{queue_name}/calls/{call_control_id}",
        handler=update_call,
        fields={"keep_after_hangup": flag},
    ),
    Operation(
        name="queues.remove_call",
        method="DELETE",
        path="/queues/{queue_name}/calls/{call_control_id}",
        handler=remove_call,
    ),
)
