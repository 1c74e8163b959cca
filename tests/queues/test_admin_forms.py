"""Forms: what they take, and the one line with which they answer nonsense."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.forms import model_to_dict
from django.test import Client, override_settings
from django.urls import reverse

from queues.admin import forms
from queues.admin.forms import QueueForm
from queues.models import Agent, Number, Queue, QueueMembership, Skill, SupervisorPhone
from queues.templatetags.live import levels_as_text
from tests.queues import scene

pytestmark = pytest.mark.django_db

NO_ROWS = {"TOTAL_FORMS": "0", "INITIAL_FORMS": "0", "MIN_NUM_FORMS": "0", "MAX_NUM_FORMS": "1000"}


@pytest.fixture
def root() -> Iterator[Client]:
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


def queue_words(**words: Any) -> dict[str, Any]:
    """What the queue's form sends when only the name and the music were filled in."""
    empty = Queue(name="sales", hold_music_url="https://media.example.com/a.mp3")
    sent = {name: "" if value is None else value for name, value in model_to_dict(empty).items()}
    return {**sent, "required_skills": "", "rings": "[]", "penalty_rules": "[]", "sticky": "null"} | words


def inlines(prefix: str, *rows: dict[str, Any]) -> dict[str, Any]:
    total = {f"{prefix}-{name}": value for name, value in (NO_ROWS | {"TOTAL_FORMS": str(len(rows))}).items()}
    return total | {f"{prefix}-{at}-{name}": value for at, row in enumerate(rows) for name, value in row.items()}


def send(client: Client, page: str, words: dict[str, Any], *args: object) -> list[str]:
    """Post a form; the lines with which it was refused, none if it was taken."""
    answer = client.post(reverse(f"admin:{page}", args=args), words)
    if answer.status_code == 302:
        return []
    lines = [line for errors in answer.context["adminform"].errors.values() for line in errors]
    for inline in answer.context["inline_admin_formsets"]:
        lines += [line for form in inline.formset.errors for errors in form.values() for line in errors]
        lines += inline.formset.non_form_errors()
    return lines


def add_queue(client: Client, *members: dict[str, Any], numbers: tuple[str, ...] = (), **words: Any) -> list[str]:
    rows = inlines("numbers", *({"number": each, "priority": 0} for each in numbers)) | inlines("memberships", *members)
    return send(client, "queues_queue_add", queue_words(**words) | rows)


def member(agent: Agent, position: object = "") -> dict[str, Any]:
    return {"agent": agent.pk, "penalty": 0, "position": position, "delay_secs": 0, "queue_priority": 1}


# queues ------------------------------------------------------------------------------------------------------


