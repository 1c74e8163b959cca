"""What has been counted, and what the rows answer, read as Prometheus reads it."""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from callcenter.metrics import Rows
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


def asked() -> Counts:
    """What the rows answer now."""
    registry = CollectorRegistry()
    registry.register(Rows(keep_secs=0))
    return read(generate_latest(registry).decode())


def answer(name: str, **labels: str) -> float:
    return asked()[name, tuple(sorted(labels.items()))]


@contextmanager
def grows(name: str, *, by: float = 1, **labels: str) -> Iterator[None]:
    before = value(name, **labels)
    yield
    assert value(name, **labels) - before == by
