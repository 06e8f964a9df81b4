# Two commands: `make demo` shows the agent at work, `make test` proves it.
# Needs git, make and python3-venv; everything else is installed into .venv.

PYTHON ?= python3
VENV   := .venv
PIP    := $(VENV)/bin/python -m pip --disable-pip-version-check -q
# The programs that real tests talk to, and the Debian packages that bring them.
TOOLS    := mosquitto dbus-daemon ffmpeg socat strace faketime gcc systemd-analyze dpkg-deb npm groff
PACKAGES := mosquitto dbus ffmpeg socat strace faketime gcc libc6-dev linux-libc-dev libmodbus-dev systemd dpkg nodejs npm groff-base

.PHONY: demo test unit check bench torture tools wheel requirements clean

demo: $(VENV)/.runtime
	$(VENV)/bin/edgeagent demo $(if $(VIDEO),--video "$(VIDEO)") $(if $(SECONDS),--seconds $(SECONDS))

test: $(VENV)/.dev tools $(VENV)/bin/prism check
	$(VENV)/bin/python -m pytest

# The fast part of `make test`, for the edit loop: the pure rooms and the outbox, no device to wait for.
UNIT := tests/wire tests/vision tests/rules tests/ngsi tests/outbox tests/contracts tests/test_*.py
unit: $(VENV)/.dev
	$(VENV)/bin/python -m pytest -q -m "not slow and not shared and not tool" $(UNIT)

check: $(VENV)/.dev
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy

# One JSON line per figure; see tests/bench/.
bench: $(VENV)/.dev tools
	$(VENV)/bin/python -m tests.bench

# Long campaigns; `make test` runs a short version of each.
torture: $(VENV)/.dev tools
	EDGEAGENT_ROUNDS=1000 $(VENV)/bin/python -m pytest -m slow

wheel: $(VENV)/.dev
	rm -rf dist && $(VENV)/bin/python -m hatchling build -t wheel

# Installs missing programs as root or with passwordless sudo; otherwise says what is left out.
# With CI=true nothing may be left out.
tools:
	@export PATH="$$PATH:/usr/sbin:/sbin"; missing=; \
	for tool in $(TOOLS); do command -v $$tool >/dev/null || missing="$$missing $$tool"; done; \
	[ -z "$$missing" ] && exit 0; \
	if [ "$$(id -u)" = 0 ]; then sudo=; elif sudo -n true 2>/dev/null; then sudo="sudo -n"; else sudo=no; fi; \
	if [ "$$sudo" != no ] && command -v apt-get >/dev/null; then \
	  echo "installing$$missing"; \
	  $$sudo apt-get -qq update && DEBIAN_FRONTEND=noninteractive $$sudo apt-get -qq install -y --no-install-recommends $(PACKAGES) >/dev/null && exit 0; \
	fi; \
	echo "not installed:$$missing - tests that need them are left out (apt-get install $(PACKAGES))"; \
	[ "$$CI" != true ]

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV) || { echo "python3-venv is missing: sudo apt-get install python3-venv"; exit 1; }

$(VENV)/.runtime: requirements.txt pyproject.toml | $(VENV)/bin/python
	@echo "installing into $(VENV) (once, about 100 MB)"
	$(PIP) install --require-hashes -r requirements.txt
	$(PIP) install --no-deps --editable .
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.runtime
	$(PIP) install --require-hashes -r requirements-dev.txt
	@touch $@

# A validating mock server for the published contract (tests/ngsi/test_prism.py), as it was on that day;
# a lock file would name addresses.  The newest release that runs on the node of Debian 12.
$(VENV)/bin/prism: | $(VENV)/bin/python tools
	@command -v npm >/dev/null || { [ "$$CI" != true ]; exit; }; \
	npm install --silent --no-audit --no-fund --no-package-lock --before 2026-11-20 --prefix $(VENV)/prism @stoplight/prism-cli@5.14.2 >/dev/null \
	  && ln -sf ../prism/node_modules/.bin/prism $@

# Newest releases, pinned with the hashes of every wheel (x86-64 and aarch64, Python 3.11 and later).
requirements: $(VENV)/.dev
	$(PIP) install uv
	$(VENV)/bin/uv pip compile -q -U pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate -o requirements.txt
	$(VENV)/bin/uv pip compile -q -U pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate -o requirements-dev.txt

clean:
	rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
