"""A real clip, the real detector: what the page shows of it is blurred, and lines are judged by its traffic."""

import cv2
import numpy as np
import pytest

from edgeagent.clock import SystemClock
from edgeagent.errors import EdgeAgentError
from edgeagent.install.aim import Aim
from edgeagent.simulate.road import render_clip
from edgeagent.sources.annotate import coarse
from edgeagent.sources.camera_messages import Start
from edgeagent.sources.count_spot import Spot
from edgeagent.sources.video import FileFrames
from edgeagent.web.offers import Drawn


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("road") / "road.mp4"
    return path, render_clip(path, 8.0)


def line(name, start, end, forward="down"):
    return Drawn(id=name, start=start, end=end, forward=forward)


@pytest.mark.slow
def test_pictures_are_blurred_and_lines_are_judged_by_the_ways_of_vehicles(clip, monkeypatch):
    path, truth = clip
    watch = Spot.watch
    monkeypatch.setattr(
        Spot, "watch", lambda spot, seconds: (setattr(spot, "start", fast(spot.start)), watch(spot, seconds))[1]
    )
    aim = Aim(Start(camera=str(path), model="vehicles", lines=()), SystemClock())
    shown = list(aim.pictures())
    assert len(shown) >= 8
    assert {one.size for one in shown} == {(640, 360)}
    assert shown[-1].vehicles > 0
    first = next(iter(FileFrames(str(path), max_fps=5.0))).picture
    seen = cv2.imdecode(np.frombuffer(shown[0].png, np.uint8), cv2.IMREAD_COLOR)
    assert detail(seen) < detail(first) / 4  # neither face nor plate
    assert np.abs(seen.astype(int) - coarse(first)).mean() < 2
    (one,) = truth.lines
    across = line("across", tuple(map(float, one.p1)), tuple(map(float, one.p2)))
    lines = (
        across,
        line("corner", (0.0, 5.0), (60.0, 5.0)),
        line("far", (900.0, 5.0), (990.0, 5.0)),
        line("dot", (5.0, 5.0), (5.0, 5.0)),
        line("along", (5.0, 5.0), (90.0, 5.0), "left"),
    )
    found = {f.id: f for f in aim.check(lines)}
    assert found["across"].forward + found["across"].backward > 0
    assert found["corner"].forward + found["corner"].backward == 0
    assert found["far"].faults == ("outside",)
    assert found["dot"].faults == ("short",)
    assert found["along"].faults == ("forward",)


def fast(start):
    import msgspec  # noqa: PLC0415

    return msgspec.structs.replace(start, pace=False)


def detail(picture):
    return cv2.Laplacian(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), cv2.CV_64F).var()


@pytest.mark.slow
def test_a_device_that_is_not_to_be_had_says_who_may_have_it():
    aim = Aim(Start(camera="/dev/v4l/by-id/none", model="motion", lines=()), Quick())
    with pytest.raises(EdgeAgentError) as caught:
        list(aim.pictures())
    assert caught.value.code == "web.busy"


class Quick(SystemClock):
    """A clock on which the patience with a dead camera is short."""

    def mono(self):
        return super().mono() * 20
