"""Fixtures for what is asked over HTTP."""

import uuid

import pytest
from pytest_django.fixtures import Settings


@pytest.fixture(autouse=True)
def _nobody_has_been_counted(settings: Settings) -> None:
    """All tests ask from one address; what one did wrong is not held against the next."""
    backend = "django.core.cache.backends.locmem.LocMemCache"
    settings.CACHES = {"default": {"BACKEND": backend, "LOCATION": uuid.uuid4().hex}}


@pytest.fixture
def cache_away(settings: Settings) -> None:
    """The product's own cache, of a Redis that is not there."""
    backend = "django.core.cache.backends.redis.RedisCache"
    settings.CACHES = {"default": {"BACKEND": backend, "LOCATION": "redis://127.0.0.1:1/0"}}
