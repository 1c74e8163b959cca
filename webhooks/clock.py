"""The database's clock, which every lease is measured by: no process's own clock is compared with anything."""

from datetime import timedelta
from typing import Any

from django.db.models import DateTimeField, ExpressionWrapper
from django.db.models.functions import Now


def from_now(delta: timedelta) -> "ExpressionWrapper[Any]":
    """An expression: the database's now, and so much later (or earlier)."""
    return ExpressionWrapper(Now() + delta, output_field=DateTimeField())
