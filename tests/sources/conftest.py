"""What several files here share: clips as the detectors saw them, looked at once per run."""

import functools

import pytest

from edgeagent import shipped
from edgeagent.sources.count_eval import read_truth, watch
from edgeagent.sources.detector import Detector
from tests.conftest import SHARED
from tests.sources.camera_rig import baseline_model


@pytest.fixture(scope="session")
def seen(tmp_path_factory):
    """`seen("vehicles", "a13_day")`: (footage, truth) of a shared clip; a detector's name is `vehicles` or `baseline`."""
    assert SHARED.is_dir(), f"shared data not found at {SHARED} (set EDGEAGENT_SHARED)"

    @functools.cache
    def detector(name):
        if name == "baseline":
            return Detector(baseline_model(SHARED, tmp_path_factory.mktemp("models")))
        return Detector(shipped.model(name))

    @functools.cache
    def footage(name, clip):
        file = SHARED / "traffic" / clip
        return watch(file.with_suffix(".mp4"), detector(name)), read_truth(file.with_suffix(".json"))

    return footage
