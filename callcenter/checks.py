"""System checks: what must not be missing or wrong before any process starts.

E001 a variable that cannot be read · E002 secret key · E003 hosts · E004 public key · E005 API key
E006 embedded database · E007 embedded broker · E008 unencrypted Telnyx URL · E009 default password
E010 open API · E011 metrics token · E012 a planted fault
"""

import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register, run_checks

from webhooks.telnyx.signature import parse_public_key

# gunicorn gives up when a worker ends with 3, and starts another for ever after any other code.
EXIT_CODE = 3
SECRET_KEY_LENGTH = 50
METRICS_TOKEN_LENGTH = 32
SIMULATOR_KEY_PREFIX = "KEYSIMULATOR"
DEFAULT_PASSWORDS = frozenset({"postgres", "password", "changeme", "callcenter", "redis", "secret", "admin", "test"})


def exit_on_errors() -> None:
    """End the process, with one line per error, if a system check finds one."""
    errors = [message for message in run_checks() if message.is_serious()]
    if not errors:
        return
    for error in errors:
        sys.stderr.write(f"{error.id}: {error.msg}" + (f" {error.hint}" if error.hint else "") + "\n")
    sys.stderr.flush()
    raise SystemExit(EXIT_CODE)


def _error(number: int, message: str, hint: str = "") -> Error:
    return Error(message, hint=hint or None, id=f"callcenter.E{number:03}")


@register(Tags.security)
def the_environment_is_readable(**_: Any) -> list[CheckMessage]:
    return [_error(1, str(problem)) for problem in settings.ENVIRONMENT_PROBLEMS]


@register(Tags.security)
def public_keys_are_keys(**_: Any) -> list[CheckMessage]:
    keys = [key.strip() for key in settings.TELNYX_PUBLIC_KEY.split(",") if key.strip()]
    problems: list[CheckMessage] = []
    for key in keys:
        try:
            parse_public_key(key)
        except ValueError as error:
            problems.append(_error(4, f"TELNYX_PUBLIC_KEY: {error}."))
    if len(keys) > 2:
        problems.append(_error(4, f"TELNYX_PUBLIC_KEY: found {len(keys)} keys; accepted: one, or two in a rotation."))
    return problems


@register(Tags.security)
def the_api_is_closed(**_: Any) -> list[CheckMessage]:
    """DRF ships open (AllowAny, Basic authentication, no throttles, client-chosen throttle identity)."""
    rest = settings.REST_FRAMEWORK
    authentication = rest.get("DEFAULT_AUTHENTICATION_CLASSES", ["rest_framework.authentication.BasicAuthentication"])
    permission = rest.get("DEFAULT_PERMISSION_CLASSES", ["rest_framework.permissions.AllowAny"])
    closed = (
        not any(name.endswith("BasicAuthentication") for name in authentication)
        and permission
        and not any(name.endswith("AllowAny") for name in permission)
        and rest.get("DEFAULT_THROTTLE_CLASSES")
        and rest.get("NUM_PROXIES") is not None
    )
    if closed:
        return []
    return [_error(10, "REST_FRAMEWORK: the API is open; set authentication, permissions, throttles and NUM_PROXIES.")]


@register(Tags.security)
def production_is_complete(**_: Any) -> list[CheckMessage]:
    """What development generates or embeds must be given in production."""
    return [] if settings.DEBUG else list(_production())


def _production() -> Iterator[CheckMessage]:
    key = settings.SECRET_KEY
    if not settings.SECRET_KEY_GIVEN:
        yield _error(2, "SECRET_KEY: found nothing; accepted: at least 50 random characters.")
    elif len(key) < SECRET_KEY_LENGTH or len(set(key)) < 5 or key.startswith("django-insecure-"):
        yield _error(2, f"SECRET_KEY: found a weak key of {len(key)} characters; accepted: at least 50, random.")
    if not settings.ALLOWED_HOSTS:
        yield _error(3, "ALLOWED_HOSTS: found nothing; accepted: the host names of this service, comma-separated.")
    elif "*" in settings.ALLOWED_HOSTS:
        yield _error(3, "ALLOWED_HOSTS: found '*'; accepted: the host names of this service, comma-separated.")
    if not settings.TELNYX_PUBLIC_KEY:
        yield _error(4, "TELNYX_PUBLIC_KEY: found nothing; accepted: the public key of your Telnyx account.")
    if not settings.TELNYX_API_KEY:
        yield _error(5, "TELNYX_API_KEY: found nothing; accepted: an API key of your Telnyx account.")
    elif settings.TELNYX_API_KEY.startswith(SIMULATOR_KEY_PREFIX):
        yield _error(5, "TELNYX_API_KEY: found the simulator's key; accepted: an API key of your Telnyx account.")
    if not settings.TELNYX_CONNECTION_ID:
        yield _error(5, "TELNYX_CONNECTION_ID: found nothing; accepted: the id of your call control application.")
    if not settings.TELNYX_BASE_URL.startswith("https://"):
        yield _error(8, f"TELNYX_BASE_URL: found {settings.TELNYX_BASE_URL!r}; accepted: a URL with https://.")
    token = settings.METRICS_TOKEN
    if token and (len(token) < METRICS_TOKEN_LENGTH or len(set(token)) < 5):
        yield _error(11, f"METRICS_TOKEN: found {len(token)} characters; accepted: none, or at least 32, random.")
    if settings.CHAOS_PLANT:
        yield _error(12, f"CHAOS_PLANT: found {settings.CHAOS_PLANT!r}; accepted: nothing, it plants a fault.")
    yield from _production_stores()


def _production_stores() -> Iterator[CheckMessage]:
    database = settings.DATABASES["default"]
    if database["ENGINE"].endswith("sqlite3"):
        yield _error(6, "DATABASE_URL: found SQLite, which is for development; accepted: postgres://….")
    elif database.get("PASSWORD") in DEFAULT_PASSWORDS:
        yield _error(9, "DATABASE_URL: found a default password; accepted: one of your own.")
    if not settings.REDIS_URL:
        yield _error(7, "REDIS_URL: found nothing; accepted: redis://… of a Redis with appendonly and noeviction.")
    elif urlsplit(settings.REDIS_URL).password in DEFAULT_PASSWORDS:
        yield _error(9, "REDIS_URL: found a default password; accepted: one of your own.")
