"""Who may ask the API in tests: keys with scopes, and users with rights."""

from typing import Any

from django.contrib.auth.models import Permission, User
from django.utils import timezone
from rest_framework.test import APIClient

from callcenter.access import keys
from callcenter.access.scopes import SCOPES


def key(*scopes: str) -> APIClient:
    """A client with a key of these scopes, of all of them if none is named."""
    made = keys.issue(name=f"key {timezone.now()}", scopes=scopes or SCOPES, now=timezone.now())
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {made[1]}")
    return client


def user(*rights: str, name: str = "sue", **fields: Any) -> User:
    """A user with these rights, each as ``app.codename``."""
    made = User.objects.create_user(name, password="a password of hers", **fields)
    for right in rights:
        app, _, codename = right.partition(".")
        made.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
    return User.objects.get(pk=made.pk)  # without the permissions Django has cached


def session(who: User) -> APIClient:
    """A client signed in as this user, CSRF checked as in a browser."""
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(who)
    client.cookies["csrftoken"] = token = "c" * 32
    client.credentials(HTTP_X_CSRFTOKEN=token)
    return client
