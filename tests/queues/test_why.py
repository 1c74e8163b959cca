"""Why a pass decided as it did: kept for each offer and for whoever waits, replayed, told, forgotten."""

import json
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db.models import QuerySet
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from callcenter import sweep
from queues import engine, reasons, services
from queues.engine import gather as gathering
from queues.engine import why
from queues.models import Agent, Call, Offer, Queue, QueueEntry, QueueMembership, RoutingDecision, RoutingPass, Skill
from queues.routing import dry_run
from tests.callcenter import clients
from tests.queues import scene

pytestmark = pytest.mark.django_db


@pytest.fixture
def line() -> Queue:
    return scene.queue()


def route(line: Queue) -> None:
    engine.route(line.pk, now=timezone.now())


def decisions_of(call: Call) -> QuerySet[RoutingDecision]:
    return services.why(call, now=timezone.now()).decisions


def told(decision: RoutingDecision) -> reasons.Reasons:
    return next(reasons.tell([decision]))


def test_an_offer_keeps_whom_it_chose_who_else_and_why_nobody_else(line: Queue) -> None:
    now = timezone.now()
    scene.agent("anna", serves=line, available_since=now - timedelta(minutes=2))
    scene.agent("ben", serves=line, available_since=now - timedelta(minutes=1))
    scene.agent("cleo", serves=line, state=Agent.State.NOT_READY)
    scene.agent("dan", serves=line, ready_at=now + timedelta(minutes=1))
    call = scene.waiting(line)
    route(line)
    decision = decisions_of(call).get()
    assert decision.offers.get() == call.offers.get()
    said = told(decision)
    assert said.offered_to == ["anna"]
    assert said.strategy == "Longest idle"
    assert [standing.name for standing in said.chosen] == ["anna"]
    assert [standing.name for standing in said.runners_up] == ["ben"]
    assert said.excluded == {"cooling down": ["dan"], "not available": ["cleo"]}


def test_who_waits_on_has_a_new_reason_only_where_it_is_another(line: Queue) -> None:
    spanish = Skill.objects.create(name="spanish")
    call = scene.waiting(line)
    call.entries.update(required_skills={"spanish": 2})
    route(line)
    route(line)
    assert told(decisions_of(call).get()).excluded == {}  # it has no members
    anna = scene.agent("anna", serves=line, state=Agent.State.OFFLINE)
    route(line)
    Agent.objects.filter(pk=anna.pk).update(state=Agent.State.AVAILABLE, available_since=timezone.now())
    route(line)
    route(line)
    said = [told(decision).excluded for decision in decisions_of(call)]
    assert said == [{}, {"lacks a skill, or its level": ["anna"]}]
    anna.agent_skills.create(skill=spanish, level=2)
    route(line)
    assert [told(decision).offered_to for decision in decisions_of(call)] == [[], [], ["anna"]]


def test_agents_who_come_and_go_without_the_skill_are_said_once(line: Queue) -> None:
    anna = scene.agent("anna", serves=line)
    call = scene.waiting(line)
    call.entries.update(required_skills={"spanish": 2})
    for state in (Agent.State.NOT_READY, Agent.State.AVAILABLE) * 5:
        Agent.objects.filter(pk=anna.pk).update(state=state)
        route(line)
    assert [told(decision).excluded for decision in decisions_of(call)] == [
        {"not available": ["anna"]},
        {"lacks a skill, or its level": ["anna"]},
    ]


def test_a_ring_that_opens_a_rule_that_applies_a_gate_and_a_decline_are_news(line: Queue) -> None:
    promise = {"strategy": "promise", "scoring": "promise", "promise_secs": 80}
    rules = [{"after": 60, "max_penalty": 1}]
    Queue.objects.update(rings=[{"after": 20, "drop": ["spanish"]}], penalty_rules=rules, **promise)
    anna = scene.agent("anna", serves=line, state=Agent.State.AVAILABLE, ready_at=timezone.now() + timedelta(hours=1))
    anna.memberships.update(penalty=1)
    call = scene.waiting(line)
    begin, seen = timezone.now(), []
    call.entries.update(required_skills={"spanish": 2}, rank_at=begin)
    for secs in (1, 19, 21, 39, 41, 59, 61, 62, 63):
        if secs == 62:
            missed = {"state": "declined", "ended_at": begin + timedelta(seconds=61.5)}
            call.offers.create(entry=call.entries.get(), agent=anna, offered_at=begin, **missed)
        engine.route(line.pk, now=begin + timedelta(seconds=secs))
        if decisions_of(call).count() > len(seen):
            seen.append(secs)
    assert seen == [1, 21, 41, 61, 62]


