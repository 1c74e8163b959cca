"""What has been counted, read as Prometheus reads it."""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client.parser import text_string_to_metric_families

from webhooks import metering

Counts = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def read(text: str) -> Counts:
    """Each sample's value by its name and labels."""
    families = text_string_to_metric_families(text)
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def names(text: str) -> set[str]:
    """Of all samples, and of families without any."""
    families = list(text_string_to_metric_families(text))
    with_suffix = {f"{family.name}_total" for family in families if family.type == "counter"}
    return {family.name for family in families} | with_suffix | {s.name for family in families for s in family.samples}


def value(name: str, **labels: str) -> float:
    """What this process has counted. KeyError where there is no such count."""
    return read(metering.counted().decode())[name, tuple(sorted(labels.items()))]


@contextmanager
def grows(name: str, *, by: float = 1, **labels: str) -> Iterator[None]:
    before = value(name, **labels)
    yield
    assert value(name, **labels) - before == by
