"""Does our mirror say what is true? Asked of a house at rest."""

from callcenter.chaos.mirror import ours, truth
from tests.journeys.house import House


def agrees(house: House) -> None:
    """Legs, queues, conferences, participants and recordings: the rows and ``/_sim/state`` say the same."""
    assert ours() == truth(house.ask("GET", "state"))
