"""docs/faults.md keeps its word: thirty rows, each with tests that exist and metrics that are told."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from callcenter import metrics
from tests.conftest import ROOT
from tests.webhooks.counts import names

FAULTS = 30
TOKEN = "a-token-of-the-tests-0123456789abcdef"


def rows() -> list[list[str]]:
    lines = (ROOT / "docs" / "faults.md").read_text().splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if re.match(r"\| \d+ \|", line)]


def named(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


@cache
def functions(path: Path) -> frozenset[str]:
    return frozenset(node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef))


@cache
def texts(path: Path) -> frozenset[str]:
    constants = (node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant))
    return frozenset(text for text in constants if isinstance(text, str))


def test_there_is_a_row_for_each_fault() -> None:
    assert [int(row[0]) for row in rows()] == list(range(1, FAULTS + 1))


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_the_tests_of_a_fault_exist(row: list[str]) -> None:
    tests = named(row[3])
    assert tests
    for test in tests:
        file, _, name = test.partition("::")
        assert name in functions(ROOT / file), test


@pytest.mark.django_db
def test_the_metrics_of_every_fault_are_told(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.METRICS_TOKEN = TOKEN
    monkeypatch.setattr(metrics, "rows", metrics.Rows())
    page = Client().get("/metrics", headers={"authorization": f"Bearer {TOKEN}"})
    told = names(page.content.decode())
    for number, *_, cell in rows():
        assert named(cell), number
        assert set(named(cell)) <= told, number


def test_nothing_bridges_by_the_name_of_a_queue() -> None:
    """Fault 27: the operation is the client's to offer, and nobody's to use."""
    files = [file for app in ("queues", "conferences", "callcenter") for file in (ROOT / app).rglob("*.py")]
    ours = [file for file in files if "simulator" not in file.parts]
    assert len(ours) > 50
    assert not [file for file in ours if "calls.bridge" in texts(file)]