def test_a_queue_is_added_with_its_numbers_agents_and_rules(root: Client) -> None:
    Skill.objects.create(name="spanish")
    anna, ben = scene.agent("anna"), scene.agent("ben")
    refused = add_queue(
        root,
        member(anna),
        member(ben),
        numbers=("+442071838750",),
        strategy="round_robin",
        required_skills="spanish 3",
        rings='[{"after": 30, "levels": {"spanish": 2}}]',
        penalty_rules='[{"after": 60, "max_penalty": null}]',
        sticky='{"hold_seconds": 30}',
    )
    assert refused == []
    queue = Queue.objects.get()
    assert queue.required_skills == {"spanish": 3}
    assert queue.rings == [{"after": 30, "levels": {"spanish": 2}}]
    assert queue.penalty_rules == [{"after": 60, "max_penalty": None}]
    assert queue.sticky == {"hold_seconds": 30}
    assert Number.objects.get().queue == queue
    assert list(queue.memberships.values_list("agent__name", "position")) == [("anna", 0), ("ben", 1)]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ({"strategy": "fastest"}, "“fastest” is not a strategy. Choose one of: longest_idle"),
        ({"name": "a/b"}, "Use letters, digits, space, dot, dash, underscore."),
        ({"hold_music_url": ""}, "A queue needs hold music: callers never wait in silence."),
        ({"hold_music_url": "music.mp3"}, "Give the address of an audio file: https://host/file.mp3."),
        ({"required_skills": "spanish"}, "'spanish' is not a skill and a level from 1 to 5. Write: spanish 3"),
        ({"required_skills": "spanish 6"}, "'spanish 6' is not a skill and a level from 1 to 5. Write: spanish 3"),
        ({"required_skills": "spanish 1, spanish 2"}, "'spanish' is there twice."),
        ({"required_skills": "french 1"}, "Unknown skill: french. Add it first."),
        ({"required_skills": "spanish 1,  spanish  2"}, "'spanish' is there twice."),
        ({"rings": '[{"after": 30, "drop": ["\\ud800"]}]'}, "rings: unknown skill \\ud800. Add it first."),
        (
            {"sticky": '{"hold_seconds": 86401}'},
            "sticky.hold_seconds: found 86401; accepted: up to 86400, which is a d",
        ),
        (
            {"sticky": '{"hold_seconds": 30, "max_age": 315360001}'},
            "sticky.max_age: found 315360001; accepted: up to 315360000, which is ten years; null",
        ),
        ({"rings": '[{"after": 30, "drop": []}]'}, "rings[0]: found nothing that is asked for less; accepted: levels"),
        (
            {"rings": '[{"after": 30, "levels": {"spanish": 9}}]'},
            "rings[0].levels.spanish: found 9; accepted: up to 5.",
        ),
        (
            {"rings": '[{"after": 1000000000000000000000, "drop": ["spanish"]}]'},
            "rings[0].after: found 1000000000000000000000; accepted: up to 86400, which is a day.",
        ),
        (
            {"penalty_rules": '[{"after": 30}]'},
            "penalty_rules[0]: found no limit; accepted: one or more of min_penalty",
        ),
        ({"max_penalty": "1", "raise_penalty": "2"}, "Everybody would be raised above the greatest penalty, 1."),
        (
            {"max_penalty": "1", "penalty_rules": '[{"after": 30, "raise_penalty": 2}]'},
            "penalty_rules: after 30 s found raise_penalty 2; accepted: max_penalty 1 or less.",
        ),
        ({"scoring": "promise"}, "Promise scoring chooses the agents too: choose promise as the strategy, or another"),
        ({"rings": '{"after": 1}'}, "rings: found "),
        ({"rings": '[{"after": -1}]'}, "rings[0].after: found -1; accepted: "),
        (
            {"required_skills": "spanish 2", "rings": '[{"after": 30, "levels": {"spanish": 3}}]'},
            "rings: after 30 s found spanish 3; accepted: the 2 asked for before it, or less.",
        ),
        (
            {"rings": '[{"after": 60, "levels": {"spanish": 2}}, {"after": 30, "levels": {"spanish": 1}}]'},
            "rings: after 60 s found spanish 2; accepted: the 1 asked for before it, or less.",
        ),
        ({"rings": '[{"after": 30, "drop": ["klingon"]}]'}, "rings: unknown skill klingon. Add it first."),
        (
            {"max_penalty": "2", "penalty_rules": '[{"after": 30, "min_penalty": 3}]'},
            "penalty_rules: after 30 s found min_penalty 3; accepted: max_penalty 2 or less.",
        ),
        ({"rings": '[{"later": 1}]'}, "rings[0]"),
        ({"penalty_rules": '[{"after": 1, "max_penalty": "low"}]'}, "penalty_rules[0].max_penalty: found "),
        *(({name: "1001"}, "Penalties go from 0 to 1000.") for name in forms.PENALTY_LIMITS),
        (
            {"penalty_rules": '[{"after": 1, "max_penalty": 1001}]'},
            "penalty_rules[0].max_penalty: found 1001; accepted: up to 1000.",
        ),
        ({"penalty_rules": '[{"after": 1, "min_penalty": 32768}]'}, "penalty_rules[0].min_penalty: found 32768; acc"),
        ({"sticky": '{"max_age": 5}'}, "sticky"),
        ({"min_penalty": "5", "max_penalty": "2"}, "The least penalty must not exceed the greatest."),
        ({"ring_secs": "4"}, "Ensure this value is greater than or equal to 5."),
        ({"max_size": "0"}, "Ensure this value is greater than or equal to 1."),
        ({"numbers": ("0207 183",)}, "Give an E.164 number: + and 7 to 15 digits"),
    ],
)
def test_a_queue_of_nonsense(root: Client, words: dict[str, Any], line: str) -> None:
    Skill.objects.create(name="spanish")
    refused = add_queue(root, **words)
    assert refused
    assert refused[0].startswith(line), refused
    assert not Queue.objects.exists()


