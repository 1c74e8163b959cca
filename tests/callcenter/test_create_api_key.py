"""``manage.py create_api_key``: shown once, and clear about what it does not take."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from callcenter.access import keys
from callcenter.models import ApiKey

pytestmark = pytest.mark.django_db


def create(*words: str) -> str:
    out = StringIO()
    call_command("create_api_key", *words, stdout=out, stderr=StringIO())
    return out.getvalue().strip()


def test_the_key_is_all_there_is_on_stdout() -> None:
    text = create("crm", "--scope", "calls:read", "--scope", "queues:read")
    found = keys.find(text, now=timezone.now())
    assert found == ApiKey.objects.get()
    assert found is not None
    assert (found.name, found.scopes, found.expires_at) == ("crm", ["calls:read", "queues:read"], None)


def test_several_scopes_after_one_option() -> None:
    create("crm", "--scope", "calls:read", "queues:read")
    assert ApiKey.objects.get().scopes == ["calls:read", "queues:read"]


def test_it_expires() -> None:
    text = create("crm", "--scope", "calls:read", "--expires", "30")
    assert keys.find(text, now=timezone.now() + timedelta(days=29)) is not None
    assert keys.find(text, now=timezone.now() + timedelta(days=31)) is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(["crm"], "at least one --scope. The scopes are queues:read,", id="no scope"),
        pytest.param(["crm", "--scope", "calls:raed"], "Unknown scope: calls:raed. The scopes are", id="misspelt"),
        pytest.param(["crm", "--scope", "calls:read", "user"], "Unknown scope: user.", id="listening"),
        pytest.param(["", "--scope", "calls:read"], "cannot be blank", id="no name"),
        pytest.param(["x" * 101, "--scope", "calls:read"], "at most 100 characters", id="long name"),
        pytest.param(["crm", "--scope", "calls:read", "--expires", "soon"], "found 'soon'; accepted:", id="soon"),
        pytest.param(["crm", "--scope", "calls:read", "--expires", "0"], "found '0'; accepted:", id="today"),
        pytest.param(["crm", "--scope", "calls:read", "--expires", "-1"], "found '-1'; accepted:", id="yesterday"),
        pytest.param(["crm", "--scope", "calls:read", "--expires", "9999"], "from 1 to 3650", id="for ever"),
    ],
)
def test_nonsense_gets_one_clear_line(words: list[str], said: str) -> None:
    with pytest.raises(CommandError) as refused:
        create(*words)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not ApiKey.objects.exists()


def test_a_name_is_given_once_until_its_key_is_revoked() -> None:
    create("crm", "--scope", "calls:read")
    with pytest.raises(CommandError, match="A key of that name exists"):
        create("crm", "--scope", "calls:read")
    ApiKey.objects.update(revoked_at=timezone.now())
    create("crm", "--scope", "calls:read")
