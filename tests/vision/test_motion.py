"""The gate rests on a still road, and never while a vehicle moves."""

import numpy as np
import pytest

from edgeagent.vision.motion import STALE_EMPTY_S, STALE_S, MotionGate

RNG = np.random.default_rng(7)
ROAD = RNG.integers(60, 160, (232, 416, 3)).astype(np.int16)


def picture(*, noise=3.0, level=0, car=None, contrast=12):
    shown = ROAD + level + RNG.normal(0, noise, ROAD.shape).round().astype(np.int16)
    if car is not None:
        x, y = car
        shown[int(y) : int(y) + 12, int(x) : int(x) + 16] += contrast
    return shown.clip(0, 255).astype(np.uint8)


def opened(pictures, *, fps=10, vehicles=0):
    gate = MotionGate()
    return [gate.opens(one, n / fps, vehicles=vehicles) for n, one in enumerate(pictures)]


def longest_rest(opens):
    rest = most = 0
    for one in opens:
        rest = 0 if one else rest + 1
        most = max(most, rest)
    return most


@pytest.mark.parametrize("noise", [0.0, 2.0, 5.0])
@pytest.mark.parametrize(("vehicles", "stale_s"), [(0, STALE_EMPTY_S), (4, STALE_S)])
def test_a_still_road_is_looked_at_now_and_then(noise, vehicles, stale_s):
    opens = opened([picture(noise=noise) for _ in range(100)], vehicles=vehicles)
    assert opens[0]
    assert sum(opens[10:]) <= 90 / (stale_s * 10) + 2
    assert longest_rest(opens) <= stale_s * 10, "never longer than that"


def test_a_small_pale_car_is_never_missed():
    opens = opened([picture(car=(20 + 4 * n, 100)) for n in range(60)])
    assert all(opens)


def test_what_creeps_adds_up():
    opens = opened([picture(car=(100 + 0.7 * n, 100)) for n in range(80)], vehicles=1)
    assert sum(opens) >= 40


def test_an_exposure_step_is_no_vehicle():
    opens = opened([picture(level=12 if n > 30 else 0) for n in range(60)])
    assert sum(opens[20:]) <= 5


def test_it_lingers_after_the_last_movement():
    frames = [picture(car=(20 + 8 * n, 100)) for n in range(20)] + [picture(car=(172, 100)) for _ in range(40)]
    opens = opened(frames, vehicles=1)
    assert all(opens[:24]) and not all(opens[30:])


def test_another_picture_size_is_looked_at():
    gate = MotionGate()
    assert gate.opens(picture(), 0.0, vehicles=0)
    assert gate.opens(picture()[:200], 0.1, vehicles=0)
