"""The product's settings, with one task more in its workers."""

from callcenter.settings import *  # noqa: F403

CELERY_IMPORTS = ("bench.probe",)
