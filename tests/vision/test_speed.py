"""Two lines and a distance: speeds of those who crossed both."""

import numpy as np
import pytest

from edgeagent.vision.crossing import Crossing, Gate, Line
from edgeagent.vision.speed import SpeedTrap
from edgeagent.vision.tracking import Track


def crossing(line, at, *, track=1, direction="forward"):
    return Crossing(line, direction, 0, at, track)


def told(*crossings, distance=20.0):
    trap = SpeedTrap("a", "b", distance)
    for one in crossings:
        trap.look([one], one.at_s)
    return {d: (t.measured, round(t.sum_kmh, 1)) for d, t in trap.totals.items()}


@pytest.mark.parametrize(
    ("crossings", "forward", "backward"),
    [
        ([crossing("a", 1.0), crossing("b", 3.0)], (1, 36.0), (0, 0.0)),
        ([crossing("b", 1.0, direction="backward"), crossing("a", 2.0, direction="backward")], (0, 0.0), (1, 72.0)),
        ([crossing("a", 1.0), crossing("b", 3.0, track=2)], (0, 0.0), (0, 0.0)),  # another vehicle
        ([crossing("a", 1.0), crossing("b", 3.0, direction="backward")], (0, 0.0), (0, 0.0)),  # turned round
        ([crossing("a", 1.0), crossing("c", 2.0), crossing("b", 3.0)], (1, 36.0), (0, 0.0)),  # a third line
        ([crossing("a", 1.0), crossing("b", 1.1)], (0, 0.0), (0, 0.0)),  # 720 km/h: a swapped track
        ([crossing("a", 1.0), crossing("b", 1.0)], (0, 0.0), (0, 0.0)),
        ([crossing("a", 1.0), crossing("b", 61.0)], (0, 0.0), (0, 0.0)),  # 1.2 km/h: stopped between the lines
    ],
)
def test_speeds(crossings, forward, backward):
    assert told(*crossings) == {"forward": forward, "backward": backward}


def test_who_never_reaches_the_second_line_is_forgotten():
    trap = SpeedTrap("a", "b", 20)
    for n in range(500):
        trap.look([crossing("a", float(n), track=n)], float(n))
    assert len(trap._waiting) < 130


@pytest.mark.parametrize("fps", [5, 10, 25])
@pytest.mark.parametrize("kmh", [15, 40, 80])
def test_between_two_looks_it_is_interpolated(fps, kmh):
    """A road of 10 px per metre, lines 20 m apart."""
    trap, gates = SpeedTrap("a", "b", 20.0), [Gate(Line(n, (0, y), (400, y))) for n, y in (("a", 200), ("b", 400))]
    for look in range(60 * fps):
        at = look / fps
        bottom = 50 + kmh / 3.6 * 10 * at
        box = np.asarray([180, bottom - 40, 220, bottom], np.float32)
        seen = Track(1, box, at, 0.0, np.zeros(2, np.float32), looks=look + 1)
        seen.votes[0] = 1.0
        trap.look([c for gate in gates for c in gate.look([seen], at)], at)
    assert trap.totals["forward"].measured == 1
    assert trap.totals["forward"].sum_kmh == pytest.approx(kmh, rel=0.06)
