import pytest

from queues.metrics import Segment, asa_secs, service_level


def segments(outcome: str, *waits: float, short: float = 5) -> list[Segment]:
    return [Segment(outcome=outcome, wait_secs=wait, service_level_secs=20, short_abandon_secs=short) for wait in waits]


WORKED = [
    *segments("answered", 5, 20, 21, 90),
    *segments("abandoned", 3, 5, 20, 120),
    *segments("flow_out", 60),
    *segments("callback", 15),
]


def test_the_worked_example_of_the_definitions() -> None:
    assert service_level(WORKED) == pytest.approx(2 / 7)
    assert asa_secs(WORKED) == 34


def test_no_denominator_is_no_number() -> None:
    assert service_level(segments("flow_out", 60)) is None
    assert asa_secs(segments("abandoned", 60)) is None


def test_a_short_abandon_threshold_of_nothing_counts_every_abandon() -> None:
    assert service_level(segments("answered", 20) + segments("abandoned", 0, short=0)) == 0.5
