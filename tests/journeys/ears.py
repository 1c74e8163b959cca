"""Who hears whom, by name, written down whenever it changes."""

from conferences.models import CallLeg
from tests.journeys.house import House

Hearing = dict[str, set[str]]


def hearing(**heard: str) -> Hearing:
    """``hearing(caller="anna sue")``: the caller hears anna and sue, and nobody else hears anybody."""
    return {listener: set(speakers.split()) for listener, speakers in heard.items()}


class Ears:
    """Listens from now on. ``story`` begins with what is and grows by one entry per change."""

    def __init__(self, house: House) -> None:
        self._house = house
        self.story: list[Hearing] = []
        self._look()
        house.watch(self._look)

    @property
    def now(self) -> Hearing:
        return self.story[-1]

    def after(self) -> list[Hearing]:
        """The changes since it was last asked."""
        heard, self.story = self.story[1:], self.story[-1:]
        return heard

    def _look(self) -> None:
        names = {leg["call_control_id"]: _name(leg) for leg in self._house.ask("GET", "state")["legs"]}
        now: Hearing = {}
        for leg, ear in self._house.ask("GET", "audio").items():
            if ear["hears"]:
                now[names[leg]] = {names[speaker] for speaker in ear["hears"]}
        if not self.story or self.story[-1] != now:
            self.story.append(now)


def _name(leg: dict[str, str]) -> str:
    """The user part of the address we dialled; the one who dialled us is the caller."""
    if leg["direction"] == "incoming":
        return "caller"
    return leg["to"].removeprefix("sip:").partition("@")[0]


def token(house: House, name: str) -> str:
    """The newest leg of that name."""
    named: list[str] = [leg["call_control_id"] for leg in house.ask("GET", "state")["legs"] if _name(leg) == name]
    return named[-1]


def leg_of(house: House, name: str) -> CallLeg:
    return CallLeg.objects.get(call_control_id=token(house, name))
