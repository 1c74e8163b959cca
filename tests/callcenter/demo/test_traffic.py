import itertools
import json
import random

import httpx
import pytest

from callcenter.demo import traffic
from callcenter.demo.traffic import Caller, Lines

NUMBERS = ["+442079460001", "+442079460002"]


def some(count: int, *, seed: int = 1, speed: float = 1) -> list[Caller]:
    return list(itertools.islice(traffic.callers(random.Random(seed), NUMBERS, speed=speed), count))


def test_the_same_seed_gives_the_same_callers() -> None:
    assert some(50) == some(50)
    assert some(50) != some(50, seed=2)


@pytest.mark.parametrize("speed", [1, 5, 20])
def test_callers_come_as_often_as_the_agents_can_bear(speed: float) -> None:
    gaps = [caller.gap_secs / speed for caller in some(2000, speed=speed)]
    mean = max(traffic.MEAN_GAP_SECS / speed, traffic.SHORTEST_MEAN_GAP_REAL_SECS)
    assert sum(gaps) / len(gaps) == pytest.approx(mean, rel=0.1)


def test_nobody_waits_longer_than_the_longest_patience() -> None:
    assert max(caller.patience_secs for caller in some(2000)) <= traffic.LONGEST_PATIENCE_SECS


@pytest.mark.parametrize("seed", range(50))
def test_a_phone_does_what_the_simulator_knows(seed: int) -> None:
    from callcenter.simulator.personas import ON_RING, PHONE_FIELDS

    habit = traffic.habit(random.Random(seed), "+447700900010", answering=False)
    assert habit["on_ring"] in ON_RING
    assert set(habit) <= set(PHONE_FIELDS)


def test_only_a_number_has_a_voicemail() -> None:
    rng = random.Random(1)
    habits = {traffic.habit(rng, "sip:ana@phones.example.com", answering=False)["on_ring"] for _ in range(500)}
    assert habits == {"answer", "decline", "busy", "unreachable", "no_answer"}


def test_when_all_are_to_answer_they_do_and_stay() -> None:
    habit = traffic.habit(random.Random(1), "+447700900010", answering=True)
    assert habit["on_ring"] == "answer"
    assert not {"talk_secs", "drop_after_secs"} & set(habit)


class Network:
    """A simulator that only writes down what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def lines(self, *, speed: float) -> Lines:
        client = httpx.Client(transport=httpx.MockTransport(self._answer), base_url="http://simulator")
        return Lines(client, speed=speed)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append((request.method, request.url.raw_path.decode()))
        if request.url.path == "/_sim/calls":
            return httpx.Response(
                200, json={"call_control_id": f"v3:{len(self.asked)}=", **json.loads(request.content)}
            )
        return httpx.Response(200, json={})


CALLER = Caller(number="+447700900100", to=NUMBERS[0], gap_secs=1, patience_secs=100, talk_secs=60)


def test_a_caller_hangs_up_only_after_his_patience_in_line_is_over() -> None:
    network = Network()
    lines = network.lines(speed=10)
    lines.ring(CALLER)
    leg = lines.placed[0].leg
    for clock in (0.0, 50.0):  # not in line yet: greeting, or an agent is just taking him
        lines.lose_patience(set(), clock=clock)
    for clock in (60.0, 69.9):
        lines.lose_patience({leg}, clock=clock)
    assert network.asked == [("POST", "/_sim/calls")]
    for clock in (70.1, 80.0):
        lines.lose_patience({leg}, clock=clock)
    assert network.asked[1:] == [("POST", "/_sim/calls/v3%3A1%3D/hangup")]


def test_patience_starts_anew_when_he_was_out_of_line() -> None:
    network = Network()
    lines = network.lines(speed=10)
    lines.ring(CALLER)
    leg = lines.placed[0].leg
    for clock, waiting in ((0.0, {leg}), (9.0, set()), (10.0, {leg}), (19.0, {leg})):
        lines.lose_patience(waiting, clock=clock)
    assert len(network.asked) == 1


def test_a_phones_address_is_encoded() -> None:
    network = Network()
    network.lines(speed=1).set_phone("+447700900010", {"on_ring": "busy"})
    assert network.asked == [("PUT", "/_sim/phones/%2B447700900010")]
