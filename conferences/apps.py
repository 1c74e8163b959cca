"""Who is talking."""

from django.apps import AppConfig


class ConferencesConfig(AppConfig):
    name = "conferences"
