"""What a leg was made for, in a form that nobody else can write."""

import base64
import uuid

import pytest

pytest.importorskip("hypothesis", reason="hypothesis is in requirements-dev.txt")

from hypothesis import given
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from webhooks import references

IDENT = uuid.UUID("5b1d3c0e-0000-4000-8000-000000000001")


def spelt(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def plain(reference: str) -> str:
    return base64.b64decode(reference).decode()


def test_what_was_written_is_read() -> None:
    written = references.write("offer", IDENT)
    assert references.read(written) == references.Reference("offer", IDENT)
    assert references.write("offer", IDENT) == written  # the same intent, the same words
    assert len(written) < 200


@pytest.mark.parametrize("position", range(0, 120, 7))
def test_one_character_changed_is_nobodys(position: int) -> None:
    written = references.write("offer", IDENT)
    at = position % len(written)
    other = "A" if written[at] != "A" else "B"
    assert references.read(written[:at] + other + written[at + 1 :]) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "offer",
        f"offer:{IDENT}",
        f"offer:{IDENT}:",
        f"offer:{IDENT}:{'0' * 32}",
        f"offer:{IDENT}:é",
        f"offer:{IDENT}:x:y",
        "offer:nonsense:00",
        "::",
        "{}",
    ],
)
def test_what_we_did_not_write_is_nobodys(text: str) -> None:
    assert references.read(spelt(text)) is None
    assert references.read(text) is None


def test_a_mac_of_one_thing_is_none_of_another() -> None:
    _, _, mac = plain(references.write("offer", IDENT)).split(":")
    assert references.read(spelt(f"session:{IDENT}:{mac}")) is None
    assert references.read(spelt(f"offer:{uuid.uuid4()}:{mac}")) is None
    assert references.read(spelt(f"offer:{IDENT.hex}:{mac}")) is None
    assert references.read(spelt(f"offer:{IDENT}:{mac}") + "\n") is None


def test_another_installations_references_are_nobodys(settings: Settings) -> None:
    written = references.write("offer", IDENT)
    settings.SECRET_KEY = "another" * 10
    assert references.read(written) is None


def test_calls_survive_a_rotation_of_the_secret_key(settings: Settings) -> None:
    before = references.write("offer", IDENT)
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another" * 10
    assert references.read(before) == references.Reference("offer", IDENT)
    assert references.write("offer", IDENT) != before
    settings.SECRET_KEY_FALLBACKS = []
    assert references.read(before) is None


@given(st.text())
def test_no_text_is_a_fault(text: str) -> None:
    assert references.read(text) is None
