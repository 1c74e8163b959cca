"""An explanation as a person reads it: who was chosen by which key, who came next, who was out and why."""

from fractions import Fraction

import pytest

from queues.routing import dry_run


def explained(document):
    state = {"now": 1000, "queues": [{"id": "q"}], "agents": [], "calls": [], **document}
    return dry_run.answer(state, explained=True)["explain"]


def agent(name, *, queue_priority=1, penalty=0, **fields):
    return {"id": name, "memberships": {"q": {"queue_priority": queue_priority, "penalty": penalty}}, **fields}


def call(name="c", wait=10, **fields):
    return {"id": name, "queue": "q", "enqueued_at": 1000 - wait, **fields}


def test_each_rule_is_named_for_whom_it_excludes_first():
    agents = [
        agent("a1", status="busy", ready_at=1001),
        agent("a2", ready_at=1001, penalty=9),
        {"id": "a3", "memberships": {"q": {"delay": 60, "penalty": 9}}},
        agent("a4", penalty=9),
        agent("a5"),
        agent("a6", skills={"fr": 1}),
        agent("a7", skills={"fr": 1}, available_since=500),
        agent("a8", skills={"fr": 1}, available_since=400),
        {"id": "no member"},
    ]
    queues = [{"id": "q", "max_penalty": 5}]
    calls = [call(required_skills={"fr": 1}, declined={"a5": 1001, "a6": 1001})]
    assert explained({"queues": queues, "agents": agents, "calls": calls}) == [
        {
            "call": "c",
            "strategy": "longest_idle",
            "chosen": [{"agent": "a8", "key": [0, 0, 400, 0, "a8"]}],
            "runners_up": [{"agent": "a7", "key": [0, 0, 500, 0, "a7"]}],
            "excluded": {
                "a1": "rule 1",
                "a2": "rule 2",
                "a3": "rule 3",
                "a4": "rule 4",
                "a5": "rule 5",
                "a6": "rule 6",
            },
        }
    ]


def test_the_others_are_out_for_stickiness_when_a_call_has_its_preferred_agent():
    [offer] = explained(
        {
            "queues": [{"id": "q", "sticky": {"hold_seconds": 20}}],
            "agents": [agent("a"), agent("b")],
            "calls": [call(preferred_agent="b")],
        }
    )
    assert [chosen["agent"] for chosen in offer["chosen"]] == ["b"]
    assert (offer["runners_up"], offer["excluded"]) == ([], {"a": "sticky"})


def test_a_call_that_holds_says_so():
    [left] = explained(
        {
            "queues": [{"id": "q", "sticky": {"hold_seconds": 20}}],
            "agents": [agent("a"), agent("b", status="wrap_up")],
            "calls": [call(preferred_agent="b")],
        }
    )
    assert left == {
        "call": "c",
        "strategy": "longest_idle",
        "runners_up": [],
        "excluded": {"a": "sticky", "b": "rule 1"},
    }


def test_promise_shows_what_pairs_are_weighed_by_and_who_is_behind_the_gate():
    [offer] = explained(
        {
            "queues": [{"id": "q", "strategy": "promise", "promise_secs": 60}, {"id": "m"}],
            "agents": [
                agent("a", available_since=5),
                {"id": "b", "memberships": {"q": {"penalty": 1}, "m": {}}},
                agent("d"),
            ],
            "calls": [call(wait=26, priority=-1)],
        }
    )
    assert offer["strategy"] == "promise"
    assert offer["chosen"] == [{"agent": "d", "key": ["13/240", 0, 0, 0, "d"]}]
    assert offer["runners_up"] == [{"agent": "a", "key": ["13/240", 0, 5, 0, "a"]}]
    assert offer["excluded"] == {"b": "promise gate"}


def test_a_second_choice_beyond_the_gate_is_a_runner_up_with_a_quarter_of_the_share():
    [offer] = explained(
        {
            "queues": [{"id": "q", "strategy": "promise", "promise_secs": 60}],
            "agents": [agent("a"), agent("b", penalty=1)],
            "calls": [call(wait=40)],
        }
    )
    assert offer["runners_up"] == [{"agent": "b", "key": ["1/6", 1, 0, 0, "b"]}]


@pytest.mark.parametrize(
    ("penalty", "share"), [(30, str(Fraction(1, 2 * 4**30))), (31, "1/2 * 4**-31"), (32_767, "1/2 * 4**-32767")]
)
def test_the_share_of_a_last_resort_is_exact_and_short(penalty, share):
    queues = [{"id": "q", "strategy": "promise"}, {"id": "main", "main_available": 3}]
    agents = [{"id": "a", "memberships": {"q": {"penalty": penalty}, "main": {}}}]
    [offer] = explained({"queues": queues, "agents": agents, "calls": [call(wait=10)]})
    assert offer["chosen"] == [{"agent": "a", "key": [share, penalty, 0, 0, "a"]}]


def test_who_is_kept_for_his_first_queue_is_out_for_queue_priority():
    offers = explained(
        {
            "queues": [{"id": "q"}, {"id": "first"}],
            "agents": [
                {"id": "a", "memberships": {"q": {"queue_priority": 2}, "first": {"queue_priority": 1}}},
                agent("b"),
            ],
            "calls": [call("c1", 90), {"id": "c2", "queue": "first", "enqueued_at": 995}],
        }
    )
    assert [(offer["call"], offer["excluded"]) for offer in offers] == [("c1", {"a": "queue_priority"}), ("c2", {})]


def test_each_offer_is_explained_as_things_stood_when_it_was_made():
    first, second, left = explained(
        {
            "agents": [agent("a", capacity=2, available_since=1), agent("b", available_since=2)],
            "queues": [{"id": "q"}],
            "calls": [call("c1", 40), call("c2", 30), call("c3", 20, required_skills={"fr": 1})],
        }
    )
    assert first["runners_up"] == [{"agent": "b", "key": [0, 0, 2, 0, "b"]}]
    assert second["chosen"] == [{"agent": "b", "key": [0, 0, 2, 0, "b"]}]
    assert second["runners_up"] == [{"agent": "a", "key": [0, 1, 1, 0, "a"]}]
    assert left["excluded"] == {"a": "rule 5", "b": "rule 1"}