@pytest.mark.parametrize("setting", ["rings", "penalty_rules", "sticky"])
@pytest.mark.parametrize(
    "text",
    [
        *('""', "0", "1.5", "false", "true", '"null"', "[[]]", '{"after": 1}', "NaN", "[", "{", "[" * 100_000),
        *('[{"after": 30, "after": 60, "max_penalty": 1}]', '{"hold_seconds": 30, "hold_seconds": 600}'),
        *(f'[{{"after": {"9" * 5000}}}]', f'{{"hold_seconds": {"9" * 5000}}}'),
    ],
    ids=lambda text: text[:30],
)
def test_the_form_and_the_command_refuse_alike(
    root: Client, capsys: Any, tmp_path: Path, setting: str, text: str
) -> None:
    """In a line that names the field, or two."""
    state = tmp_path / "state.json"
    state.write_text(f'{{"now": 1, "queues": [{{"id": "q", "{setting}": {text}}}], "agents": [], "calls": []}}')
    with pytest.raises(SystemExit):
        call_command("route", str(state))
    said = [line.removeprefix("queues[0].") for line in capsys.readouterr().err.splitlines()]
    refused = add_queue(root, **{setting: text})
    if said[0].startswith("not JSON: "):
        said = [f"{setting}: not JSON: "]
    assert len(refused) == len(said)
    assert all(line.startswith(words) for line, words in zip(refused, said, strict=True))
    assert not Queue.objects.exists()


@pytest.mark.parametrize(
    ("setting", "text"), [("rings", "{}"), ("rings", "null"), ("penalty_rules", "{}"), ("sticky", "[]")]
)
def test_what_is_empty_is_not_therefore_nothing(root: Client, setting: str, text: str) -> None:
    [refused] = add_queue(root, **{setting: text})
    assert refused.startswith(f"{setting}: found ")


def test_a_field_left_empty_is_for_never(root: Client) -> None:
    assert add_queue(root, rings="", penalty_rules=" ", sticky="") == []
    queue = Queue.objects.get()
    assert (queue.rings, queue.penalty_rules, queue.sticky) == ([], [], None)


def test_what_was_typed_is_shown_again_as_it_was_typed(root: Client) -> None:
    """With what is wrong about it: a key that came twice, too."""
    text = '[{"after": 30, "after": 60, "drop": ["spanish"]}]'
    answer = root.post(
        reverse("admin:queues_queue_add"), queue_words(rings=text) | inlines("numbers") | inlines("memberships")
    )
    assert answer.context["adminform"].form["rings"].value() == text


def test_the_promise_strategy_brings_its_scoring_along_unless_another_is_named(root: Client) -> None:
    assert add_queue(root, name="first", strategy="promise") == []
    assert add_queue(root, name="second", strategy="promise", scoring="aged") == []
    assert list(Queue.objects.values_list("name", "scoring")) == [("first", "promise"), ("second", "aged")]


def test_what_a_supervisor_writes_as_json_is_shown_by_example(root: Client) -> None:
    """Each example is itself taken."""
    Skill.objects.create(name="spanish")
    page = root.get(reverse("admin:queues_queue_add")).content.decode()
    for example in (forms.RINGS_LIKE, forms.RULES_LIKE, forms.STICKY_LIKE):
        assert example in page
    examples = {"rings": forms.RINGS_LIKE, "penalty_rules": forms.RULES_LIKE, "sticky": forms.STICKY_LIKE}
    assert add_queue(root, required_skills="spanish 3", **examples) == []


