"""What a window says about itself: trust in names, queues, speeds, dropped pictures, doubts."""

import pytest

from edgeagent.reading import Quality, Unit
from edgeagent.sources.camera_messages import Hello, LineTally, RegionTally, SpeedTally, Tally
from edgeagent.sources.traffic_windows import Windows
from tests.fakes import FakeClock

CLASSES = ("car", "bus", "truck", "motorcycle", "bicycle")
TRUST = {"car": "good", "bus": "none", "truck": "hint", "motorcycle": "hint", "bicycle": "none"}


def window(*tallies, hello=None, seconds=60.0, lines=("a",), **more):
    clock = FakeClock()
    made = Windows("cam", lines, round(seconds * 1000), clock.now(), **more)
    made.greet(hello or Hello(model="e8af074932d4", classes=CLASSES))
    for tally in tallies:
        made.take(tally)
    clock.advance(seconds)
    return made.due(clock.now())


def tally(*, watched=60.0, counts=None, **more):
    lines = {"a": LineTally(counts=counts or {}, touched=0)}
    return Tally(looks=600, watched_s=watched, lines=lines, **more)


def test_names_the_card_does_not_vouch_for_are_doubtful_or_held_back():
    counts = {"forward": {"car": 9, "bus": 1, "truck": 3, "motorcycle": 2, "bicycle": 1}, "backward": {}}
    (reading,) = window(tally(counts=counts), hello=Hello(model="e8", classes=CLASSES, trust=TRUST))
    shown = {n: (q.value, q.quality) for n, q in reading.quantities.items() if n.startswith("count")}
    assert shown["count"] == (16, Quality.GOOD), "a vehicle is a vehicle, whatever it is called"
    assert shown["count_forward"] == (16, Quality.GOOD)
    assert shown["count_forward_car"] == (9, Quality.GOOD)
    assert shown["count_forward_truck"] == (3, Quality.SUSPECT)
    assert shown["count_forward_motorcycle"] == (2, Quality.SUSPECT)
    assert not {"count_forward_bus", "count_forward_bicycle"} & set(shown), "held back"
    assert shown["count_forward_large"] == (4, Quality.SUSPECT)
    assert shown["count_forward_small"] == (9, Quality.SUSPECT), "a split is as good as its weaker half"
    assert reading.facts["class_trust"] == "car good, bus none, truck hint, motorcycle hint, bicycle none"


def test_people_are_counted_beside_the_vehicles_not_among_them():
    counts = {"forward": {"car": 2, "person": 5}, "backward": {}}
    (reading,) = window(tally(counts=counts), hello=Hello(model="e8", classes=("car", "person")))
    assert reading.quantities["count"].value == 2 and reading.quantities["count_forward"].value == 2
    assert reading.quantities["count_forward_person"].value == 5


def test_a_camera_that_cannot_name_makes_no_split():
    (reading,) = window(
        tally(counts={"forward": {"vehicle": 3}, "backward": {}}), hello=Hello(model="m", classes=("vehicle",))
    )
    assert reading.quantities["count_forward_vehicle"].value == 3
    assert not [n for n in reading.quantities if n.endswith(("_small", "_large"))]


@pytest.mark.parametrize(
    ("region", "state", "queue", "vehicles"),
    [
        (RegionTally(occupied_s=30, vehicle_s=30, paced_s=0.0), "free", 0, 0.5),
        (
            RegionTally(occupied_s=50, vehicle_s=120, standing_s=10, queue_s=(8, 1), pace_s=30, paced_s=100),
            "slow",
            1,
            2.0,
        ),
        (RegionTally(occupied_s=60, vehicle_s=300, standing_s=240, queue_s=(60, 60, 60, 40, 2)), "queued", 4, 5.0),
        # one bus at its stop is no jam
        (RegionTally(occupied_s=40, vehicle_s=40, standing_s=38, queue_s=(38,)), "free", 1, 0.67),
    ],
)
def test_free_slow_queued(region, state, queue, vehicles):
    (reading,) = window(tally(region=region))
    values = {n: q.value for n, q in reading.quantities.items()}
    assert (values["congestion"], values["queue_length"]) == (state, queue)
    assert values["vehicles"] == pytest.approx(vehicles, abs=0.01)
    assert values["congested"] is (state == "queued")
    assert values["region_occupancy"] == pytest.approx(region.occupied_s / 60, abs=1e-3)


