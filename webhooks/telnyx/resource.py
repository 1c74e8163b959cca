"""What the resources of the client have in common: send, read a record, go through a list."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

from webhooks.telnyx.limits import PAGE_SIZE
from webhooks.telnyx.records import MalformedRecord, Record
from webhooks.telnyx.transport import Wire, path, unreadable

R = TypeVar("R", bound=Record)

LARGEST_PAGE = 250


class Resource:
    """A part of Telnyx's API. Its methods keep no state, so they are safe to call from several threads."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def _send(
        self, method: str, template: str, ids: Mapping[str, str], body: Mapping[str, object] | None = None
    ) -> Mapping[str, Any]:
        """Send an action; its ``data`` object, which says that it was accepted.

        Raises TelnyxUnavailable without.
        """
        return _data(self._wire.request(method, template, ids, body=body))

    def _read(
        self,
        record: type[R],
        template: str,
        ids: Mapping[str, str],
        query: Mapping[str, object] | None = None,
    ) -> R:
        return record_from(record, _data(self._wire.request("GET", template, ids, query=query)))

    def _list(
        self,
        record: type[R],
        template: str,
        ids: Mapping[str, str],
        query: Mapping[str, object],
        page_size: int,
    ) -> Iterator[R]:
        """All pages; the arguments are checked now, the first request is sent for the first item."""
        PAGE_SIZE("page_size", page_size)
        path(template, ids)
        return record_of_each(record, self._wire.pages(template, ids, query, page_size=page_size))


def _data(reply: Mapping[str, Any] | None) -> Mapping[str, Any]:
    data = (reply or {}).get("data")
    if not isinstance(data, dict):
        raise unreadable("it has no data")
    return data


def record_of_each(record: type[R], items: Iterable[Mapping[str, Any]]) -> Iterator[R]:
    return (record_from(record, item) for item in items)


def record_from(record: type[R], data: Mapping[str, Any]) -> R:
    try:
        return record.from_json(data)
    except MalformedRecord as error:
        raise unreadable(str(error)) from None
