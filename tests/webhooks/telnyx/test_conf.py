import base64
import subprocess
import sys
from collections.abc import Iterator

import pytest
from nacl.signing import SigningKey
from pytest_django.fixtures import Settings

from webhooks.telnyx import conf

# The same in every process: parallel runs compare what they collected.
KEYS = [base64.b64encode(bytes(SigningKey(seed * 32).verify_key)).decode() for seed in (b"1", b"2")]


@pytest.fixture(autouse=True)
def telnyx(settings: Settings) -> Iterator[None]:
    settings.TELNYX_API_KEY = "KEY0123456789"
    settings.TELNYX_BASE_URL = "http://127.0.0.1:9/v2/"
    yield
    settings.TELNYX_PUBLIC_KEY = ""  # nothing of this test stays in the caches


def test_a_process_has_one_client() -> None:
    assert conf.client() is conf.client()
    assert repr(conf.client()) == "TelnyxClient(base_url='http://127.0.0.1:9/v2')"


def test_changed_settings_make_another_client(settings: Settings) -> None:
    before = conf.client()
    settings.TELNYX_BASE_URL = "http://127.0.0.1:10/v2"
    assert conf.client() is not before
    with pytest.raises(RuntimeError, match="closed"):
        before.calls.retrieve("v3:leg")


def test_a_forked_child_makes_its_own_client() -> None:
    program = """
import os, django
from django.conf import settings
settings.configure(TELNYX_API_KEY="KEY0123456789", TELNYX_BASE_URL="http://127.0.0.1:9/v2")
from webhooks.telnyx import conf
before = conf.client()
child = os.fork()
if child == 0:
    os._exit(0 if conf.client() is not before else 1)
_, status = os.waitpid(child, 0)
raise SystemExit(os.waitstatus_to_exitcode(status) or (0 if conf.client() is before else 2))
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize(
    ("text", "count"),
    [("", 0), (" , ", 0), (KEYS[0], 1), (f" {KEYS[0]} ,\n{KEYS[1]}", 2), (f"{KEYS[0]},", 1)],
)
def test_public_keys_are_separated_by_commas(settings: Settings, text: str, count: int) -> None:
    settings.TELNYX_PUBLIC_KEY = text
    assert [base64.b64encode(bytes(key)).decode() for key in conf.public_keys()] == KEYS[:count]


def test_a_key_of_another_shape_is_refused_with_what_was_found(settings: Settings) -> None:
    settings.TELNYX_PUBLIC_KEY = "c2hvcnQ="
    with pytest.raises(ValueError, match="32 bytes; this one has 5 bytes"):
        conf.public_keys()


def test_only_conf_knows_django() -> None:
    program = (
        "import sys, webhooks.telnyx.client, webhooks.telnyx.events, webhooks.telnyx.signature\n"
        "raise SystemExit('django' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