def test_the_region_and_the_speeds_belong_to_the_camera_not_to_each_line():
    first, second = window(
        tally(region=RegionTally(vehicle_s=6), speed={"forward": SpeedTally(measured=1, sum_kmh=40)}), lines=("a", "b")
    )
    assert "queue_length" in first.quantities and "queue_length" not in second.quantities
    assert "speed" in first.quantities and "speed" not in second.quantities


def test_mean_speeds_and_no_vehicle_is_missing_not_zero():
    speed = {"forward": SpeedTally(measured=4, sum_kmh=160), "backward": SpeedTally()}
    (reading,) = window(tally(speed=speed))
    shown = reading.quantities
    assert (shown["speed_forward"].value, shown["speed_forward"].unit) == (40.0, Unit.KILOMETRE_PER_HOUR)
    assert shown["speed"].value == 40.0 and shown["speeds_measured"].value == 4
    assert shown["speed_backward"].value is None and shown["speed_backward"].quality is Quality.MISSING


def test_sums_go_on_across_workers():
    clock = FakeClock()
    made = Windows("cam", ("a",), 60_000, clock.now())
    for _ in range(2):
        made.greet(Hello(model="e8", classes=("car",)))
        region = RegionTally(vehicle_s=30, standing_s=30, occupied_s=15, queue_s=(15, 15))
        speed = {"forward": SpeedTally(measured=1, sum_kmh=30)}
        made.take(tally(watched=10, dropped=50))
        made.take(tally(watched=30, dropped=100, region=region, speed=speed))
    clock.advance(60)
    (reading,) = made.due(clock.now())
    shown = {n: q.value for n, q in reading.quantities.items()}
    assert shown["queue_length"] == 2 and shown["vehicles"] == 1.0 and shown["speeds_measured"] == 2
    assert shown["dropped"] == pytest.approx(200 / 1400, abs=1e-3)


def test_nobody_watched_says_why_and_names_no_state():
    made, clock = None, FakeClock()
    made = Windows("cam", ("a",), 60_000, clock.now(), versions={"a": "5d1f03aa"})
    made.greet(Hello(model="e8", classes=("car",)))
    made.take(
        Tally(lines={"a": LineTally(counts={}, touched=0)}, region=RegionTally(), speed={"forward": SpeedTally()})
    )
    clock.advance(60)
    (reading,) = made.due(clock.now())
    assert reading.facts["reason"] == "not watched" and reading.facts["line_version"] == "5d1f03aa"
    for name in ("count", "congestion", "queue_length", "speed", "occupancy"):
        assert reading.quantities[name].value is None, name
    assert reading.quantities["coverage"].value == 0


def test_a_dark_blind_or_throttled_window_says_so():
    (reading,) = window(tally(watched=30.0, flagged_s={"dark": 29.0, "moved": 12.0, "blurred": 1.0}, limit="heat"))
    assert reading.facts["reason"] == "watched 50%, dark, moved"
    assert reading.facts["scene"] == "dark,moved" and reading.facts["governor"] == "heat"
    assert reading.quantities["count"].quality is Quality.SUSPECT


def test_a_window_names_the_smallest_picture_that_was_looked_at():
    widths = (512, 320, 512, 0)  # it came back before the window ended; the last tally is of an older worker
    (reading,) = window(*(tally(watched=15.0 * n, input_width=wide) for n, wide in enumerate(widths, 1)))
    assert reading.quantities["input_width"].value == 320
