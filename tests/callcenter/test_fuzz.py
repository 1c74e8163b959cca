"""Whatever the schema allows: never a fault of ours, and never a token of Telnyx's."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.core.management import call_command
from rest_framework.test import APIClient
from rest_framework.throttling import UserRateThrottle

pytest.importorskip("schemathesis", reason="needs requirements-dev.txt")

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.core import NotSet

from queues.models import Queue
from tests.callcenter import clients
from tests.queues import scene

EXAMPLES = 8


@pytest.mark.django_db
def test_no_words_break_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(UserRateThrottle, "THROTTLE_RATES", {"user": "100000/min"})
    cache.clear()
    file = tmp_path / "schema.json"
    call_command("spectacular", "--format", "openapi-json", "--file", str(file))
    support = scene.queue(record=Queue.Record.ON_DEMAND)
    waiting, talking = scene.waiting(support, name="waiting"), scene.talking(support, name="talking")
    conference = scene.conference_of(talking).pk
    rows = {"agents": talking.offers.get().agent_id, "calls": waiting.pk, "queues": support.pk}
    client, answers = clients.key(), Counter[int]()
    for found in schemathesis.openapi.from_dict(json.loads(file.read_text())).get_all_operations():
        operation = found.ok()
        ident = str(rows.get(operation.path.split("/")[3], conference))
        answers += ask_whatever(client, operation, ident)
    assert set(answers) >= {200, 202, 400, 404, 409}
    assert max(answers) < 500


def ask_whatever(client: APIClient, operation: Any, ident: str) -> Counter[int]:
    """Requests made up from the schema, about one row; how often each status came back."""
    answers = Counter[int]()

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def ask(case: Any) -> None:
        path = operation.path.format(**dict.fromkeys(case.path_parameters or {}, ident))
        body = "" if isinstance(case.body, NotSet) else json.dumps(case.body)
        answer = client.generic(case.method, path, body, content_type="application/json", query_params=case.query)
        answers[answer.status_code] += 1
        assert answer.status_code < 500, (case.method, path, body)
        assert scene.TOKEN.encode() not in answer.content
        assert answer.status_code < 400 or answer.json()["code"], answer.content

    ask()
    return answers
