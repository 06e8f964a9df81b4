"""Standing, slow, free: what a region says about the vehicles in it."""

import numpy as np
import pytest

from edgeagent.vision.region import LONGEST_QUEUE, Region, RegionWatch
from edgeagent.vision.tracking import Track

ROAD = Region([(0, 100), (400, 100), (400, 400), (0, 400)])
HEIGHT = 40.0


def track(number, x, bottom, at, looks=9):
    box = np.asarray([x - 30, bottom - HEIGHT, x + 30, bottom], np.float32)
    return Track(number, box, at, at, np.zeros(2, np.float32), looks=looks)


def play(watch, places, *, fps=10.0, begin=0.0, seconds=4.0):
    """Vehicles at `places(second)` -> {number: (x, bottom)}."""
    for look in range(int(seconds * fps)):
        at = begin + look / fps
        watch.look([track(n, x, y, at) for n, (x, y) in places(at).items()], at, 1 / fps)
    return watch


@pytest.mark.parametrize(
    ("point", "inside"),
    [((200, 200), True), ((200, 99), False), ((401, 200), False), ((1, 399), True), ((-5, 200), False)],
)
def test_inside(point, inside):
    assert ROAD.holds(*point) is inside


def test_a_region_may_have_a_notch():
    bent = Region([(0, 0), (100, 0), (100, 100), (50, 50), (0, 100)])
    assert bent.holds(10, 80) and bent.holds(90, 80) and not bent.holds(50, 80)


def test_a_queue_stands_though_its_boxes_tremble():
    rng = np.random.default_rng(1)
    watch = play(RegionWatch(ROAD), lambda at: {n: (40 + 60 * n, 200 + rng.uniform(-2, 2)) for n in range(5)})
    totals = watch.totals
    assert totals.occupied_s == pytest.approx(4.0, abs=0.2)
    assert totals.vehicle_s == pytest.approx(20.0, abs=1.0)
    assert totals.standing_s == pytest.approx(15.0, abs=1.0), "standing is believed after a second"
    assert totals.queue_s[4] == pytest.approx(3.0, abs=0.2) and totals.queue_s[5] == 0


def test_who_drives_does_not_stand():
    watch = play(RegionWatch(ROAD), lambda at: {1: (200, 110 + 60 * at)})
    assert watch.totals.standing_s == 0 and watch.totals.vehicle_s > 3


def test_who_creeps_does_not_stand_forever_in_one_place():
    watch = play(RegionWatch(ROAD), lambda at: {1: (200, 110 + 8 * at)}, seconds=20)
    assert watch.totals.standing_s < 1.0, "8 pixels per second is a fifth of its height: it moves"


def test_outside_is_not_looked_at_and_a_flicker_is_no_vehicle():
    watch = RegionWatch(ROAD)
    for look in range(30):
        watch.look([track(1, 200, 50, look / 10), track(2 + look, 200, 200, look / 10, looks=1)], look / 10, 0.1)
    assert watch.totals.vehicle_s == 0


def passes(watch, count, pace, begin):
    for n in range(count):
        start = begin + n * 10
        play(watch, lambda at, s=start, n=n: {100 + n: (200, 110 + pace * (at - s))}, begin=start, seconds=280 / pace)
        watch.look([], start + 280 / pace + 2.5, 0.1)
    return begin + count * 10


def test_slow_is_slower_than_what_one_can_drive_here():
    watch = RegionWatch(ROAD)
    end = passes(watch, 25, 140.0, 0.0)
    assert watch.totals.paced_s < 12, "nothing to compare with until twenty have passed"
    before = (watch.totals.pace_s, watch.totals.paced_s)
    play(watch, lambda at: {1: (200, 110 + 140 * (at - end))}, begin=end, seconds=2)
    free = (watch.totals.pace_s - before[0]) / (watch.totals.paced_s - before[1])
    before = (watch.totals.pace_s, watch.totals.paced_s)
    play(watch, lambda at: {2: (200, 110 + 28 * (at - end - 30))}, begin=end + 30, seconds=9)
    slow = (watch.totals.pace_s - before[0]) / (watch.totals.paced_s - before[1])
    assert free > 0.7 and slow < 0.35


def test_what_is_remembered_is_bounded():
    watch = RegionWatch(ROAD)
    for look in range(3000):
        watch.look([track(look, 200, 200, look / 10)], look / 10, 0.1)
    assert len(watch._stays) < 30 and len(watch.totals.queue_s) == LONGEST_QUEUE
    crowd = [track(n, 5 * n, 200, 400.0) for n in range(60)]
    for look in range(20):
        watch.look(crowd, 400 + look / 10, 0.1)
    assert watch.totals.queue_s[-1] > 0
