"""What every test shares: where the shared data lies, which programs are needed, what CI forbids."""

import os
import shutil
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import settings

SHARED = Path(os.environ.get("EDGEAGENT_SHARED", Path(__file__).resolve().parents[2] / "shared"))
IN_CI = os.environ.get("CI") == "true"

# a busy machine is no failure: how long an example takes is not what these tests are about
settings.register_profile("edgeagent", deadline=None)
settings.load_profile("edgeagent")


def pytest_configure(config):
    os.environ.pop("COLUMNS", None)  # pytest-xdist gives its workers a width; a pipe has none
    # what `make test` installs beside python is found by whoever runs pytest
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    # started in the background of a script, Ctrl-C is ignored and every child inherits that
    signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "asyncio: set by pytest-asyncio")


def pytest_collection_modifyitems(config, items):
    """Leave out, with a reason, what this machine cannot run; in CI leave out nothing."""
    if IN_CI:
        return
    for item in items:
        if item.get_closest_marker("shared") and not SHARED.is_dir():
            item.add_marker(pytest.mark.skip(reason=f"shared data not found at {SHARED} (set EDGEAGENT_SHARED)"))
        for marker in item.iter_markers("tool"):
            if shutil.which(marker.args[0], path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") is None:
                item.add_marker(pytest.mark.skip(reason=f"{marker.args[0]} is not installed"))
        if item.get_closest_marker("hardware"):
            item.add_marker(pytest.mark.skip(reason="needs a real device"))


@pytest.fixture
def shared() -> Path:
    """The folder with clips, schemas and the baseline detector; its absence is a failure here."""
    assert SHARED.is_dir(), f"shared data not found at {SHARED} (set EDGEAGENT_SHARED)"
    return SHARED
