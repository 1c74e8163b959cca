"""What lies ahead: who could take a call of a queue, and when a waiting call next asks for less."""

import re
import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from queues import engine, services
from queues.engine.preview import Prospect
from queues.models import Agent, Call, Queue, QueueEntry, QueueMembership, Skill
from queues.routing.eligibility import MEMBER, PENALTY, SKILLS
from tests.callcenter import clients
from tests.queues import scene
from tests.queues.reading import text, words

pytestmark = pytest.mark.django_db

State = Agent.State

RINGS = [{"after": 30, "levels": {"spanish": 2}}, {"after": 60, "drop": ["spanish"]}]


# a waiting call ----------------------------------------------------------------------------------------------


def waiting(line: Queue, *, since: int, **skills: int) -> Call:
    """In line for so many whole seconds, and some more milliseconds."""
    call = scene.waiting(line)
    rank_at = timezone.now().replace(microsecond=0) - timedelta(seconds=since)
    call.entries.update(rank_at=rank_at, required_skills=skills)
    return call


def now_of(client: Client, call: Call) -> str:
    return words(client, reverse("admin:queues_call_now", args=[call.pk]))


def at(call: Call, after: int) -> str:
    moment: datetime = call.entries.get().rank_at + timedelta(seconds=after)
    return f"{moment:%H:%M:%S}"


def test_a_waiting_call_shows_its_ring_and_when_the_next_opens(admin_client: Client) -> None:
    line = scene.queue(rings=RINGS)
    call = waiting(line, since=10, spanish=3)
    said = now_of(admin_client, call)
    assert re.search(
        rf"Ring 1 of 3 Asks for spanish 3; next ring opens at {at(call, 30)} \(in 0:[12][0-9]\): spanish 2\.", said
    ), said
    call.entries.update(rank_at=timezone.now() - timedelta(seconds=40))
    assert f"Ring 2 of 3 Asks for spanish 2; next ring opens at {at(call, 60)} (in 0:" in now_of(admin_client, call)
    assert "): no skill." in now_of(admin_client, call)
    call.entries.update(rank_at=timezone.now() - timedelta(seconds=90))
    assert "Ring 3 of 3 Asks for no skill; no ring is left to open." in now_of(admin_client, call)
    Queue.objects.update(rings=[{"after": 10**30, "drop": ["spanish"]}])  # as no form would have taken it
    assert "Ring 1 of 2 Asks for spanish 3; next ring opens at –" in now_of(admin_client, call)


def test_a_waiting_call_shows_its_penalty_window_and_the_next_rule(admin_client: Client) -> None:
    line = scene.queue(max_penalty=1, penalty_rules=[{"after": 60, "max_penalty": None, "raise_penalty": 1}])
    call = waiting(line, since=10, spanish=3)
    assert "Penalties" not in now_of(admin_client, call)  # no agents: as few as do not count
    scene.agent("anna", serves=line)
    said = now_of(admin_client, call)
    assert "Skills Asks for spanish 3, however long the wait." in said
    assert f"Admits 0 to 1; next rule counts from {at(call, 60)} (in 0:" in said
    assert "): any, those below 1 counting as 1." in said
    Queue.objects.update(max_penalty=0)
    assert "Admits 0 only;" in now_of(admin_client, call)


def test_a_waiting_call_shows_its_promise_and_when_second_choices_may_take_it(admin_client: Client) -> None:
    line = scene.queue(strategy="promise", scoring="promise", promise_secs=60)
    scene.agent("anna", serves=line)
    ben = scene.agent("ben", serves=line)
    ben.memberships.update(penalty=1)
    call = waiting(line, since=10)
    said = now_of(admin_client, call)
    assert f"Kept until {at(call, 60)} (in 0:" in said
    assert f"second choices may take it from {at(call, 30)} (in 0:" in said
    Queue.objects.update(max_penalty=0, penalty_rules=[{"after": 20, "max_penalty": None}])
    assert f"second choices may take it from {at(call, 30)} (in 0:" in now_of(admin_client, call)
    call.entries.update(rank_at=timezone.now() - timedelta(seconds=90))
    assert f"Broken since {at(call, 60)}; no gate keeps anybody from it." in now_of(admin_client, call)


