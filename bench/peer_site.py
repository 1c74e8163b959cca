"""A Django project around dj-stripe's webhook endpoint, run by the Python of ``bench.peers.dj_stripe``.

As its documentation has it: the app, its URLs, the settings of a new project, an endpoint whose deliveries are verified
by signature. The account, its API key and the endpoint stand in the database already, so that nothing asks Stripe.
Two things it would not do by itself, in its favour: connections come from a pool, and nothing is logged.

``PEER_MODE=storing``: ``DJSTRIPE_WEBHOOK_EVENT_CALLBACK`` names a function that does nothing (its documentation would
put the event onto a task queue there). A request reads its endpoint, account and key, writes a WebhookEventTrigger,
verifies the signature in a transaction and writes the trigger again; nothing is de-duplicated.

``PEER_MODE=processing``: its default. In that transaction it also looks for an Event of that id, writes one, and lets
its handlers run. They are sent ``payment_method.detached``, whose object is synchronised from the body; the handlers of
most other events fetch theirs from Stripe first.
"""

import os
import sys
from typing import Any
from urllib.parse import unquote, urlsplit

import django
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.core.management import call_command
from django.urls import include, path

API_KEY = "sk_test_" + "0" * 24
ACCOUNT = "acct_bench"
STORING = "storing"


def leave_it_stored(trigger: Any, api_key: str) -> None:
    """The callback of ``storing``."""


def _database(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path.lstrip("/"),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": parts.port or "",
        "OPTIONS": {"pool": {"min_size": 1, "max_size": 8}},
    }


settings.configure(
    SECRET_KEY=os.environ["SECRET_KEY"],
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    # The same tables, made from the models: dj-stripe's migrations take a minute.
    MIGRATION_MODULES=dict.fromkeys(["admin", "auth", "contenttypes", "sessions", "djstripe"]),
    DATABASES={"default": _database(os.environ["PEER_DATABASE_URL"])},
    INSTALLED_APPS=[
        "django.contrib.admin",
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "django.contrib.messages",
        "django.contrib.staticfiles",
        "djstripe",
    ],
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ],
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
    LOGGING={"version": 1, "disable_existing_loggers": True},
    STATIC_URL="static/",
    STRIPE_LIVE_MODE=False,
    STRIPE_TEST_SECRET_KEY=API_KEY,
    DJSTRIPE_FOREIGN_KEY_TO_FIELD="id",
    DJSTRIPE_WEBHOOK_EVENT_CALLBACK=leave_it_stored if os.environ.get("PEER_MODE") == STORING else None,
)
django.setup()  # its URLs need its models
urlpatterns = [path("stripe/", include("djstripe.urls", namespace="djstripe"))]


def furnish(endpoint: str, secret: str) -> None:
    """What signing up with Stripe and creating the endpoint would have left in the database."""
    from djstripe.models import Account, APIKey, WebhookEndpoint  # noqa: PLC0415  once Django is set up

    account = Account.objects.create(id=ACCOUNT, livemode=False)
    APIKey.objects.create(id="mk_bench", secret=API_KEY, type="secret", livemode=False, djstripe_owner_account=account)
    WebhookEndpoint.objects.create(
        id="we_bench",
        livemode=False,
        djstripe_owner_account=account,
        djstripe_uuid=endpoint,
        secret=secret,
        url="https://peer.example.com/stripe/webhook/",
        status="enabled",
        enabled_events=["*"],
    )


if __name__ == "__main__":
    call_command("migrate", verbosity=0, interactive=False, run_syncdb=True)
    furnish(*sys.argv[1:])
else:
    application = WSGIHandler()
