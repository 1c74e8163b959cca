"""All settings, from the environment only.

Importing this module never fails: a value that cannot be read falls back to its default and is reported by
``callcenter.checks``, which the web, the worker and every command run at start and obey.
"""

import logging
import os
import secrets
from pathlib import Path
from typing import Any

from callcenter import databases, logs
from callcenter.environment import Environment

BASE_DIR = Path(__file__).resolve().parent.parent
env = Environment(os.environ)

# --- the installation -----------------------------------------------------------------------------

DEBUG = env.flag("DEBUG")
# Unset, every process makes its own: sessions end with the process, and production refuses to start (E002).
SECRET_KEY = env.text("SECRET_KEY") or f"django-insecure-{secrets.token_urlsafe(50)}"
SECRET_KEY_FALLBACKS = env.names("SECRET_KEY_FALLBACKS")
ALLOWED_HOSTS = env.names("ALLOWED_HOSTS", default=["127.0.0.1", "localhost", "[::1]"] if DEBUG else [])
CSRF_TRUSTED_ORIGINS = env.names("CSRF_TRUSTED_ORIGINS")
# How many proxies of ours stand in front, each appending to X-Forwarded-For. 0: the peer is the client.
TRUSTED_PROXIES = env.number("TRUSTED_PROXIES", default=0, minimum=0, maximum=10)

# --- Telnyx and the product -----------------------------------------------------------------------

TELNYX_API_KEY = env.text("TELNYX_API_KEY")
TELNYX_BASE_URL = env.url("TELNYX_BASE_URL", default="https://api.telnyx.com/v2").rstrip("/")
TELNYX_PUBLIC_KEY = env.text("TELNYX_PUBLIC_KEY")  # two, comma-separated, during a rotation
TELNYX_CONNECTION_ID = env.text("TELNYX_CONNECTION_ID")
TELNYX_WEBHOOK_URL = env.url("TELNYX_WEBHOOK_URL")
TELNYX_FAILOVER_URL = env.url("TELNYX_FAILOVER_URL")
# Days, reports and opening hours are cut in this zone; instants are stored and sent in UTC.
TIME_ZONE_BUSINESS = env.time_zone("TIME_ZONE_BUSINESS", default="UTC")
# How a caller's music ends when the agent joins; see ARCHITECTURE §3.
CONNECT_AUDIO = env.choice("CONNECT_AUDIO", default="held", choices=["held", "stop_first"])
# Telnyx takes about 30 dials a second from an account, counts them in windows of 5 s with room for 150, and answers
# 429 beyond. Who is granted more raises both; who may burst within a window, the first alone.
DIALS_PER_SECOND = env.number("DIALS_PER_SECOND", default=30, minimum=1, maximum=1000)
DIALS_PER_WINDOW = env.number("DIALS_PER_WINDOW", default=150, minimum=1, maximum=5000)
# Where a call goes that Telnyx has and we do not, if nothing tells what number was rung.
ADOPT_QUEUE = env.text("ADOPT_QUEUE")
# Hosts that music and prompts may be fetched from. Telnyx does the fetching, so "public" is not enough.
MEDIA_HOSTS = env.names("MEDIA_HOSTS")

# --- stores ---------------------------------------------------------------------------------------

