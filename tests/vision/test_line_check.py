"""Lines that can never fire, lines that count half, and a line that would do."""

import numpy as np
import pytest

from edgeagent.vision.crossing import Line
from edgeagent.vision.line_check import check, suggest

SIZE = (640, 360)


def ways(count=6, *, xs=(200, 420), down=True, across=False):
    """Vehicles on parallel lanes: down (or up) the picture, or from left to right."""
    made = []
    for n in range(count):
        at = xs[0] + (xs[1] - xs[0]) * n / max(count - 1, 1)
        steps = np.linspace(60, 340 if not across else 600, 30)
        path = [(float(s), at) for s in steps] if across else [(at, float(s)) for s in steps]
        made.append(path if down else path[::-1])
    return made


def line(x1, y1, x2, y2):
    return Line("a", (x1, y1), (x2, y2))


@pytest.mark.parametrize(
    ("one", "paths", "faults"),
    [
        (line(100, 200, 500, 200), ways() + ways(down=False), ()),
        (line(100, 200, 500, 200), (), ()),
        (line(100, 400, 500, 420), (), ("outside",)),
        (line(100, 355, 500, 358), (), ("edge",)),
        (line(2, 0, 6, 360), (), ("edge",)),
        (line(0, 20, 600, 30), ways() + ways(down=False), ("nobody",)),
        (line(500, 200, 630, 200), ways() + ways(down=False), ("beside",)),
        (line(190, 200, 260, 200), ways() + ways(down=False), ("beside",)),
        (line(100, 200, 500, 200), ways(), ("one-way",)),
        (line(100, 200, 500, 200), ways(2), ()),  # two vehicles prove nothing
    ],
)
def test_faults(one, paths, faults):
    assert check(one, SIZE, paths).faults == faults


def test_a_line_that_lies_along_the_road():
    slant = [[(100 + 8.0 * t, 100 + 1.0 * t) for t in range(60)] for _ in range(5)]
    assert "along" in check(line(100, 105, 560, 155), SIZE, slant).faults


def test_what_crossed_is_told():
    found = check(line(100, 200, 500, 200), SIZE, ways(4) + ways(3, down=False))
    assert (found.forward, found.backward, found.beside) == (4, 3, 0)


@pytest.mark.parametrize(("across", "forward"), [(False, "down"), (True, "right")])
def test_the_suggested_line_is_crossed_by_everybody(across, forward):
    paths = ways(8, across=across, xs=(120, 300)) + ways(3, across=across, xs=(120, 300), down=False)
    start, end, towards = suggest(SIZE, paths)
    assert towards == forward
    found = check(Line.towards("a", start, end, towards), SIZE, paths)
    assert (found.forward, found.backward, found.beside, found.faults) == (8, 3, 0, ())


def test_at_a_junction_the_busier_road_gets_the_line():
    paths = ways(9, xs=(250, 400)) + ways(4, across=True, xs=(150, 200))
    start, end, _ = suggest(SIZE, paths)
    assert abs(end[0] - start[0]) > 3 * abs(end[1] - start[1]), "across the road that goes down the picture"


@pytest.mark.parametrize("paths", [[], ways(2), [[(10.0, 10.0), (12.0, 11.0)]] * 9])
def test_too_little_traffic_suggests_nothing(paths):
    assert suggest(SIZE, paths) is None