def test_a_call_that_does_not_wait_has_no_ring(admin_client: Client) -> None:
    line = scene.queue(rings=RINGS)
    call = scene.talking(line)
    assert "Ring 1 of 3" not in now_of(admin_client, call)


def test_the_list_of_stays_shows_the_rings_of_who_waits(admin_client: Client) -> None:
    line = scene.queue(rings=RINGS)
    call = waiting(line, since=40)
    ended = scene.waiting(line, name="ended").entries.get()
    QueueEntry.objects.filter(pk=ended.pk).update(state=QueueEntry.State.ENDED, ended_at=timezone.now())
    said = words(admin_client, reverse("admin:queues_queueentry_changelist"))
    assert f"2 of 3, next {at(call, 60)}" in said
    assert said.count(" of 3") == 1


# a call that is imagined -------------------------------------------------------------------------------------


@pytest.fixture
def line() -> Queue:
    return scene.queue(
        required_skills={"spanish": 3},
        rings=RINGS,
        max_penalty=1,
        penalty_rules=[{"after": 60, "max_penalty": 2}],
    )


def member(name: str, line: Queue, *, spanish: int = 0, idle: int = 0, **fields: Any) -> Agent:
    """Fields of the membership by their names, of the agent after ``his_``."""
    his = {field.removeprefix("his_"): fields.pop(field) for field in list(fields) if field.startswith("his_")}
    made = scene.agent(name, available_since=timezone.now() - timedelta(seconds=idle), **his)
    QueueMembership.objects.create(agent=made, queue=line, **fields)
    if spanish:
        skill, _ = Skill.objects.get_or_create(name="spanish")
        made.agent_skills.create(skill=skill, level=spanish)
    return made


def furnish(line: Queue) -> None:
    member("anna", line, spanish=3, idle=10)
    member("ben", line, spanish=3, idle=20)
    member("cleo", line, spanish=3, idle=90, penalty=1)
    member("dan", line, spanish=3, idle=90, penalty=2)
    member("eve", line, spanish=2, idle=90)
    member("fay", line, idle=95)
    member("gus", line, spanish=5, idle=99, delay_secs=30)
    member("hal", line, spanish=5, paused=True)
    member("ida", line, spanish=5, his_state=State.NOT_READY)
    member("jim", line, spanish=2, his_state=State.WRAP_UP)
    member("kim", line, spanish=3, his_ready_at=timezone.now() + timedelta(seconds=60))
    scene.talking(line, name="talker", to=member("lee", line, spanish=3))


def names(prospects: Iterable[Prospect]) -> str:
    return ", ".join(each.agent.name for each in prospects)


def test_who_could_take_a_call_now_and_after_it_has_waited(line: Queue) -> None:
    furnish(line)
    seen = services.preview(line, {"spanish": 3}, now=timezone.now())
    assert [column.wait_secs for column in seen.columns] == [0, 30, 60]
    assert [column.required for column in seen.columns] == [{"spanish": 3}, {"spanish": 2}, {}]
    assert [names(column.takers) for column in seen.columns] == [
        "ben, anna, cleo",
        "gus, eve, ben, anna, cleo",
        "gus, fay, eve, ben, anna, cleo, dan",
    ]
    assert [names(column.if_free) for column in seen.columns] == [
        "ida, kim, lee",
        "ida, jim, kim, lee",
        "ida, jim, kim, lee",
    ]
    now, _, later = (
        {rule: [agent.name for agent in agents] for rule, agents in column.excluded.items()} for column in seen.columns
    )
    assert now == {MEMBER: ["gus", "hal"], PENALTY: ["dan"], SKILLS: ["eve", "fay", "jim"]}
    assert later == {MEMBER: ["hal"]}


