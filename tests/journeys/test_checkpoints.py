"""A worker dies once, at each checkpoint of a call in turn: the call goes on within fifteen seconds, once."""

from collections.abc import Callable

import pytest

pytest.importorskip("hypothesis", reason="hypothesis is in requirements-dev.txt")

from queues.models import Call, Offer
from tests.journeys import house as h
from tests.journeys import machine
from tests.journeys.checkpoints import Worker
from webhooks import outbox
from webhooks.models import Command

pytestmark = [pytest.mark.django_db, pytest.mark.long]

PARTS = 4  # so that the work can be spread over processes
RECOVERS_WITHIN_SECS = 15


def story(dies_at: int | None) -> tuple[int, int, bool]:
    """A caller rings, is connected, talks and hangs up. Seconds until connected, until over, and who died."""
    with machine.example() as house:
        mortal = house.worker = Worker(dies_at)
        house.sim("POST", "calls", {"from": h.CALLER, "to": h.NUMBER})
        connected = _secs(house, lambda: Offer.objects.filter(state=Offer.State.CONNECTED).exists())
        house.sim("POST", f"calls/{next(iter(house.simulator.world.legs))}/hangup")
        over = _secs(house, lambda: not any(leg.is_live for leg in house.simulator.world.legs.values()))
        house.serve(12)  # what is late because its worker died
        house.serve(outbox.RESEND_FOR.total_seconds())  # and what nobody wants any more, but may still take effect
        call = Call.objects.get()
        assert (call.state, call.outcome) == (Call.State.CLOSED, Call.Outcome.ANSWERED)
        assert call.offers.filter(state=Offer.State.ENDED).count() == 1  # who dies while connecting may cost an offer
        assert not call.offers.filter(state__in=Offer.LIVE).exists()
        done = [command for command in house.simulator.api.commands if command["effect"] == "done"]
        intents = [intent for command in done if (intent := machine.intent(command)) is not None]
        assert len(intents) == len(set(intents))
        assert not Command.objects.filter(applied_at=None).exclude(state=Command.State.CANCELLED).exists()
        assert machine.differences(house) == []
        house.check()
        return connected, over, mortal.died


def _secs(house: machine.FrailHouse, true: Callable[[], bool]) -> int:
    for secs in range(60):
        house.serve(0)
        if true():
            return secs
        house.serve(1)
    raise AssertionError("not within a minute")


@pytest.fixture
def furnished(db: None) -> None:
    h.agent("anna", h.queue(greeting_text=""))


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.usefixtures("furnished")
def test_a_worker_who_dies_at_any_checkpoint_delays_a_call_by_fifteen_seconds_at_most(part: int) -> None:
    connects, ends, _ = story(None)
    deaths = 0
    for dies_at in range(part, 1000, PARTS):
        connected, over, died = story(dies_at)
        assert connected <= connects + RECOVERS_WITHIN_SECS, f"checkpoint {dies_at}"
        assert over <= ends + RECOVERS_WITHIN_SECS, f"checkpoint {dies_at}"
        if not died:
            break
        deaths += 1
    assert deaths > 10
