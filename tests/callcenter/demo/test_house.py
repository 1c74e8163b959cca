from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import Group, User
from django.forms.models import model_to_dict
from django.utils import timezone

from callcenter import roles
from callcenter.demo import house
from callcenter.demo.house import NotTheDemos, Pace
from queues import services
from queues.admin.forms import QueueForm
from queues.models import Agent, Number, Queue, QueueMembership, SupervisorPhone
from tests.queues import scene

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PACE = Pace(speed=20, longest_patience_secs=21)


def test_it_has_three_queues_twelve_agents_and_two_supervisors() -> None:
    password = house.furnish(PACE, now=NOW)
    assert (Queue.objects.count(), Number.objects.count(), Agent.objects.available().count()) == (3, 3, 12)
    for queue in Queue.objects.all():
        assert sorted(queue.memberships.values_list("penalty", flat=True)) == [0] * 4 + [1] * 4 + [2] * 4
    supervisors = User.objects.filter(groups__name=roles.SUPERVISORS)
    assert {user.username for user in supervisors} == set(house.SUPERVISORS)
    for user in supervisors:
        assert user.check_password(password)
        assert user.has_perms(["conferences.monitor_conference", "queues.force_agent_state"])
        assert user.has_perms(["queues.change_queue", "callcenter.view_processheartbeat"])
    assert SupervisorPhone.objects.count() == 2


def test_a_ring_a_penalty_rule_and_a_sticky_queue_can_be_seen() -> None:
    house.furnish(Pace(speed=1, longest_patience_secs=420), now=NOW)
    sales, billing = (Queue.objects.get(name=name) for name in ("Sales", "Billing"))
    assert sales.sticky == {"hold_seconds": 15}
    call = scene.waiting(sales, name="sales", since=1)
    standing = services.standing(call, now=timezone.now())
    assert standing is not None
    assert standing.window is not None
    assert standing.window.next_window is not None
    assert (standing.window.window.max_penalty, standing.window.next_window.max_penalty) == (1, None)
    call = scene.waiting(billing, name="billing", since=1)
    call.entries.update(required_skills=billing.required_skills)
    standing = services.standing(call, now=timezone.now())
    assert standing is not None
    assert (standing.ring.number, standing.ring.count, standing.ring.next_required) == (1, 3, {"billing": 2})


@pytest.mark.parametrize("speed", [1, 5, 20, 100])
def test_its_queues_are_such_as_the_form_would_save(speed: float) -> None:
    house.furnish(Pace(speed=speed, longest_patience_secs=21), now=NOW)
    for queue in Queue.objects.all():
        kept = model_to_dict(queue)
        form = QueueForm(instance=queue)
        said = {name: field.prepare_value(kept[name]) for name, field in form.fields.items() if kept[name] is not None}
        assert QueueForm(said, instance=queue).errors == {}


def test_the_groups_rights_are_left_as_they_are() -> None:
    Group.objects.get(name=roles.ADMINISTRATORS).permissions.clear()
    before = set(Group.objects.values_list("name", "permissions"))
    house.furnish(PACE, now=NOW)
    assert set(Group.objects.values_list("name", "permissions")) == before


def test_furnishing_twice_changes_nothing_but_the_password() -> None:
    house.furnish(PACE, now=NOW)
    before = set(QueueMembership.objects.values_list("pk", flat=True))
    house.furnish(PACE, now=NOW)
    assert set(QueueMembership.objects.values_list("pk", flat=True)) == before
    assert Agent.objects.available().count() == 12


@pytest.mark.parametrize(
    ("pace", "expected"),
    [
        pytest.param(Pace(speed=1, longest_patience_secs=420), (20, 30, 20, 480), id="life"),
        pytest.param(Pace(speed=2, longest_patience_secs=210), (10, 15, 10, 270), id="twice as fast"),
        pytest.param(Pace(speed=20, longest_patience_secs=21), (5, 2, 5, 81), id="never below Telnyx's minimum"),
        pytest.param(Pace(speed=20, longest_patience_secs=21, wrap_up_secs=0), (5, 0, 5, 81), id="no wrap-up"),
    ],
)
def test_seconds_are_divided_by_the_speed(pace: Pace, expected: tuple[int, ...]) -> None:
    settings = pace.queue_settings()
    names = ("ring_secs", "wrap_up_secs", "service_level_secs", "max_wait_secs")
    assert tuple(settings[name] for name in names) == expected


def test_somebodys_own_call_center_is_left_alone() -> None:
    Queue.objects.create(name="Ours", hold_music_url=house.MUSIC)
    with pytest.raises(NotTheDemos, match=r"^DATABASE_URL: found Ours, which the demo has not made"):
        house.furnish(PACE, now=NOW)
    assert (Queue.objects.count(), User.objects.count()) == (1, 0)


def test_an_agent_who_missed_a_call_comes_back_to_work_after_a_while() -> None:
    house.furnish(PACE, now=NOW)
    Agent.objects.filter(name="Ana").update(state="not_ready", reason="rona", state_since=NOW)
    Agent.objects.filter(name="Ben").update(state="not_ready", reason="lunch", state_since=NOW)
    for secs, back in ((0.5, 10), (1.0, 11)):
        house.back_to_work(now=NOW + timedelta(seconds=secs), after=timedelta(seconds=1))
        assert Agent.objects.available().count() == back