def test_who_waits_again_after_an_offer_is_told_of_again(line: Queue) -> None:
    anna = scene.agent("anna", serves=line, state=Agent.State.OFFLINE)
    call = scene.waiting(line)
    route(line)
    Agent.objects.filter(pk=anna.pk).update(state=Agent.State.AVAILABLE)
    route(line)
    call.offers.update(state=Offer.State.LEG_FAILED)
    call.entries.update(state=QueueEntry.State.WAITING)
    Agent.objects.filter(pk=anna.pk).update(state=Agent.State.OFFLINE, live_offer_id=None)
    route(line)
    route(line)
    assert [told(decision).offered_to for decision in decisions_of(call)] == [[], ["anna"], []]


def test_of_many_lines_all_have_their_turn(line: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(why, "MOST_WAITING", 2)
    calls = [scene.waiting(line, name=f"caller {number}") for number in range(5)]
    for number, call in enumerate(calls):
        call.entries.update(priority=number)
    now = timezone.now()
    for secs in range(3):
        engine.route(line.pk, now=now + timedelta(seconds=secs))
    assert [decisions_of(call).count() for call in calls] == [1] * 5


def test_who_joins_or_leaves_the_queue_later_changes_nothing_of_what_was(line: Queue) -> None:
    gone = scene.agent("gone", serves=line, state=Agent.State.OFFLINE)
    call = scene.waiting(line)
    route(line)
    gone.memberships.all().delete()
    scene.agent("hired later", serves=line)
    assert told(decisions_of(call).get()).excluded == {"not available": ["gone"]}


def test_of_many_who_are_not_there_the_first_are_named_and_the_rest_counted(
    line: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(why, "MOST_ABSENT", 2)
    scene.agent("anna", serves=line, ready_at=timezone.now() + timedelta(minutes=1))
    for position in range(5):
        off = scene.agent(f"off {position}", state=Agent.State.OFFLINE)
        QueueMembership.objects.create(agent=off, queue=line, position=position)
    call = scene.waiting(line)
    route(line)
    assert told(decisions_of(call).get()).excluded == {
        "cooling down": ["anna"],
        "not available": ["off 0", "off 1", "3 more"],
    }


def test_who_was_free_but_not_looked_at_is_not_called_unavailable(line: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "ALL_FREE", 0)
    for number in range(5):
        anna = scene.agent(f"agent {number}", serves=line, available_since=timezone.now() - timedelta(seconds=number))
    Agent.objects.update(profile="alike")
    call = scene.waiting(line)
    route(line)
    said = told(decisions_of(call).get())
    assert said.offered_to == [anna.name] == [standing.name for standing in said.chosen]
    [(words, who)] = said.excluded.items()
    assert words == "not available, or behind others who serve and can do the same"
    assert len(who) + len(said.runners_up) == 4


def test_an_offer_to_everyone_is_told_once(line: Queue) -> None:
    Queue.objects.update(strategy="ring_all")
    for number in range(6):
        scene.agent(f"agent {number}", serves=line)
    call = scene.waiting(line)
    route(line)
    decision = decisions_of(call).get()
    assert set(decision.offers.all()) == set(call.offers.all())
    assert told(decision).offered_to == [f"agent {number}" for number in range(6)]


def test_an_agent_who_took_another_call_of_the_same_pass_is_said_to(line: Queue, admin_client: Client) -> None:
    scene.agent("anna", serves=line)
    scene.agent("cleo", serves=line, state=Agent.State.NOT_READY)
    first, second = scene.waiting(line, name="first", since=60), scene.waiting(line, name="second", since=30)
    route(line)
    said = told(decisions_of(second).get())
    assert [(each.name, each.call) for each in said.elsewhere] == [("anna", first)]
    assert said.excluded == {"not available": ["cleo"]}
    page = admin_client.get(reverse("admin:queues_call_change", args=[second.pk])).content.decode()
    link = reverse("admin:queues_call_change", args=[first.pk])
    assert f'Took another call: <a href="{link}">anna</a>' in page


def test_a_call_further_back_in_its_line_waits_behind_the_first(line: Queue, admin_client: Client) -> None:
    scene.agent("anna", serves=line, state=Agent.State.NOT_READY)
    calls = [scene.waiting(line, name=f"caller {number}", since=60 - number) for number in range(4)]
    urgent, skilled = scene.waiting(line, name="urgent"), scene.waiting(line, name="skilled")
    urgent.entries.update(priority=1)
    skilled.entries.update(required_skills={"spanish": 1})
    route(line)
    now = timezone.now()
    assert [services.why(call, now=now).ahead for call in calls] == [None, *[calls[0]] * 3]
    assert [services.why(call, now=now).ahead for call in (urgent, skilled)] == [None, None]
    last = services.why(calls[3], now=now)
    assert not last.decisions.exists()
    assert list(last.of_ahead) == list(decisions_of(calls[0]))
    page = admin_client.get(reverse("admin:queues_call_change", args=[calls[3].pk])).content.decode()
    assert f'Waits behind <a href="{reverse("admin:queues_call_change", args=[calls[0].pk])}">' in page
    assert "Not available: anna" in page


def test_a_call_whose_promise_is_kept_does_not_wait_behind_those_whose_promise_is_broken(line: Queue) -> None:
    Queue.objects.update(strategy="promise", scoring="promise", promise_secs=40, beta="0.25")
    late, later, kept, last = (scene.waiting(line, name=f"{since}", since=since) for since in (60, 50, 30, 20))
    now = timezone.now()
    assert [services.why(call, now=now).ahead for call in (late, later, kept, last)] == [None, late, None, kept]


def test_an_explanation_that_fails_stops_no_offer_and_is_recorded_once(
    line: Queue, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, admin_client: Client
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise ValueError("too many digits")

    monkeypatch.setattr(why, "explain", fail)
    scene.agent("anna", serves=line)
    first, second = scene.waiting(line, name="first", since=60), scene.waiting(line, name="second", since=30)
    route(line)
    assert first.offers.get().agent.name == "anna"
    [routing_pass] = RoutingPass.objects.all()
    assert routing_pass.failure == "ValueError('too many digits')"
    assert dry_run.answer(routing_pass.state)["assignments"] == [
        [str(first.entries.get().pk), [str(first.offers.get().agent_id)]]
    ]
    assert f"a pass could not be explained id={routing_pass.pk}" in caplog.text
    route(line)
    assert [decisions_of(call).count() for call in (first, second)] == [1, 1]
    page = admin_client.get(reverse("admin:queues_call_change", args=[second.pk])).content.decode()
    assert "why could not be found out (ValueError(&#x27;too many digits&#x27;))" in page
    assert "nobody could take it" not in page


def test_the_largest_penalty_is_routed_and_explained(line: Queue) -> None:
    Queue.objects.update(strategy="promise", scoring="promise")
    anna = scene.agent("anna", serves=line)
    anna.memberships.update(penalty=32_767)
    other = scene.queue("other")
    scene.agent("ben", serves=other)
    calls = [scene.waiting(line, since=10), scene.waiting(other, name="another")]
    engine.route_all(now=timezone.now())
    said = [told(decisions_of(call).get()) for call in calls]
    assert [each.offered_to for each in said] == [["anna"], ["ben"]]
    assert " * 4**-32767, 32767, " in said[0].chosen[0].key


@pytest.mark.parametrize("strategy", ["longest_idle", "round_robin", "ring_all", "promise", "random"])
def test_a_decision_is_made_again_from_its_state(line: Queue, strategy: str) -> None:
    """The state goes through a file, as an operator would save it."""
    scoring = "promise" if strategy == "promise" else "strict_priority"
    Queue.objects.update(strategy=strategy, scoring=scoring)
    for number in range(3):
        scene.agent(f"agent {number}", serves=line, available_since=timezone.now() - timedelta(seconds=number))
    for number in range(5):
        scene.waiting(line, name=f"caller {number}", since=40 - number)
    route(line)
    [routing_pass] = RoutingPass.objects.all()
    answer = dry_run.answer(json.loads(json.dumps(routing_pass.state)), explained=True)
    made = {(str(offer.entry_id), str(offer.agent_id)) for offer in Offer.objects.all()}
    assert {(call, agent) for call, agents in answer["assignments"] for agent in agents} == made
    kept = {decision.explanation["call"]: decision.explanation for decision in routing_pass.decisions.all()}
    assert set(kept) == {call["id"] for call in routing_pass.state["calls"]}
    for each in answer["explain"]:
        assert kept[each["call"]] == each


def test_the_live_state_is_the_one_the_next_pass_decides_on(line: Queue, tmp_path: Path) -> None:
    scene.agent("anna", serves=line, available_since=timezone.now())
    first, second = scene.waiting(line, name="first", since=60), scene.waiting(line, name="second", since=30)
    state = tmp_path / "state.json"
    state.write_text(printed("--live", line.name))
    answer = json.loads(printed(str(state)))
    route(line)
    offer = Offer.objects.get()
    assert answer["assignments"] == [[str(first.entries.get().pk), [str(offer.agent_id)]]]
    assert answer["waiting"] == [str(second.entries.get().pk)]


def printed(*arguments: str) -> str:
    out = StringIO()
    call_command("route", *arguments, stdout=out)
    return out.getvalue()


def test_a_live_queue_that_is_not_there_is_one_line(line: Queue) -> None:
    err = StringIO()
    with pytest.raises(SystemExit) as left:
        call_command("route", "--live", "nowhere", stderr=err)
    assert left.value.code == 2
    assert err.getvalue() == "--live: found 'nowhere'; accepted: support\n"


def test_a_live_state_is_explained_from_its_file(line: Queue) -> None:
    err = StringIO()
    with pytest.raises(SystemExit) as left:
        call_command("route", "--live", "support", "--explain", stderr=err)
    assert left.value.code == 2
    assert err.getvalue() == "--explain: found with --live; accepted: with STATE.json, which --live prints\n"


def test_a_claim_that_is_lost_keeps_no_decision(line: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.agent("anna", serves=line)
    scene.waiting(line)
    monkeypatch.setattr(engine.agents, "reserve", lambda *_, **__: False)
    route(line)
    assert not RoutingDecision.objects.exists()
    assert not Offer.objects.exists()


def test_after_thirty_days_it_is_forgotten(line: Queue) -> None:
    old, new = (scene.decided(scene.waiting(line, name=name)) for name in ("old", "new"))
    long_ago = timezone.now() - timedelta(days=30, minutes=1)
    RoutingPass.objects.filter(pk=old.routing_pass.pk).update(decided_at=long_ago)
    assert ("queues.forget", "") in sweep.due(timezone.now())
    sweep.run(("queues.forget", ""))
    assert list(RoutingDecision.objects.all()) == [new]
    assert ("queues.forget", "") not in sweep.due(timezone.now())


def test_the_pages_of_call_offer_decision_and_pass_tell_it(line: Queue, admin_client: Client) -> None:
    scene.agent("anna", serves=line, available_since=timezone.now())
    scene.agent("cleo", serves=line, state=Agent.State.NOT_READY)
    call = scene.waiting(line)
    route(line)
    decision = decisions_of(call).get()
    rows: list[Any] = [call, decision.offers.get(), decision]
    for row in rows:
        page = admin_client.get(reverse(f"admin:queues_{row._meta.model_name}_change", args=[row.pk])).content.decode()
        assert "<strong>anna</strong>" in page, row
        assert "Not available: cleo" in page, row
    state = reverse("admin:queues_routingpass_change", args=[decision.routing_pass_id])
    assert "available_since" in admin_client.get(state).content.decode()


@pytest.mark.parametrize("may_see", [True, False])
def test_a_decision_is_told_on_no_page_to_who_may_not_see_decisions(line: Queue, may_see: bool) -> None:
    scene.agent("anna", serves=line)
    scene.agent("cleo", serves=line, state=Agent.State.NOT_READY)
    call = scene.waiting(line)
    route(line)
    rights = ["queues.view_call", "queues.view_offer", *["queues.view_routingdecision"] * may_see]
    client = Client()
    client.force_login(clients.user(*rights, is_staff=True))
    rows: list[Any] = [call, call.offers.get()]
    for row in rows:
        answer = client.get(reverse(f"admin:queues_{row._meta.model_name}_change", args=[row.pk]))
        assert answer.status_code == 200
        assert ("Not available: cleo" in answer.content.decode()) is may_see, row
