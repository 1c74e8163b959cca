"""The product's settings, in an environment that holds whatever the machine's does not.

Loaded by pytest-django before any conftest, so the environment is laid out here. Child processes inherit it.
"""

import atexit
import base64
import os
import secrets
import shutil
import tempfile

from nacl.signing import SigningKey

WEBHOOK_SIGNING_KEY = SigningKey.generate()

for name, value in {
    "DEBUG": "1",
    "SECRET_KEY": secrets.token_urlsafe(50),
    "TELNYX_API_KEY": "KEYSIMULATOR-" + secrets.token_hex(16),
    "TELNYX_PUBLIC_KEY": base64.b64encode(bytes(WEBHOOK_SIGNING_KEY.verify_key)).decode("ascii"),
    "TELNYX_CONNECTION_ID": "1494404757140276705",
    "MEDIA_HOSTS": "media.example.com",
    "LOG_LEVEL": "WARNING",
}.items():
    os.environ.setdefault(name, value)
if "TEST_FOLDER" not in os.environ:
    # One folder per run, shared with its xdist workers: two runs at once do not share a SQLite file.
    os.environ["TEST_FOLDER"] = tempfile.mkdtemp(prefix="callcenter-tests-")
    atexit.register(shutil.rmtree, os.environ["TEST_FOLDER"], ignore_errors=True)

from callcenter.settings import *  # noqa: E402, F403
from callcenter.settings import CACHES, DATABASES  # noqa: E402

# What one run, or one of its workers, shares through a Redis is not another's.
CACHES["default"]["KEY_PREFIX"] = os.environ["TEST_FOLDER"] + os.environ.get("PYTEST_XDIST_WORKER", "")

if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # A file, not memory: shared memory has table locks that wait for nobody, unlike the product's database.
    DATABASES["default"]["TEST"] = {"NAME": os.path.join(os.environ["TEST_FOLDER"], "test.sqlite3")}
else:
    # Making and dropping a database are statements too, and take longer than any of the product's may.
    options = DATABASES["default"]["OPTIONS"]
    options["options"] = options["options"].replace("statement_timeout=5000", "statement_timeout=60000")
    # Nothing here outlives the server: a commit need not wait for the disk.
    options["options"] += " -c synchronous_commit=off"

# Hashing for real costs 0.2 s per user.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
