"""What the API takes and gives, the same for every view: bounded bodies, known parameters, pages of at most 200."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework.exceptions import NotAcceptable, ParseError, ValidationError
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.pagination import PageNumberPagination
from rest_framework.parsers import JSONParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

if TYPE_CHECKING:  # DRF's views import this module, by the settings
    from rest_framework.views import APIView

LARGEST_PAGE = 200


class BoundedJSONParser(JSONParser):
    """Nesting as deep as somebody likes to send is his fault, not ours. (Django bounds the length.)"""

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        try:
            return super().parse(stream, media_type, parser_context)
        except RecursionError:
            raise ParseError("JSON parse error - nested too deeply") from None


class Negotiation(DefaultContentNegotiation):
    """``?format=api`` and other formats there are not: 406."""

    def filter_renderers(self, renderers: Iterable[BaseRenderer], format: str) -> list[BaseRenderer]:
        try:
            return super().filter_renderers(renderers, format)
        except Http404:
            raise NotAcceptable(f"There is no format {format!r:.20}; it is JSON.") from None


class Pages(PageNumberPagination):
    """``?page=`` and ``?page_size=`` (50, at most 200). A size that is none is refused, not corrected."""

    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = LARGEST_PAGE

    def get_page_size(self, request: Request) -> int | None:
        asked = request.query_params.get("page_size")
        if asked is None:
            return self.page_size
        if not (asked.isascii() and asked.isdigit() and len(asked) <= 4 and 1 <= int(asked) <= LARGEST_PAGE):
            raise ValidationError({"page_size": [f"found {asked!r:.20}; accepted: 1 to {LARGEST_PAGE}."]})
        return int(asked)


class KnownFilters(DjangoFilterBackend):
    """A view's own filters, and a 400 for every parameter that is none of them."""

    def filter_queryset(self, request: HttpRequest, queryset: QuerySet[Any], view: "APIView") -> QuerySet[Any]:
        filterset = self.get_filterset_class(view, queryset)
        known = set(filterset.base_filters) if filterset else set()
        if getattr(view, "detail", None) is False:
            known |= {"page", "page_size"}
        else:
            known = set()
        if strange := sorted(set(request.GET) - known - {"format"}):
            accepted = ", ".join(sorted(known)) or "none"
            raise ValidationError({strange[0][:40]: [f"is no parameter here; accepted: {accepted}."]})
        found: QuerySet[Model] = super().filter_queryset(request, queryset, view)
        return found
