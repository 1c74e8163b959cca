"""What is not ours and is measured beside it: granian and dj-stripe, installed from PyPI where nothing else sees them.

granian goes into a folder that one server's ``PYTHONPATH`` names, so that it runs our own environment; dj-stripe, which
needs a Django project of its own, into a virtual environment with our versions of Django, gunicorn and psycopg.
"""

import subprocess
import sys
import venv
from importlib.metadata import version
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / ".dev" / "peers"
GRANIAN = "granian==2.8.*"
DJ_STRIPE = "dj-stripe==2.11.*"
SHARED = ("django", "gunicorn", "psycopg", "psycopg-binary", "psycopg-pool")


def granian() -> Path:
    """The folder to put on ``PYTHONPATH``. Its one dependency, click, is Celery's too."""
    folder = FOLDER / "granian"
    if not (folder / "granian").exists():
        _pip(sys.executable, "--target", str(folder), "--no-deps", GRANIAN)
    return folder


def dj_stripe() -> str:
    """The Python that has it."""
    folder = FOLDER / "dj-stripe"
    python, done = folder / "bin" / "python", folder / "installed"
    if not done.exists():
        venv.create(folder, with_pip=True, clear=True)
        _pip(str(python), DJ_STRIPE, *(f"{name}=={version(name)}" for name in SHARED))
        done.touch()
    return str(python)


def _pip(python: str, *arguments: str) -> None:
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
    subprocess.run(command, check=True)
