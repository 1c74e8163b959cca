"""How often one may ask, and how often one may be wrong. The counts are in the cache; without it, everybody may."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from django.core.cache import cache
from django.http import HttpRequest
from redis import RedisError
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle, SimpleRateThrottle, UserRateThrottle

if TYPE_CHECKING:  # DRF's views import this module, by the settings
    from rest_framework.views import APIView

logger = logging.getLogger(__name__)

MOST_WRONG_TRIES = 10  # of one kind, from one address, in one minute
MINUTE = 60


@contextmanager
def _uncounted_without_cache() -> Iterator[None]:
    """A cache that is away must not take the API with it."""
    try:
        yield
    except RedisError as error:
        logger.warning("The cache was away, so a request was not counted.", extra={"error": str(error)})


class FailOpen(SimpleRateThrottle):
    """A throttle that lets everything through while it cannot count."""

    def allow_request(self, request: Request, view: "APIView") -> bool:
        with _uncounted_without_cache():
            return super().allow_request(request, view)
        return True


class UserThrottle(FailOpen, UserRateThrottle):
    """Per user or key. Strangers get no further than authentication, so what is counted of them is wrong tries."""


class WrongTries:
    """Wrong tries of one kind (``"key"``, ``"password"``) from one client address, in this minute of the clock."""

    def __init__(self, kind: str, request: HttpRequest | Request) -> None:
        minute, second = divmod(int(time.time()), MINUTE)
        self._name = f"wrong_{kind}_{BaseThrottle().get_ident(request)}_{minute}"  # type: ignore[arg-type]
        self._left = MINUTE - second

    def count(self) -> None:
        """One more, in one step, so that tries at the same time are all counted."""
        with _uncounted_without_cache():
            cache.add(self._name, 0, timeout=2 * MINUTE)
            cache.incr(self._name)

    def wait(self) -> int:
        """Seconds until this address may try again; 0 if it may now."""
        with _uncounted_without_cache():
            return self._left if cache.get(self._name, 0) >= MOST_WRONG_TRIES else 0
        return 0
