"""``manage.py route``: what it prints, what it refuses, and how it judges cases."""

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import call_command

ROOT = Path(__file__).resolve().parents[3]

STATE = {
    "now": 1000,
    "queues": [{"id": "q", "strategy": "ring_all"}],
    "agents": [
        {"id": "a", "memberships": {"q": {}}},
        {"id": "b", "memberships": {"q": {}}},
        {"id": "é", "memberships": {"q": {"penalty": 1}}, "status": "busy"},
    ],
    "calls": [{"id": "c1", "queue": "q", "enqueued_at": 900}, {"id": "c2", "queue": "q", "enqueued_at": 950}],
}
RESULT = '{"assignments": [["c1", ["a", "b"]]], "waiting": ["c2"]}\n'


@pytest.fixture
def route(tmp_path, capsys):
    """Run the command on a document, or on text as it stands; its exit code, output and complaints."""

    def run(document, *flags):
        file = tmp_path / "state.json"
        file.write_text(document if isinstance(document, str) else json.dumps(document))
        code = 0
        try:
            call_command("route", str(file), *flags)
        except SystemExit as end:
            code = end.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err.splitlines()

    return run


def changed(path, value):
    """STATE with one field set, at a path written as the command writes it."""
    document = json.loads(json.dumps(STATE))
    *parents, last = (
        int(number) if number else name for name, number in re.findall(r"(\w+)|\[(\d+)\]", path.replace("[", ".["))
    )
    holder = document
    for key in parents:
        holder = holder.setdefault(key, {}) if isinstance(holder, dict) else holder[key]
    holder[last] = value
    return document


def test_a_state_is_answered_in_one_line_of_json(route):
    assert route(STATE) == (0, RESULT, [])


def test_the_output_is_the_same_to_the_byte_whatever_the_order_of_the_input(route):
    mixed = {key: STATE[key][::-1] if isinstance(STATE[key], list) else STATE[key] for key in reversed(STATE)}
    assert route(mixed, "--explain") == route(STATE, "--explain")


def test_rankings_print_a_ranking(route):
    assert route({**STATE, "mode": "rank_agents", "call": "c1"})[1] == '{"ranking": ["a", "b"]}\n'
    assert route({**STATE, "mode": "rank_calls"})[1] == '{"ranking": ["c1", "c2"]}\n'


def test_a_dash_reads_standard_input_with_no_settings_and_no_database():
    bare = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
    bare["DATABASE_URL"] = "postgres://nobody@127.0.0.1:1/nothing"
    command = [sys.executable, "manage.py", "route", "-"]
    done = subprocess.run(
        command, input=json.dumps(STATE).encode(), capture_output=True, cwd=ROOT, env=bare, check=True
    )
    assert done.stdout.decode() == RESULT


def test_a_dash_reads_standard_input(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(json.dumps(STATE).encode())))
    call_command("route", "-")
    assert capsys.readouterr().out == RESULT


def test_explain_adds_why_per_offer_and_per_waiting_call(route):
    _, out, _ = route(STATE, "--explain")
    first, left = json.loads(out)["explain"]
    assert first == {
        "call": "c1",
        "strategy": "ring_all",
        "chosen": [{"agent": "a", "key": [0, 0, 0, 0, "a"]}, {"agent": "b", "key": [0, 0, 0, 0, "b"]}],
        "runners_up": [],
        "excluded": {"é": "rule 1"},
    }
    assert left == {
        "call": "c2",
        "strategy": "ring_all",
        "runners_up": [],
        "excluded": {"a": "rule 1", "b": "rule 1", "é": "rule 1"},
    }


def test_annotations_are_ignored(route):
    notes = ["id", "group", "title", "why", "convention", "convention_note", "sources", "expected"]
    assert route({**STATE, **{note: ["anything", None] for note in notes}}) == (0, RESULT, [])


