"""One operation of the API: its place, its body, its handler; and what handlers need to find their objects."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from callcenter.simulator import conferencing, errors
from callcenter.simulator.model import Conference, Json, Leg, Participant, Queue
from callcenter.simulator.params import Fields
from callcenter.simulator.world import World

OK: Json = {"data": {"result": "ok"}}

# What a supervising leg still obeys: "Supervisor calls do not support commands" (CONTRACT §2).
_FOR_SUPERVISING_LEGS = frozenset({"calls.hangup", "calls.switch_supervisor_role", "calls.client_state_update"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """One request, checked against its operation's table."""

    operation: str
    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Json

    def text(self, name: str) -> str | None:
        value = self.body.get(name)
        return value if isinstance(value, str) and value != "" else None

    def flag(self, name: str, *, default: bool = False) -> bool:
        value = self.body.get(name)
        return value if isinstance(value, bool) else default

    def whole(self, name: str) -> int | None:
        value = self.body.get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def tokens(self, name: str) -> list[str]:
        return list(self.body.get(name) or [])

    def leg(self, world: World, *, answered: bool = True) -> Leg:
        """The leg of the path, alive and (unless told otherwise) answered."""
        return self.live_leg(world, self.path["call_control_id"], answered=answered)

    def body_leg(self, world: World, *, answered: bool = True) -> Leg:
        """The leg the body names."""
        return self.live_leg(world, self.text("call_control_id") or "", answered=answered)

    def live_leg(self, world: World, token: str, *, answered: bool = True) -> Leg:
        leg = world.legs.get(token)
        if leg is None:
            raise errors.refusal("90015", pointer="/call_control_id")
        if not leg.is_live:
            raise errors.refusal("90018")
        if leg.supervises is not None and self.operation not in _FOR_SUPERVISING_LEGS:
            code = world.switches.supervisor_command_code
            raise errors.refusal(code, status=422, detail="Supervisor calls do not support commands.")
        if answered and not leg.is_answered:
            raise errors.refusal("90034")
        return leg

    def conference(self, world: World, *, by_name: bool = True, live: bool = True) -> Conference:
        """The conference of the path, by id or, where Telnyx takes it, by the name of an active one."""
        wanted = self.path["id"]
        found = world.conferences.get(wanted)
        if found is None and by_name:
            found = world.active_conferences.get(wanted)
        region = self.body.get("region") or self.query.get("region") or conferencing.DEFAULT_REGION
        if found is None or (self._takes_region() and region != found.region):
            raise errors.refusal("90058")
        if live and not found.is_live:
            raise errors.refusal("90019")
        return found

    def _takes_region(self) -> bool:
        return self.operation.split(".", 1)[1] not in {
            "end",
            "send_dtmf",
            "gather_using_audio",
            "retrieve_participant",
            "update_participant",
        }

    def participant(self, world: World, conference: Conference) -> Participant:
        """The stay of the body's leg in this conference."""
        leg = self.body_leg(world, answered=False)
        found = conference.participants.get(leg.call_control_id)
        if found is None:
            raise errors.refusal("10005", detail="The call is not in this conference.")
        return found

    def participants(self, conference: Conference) -> list[Participant]:
        """Those named in ``call_control_ids``; without any, everyone (CONTRACT §5.1)."""
        wanted = self.tokens("call_control_ids")
        if not wanted:
            return list(conference.participants.values())
        known = conference.participants
        found = [known[token] for token in dict.fromkeys(wanted) if token in known]
        if not found:
            raise errors.refusal("10005", detail="None of the calls is in this conference.")
        return found

    def queue(self, world: World) -> Queue:
        found = world.queues.get(self.path["queue_name"])
        if found is None:
            raise errors.refusal("10005", detail="The queue could not be found.", pointer="/queue_name")
        return found


# Whom a command is about: whose client_state it sets, and where its command_id must be new.
About = Literal["", "leg", "participant", "conference", "account"]
Handler = Callable[[World, Arguments], Json | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """``handler`` returns the JSON of a 200, or None for a 204. Checks come before changes."""

    name: str
    method: str
    path: str
    handler: Handler
    fields: Fields = field(default_factory=dict)
    about: About = ""

    @property
    def is_command(self) -> bool:
        return self.method != "GET"


def call_action(name: str, handler: Handler, fields: Fields, *, method: str = "POST") -> Operation:
    """A command to the leg in the path."""
    return Operation(
        name=f"calls.{name}",
        method=method,
        path=f"/calls/{{call_control_id}}/actions/{name}",
        handler=handler,
        fields=fields,
        about="leg",
    )


def conference_action(name: str, handler: Handler, fields: Fields, *, about: About = "conference") -> Operation:
    """A command to the conference in the path, about it or about the leg in the body."""
    return Operation(
        name=f"conferences.{name}",
        method="POST",
        path=f"/conferences/{{id}}/actions/{name}",
        handler=handler,
        fields=fields,
        about=about,
    )
