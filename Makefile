# A machine with Python 3.11 and make is enough: the rest goes into .venv, once, and again when the lock changes.

BIN := .venv/bin
INSTALLED := .venv/installed-requirements
PYTHON ?= $(shell for candidate in python3.11 python3 python; do \
	$$candidate -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null && echo $$candidate && break; done)
ARGS ?=

.PHONY: help install demo dev test check bench chaos clean

help:
	@echo 'make demo    a call center with simulated callers   ARGS="--calls 50 --speed 20 --exit --json"'
	@echo 'make dev     the whole service for daily work       ARGS="--port 8000"'
	@echo 'make test    the tests                              ARGS="-k settings"'
	@echo 'make check   format, lint, types, imports, migrations, system checks, API schema'
	@echo 'make bench   speed and cost, and what routing is worth'
	@echo 'make chaos   faults and kills, and what came of them  PROFILE=smoke|standard|soak|blackout|recovery'

install: $(INSTALLED)

$(INSTALLED): requirements-dev.txt
	@if [ -z "$(PYTHON)" ]; then \
		echo "Python 3.11 was not found. Install it, or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; fi
	@if [ ! -x $(BIN)/python ]; then $(PYTHON) -m venv .venv; fi
	@echo "Installing into .venv, as requirements-dev.txt has it ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@

demo: $(INSTALLED)
	@$(BIN)/python manage.py demo $(ARGS)

dev: $(INSTALLED)
	@$(BIN)/python manage.py dev $(ARGS)

# First on SQLite and an embedded broker; then, where the environment names other stores, on those what differs.
test: $(INSTALLED)
	env -u DATABASE_URL -u REDIS_URL $(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)
	@if [ -n "$$DATABASE_URL$$REDIS_URL" ]; then \
		echo "Again on the stores that the environment names: what differs there."; \
		$(BIN)/python -m pytest -n auto --dist worksteal -m "(backend or postgres) and not long" $(ARGS); fi

check: $(INSTALLED)
	@scripts/check

bench: $(INSTALLED)
	@$(BIN)/python -m bench $(ARGS)

# On a Postgres and a Redis of its own, whatever the environment names.
chaos: $(INSTALLED)
	@$(BIN)/python manage.py chaos --profile $(or $(PROFILE),smoke) $(ARGS)

clean:
	rm -rf .venv .dev staticfiles .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