UNACCEPTABLE = [
    ("now", "1000", "whole seconds, 0 or more"),
    ("now", 1000.5, "whole seconds, 0 or more"),
    ("now", 1000.0, "whole seconds, 0 or more"),
    ("now", -1, "whole seconds, 0 or more"),
    ("pass_number", None, "a whole number"),
    ("mode", "guess", "one of assign, rank_agents, rank_calls"),
    ("queues[0].id", "", "a text that is not empty"),
    ("queues[0].strategy", "fastest", "one of longest_idle, least_recent, fewest_calls, least_talk_time, round_robin,"),
    ("queues[0].scoring", "vip", "one of strict_priority, aged, promise"),
    ("queues[0].idle_basis", "login", "one of available_since, last_handled_end"),
    ("queues[0].weight", 1.5, "a whole number"),
    ("queues[0].aging_seconds_per_point", -60, "whole seconds, 0 or more"),
    ("queues[0].min_penalty", -1, "a whole number, 0 to 32767, or null"),
    ("queues[0].penalty_members_limit", -1, "a whole number, 0 or more"),
    ("queues[0].last_offered_position", "first", "a whole number, or null"),
    ("queues[0].promise_secs", 0, "whole seconds, 1 or more"),
    ("queues[0].beta", 0, "a number above 0 and not above 1"),
    ("queues[0].beta", 1.01, "a number above 0 and not above 1"),
    ("queues[0].beta", "0.25", "a number above 0 and not above 1"),
    ("queues[0].sticky.hold_seconds", -1, "whole seconds, 0 or more"),
    ("queues[0].sticky", True, "an object, or null"),
    ("queues[0].rings", None, "a list"),
    ("agents[0].id", 7, "a text that is not empty"),
    ("agents[0].status", "lunch", "one of available, reserved, busy, wrap_up, not_ready, offline"),
    ("agents[0].capacity", -1, "a whole number, 0 or more"),
    ("agents[0].capacity", None, "a whole number, 0 or more"),
    ("agents[0].active_calls", True, "a whole number, 0 or more"),
    ("agents[0].reserved", 1, "true or false"),
    ("agents[0].skills.fr", -1, "a whole number, 0 or more"),
    ("agents[0].available_since", -5, "whole seconds, 0 or more"),
    ("agents[0].ready_at", 1.5, "whole seconds, 0 or more, or null"),
    ("agents[0].talk_seconds", -1, "whole seconds, 0 or more"),
    ("agents[0].memberships.q.penalty", -1, "a whole number, 0 to 32767"),
    ("agents[0].memberships.q.delay", -5, "whole seconds, 0 or more"),
    ("agents[0].memberships.q.paused", "no", "true or false"),
    ("agents[0].memberships.q.last_call_end", "inherit", "whole seconds, 0 or more, or null"),
    ("calls[0].queue", "z", "the id of a queue"),
    ("calls[0].enqueued_at", -1, "whole seconds, 0 or more"),
    ("calls[0].enqueued_at", 1001, "up to now, which is 1000"),
    ("calls[0].kind", "fax", "one of live, callback"),
    ("calls[0].priority", "high", "a whole number"),
    ("calls[0].required_skills.fr", -2, "a whole number, 0 or more"),
    ("calls[0].preferred_agent", 7, "a text that is not empty, or null"),
    ("calls[0].declined.a", None, "whole seconds, 0 or more"),
    ("calls[0].hidden_until", False, "whole seconds, 0 or more, or null"),
]


@pytest.mark.parametrize(("path", "value", "accepted"), UNACCEPTABLE)
def test_a_value_that_is_not_accepted_is_named_with_what_is(route, path, value, accepted):
    code, out, err = route(changed(path, value))
    assert (code, out, len(err)) == (2, "", 1), err
    assert err[0].startswith(f"{path}: found {json.dumps(value)}; accepted: {accepted}")


