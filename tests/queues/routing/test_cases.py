"""The worked cases: the project's own, each with its reason, and the examples of the design."""

import os
from pathlib import Path

import pytest
from django.core.management import call_command

from queues.routing import dry_run
from queues.routing.state_json import parse

CASE_FILES = sorted((Path(__file__).parent / "cases").glob("*.json"))


CASES = [case for file in CASE_FILES for case in parse(file.read_bytes())["cases"]]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['id']} {case['title']}")
def test_a_worked_case(case):
    assert dry_run.answer(case) == case["expected"], case["why"]


def test_the_cases_cover_every_rule_with_a_reason_each():
    assert len(CASES) >= 150
    assert len({case["id"] for case in CASES}) == len(CASES)
    assert all(case["why"] and case["title"] for case in CASES)


@pytest.mark.parametrize("file", CASE_FILES, ids=lambda file: file.stem)
def test_the_command_agrees_with_a_file_of_cases(file, capsys):
    call_command("route", str(file))
    assert capsys.readouterr().out.startswith("0 of ")


def test_the_command_agrees_with_the_designs_examples(capsys):
    spec_dir = os.environ.get("TELNYX_SPEC_DIR")
    if not spec_dir:
        pytest.skip("TELNYX_SPEC_DIR is not set; the examples lie beside that folder")
    examples = Path(spec_dir).parent / "design" / "routing-examples.json"
    if not examples.exists():
        pytest.skip("routing-examples.json is not beside TELNYX_SPEC_DIR")
    call_command("route", str(examples))
    assert capsys.readouterr().out.startswith("0 of ")