DEV_DIR = BASE_DIR / ".dev"
DATABASES = {
    "default": databases.connection(env.database("DATABASE_URL", default=f"sqlite:///{DEV_DIR / 'callcenter.sqlite3'}"))
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = env.url("REDIS_URL", schemes=["redis", "rediss"])
# Throttles and caches may be evicted, nudges may not: give them another server in production.
CACHE_URL = env.url("CACHE_URL", default=REDIS_URL, schemes=["redis", "rediss"])
CACHES: dict[str, dict[str, Any]] = {
    "default": (
        {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": CACHE_URL,
            "KEY_PREFIX": "cache",
            # A cache that is away may delay a request, or a sender's look at the breaker, not hang it.
            "OPTIONS": {"socket_connect_timeout": 1.0, "socket_timeout": 1.0},
        }
        if CACHE_URL
        else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
    )
}

# --- Celery: lanes, and settings that keep a lost or repeated message harmless --------------------

CELERY_BROKER_URL = REDIS_URL or "redis://127.0.0.1:6379/0"
# No result backend and no chords: results in Redis would be a second truth.
CELERY_TASK_IGNORE_RESULT = True
# A killed worker's message comes back ...
CELERY_TASK_ACKS_LATE = True
# ... and a killed pool child's too: without this it is acknowledged as failed, a silent loss. A task that
# kills its own child would come back for ever, so attempts are counted in the row and set aside at five.
CELERY_TASK_REJECT_ON_WORKER_LOST = True
# No command to Telnyx takes more than 5 s; what takes 15 hangs. (The thread pool of dev ignores both.)
CELERY_TASK_SOFT_TIME_LIMIT, CELERY_TASK_TIME_LIMIT = 15, 20
# A worker that reserves more than it runs delays calls that an idle one could serve.
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
# A deployment gives running tasks their whole soft limit to end before their messages go back.
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 15
# A worker that starts before its broker waits for it, as it does for one that goes away later.
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# The default of 100 tries ends the worker after a long outage; None goes on for ever.
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
# A task runs twice rather than being cut off halfway when the broker goes away.
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
# A publish to a broker that is away gives up after 0.2 s instead of 0.7; the sweeper finds the row. Never
# task_publish_retry=False: then another layer retries for 6 s.
CELERY_TASK_PUBLISH_RETRY_POLICY = {
    "max_retries": 1,
    "interval_start": 0.1,
    "interval_step": 0.1,
    "interval_max": 0.2,
}
CELERY_BROKER_TRANSPORT_OPTIONS = {
    # An unacknowledged message comes back after this: at least three hard time limits, or it runs twice.
    "visibility_timeout": 60,
    # Looked for every 5 s: with the defaults (10 × 10) a killed worker's message came back after 101 s.
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
    # A worker killed while it restores holds the mutex this long (default 300 s).
    "unacked_mutex_expire": 30,
    # Without these a broker that accepts and never answers hangs the sender for ever. The worker's BRPOP
    # takes 1 s, so the socket must wait longer than that; who only publishes waits 1 s (webhooks.nudge).
    "socket_connect_timeout": 1.0,
    "socket_timeout": 5.0,
    "socket_keepalive": True,
    "health_check_interval": 10,
}
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TIMEZONE = "UTC"
CELERY_TASK_DEFAULT_QUEUE = "background"
# What Celery calls queues are lanes here. A worker without -Q serves all three. The first match wins.
CELERY_TASK_QUEUES: dict[str, dict[str, str]] = {"ingest": {}, "realtime": {}, "background": {}}
CELERY_TASK_ROUTES = {
    "webhooks.apply*": {"queue": "ingest"},
    "webhooks.send*": {"queue": "realtime"},
    "queues.*": {"queue": "realtime"},
}

# --- Django ---------------------------------------------------------------------------------------

INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",  # before the admin, whose templates it replaces; the site is ours
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "unfold.contrib.import_export",
    "unfold.contrib.simple_history",
    "callcenter.apps.AdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "simple_history",
    "import_export",
    "django_structlog",
    "webhooks",
    "conferences",
    "queues",
    "callcenter",
]

MIDDLEWARE = [
    "webhooks.door.door",  # Telnyx's webhooks go no further
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_structlog.middlewares.RequestMiddleware",
    "simple_history.middleware.HistoryRequestMiddleware",
]

ROOT_URLCONF = "callcenter.urls"
WSGI_APPLICATION = "callcenter.wsgi.application"
ASGI_APPLICATION = "callcenter.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "callcenter" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "admin:index"

LANGUAGE_CODE = "en"
FORMAT_MODULE_PATH = "callcenter.formats"
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": (
            "django.contrib.staticfiles.storage.StaticFilesStorage"
            if DEBUG
            else "whitenoise.storage.CompressedManifestStaticFilesStorage"
        )
    },
}
# In development nothing is collected: files are served from where they lie in the packages.
WHITENOISE_USE_FINDERS = DEBUG
WHITENOISE_AUTOREFRESH = DEBUG

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Call center",
    "SITE_HEADER": "Call center",
    "SITE_SYMBOL": "headset_mic",
    "SITE_URL": None,  # there is no other site than this
    "SHOW_BACK_BUTTON": True,
    "SIDEBAR": {"navigation": "callcenter.site.navigation"},
}

# --- the web surface ------------------------------------------------------------------------------

