"""The roof: when Django is ready, the parts that register themselves are imported."""

from importlib import import_module

from django.apps import AppConfig
from django.conf import settings
from django.contrib.admin import apps as admin
from django.db.models.signals import post_migrate


class CallcenterConfig(AppConfig):
    name = "callcenter"
    default = True

    def ready(self) -> None:
        import_module("callcenter.celery")  # makes our app the one that shared tasks belong to
        import_module("callcenter.checks")
        import_module("callcenter.wiring").connect()
        if settings.DEBUG and settings.CHAOS_PLANT:
            import_module("callcenter.chaos.plants").plant(settings.CHAOS_PLANT)
        # Last in INSTALLED_APPS, so every app's permissions are there by then.
        post_migrate.connect(import_module("callcenter.roles").create, sender=self, dispatch_uid="callcenter.roles")


class AdminConfig(admin.AdminConfig):
    """Django's admin on our site."""

    default = False
    default_site = "callcenter.site.Site"
