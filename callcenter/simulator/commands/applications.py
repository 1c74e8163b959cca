"""The one Call Control application, as the command line describes it and PATCH changes it."""

from callcenter.simulator import errors, paging, params
from callcenter.simulator.clock import iso_millis
from callcenter.simulator.model import Json
from callcenter.simulator.operation import Arguments, Operation
from callcenter.simulator.params import between, flag, nested, one_of, sized, text, tokens
from callcenter.simulator.world import World

_FIELDS: params.Fields = {
    "application_name": params.needed(sized(1, 255)),
    "webhook_event_url": params.needed(text),
    "active": flag,
    "anchorsite_override": one_of(
        "Latency",
        "Chicago, IL",
        "Ashburn, VA",
        "San Jose, CA",
        "London, UK",
        "Chennai, IN",
        "Amsterdam, Netherlands",
        "Toronto, Canada",
        "Sydney, Australia",
    ),
    "call_cost_in_webhooks": flag,
    "dtmf_type": one_of("RFC 2833", "Inband", "SIP INFO"),
    "first_command_timeout": flag,
    "first_command_timeout_secs": between(0),
    "inbound": nested({"channel_limit": between(1), "shaken_stir_enabled": flag, "sip_subdomain": text}),
    "outbound": nested({"channel_limit": between(1), "outbound_voice_profile_id": text}),
    "redact_dtmf_debug_logging": flag,
    "tags": tokens,
    "webhook_api_version": one_of("1", "2"),
    "webhook_event_failover_url": text,
    "webhook_timeout_secs": between(0, 30),
}


def list_applications(world: World, args: Arguments) -> Json:
    return paging.numbered([dict(world.application)], args.query, world.switches)


def retrieve(world: World, args: Arguments) -> Json:
    _check(world, args)
    return {"data": dict(world.application)}


def update(world: World, args: Arguments) -> Json:
    """What is given is changed; deliveries follow the new URLs at once."""
    _check(world, args)
    for name in _FIELDS:
        if name not in args.body:
            continue
        value = args.body[name]
        world.application[name] = {**world.application[name], **value} if isinstance(value, dict) else value
    world.application["updated_at"] = iso_millis(world.now)
    return {"data": dict(world.application)}


def _check(world: World, args: Arguments) -> None:
    if args.path["id"] != world.application["id"]:
        raise errors.refusal("10005", detail="The application could not be found.", pointer="/id")


OPERATIONS = (
    Operation(name="applications.list", method="GET", path="/call_control_applications", handler=list_applications),
    Operation(
        name="applications.retrieve",
        method="GET",
        path="/call_control_applications/{id}",
        handler=retrieve,
    ),
    Operation(
        name="applications.update",
        method="PATCH",
        path="/call_control_applications/{id}",
        handler=update,
        fields=_FIELDS,
    ),
)
