"""Lists in pages: by number, and by cursor where Telnyx does it that way (CONTRACT §4)."""

from collections.abc import Mapping, Sequence
from urllib.parse import quote

from callcenter.simulator import errors
from callcenter.simulator.model import Json
from callcenter.simulator.switches import Switches

DEFAULT_SIZE = 20
LARGEST_SIZE = 250


def numbered(items: Sequence[Json], query: Mapping[str, str], switches: Switches) -> Json:
    """One page with ``page_number``, ``page_size``, ``total_pages``, ``total_results``."""
    page = _whole(query, "page[number]", 1, most=None)
    size = _whole(query, "page[size]", DEFAULT_SIZE, most=LARGEST_SIZE)
    pages = -(-len(items) // size)
    if page > max(pages, 1) and switches.page_beyond_the_end == "not_found":
        raise errors.refusal("10005", parameter="page[number]")
    meta = {"page_number": page, "page_size": size, "total_pages": pages, "total_results": len(items)}
    return {"data": list(items[(page - 1) * size : page * size]), "meta": meta}


def by_cursor(items: Sequence[Json], query: Mapping[str, str], switches: Switches, *, path: str, key: str) -> Json:
    """One page by ``page[after]`` or ``page[before]``, or by number when that is asked for; ``key`` is unique."""
    if "page[number]" in query or "page[size]" in query:
        page = numbered(items, query, switches)
        start = (page["meta"]["page_number"] - 1) * page["meta"]["page_size"]
        shown, meta = page["data"], page["meta"]
    else:
        limit = _whole(query, "page[limit]", DEFAULT_SIZE, most=LARGEST_SIZE)
        start = _start(items, query, limit, key)
        shown = list(items[start : start + limit])
        meta = {"page_number": start // limit + 1, "total_pages": -(-len(items) // limit)}
    meta = {**meta, "total_items": len(items), "cursors": {}}
    if shown:
        meta["cursors"] = {"after": shown[-1][key], "before": shown[0][key]}
        if start + len(shown) < len(items):
            meta["next"] = f"{path}?page[after]={quote(shown[-1][key])}"
        if start > 0:
            meta["previous"] = f"{path}?page[before]={quote(shown[0][key])}"
    return {"data": shown, "meta": meta}


def _start(items: Sequence[Json], query: Mapping[str, str], limit: int, key: str) -> int:
    for name in ("page[after]", "page[before]"):
        cursor = query.get(name)
        if cursor is None:
            continue
        at = next((index for index, item in enumerate(items) if item[key] == cursor), None)
        if at is None:
            raise errors.refusal("10015", detail="The cursor is not valid.", parameter=name)
        return at + 1 if name == "page[after]" else max(0, at - limit)
    return 0


def _whole(query: Mapping[str, str], name: str, default: int, *, most: int | None) -> int:
    given = query.get(name)
    if given is None or given == "":
        return default
    if not (given.isascii() and given.lstrip("-").isdigit()):
        raise errors.refusal("10026", "integer", parameter=name)
    value = int(given)
    if value < 1 or (most is not None and value > most):
        raise errors.refusal("10033", f"1 to {most}" if most else "1 and more", parameter=name)
    return value
