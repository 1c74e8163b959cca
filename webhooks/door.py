"""Telnyx is answered before anything is done that only people and programs with a login need."""

from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.decorators import sync_and_async_middleware

from webhooks import views

GetResponse = Callable[[HttpRequest], Any]


@sync_and_async_middleware
def door(get_response: GetResponse) -> GetResponse:
    """Middleware, the first of all: sessions, users, messages, tokens and what is logged of requests concern a webhook
    as little as finding its view, and took a third of its time."""
    path = reverse("webhooks:telnyx")

    def answer(request: HttpRequest) -> HttpResponse:
        request.get_host()  # ALLOWED_HOSTS holds here too
        response = views.telnyx(request)
        response.headers["Content-Length"] = str(len(response.content))
        return response

    if iscoroutinefunction(get_response):

        async def on_loop(request: HttpRequest) -> Any:
            if request.path_info == path:
                return await sync_to_async(answer, thread_sensitive=True)(request)
            return await get_response(request)

        return on_loop

    return lambda request: answer(request) if request.path_info == path else get_response(request)
