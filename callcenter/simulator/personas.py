"""The people: callers with patience, phones with habits. ``--speed`` divides their seconds and nothing else."""

from dataclasses import asdict, dataclass, fields
from typing import Any

from callcenter.simulator import endings, legs
from callcenter.simulator.clock import Timer
from callcenter.simulator.model import Json, Leg, Persona
from callcenter.simulator.world import World

ON_RING = ("answer", "no_answer", "busy", "decline", "unreachable", "voicemail")
PRESS_DELAY_SECS = 0.5
_REFUSALS = {
    "busy": ("user_busy", "486"),
    "decline": ("call_rejected", "603"),
    "unreachable": ("unspecified", "480"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Phone:
    """What a dialled number or SIP address does. ``talk_secs`` and ``drop_after_secs`` run from its first human."""

    on_ring: str = "answer"
    after_secs: float = 1.0
    dtmf: str | None = "1"
    talk_secs: float | None = None
    drop_after_secs: float | None = None

    def as_json(self) -> Json:
        return asdict(self)


PHONE_FIELDS = tuple(habit.name for habit in fields(Phone))


class Personas:
    """Everyone who is not us. See ``world.People``."""

    def __init__(self, world: World, *, speed: float = 1.0) -> None:
        self.world = world
        self.speed = speed
        self.phones: dict[str, Phone] = {}
        self.default_phone = Phone()

    def reset(self) -> None:
        self.phones.clear()
        self.default_phone = Phone()

    def phone(self, address: str) -> Phone:
        """A number may carry digits to dial on (``,200``), an address its transport (``;secure=srtp``)."""
        bare = address.split(",", 1)[0].split(";", 1)[0]
        return self.phones.get(address) or self.phones.get(bare) or self.default_phone

    def caller(self, *, patience_secs: float | None = None, talk_secs: float | None = None) -> Persona:
        return Persona(
            patience=self._scaled(patience_secs),
            talk=self._scaled(talk_secs),
            press_delay=PRESS_DELAY_SECS / self.speed,
        )

    def _scaled(self, secs: float | None) -> float | None:
        return None if secs is None else secs / self.speed

    # world.People

    def rings(self, leg: Leg) -> None:
        phone = self.phone(leg.to)
        machine = phone.on_ring == "voicemail"
        leg.persona = Persona(
            talk=self._scaled(phone.talk_secs),
            drop=self._scaled(phone.drop_after_secs),
            dtmf=None if machine else phone.dtmf,
            press_delay=PRESS_DELAY_SECS / self.speed,
            is_machine=machine,
        )
        if phone.on_ring != "no_answer":
            leg.timers.append(self.world.after(phone.after_secs / self.speed, lambda: self._react(leg, phone.on_ring)))

    def _react(self, leg: Leg, on_ring: str) -> None:
        if leg.is_answered or not leg.is_live:
            return
        if on_ring in _REFUSALS:
            cause, sip = _REFUSALS[on_ring]
            endings.hang_up(self.world, leg, cause, source="callee", sip=sip)
        else:
            legs.answer(self.world, leg)

    def answered(self, leg: Leg) -> None:
        persona = leg.persona
        if persona.patience is not None and leg.ear.first_human_at is None:
            persona.patience_timer = self._later(leg, persona.patience, self._hangs_up)

    def hears_someone(self, leg: Leg) -> None:
        persona = leg.persona
        if persona.patience_timer is not None:
            persona.patience_timer.cancel()
        if persona.talk is not None:
            leg.timers.append(self._later(leg, persona.talk, self._hangs_up))
        if persona.drop is not None:
            leg.timers.append(self._later(leg, persona.drop, self._drops))

    def asked_for_digits(self, leg: Leg) -> None:
        if leg.persona.dtmf:
            self._press(leg, leg.persona.dtmf)

    def _press(self, leg: Leg, digits: str) -> None:
        gather = leg.gather

        def press(_: Leg) -> None:
            if leg.gather is not gather or gather is None:
                return
            legs.far_end_presses(self.world, leg, digits[0])
            if digits[1:]:
                self._press(leg, digits[1:])

        leg.timers.append(self._later(leg, leg.persona.press_delay, press))

    def _later(self, leg: Leg, secs: float, action: Any) -> Timer:
        return self.world.after(secs, lambda: action(leg) if leg.is_live else None)

    def _hangs_up(self, leg: Leg) -> None:
        legs.far_end_hangs_up(self.world, leg)

    def _drops(self, leg: Leg) -> None:
        source = "caller" if leg.direction == "incoming" else "callee"
        endings.hang_up(self.world, leg, "unspecified", source=source)
