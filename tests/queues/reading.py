"""A page of the admin as it is read: its words, without the tags."""

import re
from html import unescape

from django.test import Client


def words(client: Client, url: str, **sent: str) -> str:
    """A page as it is read."""
    answer = client.get(url, sent)
    assert answer.status_code in (200, 286), url
    return text(answer.content.decode())


def text(html: str) -> str:
    bare = re.sub(r"<(script|style).*?</\1>|<[^>]+>", "", html, flags=re.DOTALL)
    return re.sub(r"\s+([,.;:)])", r"\1", re.sub(r"\s+", " ", unescape(bare)))
