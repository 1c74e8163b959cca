"""Signing in and out, of the staff or not."""

from types import SimpleNamespace

import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from callcenter.access import throttles
from queues.models import Agent
from tests.callcenter import clients
from tests.queues import scene

pytestmark = pytest.mark.django_db
LOGIN, LOGOUT = reverse("login"), reverse("logout")


@pytest.fixture
def browser() -> Client:
    """On the login page, CSRF checked."""
    client = Client(enforce_csrf_checks=True)
    assert client.get(LOGIN).status_code == 200
    return client


def sign_in(client: Client, name: str = "anna", password: str = "a password of hers", to: str = "") -> HttpResponse:
    form = {"username": name, "password": password, "csrfmiddlewaretoken": client.cookies["csrftoken"].value}
    return client.post(LOGIN, form, query_params={"next": to} if to else {})


def test_an_agent_signs_in_and_sets_his_state(browser: Client) -> None:
    agent = scene.agent(state=Agent.State.NOT_READY, user=clients.user(name="anna"))
    other = scene.agent("bob", state=Agent.State.NOT_READY)
    assert sign_in(browser)["Location"] == reverse("api-docs")
    assert browser.get(reverse("api-docs")).status_code == 200
    token = {"X-CSRFToken": browser.cookies["csrftoken"].value}
    set_state = ({"state": "available"}, "application/json")
    answer = browser.post(f"/api/v1/agents/{agent.pk}/state", *set_state, headers=token)
    assert (answer.status_code, answer.json()["state"]) == (200, "available")
    assert browser.post(f"/api/v1/agents/{other.pk}/state", *set_state, headers=token).status_code == 404
    assert browser.post(f"/api/v1/agents/{agent.pk}/state", *set_state).status_code == 403  # without the token


def test_the_staff_go_to_the_admin(browser: Client) -> None:
    clients.user(name="anna", is_staff=True)
    assert sign_in(browser)["Location"] == reverse("admin:index")


def test_a_page_of_ours_that_was_wanted_comes_next(browser: Client) -> None:
    clients.user(name="anna", is_staff=True)
    assert browser.get(reverse("api-docs"))["Location"] == f"{LOGIN}?next=/api/docs"
    assert sign_in(browser, to="/api/docs")["Location"] == "/api/docs"


@pytest.mark.parametrize(
    "to", ["https://evil.example.com/", "//evil.example.com", "/\\evil.example.com", "javascript:1"]
)
def test_nobody_is_sent_elsewhere(browser: Client, to: str) -> None:
    clients.user(name="anna")
    assert sign_in(browser, to=to)["Location"] == reverse("api-docs")


@pytest.mark.parametrize(
    ("name", "password"),
    [("anna", "wrong"), ("nobody", "a password of hers"), ("gone", "a password of hers")],
)
def test_a_wrong_password_is_said_in_one_line_that_tells_nothing_else(
    browser: Client, name: str, password: str
) -> None:
    clients.user(name="anna")
    clients.user(name="gone", is_active=False)
    answer = sign_in(browser, name, password)
    assert answer.status_code == 200
    assert answer.content.decode().count("Please enter a correct username and password.") == 1
    assert "_auth_user_id" not in browser.session


def test_a_form_of_somebody_elses_signs_nobody_in() -> None:
    clients.user(name="anna")
    form = {"username": "anna", "password": "a password of hers"}
    assert Client(enforce_csrf_checks=True).post(LOGIN, form).status_code == 403


def test_the_admin_is_still_for_the_staff_only() -> None:
    clients.user(name="anna")
    client, path = Client(), reverse("admin:login")
    form = {"username": "anna", "password": "a password of hers"}
    assert "for a staff account" in client.post(path, form).content.decode()
    clients.user(name="boss", is_staff=True)
    assert client.post(path, form | {"username": "boss"})["Location"] == reverse("admin:index")


def test_one_signs_out_with_a_button_not_with_a_link(browser: Client) -> None:
    clients.user(name="anna")
    sign_in(browser)
    page = browser.get(LOGIN).content.decode()
    assert "You are signed in as anna." in page
    assert f'<form action="{LOGOUT}" method="post"' in page
    assert browser.get(LOGOUT).status_code == 405
    answer = browser.post(LOGOUT, {"csrfmiddlewaretoken": browser.cookies["csrftoken"].value})
    assert answer["Location"] == LOGIN
    assert browser.get("/api/v1/agents").status_code == 401


# too many wrong passwords ------------------------------------------------------------------------------------

PAGES = pytest.mark.parametrize("page", [LOGIN, reverse("admin:login")])
MOST = throttles.MOST_WRONG_TRIES


@pytest.fixture
def staff(monkeypatch: pytest.MonkeyPatch) -> None:
    clients.user(name="boss", is_staff=True)
    monkeypatch.setattr(throttles, "time", SimpleNamespace(time=lambda: 1_800_000_015.0))  # a quarter past a minute


def attempt(page: str, password: str, address: str = "203.0.113.7") -> str:
    answer = Client(REMOTE_ADDR=address).post(page, {"username": "boss", "password": password})
    return "in" if answer.status_code == 302 else answer.content.decode()


@PAGES
@pytest.mark.usefixtures("staff")
def test_after_too_many_wrong_passwords_even_the_right_one_waits(page: str) -> None:
    for _ in range(MOST):
        assert "Please enter" in attempt(page, "wrong")
    for password in ("wrong", "a password of hers"):
        assert "Too many wrong passwords from your address; try again in 45 seconds." in attempt(page, password)
    assert attempt(page, "a password of hers", "203.0.113.8") == "in"


@pytest.mark.usefixtures("staff")
def test_both_pages_count_together() -> None:
    for _ in range(MOST // 2):
        attempt(LOGIN, "wrong")
        attempt(reverse("admin:login"), "wrong")
    assert "Too many wrong passwords" in attempt(LOGIN, "a password of hers")


@pytest.mark.usefixtures("staff")
def test_right_passwords_are_not_counted() -> None:
    """A whole shift comes from one address."""
    assert [attempt(LOGIN, "a password of hers") for _ in range(MOST + 1)] == ["in"] * (MOST + 1)


@PAGES
@pytest.mark.usefixtures("staff", "cache_away")
def test_without_the_cache_wrong_passwords_are_only_wrong(page: str) -> None:
    assert all("Please enter" in attempt(page, "wrong") for _ in range(MOST + 1))
    assert attempt(page, "a password of hers") == "in"
