"""Telnyx's own queues: first come, first served, no priority, no reordering (CONTRACT §6)."""

from callcenter.simulator import errors
from callcenter.simulator.model import Leg, Queue, QueueSlot
from callcenter.simulator.payloads import leg_ids
from callcenter.simulator.world import World

DEFAULT_MAX_SIZE = 300
ENQUEUE_MAX_SIZE = 100


def create(world: World, name: str, *, max_size: int) -> Queue:
    queue = Queue(id=world.new_uuid(), name=name, max_size=max_size, created_at=world.now, updated_at=world.now)
    world.queues[name] = queue
    _idle(world, queue)
    return queue


def delete(world: World, queue: Queue) -> None:
    if queue.idle_timer is not None:
        queue.idle_timer.cancel()
    world.queues.pop(queue.name, None)


def check_room(world: World, leg: Leg, name: str, *, max_size: int | None) -> None:
    """Whether ``enqueue`` would be accepted. Raises ApiError with Telnyx's reason."""
    if leg.slot is not None:
        if leg.slot.queue.name == name:
            raise errors.refusal("90038")
        if world.switches.enqueue_while_in_another_queue == "rejected":
            raise errors.refusal("90038", detail="This call is in another queue; it has to leave it first.")
    queue = world.queues.get(name)
    if queue is None:
        return
    if max_size is not None and max_size != queue.max_size:
        raise errors.refusal("90037", pointer="/max_size")
    if len(queue.slots) >= queue.max_size:
        raise errors.refusal("90036", name)


def enqueue(
    world: World,
    leg: Leg,
    name: str,
    *,
    max_size: int | None,
    max_wait_time_secs: int | None,
    keep_after_hangup: bool,
) -> None:
    """Put a leg that is nowhere else at the tail; ``check_room`` has been asked."""
    queue = world.queues.get(name)
    if queue is None:
        queue = create(world, name, max_size=ENQUEUE_MAX_SIZE if max_size is None else max_size)
    slot = QueueSlot(queue=queue, leg=leg, enqueued_at=world.now, keep_after_hangup=keep_after_hangup)
    queue.slots[leg.call_control_id] = slot
    queue.updated_at = world.now
    if queue.idle_timer is not None:
        queue.idle_timer.cancel()
    leg.slot = slot
    if max_wait_time_secs is not None:
        slot.timer = world.after(max_wait_time_secs, lambda: dequeue(world, leg, "timeout"))
    payload = leg_ids(leg) | {
        "queue": name,
        "current_position": len(queue.slots),
        "queue_avg_wait_time_secs": average_wait(queue, now=world.now),
    }
    world.emit("call.enqueued", payload, leg=leg)
    world.touch(leg)


def dequeue(world: World, leg: Leg, reason: str) -> None:
    """Take a leg out of its queue, if it is in one, and tell why."""
    slot = leg.slot
    if slot is None:
        return
    position = slot.queue.position(slot)
    remove(world, slot)
    payload = leg_ids(leg) | {
        "queue": slot.queue.name,
        "queue_position": position,
        "reason": reason,
        "wait_time_secs": int(world.now - slot.enqueued_at),
    }
    world.emit("call.dequeued", payload, leg=leg)
    world.touch(leg)


def remove(world: World, slot: QueueSlot) -> None:
    """Free the place, saying nothing."""
    if slot.timer is not None:
        slot.timer.cancel()
    if slot.leg.slot is slot:
        slot.leg.slot = None
    slot.queue.slots.pop(slot.leg.call_control_id, None)
    slot.queue.updated_at = world.now
    if not slot.queue.slots:
        _idle(world, slot.queue)


def average_wait(queue: Queue, *, now: float) -> int:
    """Of the calls waiting now, in whole seconds."""
    waiting = [now - slot.enqueued_at for slot in queue.slots.values() if slot.leg.is_live]
    return int(sum(waiting) / len(waiting)) if waiting else 0


def _idle(world: World, queue: Queue) -> None:
    """An empty queue is forgotten after a while."""
    queue.idle_timer = world.after(
        world.switches.empty_queue_ttl_secs, lambda: None if queue.slots else delete(world, queue)
    )
