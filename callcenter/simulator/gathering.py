"""Collecting digits: prompt, wait, and say how it ended. Digits arrive from the leg's own phone."""

from callcenter.simulator import playback
from callcenter.simulator.model import Gather, Leg
from callcenter.simulator.payloads import with_numbers
from callcenter.simulator.world import World


def begin(world: World, leg: Leg, gather: Gather) -> None:
    """Start collecting; one that was running is cancelled."""
    if leg.gather is not None:
        finish(world, leg, "cancelled")
    leg.gather = gather
    _try(world, leg, gather, again=False)
    world.people.asked_for_digits(leg)


def digit(world: World, leg: Leg, pressed: str) -> None:
    """One key from the leg's phone: always told, collected when asked for."""
    world.emit("call.dtmf.received", with_numbers(leg) | {"digit": pressed}, leg=leg)
    gather = leg.gather
    if gather is None:
        return
    if gather.prompting is not None:
        prompting, gather.prompting = gather.prompting, None
        prompting.on_end = None
        if leg.channel.current is prompting:
            playback.stop(world, leg.channel, "current")
    _cancel_timers(gather)
    if pressed == gather.terminating_digit:
        finish(world, leg, "valid" if len(gather.digits) >= gather.minimum_digits else "invalid")
        return
    if pressed in gather.valid_digits:
        gather.digits += pressed
    if len(gather.digits) >= gather.maximum_digits:
        finish(world, leg, "valid")
        return
    gather.digit_timer = world.after(gather.inter_digit_timeout, lambda: _no_more(world, leg, gather))


def stop(world: World, leg: Leg) -> None:
    if leg.gather is not None:
        finish(world, leg, "cancelled")


def finish(world: World, leg: Leg, status: str) -> None:
    """End the gather, telling what was collected."""
    gather, leg.gather = leg.gather, None
    if gather is None:
        return
    _cancel_timers(gather)
    prompting, gather.prompting = gather.prompting, None
    if prompting is not None:
        prompting.on_end = None
        if leg.channel.current is prompting and leg.is_live:
            playback.stop(world, leg.channel, "current")
        elif prompting in leg.channel.waiting:
            leg.channel.waiting.remove(prompting)
    payload = with_numbers(leg) | {"digits": gather.digits, "status": status}
    world.emit("call.gather.ended", payload, leg=leg)


def _try(world: World, leg: Leg, gather: Gather, *, again: bool) -> None:
    gather.tries_left -= 1
    gather.prompting = gather.prompt(again) if gather.prompt is not None else None
    if gather.prompting is None:
        _wait(world, leg, gather)
        return
    gather.prompting.on_end = lambda: _prompted(world, leg, gather)
    playback.play(world, leg.channel, gather.prompting)


def _prompted(world: World, leg: Leg, gather: Gather) -> None:
    gather.prompting = None
    if leg.gather is gather:
        _wait(world, leg, gather)


def _wait(world: World, leg: Leg, gather: Gather) -> None:
    first = gather.timeout
    if gather.initial_timeout is not None:
        first = min(first, gather.initial_timeout)
    gather.timer = world.after(first, lambda: _no_more(world, leg, gather))


def _no_more(world: World, leg: Leg, gather: Gather) -> None:
    if leg.gather is not gather:
        return
    if len(gather.digits) >= gather.minimum_digits:
        finish(world, leg, "valid")
    elif gather.tries_left > 0:
        gather.digits = ""
        _cancel_timers(gather)
        _try(world, leg, gather, again=True)
    else:
        finish(world, leg, "invalid" if gather.digits else "timeout")


def _cancel_timers(gather: Gather) -> None:
    for timer in (gather.timer, gather.digit_timer):
        if timer is not None:
            timer.cancel()
