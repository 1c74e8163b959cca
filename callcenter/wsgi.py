"""The web process: webhooks, API, admin. Refuses to start on any system check error."""

import os
from importlib import import_module

import django
from django.core.handlers.wsgi import WSGIHandler

from callcenter.checks import exit_on_errors

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "callcenter.settings")
django.setup(set_prefix=False)
exit_on_errors()
application = WSGIHandler()
# By name: it has a model, and models load in setup().
import_module("callcenter.heartbeat").start_with_first_request("web")
