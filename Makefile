# Two commands: `make demo` shows the agent at work, `make test` proves it.
# Needs git, make and python3-venv; everything else is installed into .venv.

PYTHON ?= python3
VENV   := .venv
PIP    := $(VENV)/bin/python -m pip --disable-pip-version-check -q
# The programs that real tests talk to, and the Debian packages that bring them.
TOOLS    := mosquitto dbus-daemon ffmpeg socat strace faketime gcc systemd-analyze dpkg-deb npm ip groff softhsm2-util chromium
PACKAGES := mosquitto dbus ffmpeg socat strace faketime gcc libc6-dev linux-libc-dev libmodbus-dev systemd dpkg nodejs npm iproute2 groff-base softhsm2 chromium

.PHONY: demo test unit check bench bench-peers torture tools train wheel deb deb-test requirements clean

demo: $(VENV)/.runtime
	$(VENV)/bin/edgeagent demo $(if $(VIDEO),--video "$(VIDEO)") $(if $(SECONDS),--seconds $(SECONDS))

# Side by side, file by file: most of the time goes into waiting for devices.
test: $(VENV)/.dev tools $(VENV)/bin/prism $(VENV)/bin/axe.min.js check
	$(VENV)/bin/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

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

# The same load on another gateway, installed from PyPI into a venv of its own.
PEERS := .peers
bench-peers: $(VENV)/.dev tools $(PEERS)/.installed
	EDGEAGENT_PEERS=$(PEERS) $(VENV)/bin/python -m tests.bench.peers

# pymodbus and the others: what its Modbus connector would otherwise install by itself when it starts.
$(PEERS)/.installed:
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip --disable-pip-version-check -q install "thingsboard-gateway==3.8.*" pymodbus==3.9.2 pyserial pyserial-asyncio
	@touch $@

# Long campaigns; `make test` runs a short version of each.
torture: $(VENV)/.dev tools
	EDGEAGENT_ROUNDS=1000 $(VENV)/bin/python -m pytest -m slow

# The detector from its pictures: own environment, resumable, about 75 minutes on two cores (MINUTES, STEPS shorten it).
# Ships the result only where it is better than what is there; see models/train/README.md.
train:
	$(MAKE) -C models/train

wheel: $(VENV)/.dev
	rm -rf dist && $(VENV)/bin/python -m hatchling build -t wheel

# One package per Debian release, cross-built for arm64; RELEASE=bookworm|trixie.
RELEASE ?= bookworm
deb: $(VENV)/.dev tools
	$(PIP) install uv
	$(VENV)/bin/python systemd/deb/build.py $(RELEASE) --out dist

# Installs the package in an arm64 chroot under qemu-user and runs the demo there; root, minutes, 1.5 GB.
deb-test: deb
	systemd/deb/test.sh $(RELEASE) dist

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

# What judges the page on demand for people who see, hear or move otherwise (tests/web/test_browser.py).
$(VENV)/bin/axe.min.js: | $(VENV)/bin/python tools
	@command -v npm >/dev/null || { [ "$$CI" != true ]; exit; }; \
	npm install --silent --no-audit --no-fund --no-package-lock --before 2026-11-20 --prefix $(VENV)/axe axe-core@4.14.1 >/dev/null \
	  && chmod +x $(VENV)/axe/node_modules/axe-core/axe.min.js && ln -sf ../axe/node_modules/axe-core/axe.min.js $@

# Newest releases, pinned with the hashes of every wheel (x86-64 and aarch64, Python 3.11 and later).
requirements: $(VENV)/.dev
	$(PIP) install uv
	$(VENV)/bin/uv pip compile -q -U pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate -o requirements.txt
	$(VENV)/bin/uv pip compile -q -U pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate -o requirements-dev.txt

clean:
	rm -rf $(VENV) $(PEERS) dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
