"""``manage.py check_telnyx``: what in the Telnyx account would break the product, one line each."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from queues.models import Agent
from webhooks.telnyx import conf
from webhooks.telnyx.client import TelnyxClient
from webhooks.telnyx.errors import InvalidRequest, NotFound, TelnyxRejected, TelnyxUnavailable, Unauthorized
from webhooks.telnyx.records import Application

PROBE_SECS = 3.0


class Finding(NamedTuple):
    """One checked fact: ``ok`` or a problem, and a line that says what was found and what is accepted."""

    ok: bool
    line: str


class Command(BaseCommand):
    help = "Asks the Telnyx account named by the settings what would break the product; exits 1 if anything."

    def handle(self, *_args: Any, **_options: Any) -> None:
        problems = 0
        for finding in self._findings():
            self.stdout.write(f"{'ok' if finding.ok else 'problem'}: {finding.line}")
            problems += not finding.ok
        if problems:
            raise CommandError(f"{problems} {'problem' if problems == 1 else 'problems'} found.")
        self.stdout.write("Nothing was found that would break the product.")

    def _findings(self) -> Iterator[Finding]:
        try:
            client = conf.client()
        except ValueError as error:
            yield Finding(False, f"TELNYX_API_KEY, TELNYX_BASE_URL: {error}.")
            return
        agents: int | None = None
        try:
            agents = Agent.objects.count()
        except DatabaseError as error:
            yield Finding(False, f"database: the agents cannot be counted ({_one_line(error)}).")
        yield from account(
            client,
            connection_id=settings.TELNYX_CONNECTION_ID,
            webhook_url=settings.TELNYX_WEBHOOK_URL,
            failover_url=settings.TELNYX_FAILOVER_URL,
            agents=agents,
        )
        yield from addresses(settings.TELNYX_WEBHOOK_URL, settings.TELNYX_FAILOVER_URL)


def account(
    client: TelnyxClient, *, connection_id: str, webhook_url: str, failover_url: str, agents: int | None
) -> Iterator[Finding]:
    """What Telnyx says about the key and the application. ``agents`` None leaves the channel limits out."""
    if not connection_id:
        yield Finding(False, "TELNYX_CONNECTION_ID: found nothing; the application's id is needed.")
        return
    try:
        application = client.applications.retrieve(connection_id)
    except InvalidRequest as error:
        yield Finding(False, f"TELNYX_CONNECTION_ID: {error}.")
    except Unauthorized:
        yield Finding(False, "key: Telnyx does not accept TELNYX_API_KEY.")
    except NotFound:
        yield Finding(True, "key: accepted.")
        yield Finding(False, f"application: none has the id of TELNYX_CONNECTION_ID, {connection_id}.")
    except TelnyxRejected as error:
        yield Finding(False, f"application: Telnyx refuses to show it ({error}).")
    except TelnyxUnavailable as error:
        yield Finding(False, f"Telnyx: {client!r} got no usable answer ({error}); the rest cannot be asked.")
    else:
        yield Finding(True, "key: accepted.")
        yield Finding(True, f"application: {application.application_name or 'without a name'}, {application.id}.")
        yield from _application(application, webhook_url, failover_url)
        if agents is not None:
            yield _channels("outbound", application.outbound_channel_limit, agents)
            yield _channels("inbound", application.inbound_channel_limit, agents)


def addresses(webhook_url: str, failover_url: str) -> Iterator[Finding]:
    """Whether our webhook addresses answer as seen from here: a GET of the right path gets 405."""
    for name, url in (("TELNYX_WEBHOOK_URL", webhook_url), ("TELNYX_FAILOVER_URL", failover_url)):
        if not url:
            yield Finding(False, f"{name}: found nothing; the address Telnyx sends events to is needed.")
            continue
        answer = _answer(url)
        yield Finding(answer == "405", f"{name}: a GET gets {answer}; 405 is what our webhook answers.")


def _application(application: Application, webhook_url: str, failover_url: str) -> Iterator[Finding]:
    yield Finding(application.active is True, f"active: {_found(application.active)}; must be true.")
    yield Finding(
        application.webhook_api_version == "2",
        f'webhook_api_version: {_found(application.webhook_api_version)}; must be "2".',
    )
    yield _same("webhook_event_url", application.webhook_event_url, webhook_url, "TELNYX_WEBHOOK_URL")
    yield _same(
        "webhook_event_failover_url",
        application.webhook_event_failover_url,
        failover_url,
        "TELNYX_FAILOVER_URL",
    )
    if failover_url and webhook_url:
        first, second = _host(webhook_url), _host(failover_url)
        yield Finding(first != second, f"failover host: found {second}; must not be the first one, {first}.")
    yield Finding(
        application.first_command_timeout is True,
        f"first_command_timeout: {_found(application.first_command_timeout)}; must be true, or callers who are "
        "not answered stay on the line.",
    )
    yield Finding(
        bool(application.outbound_voice_profile_id),
        f"outbound_voice_profile_id: {_found(application.outbound_voice_profile_id)}; without one nobody can be "
        "dialled.",
    )


def _same(field: str, found: str | None, wanted: str, setting: str) -> Finding:
    if not wanted:
        return Finding(False, f"{field}: {_found(found)}; {setting} is not set to compare it with.")
    return Finding(found == wanted, f"{field}: {_found(found)}; must be {setting}, {wanted}.")


def _channels(direction: str, limit: int | None, agents: int) -> Finding:
    field = f"{direction} channel_limit"
    if limit is None:
        return Finding(True, f"{field}: none for this application; the account's own cannot be asked.")
    return Finding(limit >= agents, f"{field}: found {limit}; must be {agents} or more, for {agents} agents.")


def _host(url: str) -> str:
    return url.partition("://")[2].partition("/")[0]


def _found(value: object) -> str:
    return "found nothing" if value in (None, "") else f"found {str(value)[:200]}"


def _answer(url: str) -> str:
    """The status of a GET as text, or why there is none. Redirects are not followed: Telnyx may not either."""
    try:
        with httpx.Client(trust_env=False, timeout=PROBE_SECS) as http, http.stream("GET", url) as response:
            return str(response.status_code)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return f"no answer ({type(error).__name__}: {_one_line(error)})"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