@pytest.mark.parametrize(
    ("path", "accepted"),
    [
        ("colour", "one of now, queues, agents, calls, mode, call, pass_number, id,"),
        ("queues[0].colour", "one of id, strategy, weight,"),
        ("queues[0].title", "one of id, strategy, weight,"),
        ("queues[0].sticky.colour", "one of hold_seconds, max_age"),
        ("agents[0].colour", "one of id, status, capacity,"),
        ("agents[0].memberships.q.colour", "one of penalty, position, delay,"),
        ("calls[0].colour", "one of id, queue, enqueued_at,"),
    ],
)
def test_an_unknown_field_is_named_with_the_known_ones(route, path, accepted):
    code, _, err = route(changed(path, "red"))
    assert code == 2
    assert any(line.startswith(f"{path}: unknown field; accepted: {accepted}") for line in err)


@pytest.mark.parametrize(
    "path",
    [
        *("now", "queues", "agents", "calls", "queues[0].id", "agents[1].id"),
        *("calls[0].id", "calls[0].queue", "calls[0].enqueued_at"),
    ],
)
def test_a_missing_field_is_named(route, path):
    document = changed(path, None)
    *holder, name = re.split(r"\.", path)
    place = document
    for key in re.findall(r"\w+", ".".join(holder)):
        place = place[int(key) if key.isdigit() else key]
    del place[name]
    code, out, err = route(document)
    assert (code, out) == (2, "")
    assert any(line.startswith(f"{path}: missing; accepted: ") for line in err)


RING = {"after": 10}
REFUSED = [
    ("no object", [], "the state: found a list; accepted: an object"),
    ("no list", changed("calls", {}), "calls: found an object; accepted: a list"),
    ("no map", changed("agents[0].memberships", ["q"]), "agents[0].memberships: found a list; accepted: an object"),
    ("two queues of one id", changed("queues", [{"id": "q"}] * 2), 'queues[1].id: "q" is used twice; accepted'),
    ("two agents of one id", changed("agents[1].id", "a"), 'agents[1].id: "a" is used twice; accepted'),
    ("two calls of one id", changed("calls[1].id", "c1"), 'calls[1].id: "c1" is used twice; accepted'),
    (
        "a membership in an unknown queue",
        changed("agents[0].memberships", {"z z": {}}),
        'agents[0].memberships["z z"]: unknown queue; accepted: the id of a queue',
    ),
    ("a ranking of no call", changed("mode", "rank_agents"), "call: missing; accepted: the id of a call, in this mode"),
    (
        "a ranking of an unknown call",
        {**STATE, "mode": "rank_agents", "call": "z"},
        'call: found "z"; accepted: the id of a call',
    ),
    (
        "a ring without its time",
        changed("queues[0].rings", [{"drop": ["fr"]}]),
        "queues[0].rings[0].after: missing; accepted: whole seconds, 0 or more",
    ),
    (
        "a ring that drops a number",
        changed("queues[0].rings", [RING, {**RING, "drop": [1]}]),
        "queues[0].rings[1].drop[0]: found 1; accepted: a text",
    ),
    (
        "a rule with an unknown limit",
        changed("queues[0].penalty_rules", [{"after": 1, "max": 1}]),
        "queues[0].penalty_rules[0].max: unknown field; accepted: one of after, min_penalty, max_penalty,",
    ),
    (
        "a hold without its seconds",
        changed("queues[0].sticky", {}),
        "queues[0].sticky.hold_seconds: missing; accepted: whole seconds, 0 or more",
    ),
    (
        "a priority beyond promise's",
        {**changed("calls[0].priority", 11), "queues": [{"id": "q", "strategy": "promise"}]},
        "calls[0].priority: found 11; accepted: -10 to 10 under promise scoring",
    ),
    (
        "a beta too fine",
        '{"now": 1, "agents": [], "calls": [], "queues": [{"id": "q", "beta": 1e-999999999}]}',
        "queues[0].beta: found 1E-999999999; accepted: a number above 0",
    ),
    (
        "a repeated key",
        '{"now": 1, "now": 2, "queues": [], "agents": [], "calls": []}',
        "now: given more than once; accepted: each key once",
    ),
    (
        "a repeated key deep inside",
        '{"now": 1, "queues": [{"id": "q", "id": "q"}], "agents": [], "calls": []}',
        "queues[0].id: given more than once; accepted: each key once",
    ),
    ("no JSON", "{now: 1}", "not JSON: "),
    ("a number that is none", '{"now": NaN}', "not JSON: NaN is not a number"),
    ("a number too long to reckon with", f'{{"now": {"9" * 101}}}', "not JSON: a number of 101 digits; at most 100"),
    ("JSON without a bottom", "[" * 100_000, "not JSON: "),
]


