# `make demo` and `make test` need Python 3.11 or 3.12 and make, nothing else.

UV_VERSION := 0.13.9
TEST_JOBS ?= 2
# More for the command behind a target: make demo ARGS="--port 8001"
ARGS ?=

# The first of these that runs and has a version that the locked packages know.
FITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))
PYTHON ?= $(shell for name in python3.11 python3 python3.12; do \
	$$name -c "$(FITS)" 2>/dev/null && { echo $$name; break; }; done)

BIN := .venv/bin
MANAGE := $(BIN)/python manage.py
PYTEST := -m pytest -n $(TEST_JOBS)
# The development environment holds everything that the plain one does.
DEV_GOALS := setup-dev check format lock test test-postgres test-browser screenshots \
	page-weight
READY := $(if $(wildcard .venv/.dev)$(filter $(DEV_GOALS),$(MAKECMDGOALS)),.venv/.dev,.venv/.plain)

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Use the Python that is here; never fetch another.
export UV_PYTHON_DOWNLOADS := never

.PHONY: help venv setup-dev demo demo-check run test test-browser test-postgres check \
	format lock screenshots page-weight bench-ingest bench-web clean

help: ## Show this list.
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

venv: $(READY) ## Make .venv with the locked packages.

setup-dev: .venv/.dev ## Make .venv with the development packages too.

demo: $(READY) ## Start everything with a sandbox, fill it, serve until Ctrl-C.
	@$(BIN)/python -m mixadmin.common.local
	@exec $(MANAGE) demo $(ARGS)

demo-check: $(READY) ## The same without serving; fails unless all went as expected.
	@$(BIN)/python -m mixadmin.common.local
	@exec $(MANAGE) demo --check $(ARGS)

run: $(READY) ## Start everything on this machine, talking to the real Mixpanel.
	@$(BIN)/python -m mixadmin.common.local
	@exec $(MANAGE) up $(ARGS)

test: .venv/.dev ## Run the whole suite on SQLite, and in Chromium where it is installed.
	$(BIN)/python $(PYTEST) $(ARGS)
ifeq ($(ARGS),)
	@if $(BIN)/python -m tests.browser.chromium --look; then $(MAKE) test-browser; \
	else echo "SKIPPED: every browser test. make test-browser tells how."; fi
endif

test-browser: .venv/.dev ## Walk every page and the main flows in Chromium.
	@$(BIN)/python -m tests.browser.chromium
	$(BIN)/python $(PYTEST) --dist loadgroup -m browser tests/browser $(ARGS)

page-weight: .venv/.dev ## Print what pages weigh, and when a slow laptop can use them.
	$(BIN)/python -m tests.browser.weigh

screenshots: .venv/.dev ## Take the pictures of docs/screenshots anew.
	$(BIN)/python -m tests.browser.screenshots

test-postgres: .venv/.dev ## Run the whole suite on a real PostgreSQL and Redis.
	$(BIN)/python tests/postgres.py -n $(TEST_JOBS) $(ARGS)

check: .venv/.dev ## Everything that must hold before a commit.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy mixadmin
	$(BIN)/lint-imports
	DJANGO_SETTINGS_MODULE=tests.settings $(MANAGE) makemigrations --check --dry-run
	$(BIN)/python $(PYTEST) $(ARGS)
	$(MAKE) test-browser ARGS=

format: .venv/.dev ## Put the code into its one form.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

COMPILE := $(BIN)/uv pip compile pyproject.toml --python-version 3.11 --universal \
	--generate-hashes --no-emit-index-url --custom-compile-command "make lock"

lock: .venv/.dev ## Write requirements*.txt anew after a change of pyproject.toml.
	$(BIN)/python -m pip install --quiet uv==$(UV_VERSION)
	$(COMPILE) --quiet --output-file requirements.txt
	$(COMPILE) --quiet --extra dev --constraint requirements.txt \
		--output-file requirements-dev.txt

bench-ingest: $(READY) ## Measure ingest_file beside other tools (five minutes; cc, npm).
	$(BIN)/python -m bench.ingest $(ARGS)

bench-web: .venv/.dev ## Measure each page over a million runs, beside Django's admin.
	$(BIN)/python -m bench.web $(ARGS)

clean: ## Remove .venv and caches. What was stored in var/ stays.
	rm -rf .venv .bench .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

# Installing is done once for each version of the lock file. uv is several times faster
# than pip; where it cannot be had, pip checks the same hashes.
define install
	@test -n "$(PYTHON)" || { echo "Python 3.11 or 3.12 is needed: make PYTHON=..." >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing $(1)"
	@{ $(BIN)/python -m pip install --quiet uv==$(UV_VERSION) >/dev/null 2>&1 && \
		$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes $(1); } || { \
		echo "uv could not do it; trying pip" >&2; \
		$(BIN)/python -m pip install --quiet --require-hashes -r $(1); }
	@touch $@
endef

.venv/.plain: requirements.txt
	$(call install,requirements.txt)

.venv/.dev: requirements-dev.txt
	$(call install,requirements-dev.txt)