def test_music_comes_from_our_hosts_only() -> None:
    with override_settings(MEDIA_HOSTS=["media.example.org"], DEBUG=True):
        form = QueueForm(queue_words(), instance=Queue())
        assert form.errors["hold_music_url"] == [
            "Music may not be fetched from 'media.example.com'. Accepted hosts: media.example.org."
        ]
    with override_settings(MEDIA_HOSTS=[], DEBUG=False):
        assert "name them in MEDIA_HOSTS" in QueueForm(queue_words(), instance=Queue()).errors["hold_music_url"][0]


def test_skills_are_shown_as_they_are_typed() -> None:
    assert levels_as_text({"spanish": 3, "billing": 2}) == "billing 2, spanish 3"
    line = scene.queue(required_skills={"spanish": 3})
    assert 'value="spanish 3"' in str(QueueForm(instance=line)["required_skills"])


def test_in_a_queue_that_goes_in_turn_no_position_is_taken_twice(root: Client) -> None:
    anna, ben = scene.agent("anna"), scene.agent("ben")
    refused = add_queue(root, member(anna, 1), member(ben, 1), strategy="round_robin")
    assert refused[0].startswith("Position 1 is taken by more than one agent")
    assert add_queue(root, member(anna, 1), member(ben, 1), strategy="longest_idle") == []


def test_a_queue_that_has_had_calls_stays(root: Client) -> None:
    used, unused = scene.queue("used"), scene.queue("unused")
    scene.waiting(used)
    assert root.post(reverse("admin:queues_queue_delete", args=[used.pk]), {"post": "yes"}).status_code == 403
    root.post(reverse("admin:queues_queue_delete", args=[unused.pk]), {"post": "yes"})
    form = {"action": "delete_selected", "_selected_action": [str(used.pk)], "post": "yes"}
    root.post(reverse("admin:queues_queue_changelist"), form)
    assert list(Queue.objects.all()) == [used]


@pytest.mark.parametrize(
    ("named", "use"),
    [
        ({"required_skills": {"spanish": 3}}, "required by sales"),
        ({"rings": [{"after": 5, "drop": ["spanish"]}]}, "in the rings of sales"),
        ({"rings": [{"after": 5}, {"after": 9, "levels": {"spanish": 1}}]}, "in the rings of sales"),
    ],
)
def test_a_skill_that_a_queue_names_stays_as_it_is(root: Client, named: dict[str, Any], use: str) -> None:
    used, unused = Skill.objects.create(name="spanish"), Skill.objects.create(name="french")
    scene.queue("sales", **named)
    page = root.get(reverse("admin:queues_skill_change", args=[used.pk])).content.decode()
    assert use in page
    assert reverse("admin:queues_skill_delete", args=[used.pk]) not in page
    refused = send(root, "queues_skill_change", {"name": "latin"}, used.pk)
    assert refused == [f"'spanish' is {use}. Take it out there first."]
    assert send(root, "queues_skill_change", {"name": "spanish"}, used.pk) == []
    assert root.post(reverse("admin:queues_skill_delete", args=[used.pk]), {"post": "yes"}).status_code == 403
    assert send(root, "queues_skill_change", {"name": "latin"}, unused.pk) == []
    assert root.post(reverse("admin:queues_skill_delete", args=[unused.pk]), {"post": "yes"}).status_code == 302
    assert list(Skill.objects.values_list("name", flat=True)) == ["spanish"]


# numbers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", ["02071838750", "+44 20 7183 8750", "+0442071838750", "+4420", ""])
def test_a_number_that_is_not_e164(root: Client, number: str) -> None:
    refused = send(root, "queues_number_add", {"number": number, "queue": scene.queue().pk, "priority": 0})
    assert len(refused) == 1
    assert refused[0].startswith(("Give an E.164 number", "This field is required", "Ensure this value has at most"))


def test_a_number_leads_to_one_queue(root: Client) -> None:
    Number.objects.create(number="+442071838750", queue=scene.queue("sales"))
    words = {"number": "+442071838750", "queue": scene.queue("support").pk, "priority": 0}
    refused = send(root, "queues_number_add", words)
    assert refused == ["This number leads to a queue already; a number leads to one queue."]