@pytest.mark.parametrize(("document", "line"), [pytest.param(*rest, id=name) for name, *rest in REFUSED])
def test_what_is_no_state_is_refused_in_one_line(route, document, line):
    code, out, err = route(document)
    assert (code, out, len(err)) == (2, "", 1), err
    assert err[0].startswith(line)


def test_every_problem_has_its_line(route):
    document = {**STATE, "now": -1, "colour": "red", "calls": [{"id": "c", "queue": "z"}]}
    code, out, err = route(document)
    assert (code, out) == (2, "")
    assert [line.split(":")[0] for line in err] == ["now", "calls[0].enqueued_at", "colour", "calls[0].queue"]


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(changed("calls[0].preferred_agent", "gone"), id="a preferred agent outside the state"),
        pytest.param(changed("calls[0].declined", {"gone": 2000}), id="a decline of an agent outside the state"),
        pytest.param(changed("queues[0].rings", [{"after": 1, "levels": {"fr": 5}}]), id="a ring that raises"),
        pytest.param({**changed("queues[0].min_penalty", 0)}, id="a window"),
        pytest.param(changed("queues[0].weight", -3), id="a negative weight"),
        pytest.param(changed("calls[0].priority", 99), id="a high priority under another scoring"),
        pytest.param(changed("calls[0].required_skills", {"nobody has it": 0}), id="an unknown skill"),
        pytest.param(changed("pass_number", 3), id="a pass number"),
    ],
)
def test_what_may_look_odd_is_taken_as_it_is(route, document):
    assert route(document) == (0, RESULT, [])


def test_a_file_that_is_not_there_is_named(capsys):
    with pytest.raises(SystemExit) as end:
        call_command("route", "nowhere.json")
    assert end.value.code == 2
    assert capsys.readouterr().err == "nowhere.json: No such file or directory\n"


def case(name, **changes):
    return {**STATE, "id": name, "expected": json.loads(RESULT), **changes}


def test_cases_that_agree_are_counted(route):
    file = {"schema_version": 1, "defaults": {"anything": 1}, "cases": [case("A-1"), case("A-2")]}
    assert route(file) == (0, "0 of 2 cases differ\n", [])


def test_a_case_that_differs_is_named_and_fails_the_run(route):
    wrong = case("A-2", expected={"assignments": [], "waiting": []})
    code, out, _ = route({"cases": [case("A-1"), wrong]})
    named, count = out.splitlines()
    assert (code, count) == (1, "1 of 2 cases differ")
    assert named.startswith('A-2: expected {"assignments": [], "waiting": []}, found {"assignments": [["c1"')


@pytest.mark.parametrize(("cases", "found"), [(None, "null"), ({}, "an object"), ("A-1", '"A-1"')])
def test_cases_that_are_no_list(route, cases, found):
    assert route({"cases": cases}) == (2, "", [f"cases: found {found}; accepted: a list"])


def test_two_cases_of_one_id_could_not_be_told_apart(route):
    line = 'cases[2].id: "A-1" is used twice; accepted: an id of its own'
    assert route({"cases": [case("A-1"), case("A-2"), case("A-1")]}) == (2, "", [line])
    assert route({"cases": [case(None), case(None)]}) == (0, "0 of 2 cases differ\n", [])


def test_a_case_that_cannot_be_run_stops_them_all(route):
    code, out, err = route({"cases": [case("A-1"), case("A-2", now="soon"), {**STATE, "id": "A-3"}]})
    assert (code, out) == (2, "")
    assert [line.split(";")[0] for line in err] == ['cases[1].now: found "soon"', "cases[2].expected: missing"]
