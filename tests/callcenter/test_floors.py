"""Who may import whom, where import-linter cannot say it exactly: what may be imported rather than what may not."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT


def imported(path: Path) -> Iterator[str]:
    """The absolute names of the modules and members that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide where they go"
            yield from (f"{node.module}.{name.name}" for name in node.names)


def strangers(place: str, *accepted: str) -> list[str]:
    """What a module or package imports beside the standard library, itself and what is accepted."""
    path = ROOT / place
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
    assert files
    own = (place.replace("/", "."), *accepted)
    return [
        f"{file.relative_to(ROOT)}: {name}"
        for file in files
        for name in imported(file)
        if name.partition(".")[0] not in sys.stdlib_module_names
        and not any(name == mine or name.startswith(f"{mine}.") for mine in own)
    ]


@pytest.mark.parametrize("place", ["queues/routing", "queues/metrics"])
def test_what_decides_and_what_counts_needs_nothing_but_the_standard_library(place: str) -> None:
    assert strangers(place) == []


def test_the_simulator_knows_of_ours_only_the_wire() -> None:
    libraries = ("httpx", "nacl", "uvicorn")
    assert strangers("callcenter/simulator", "webhooks.telnyx.events", "webhooks.telnyx.signature", *libraries) == []


@pytest.mark.parametrize("module", ["callcenter.simulator.__main__", "callcenter.fake_redis", "webhooks.telnyx"])
def test_what_stands_outside_loads_neither_django_nor_celery(module: str) -> None:
    script = f"import {module}, sys; print([name for name in ('django', 'celery') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
