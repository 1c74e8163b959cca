"""The closed forms, against the books and against each other."""

from math import exp, factorial

import pytest

from bench.erlang import erlang_a, erlang_c, share_that_waits


@pytest.mark.parametrize(
    ("agents", "load", "expected"),
    [
        pytest.param(1, 0.5, 0.5, id="one agent: as often as he is busy"),
        pytest.param(2, 1.0, 1 / 3, id="two agents"),
        pytest.param(10, 8.0, 0.4092, id="ten agents"),
    ],
)
def test_the_share_that_waits_is_erlangs(agents, load, expected):
    assert share_that_waits(agents, load) == pytest.approx(expected, abs=5e-5)


def test_with_patience_as_long_as_talk_the_line_is_poissons():
    """Whoever is there leaves at the same rate, waiting or talking, as if each had an agent: M/M/infinity."""
    found = erlang_a(1, arrival_rate=1, talk_rate=1, patience_rate=1, beyond=0)
    in_line = sum((there - 1) * exp(-1) / factorial(there) for there in range(2, 20))
    assert found.mean_wait == pytest.approx(in_line)
    assert found.abandoned == pytest.approx(in_line)
    assert found.share_beyond == pytest.approx(1 - exp(-1))


def test_with_endless_patience_erlang_a_is_erlang_c():
    rates = {"arrival_rate": 8 / 180, "talk_rate": 1 / 180, "beyond": 20}
    patient, deaf = erlang_a(10, patience_rate=1e-9, **rates), erlang_c(10, **rates)
    assert patient.mean_wait == pytest.approx(deaf.mean_wait, rel=1e-4)
    assert patient.share_beyond == pytest.approx(deaf.share_beyond, rel=1e-4)