def test_the_first_of_the_preview_is_whom_a_pass_chooses(line: Queue) -> None:
    furnish(line)
    call = waiting(line, since=30, spanish=3)
    engine.route(line.pk, now=timezone.now())
    assert call.offers.get().agent.name == "gus"


def test_skills_may_be_asked_for_that_the_queue_does_not_require(line: Queue) -> None:
    furnish(line)
    seen = services.preview(line, {"spanish": 5}, now=timezone.now())
    assert [names(column.takers) for column in seen.columns][:2] == ["", "gus, eve, ben, anna, cleo"]


def test_penalties_that_count_are_shown(line: Queue) -> None:
    Queue.objects.update(raise_penalty=1)
    line.refresh_from_db()
    furnish(line)
    now = services.preview(line, {"spanish": 3}, now=timezone.now()).columns[0]
    assert [(each.agent.name, each.penalty) for each in now.takers] == [("cleo", 1), ("ben", 1), ("anna", 1)]
    Queue.objects.update(penalty_members_limit=12)
    line.refresh_from_db()
    now = services.preview(line, {"spanish": 3}, now=timezone.now()).columns[0]
    assert {each.penalty for each in now.takers} == {0}
    assert "dan" in names(now.takers)


@pytest.mark.parametrize(
    ("main_agents", "cooling", "gates"),
    [
        pytest.param(2, 0, [20, None, None], id="main agents are scarce where he belongs"),
        pytest.param(3, 0, [None, None, None], id="they are plentiful"),
        pytest.param(2, 1, [20, None, None], id="one more of them cools down"),
    ],
)
def test_a_second_choice_is_shown_with_when_his_gate_opens(
    main_agents: int, cooling: int, gates: list[int | None]
) -> None:
    line = scene.queue(strategy="promise", scoring="promise", promise_secs=40)
    his = scene.queue("his")
    ben = member("ben", line, penalty=1)
    QueueMembership.objects.create(agent=ben, queue=his)
    for number in range(main_agents - 1):
        scene.agent(f"main {number}", serves=his)
    for number in range(cooling):
        scene.agent(f"cooling {number}", serves=his, ready_at=timezone.now() + timedelta(minutes=1))
    seen = services.preview(line, {}, now=timezone.now())
    assert [[each.gate_opens_after for each in column.takers] for column in seen.columns] == [[gate] for gate in gates]


def test_the_page_says_of_a_second_choice_when_his_time_comes(admin_client: Client) -> None:
    line = scene.queue(strategy="promise", scoring="promise", promise_secs=40)
    his = scene.queue("his")
    for name, state in (("ben", State.AVAILABLE), ("cleo", State.WRAP_UP)):
        QueueMembership.objects.create(agent=member(name, line, penalty=1, his_state=state), queue=his)
    now, later = words(admin_client, section(line)).split("After 30 s")
    assert "ben penalty 1; a second choice, before its time: from 0:20 of waiting" in now
    assert "wrap-up cleo penalty 1, from 0:20 of waiting" in now
    assert "ben penalty 1 Would, if they were free wrap-up cleo penalty 1" in later


def test_it_asks_as_often_for_many_members_as_for_few(line: Queue) -> None:
    Queue.objects.update(scoring="promise", strategy="promise")
    line.refresh_from_db()
    other = scene.queue("other")

    def queries(members: int) -> int:
        for number in range(QueueMembership.objects.filter(queue=line).count(), members):
            made = member(f"agent {number}", line, spanish=3, penalty=number % 3)
            QueueMembership.objects.create(agent=made, queue=other)
        with CaptureQueriesContext(connection) as asked:
            seen = services.preview(line, {"spanish": 3}, now=timezone.now())
        assert sum(len(column.takers) + len(column.excluded.get(PENALTY, ())) for column in seen.columns) == 3 * members
        return len(asked)

    assert queries(3) == queries(30) <= 6


# on the queue's page -----------------------------------------------------------------------------------------


def page(line: Queue) -> str:
    return reverse("admin:queues_queue_change", args=[line.pk])


