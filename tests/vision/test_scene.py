"""What makes a count untrustworthy, on painted scenes."""

import numpy as np
import pytest

from edgeagent.vision.scene import SceneWatch


def road(seed=1, *, light=1.0, shift=0):
    """A street of blocks under a bright sky, with grain."""
    rng = np.random.default_rng(seed)
    blocks = rng.uniform(20, 130, (16, 26)) + np.linspace(110, 0, 16)[:, None]
    picture = np.kron(blocks, np.ones((16, 16)))
    picture = np.roll(picture, shift, axis=1) + rng.normal(0, 8, picture.shape)
    return np.repeat(np.clip(picture * light, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def watch(pictures, step_s=1.0):
    scene, flags = SceneWatch(), []
    for i, picture in enumerate(pictures):
        flags.append(scene.look(picture, i * step_s))
    return flags


def grainy(picture, count, seed=5):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        yield np.clip(picture + rng.normal(0, 3, picture.shape), 0, 255).astype(np.uint8)


def smeared(picture, times=90):
    soft = picture.astype(float)
    for _ in range(times):
        soft = (np.roll(soft, 1, 0) + np.roll(soft, -1, 0) + np.roll(soft, 1, 1) + np.roll(soft, -1, 1) + soft) / 5
    return soft.astype(np.uint8)


@pytest.mark.parametrize(
    ("picture", "flags"),
    [
        (road(), set()),
        (road(light=0.12), {"dark"}),
        (smeared(road()), {"blurred"}),
        (np.full((256, 416, 3), 140, np.uint8), {"blurred"}),  # fog, or something over the lens
    ],
)
def test_one_picture(picture, flags):
    assert watch([picture])[0] == flags


def test_frozen_after_ten_seconds_without_a_changed_bit_and_alive_again():
    still = road()
    flags = watch([still] * 12 + list(grainy(still, 2)))
    assert "frozen" not in flags[9] and "frozen" in flags[10] and "frozen" in flags[11]
    assert "frozen" not in flags[12]


def test_a_turned_camera_shows_another_view():
    flags = watch([*grainy(road(), 60), *grainy(road(seed=9, shift=8), 90)])
    assert all("moved" not in f for f in flags[:60])
    assert "moved" in flags[149]


def test_dusk_and_a_bus_before_the_lens_are_not_a_move():
    dusk = [p for step in range(60) for p in grainy(road(light=1 - step / 90), 2, seed=step)]
    bus = road()
    bus[60:220, 40:380] = 90
    flags = watch([*grainy(road(), 60), *dusk, *grainy(road(light=0.34), 10), *grainy(bus, 10)])
    assert all("moved" not in f for f in flags)
