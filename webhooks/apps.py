"""The line to the outside, both ways."""

from django.apps import AppConfig


class WebhooksConfig(AppConfig):
    name = "webhooks"
