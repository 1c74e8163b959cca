"""Logging: one line per fact, JSON in production, plain text in development, phone numbers masked in both."""

import logging
import re
from collections.abc import MutableMapping
from typing import Any

import structlog

# E.164 as it stands in text and, percent-encoded, in URLs.
_NUMBER = re.compile(r"(\+|%2B)(\d{4})\d{1,7}(\d{4})(?!\d)", re.IGNORECASE)
# Our API keys, should somebody send one in an address.
_API_KEY = re.compile(r"(cc_[0-9a-f]{8}_)[A-Za-z0-9_-]+")
_SECRET_KEYS = frozenset(
    {"authorization", "api_key", "password", "secret", "token", "client_state", "cookie", "digits", "dtmf"}
)

EventDict = MutableMapping[str, Any]


def mask_numbers(text: str) -> str:
    """``+442071234567`` becomes ``+4420****4567``: enough to follow one call, too little to dial."""
    return _NUMBER.sub(r"\1\2****\3", text)


def _mask_rendered(_logger: Any, _name: str, rendered: str) -> str:
    """Last in the chain, so that it sees tracebacks and other people's loggers too."""
    return _API_KEY.sub(r"\1****", mask_numbers(rendered))


def _hide_secrets(_logger: Any, _name: str, event: EventDict) -> EventDict:
    for key in event:
        if key.lower() in _SECRET_KEYS:
            event[key] = "[hidden]"
    return event


_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    # logger.info("Call was queued.", extra={"call_id": …}): the keys become fields.
    structlog.stdlib.ExtraAdder(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def configuration(*, level: str, as_json: bool) -> dict[str, Any]:
    """The LOGGING setting. Standard ``logging`` and structlog loggers end in the same handler and format."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    renderer: list[Any]
    if as_json:
        renderer = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]
    else:
        renderer = [
            structlog.dev.ConsoleRenderer(
                colors=False, pad_event_to=0, exception_formatter=structlog.dev.plain_traceback
            )
        ]
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "line": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": _SHARED,
                "processors": [
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    _hide_secrets,
                    *renderer,
                    _mask_rendered,
                ],
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            # Propagate to the root instead of Django's own handlers, which know no masking.
            "django": {"handlers": [], "propagate": True, "level": "INFO"},
            # It binds request and task ids to our lines; its own "started" and "finished" drown the story.
            "django_structlog": {"level": "WARNING"},
            "httpx": {"level": "WARNING"},
            "httpcore": {"level": "WARNING"},
            "celery.app.trace": {"level": "WARNING"},
            "celery.worker.strategy": {"level": "WARNING"},
        },
    }


def quiet() -> None:
    """For commands whose output is for people or programs: only what went wrong is logged."""
    logging.getLogger().setLevel(logging.WARNING)
