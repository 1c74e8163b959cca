from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import Group, User

from callcenter import roles
from callcenter.demo import house
from callcenter.demo.house import NotTheDemos, Pace
from queues.models import Agent, Number, Queue, QueueMembership, SupervisorPhone

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
