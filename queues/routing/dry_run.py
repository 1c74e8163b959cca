"""What ``manage.py route`` does with a document: answers one state, or judges a file of cases."""

import json
from collections.abc import Mapping
from typing import Any

from queues.routing import one_pass
from queues.routing.explain import explain
from queues.routing.shapes import ANYTHING, list_of, problem
from queues.routing.state_json import InvalidState, state_from
from queues.routing.state_shape import problems, used_twice


def answer(document: Any, *, explained: bool = False) -> dict[str, Any]:
    """The result of the document's state in the document's mode. Raises InvalidState.

    ``explained`` adds the reasons for what a pass did; a ranking has none beside its order.
    """
    if found := problems(document):
        raise InvalidState(found)
    return _answer(document, explained=explained)


def _answer(document: Mapping[str, Any], *, explained: bool = False) -> dict[str, Any]:
    state = state_from(document)
    match document.get("mode", "assign"):
        case "rank_agents":
            return {"ranking": list(one_pass.rank_agents(state, document["call"]))}
        case "rank_calls":
            return {"ranking": list(one_pass.rank_calls(state))}
        case _:
            result = one_pass.assign(state)
            offers = [[offer.call_id, list(offer.agent_ids)] for offer in result.assignments]
            reasons = {"explain": [each.as_json() for each in explain(state, result)]} if explained else {}
            return {"assignments": offers, "waiting": list(result.waiting), **reasons}


def judge(document: Mapping[str, Any]) -> tuple[list[str], bool]:
    """Run every case: a line for each that differs from what it expects, a last one that counts them.

    True if none differs. Raises InvalidState, before any is run, if one of them cannot be.
    """
    cases = document["cases"]
    found = [*list_of(ANYTHING).problems(cases, "cases"), *used_twice(document, "cases")]
    for number, case in enumerate(cases if isinstance(cases, list) else ()):
        path = f"cases[{number}]"
        found += problems(case, path)
        if isinstance(case, dict) and "expected" not in case:
            found.append(problem(f"{path}.expected", "missing", "the result the case should have"))
    if found:
        raise InvalidState(found)
    lines = [
        f"{_name(case, number)}: expected {_text(case['expected'])}, found {_text(result)}"
        for number, case in enumerate(cases)
        if (result := _answer(case)) != case["expected"]
    ]
    count = f"{len(lines)} of {len(cases)} cases differ"
    return [*lines, count], not lines


def _name(case: Mapping[str, Any], number: int) -> str:
    name = case.get("id")
    return json.dumps(name)[1:-1] if isinstance(name, str) else f"cases[{number}]"


def _text(result: Any) -> str:
    return json.dumps(result, default=str)