@pytest.mark.parametrize("priority", ["11", "-11", "1.5", ""])
def test_a_priority_that_no_call_may_have(root: Client, priority: str) -> None:
    words = {"number": "+442071838750", "queue": scene.queue().pk}
    assert len(send(root, "queues_number_add", words | {"priority": priority})) == 1
    assert send(root, "queues_number_add", words | {"priority": "-10"}) == []
    assert Number.objects.get().priority == -10


# people ------------------------------------------------------------------------------------------------------


def add_agent(client: Client, **words: Any) -> list[str]:
    sent = {"name": "anna", "address": "sip:anna@example.com", "confirm": ""} | words
    return send(client, "queues_agent_add", sent | inlines("memberships") | inlines("agent_skills"))


def test_an_agent_is_added_and_starts_offline(root: Client) -> None:
    assert add_agent(root) == []
    assert Agent.objects.get().state == Agent.State.OFFLINE


@pytest.mark.parametrize(
    ("address", "line"),
    [
        ("", "An agent needs an address: an E.164 number or sip:user@host."),
        ("anna", "'anna' is neither an E.164 number (+442071838750) nor a SIP address (sip:user@host)."),
        ("sip:anna", "'sip:anna' is not a SIP address. Give sip:user@host."),
        ("sip:a@b;transport=tcp", "'sip:a@b;transport=tcp' is not a SIP address. Give sip:user@host."),
    ],
)
def test_an_agent_who_cannot_be_rung(root: Client, address: str, line: str) -> None:
    assert add_agent(root, address=address) == [line]


def test_two_agents_of_one_name(root: Client) -> None:
    scene.agent("anna")
    assert add_agent(root) == ["Another agent has this name already."]


def test_an_agents_state_is_not_set_by_the_form(root: Client) -> None:
    anna = scene.agent("anna", state=Agent.State.NOT_READY)
    sent = {"name": "anna", "address": scene.PHONE, "confirm": "", "state": "available", "reason": "x"}
    rows = inlines("memberships") | inlines("agent_skills")
    assert send(root, "queues_agent_change", sent | rows, anna.pk) == []
    anna.refresh_from_db()
    assert (anna.state, anna.reason) == (Agent.State.NOT_READY, "")


def test_an_agent_who_has_been_offered_calls_stays(root: Client) -> None:
    anna = scene.agent("anna")
    scene.talking(scene.queue(), to=anna)
    assert root.post(reverse("admin:queues_agent_delete", args=[anna.pk]), {"post": "yes"}).status_code == 403


def test_a_membership_by_itself_gets_the_next_position_or_its_own(root: Client) -> None:
    line = scene.queue(strategy="round_robin")
    scene.agent("anna", serves=line)
    ben, cleo = scene.agent("ben"), scene.agent("cleo")

    def add(agent: Agent, position: object) -> list[str]:
        return send(root, "queues_queuemembership_add", {"queue": line.pk} | member(agent, position))

    assert add(ben, 0) == ["Position 0 is taken by anna; in a queue that goes in turn every agent has his own."]
    assert add(ben, "") == []
    assert QueueMembership.objects.get(agent=ben).position == 1
    assert add(ben, 7) == ["Queue membership with this Agent and Queue already exists."]
    assert add(cleo, 7) == []


def test_a_penalty_has_an_end(root: Client) -> None:
    line = scene.queue()
    words = {"queue": line.pk} | member(scene.agent("anna"))
    for penalty, refused in ((1001, ["Penalties go from 0 to 1000."]), (-1, None), (1000, [])):
        said = send(root, "queues_queuemembership_add", words | {"penalty": penalty})
        assert said == refused if refused is not None else len(said) == 1
    assert QueueMembership.objects.get().penalty == 1000


def test_where_a_supervisor_is_rung(root: Client) -> None:
    user = User.objects.get()
    for address, taken in (("nowhere", False), ("+442071838750", True)):
        refused = send(root, "queues_supervisorphone_add", {"user": user.pk, "address": address})
        assert (refused == []) is taken
    assert SupervisorPhone.objects.get().address == "+442071838750"
