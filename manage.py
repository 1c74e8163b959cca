#!/usr/bin/env python
"""Django's command line."""

import logging
import os
import sys

from django.core.management import execute_from_command_line
from django.db import OperationalError

from callcenter import databases


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "callcenter.settings")
    # It warns of every connection that fails; commands say once, in one line, why.
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    try:
        execute_from_command_line(sys.argv)
    except OperationalError as error:
        if "--traceback" in sys.argv:
            raise
        sys.exit(databases.failure(error))


if __name__ == "__main__":
    main()