# Telnyx's webhooks are far smaller, and checking a signature over 1 MB takes 21 ms.
DATA_UPLOAD_MAX_MEMORY_SIZE = 256 * 1024
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 8 * 3600
CSRF_COOKIE_SAMESITE = "Lax"
if not DEBUG:
    SECURE_SSL_REDIRECT = True
    # Telnyx would have to follow the redirect with its POST; refusing plain webhooks is the view's business.
    SECURE_REDIRECT_EXEMPT = [r"^webhooks/", r"^healthz$", r"^readyz$"]
    SECURE_HSTS_SECONDS = 365 * 24 * 3600
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
    # The __Host- prefix makes the browser refuse a cookie set by a subdomain or over plain HTTP.
    SESSION_COOKIE_NAME = "__Host-sessionid"
    CSRF_COOKIE_NAME = "__Host-csrftoken"
    if TRUSTED_PROXIES:
        SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

# --- the API: closed unless a view opens itself ---------------------------------------------------

REST_FRAMEWORK: dict[str, Any] = {
    # No app imports these: a view names its scopes, the classes that check them are set here.
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "callcenter.access.authentication.ApiKeyAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["callcenter.access.permissions.HasScope"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["callcenter.strictness.BoundedJSONParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "callcenter.strictness.Negotiation",
    "DEFAULT_METADATA_CLASS": None,
    "DEFAULT_THROTTLE_CLASSES": ["callcenter.access.throttles.UserThrottle"],
    "DEFAULT_THROTTLE_RATES": {"user": "1200/min"},
    # None would throttle by the X-Forwarded-For that the client wrote himself.
    "NUM_PROXIES": TRUSTED_PROXIES,
    "DEFAULT_FILTER_BACKENDS": ["callcenter.strictness.KnownFilters"],
    "DEFAULT_PAGINATION_CLASS": "callcenter.strictness.Pages",
    "EXCEPTION_HANDLER": "callcenter.problems.answer",
    "DEFAULT_SCHEMA_CLASS": "callcenter.openapi.Schema",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}

SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "Call center",
    "DESCRIPTION": (
        "Queues, agents, calls and conferences of a call center on Telnyx's Voice API.\n\n"
        "Actions on calls and conferences answer 202 with `{call, conference, command}`; those on agents 200 with "
        "the agent's state. Errors are RFC 9457 problems with a stable `code`."
    ),
    "VERSION": "1",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.IsAuthenticated"],
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "callcenter.openapi.with_problems",
    ],
    "ENUM_NAME_OVERRIDES": {
        "AgentState": "queues.models.agent.Agent.State",
        "SettableAgentState": ["available", "not_ready", "offline"],
        "CallState": "queues.models.call.Call.State",
        "CallOutcome": "queues.models.call.Call.Outcome",
        "CommandState": "webhooks.models.Command.State",
        "EntryState": "queues.models.call.QueueEntry.State",
        "EntryOutcome": "queues.models.call.QueueEntry.Outcome",
        "OfferState": "queues.models.offer.Offer.State",
        "LegState": "conferences.api.serializers.LEG_STATES",
        "LegRole": "conferences.models.Role",
    },
    "ENUM_SUFFIX": "",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}

# Whoever sends it may read /metrics; without it there is no such page.
METRICS_TOKEN = env.text("METRICS_TOKEN")

# --- logging --------------------------------------------------------------------------------------

LOG_LEVEL = env.choice("LOG_LEVEL", default="INFO", choices=["DEBUG", "INFO", "WARNING", "ERROR"])
LOGGING = logs.configuration(level=LOG_LEVEL, as_json=not DEBUG)
DJANGO_STRUCTLOG_CELERY_ENABLED = True
# Django's own line about a refused request is enough: whoever sends a thousand bad webhooks fills no disk twice.
DJANGO_STRUCTLOG_STATUS_4XX_LOG_LEVEL = logging.INFO
# A caller may not choose the id that his requests are logged under.
DJANGO_STRUCTLOG_TRUST_UPSTREAM_REQUEST_ID = False

# --- proving that a chaos run finds what is wrong (callcenter.chaos.plants; never in production: E012) -------

CHAOS_PLANT = env.text("CHAOS_PLANT")

# --- read by callcenter.checks --------------------------------------------------------------------

ENVIRONMENT_PROBLEMS = env.problems
SECRET_KEY_GIVEN = env.given("SECRET_KEY")