def section(line: Queue) -> str:
    return reverse("admin:queues_queue_preview", args=[line.pk])


def test_the_queues_page_answers_for_the_skills_it_requires(line: Queue, admin_client: Client) -> None:
    furnish(line)
    html = admin_client.get(page(line)).content.decode()
    assert 'name="skills" value="spanish 3"' in re.sub(r"\s+", " ", html)
    said = text(html)
    assert "Now asks for spanish 3 ben penalty 0 anna penalty 0 cleo penalty 1 Would, if they were free" in said
    assert "After 30 s asks for spanish 2 gus penalty 0 eve penalty 0" in said
    assert "After 60 s asks for no skill" in said
    assert "cooling down kim busy lee not ready ida" in said
    assert "Lacks a skill, or its level: eve, fay, jim" in said


def test_other_skills_are_asked_for_on_the_page_and_in_its_section(line: Queue, admin_client: Client) -> None:
    furnish(line)
    for url in (page(line), section(line)):
        assert "Now asks for spanish 4 Nobody." in words(admin_client, url, skills="spanish 4"), url
        assert "Now asks for no skill fay penalty 0" in words(admin_client, url, skills=""), url


@pytest.mark.parametrize(
    ("typed", "line_said"),
    [
        ("spanish", "'spanish' is not a skill and a level from 1 to 5. Write: spanish 3, billing 2."),
        ("spanish 0", "'spanish 0' is not a skill and a level from 1 to 5."),
        ("spanish 6", "'spanish 6' is not a skill and a level from 1 to 5."),
        ("spanish ٣", "'spanish ٣' is not a skill and a level from 1 to 5."),
        ("spanish 1,  spanish  2", "'spanish' is there twice."),
        ("french 2", "Unknown skill: french. Add it first, or correct the name."),
        ("french 1, <b>latin</b> 2", "Unknown skill: <b>latin</b>, french. Add it first, or correct the name."),
        ("spanish\0 2", "Null characters are not allowed."),
        ("a 1," * 300, "Ensure this value has at most 1000 characters"),
    ],
)
def test_nonsense_is_answered_with_one_line(line: Queue, admin_client: Client, typed: str, line_said: str) -> None:
    Skill.objects.create(name="spanish")
    for url in (page(line), section(line)):
        html = admin_client.get(url, {"skills": typed})
        assert html.status_code == 200
        said = unescape(re.sub(r"\s+", " ", html.content.decode()))
        assert line_said in said
        assert "After 30 s" not in said
        assert "&lt;b&gt;" in html.content.decode() or "<b>" not in typed


def test_what_is_typed_into_the_form_does_not_count_before_it_is_saved(line: Queue, admin_client: Client) -> None:
    furnish(line)
    answer = admin_client.post(page(line), {"name": "support", "required_skills": "spanish 5", "hold_music_url": ""})
    assert answer.status_code == 200
    assert "Now asks for spanish 3" in text(answer.content.decode())


def test_it_is_for_those_who_may_see_the_queue_and_does_nothing(line: Queue, admin_client: Client) -> None:
    furnish(line)
    for right, status in (("queues.view_agent", 403), ("queues.view_queue", 200)):
        client = Client()
        client.force_login(clients.user(right, name=right, is_staff=True))
        assert client.get(section(line)).status_code == status
        assert client.get(page(line)).status_code == status
    assert Client().get(section(line)).status_code == 302
    assert admin_client.post(section(line)).status_code == 405
    assert admin_client.get(reverse("admin:queues_queue_preview", args=[uuid.uuid4()])).status_code == 404
    assert "Preview" not in text(admin_client.get(reverse("admin:queues_queue_add")).content.decode())
    with CaptureQueriesContext(connection) as asked:
        admin_client.get(section(line))
    assert all(query["sql"].lstrip().startswith("SELECT") for query in asked)


def test_a_queue_without_agents_has_nobody(line: Queue, admin_client: Client) -> None:
    assert words(admin_client, section(line)).count("Nobody.") == 3
