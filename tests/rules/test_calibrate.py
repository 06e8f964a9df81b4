import math

import msgspec
import pytest

from edgeagent.config import decode
from edgeagent.reading import Kind, Quality, Quantity, Reading, Unit
from edgeagent.rules.calibrate import Calibrate, CalibrateConfig
from tests.fakes import FakeClock, water


def gauge(**quantities) -> Reading:
    return Reading(
        source="miyagawa", kind=Kind.WATER, entity="miyagawa", at=FakeClock().now(), quantities=quantities,
        facts={"reason:distance": "echo-lost", "raw": "1234"},
    )  # fmt: skip


def fed(config: CalibrateConfig, reading: Reading) -> Reading:
    (out,) = Calibrate(config, "miyagawa").feed(reading)
    return out


@pytest.mark.parametrize(
    ("config", "raw", "level"),
    [
        ({"mount_height_m": 7.42}, {"distance": 5.0}, 2.42),
        ({"mount_height_m": 7.42}, {"distance": 7.42}, 0.0),
        ({"mount_height_m": 7.42}, {"distance": 8.0}, -0.58),
        (
            {"mount_height_m": 7.42, "tilt_deg": 10.0},
            {"distance": 5.0},
            round(7.42 - 5 * math.cos(math.radians(10)), 4),
        ),
        ({"mount_height_m": 7.42, "slope": 1.01, "offset_m": -0.02}, {"distance": 5.0}, round(2.42 * 1.01 - 0.02, 4)),
        ({"slope": 2.0, "offset_m": 0.1}, {"level": 1.5}, 3.1),
        ({"mount_height_m": 7.42}, {"distance": 5.0, "level": 99.0}, 2.42),  # our own survey wins
        ({}, {"level": 1}, 1.0),
    ],
)
def test_level(config, raw, level):
    out = fed(CalibrateConfig(**config), gauge(**{k: Quantity(v, Unit.METRE) for k, v in raw.items()}))
    assert out.quantities["level"] == Quantity(level, Unit.METRE)
    assert "elevation" not in out.quantities
    if "distance" in raw:
        assert out.quantities["distance"].value == raw["distance"]


def test_elevation_and_what_it_was_computed_with():
    config = CalibrateConfig(mount_height_m=7.42, datum="T.P.", zero_point_m=331.2, tilt_deg=2.5)
    out = fed(config, gauge(distance=Quantity(5.0, Unit.METRE)))
    assert out.quantities["elevation"] == Quantity(round(out.quantities["level"].value + 331.2, 4), Unit.METRE)
    assert out.facts["datum"] == "T.P." and out.facts["calibration"] == "h=7.42 tilt=2.5 zero=331.2"
    assert out.facts["raw"] == "1234"


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_missing_stays_missing_with_its_reason(value):
    raw = Quantity.missing(Unit.METRE) if value is None else Quantity(value, Unit.METRE)
    out = fed(CalibrateConfig(mount_height_m=7.42, zero_point_m=1.0), gauge(distance=raw))
    assert out.quantities["level"] == out.quantities["elevation"] == Quantity.missing(Unit.METRE)
    assert out.facts["reason:level"] == "echo-lost"


def test_quality_goes_along():
    for quality in (Quality.SUSPECT, Quality.FAIL):
        out = fed(
            CalibrateConfig(mount_height_m=7.42, zero_point_m=1.0), gauge(distance=Quantity(5.0, Unit.METRE, quality))
        )
        assert out.quantities["level"].quality is out.quantities["elevation"].quality is quality


def test_what_it_cannot_compute_passes():
    rain = Reading(source="g", kind=Kind.RAIN, entity="g", at=FakeClock().now(), quantities={"level": Quantity(1.0)})
    for reading in (rain, gauge(temperature=Quantity(3.0, Unit.CELSIUS)), gauge(distance=Quantity(5.0, Unit.METRE))):
        assert fed(CalibrateConfig(), reading) == reading
    assert list(Calibrate(CalibrateConfig(), "g").tick(FakeClock().now())) == []


def test_what_it_is_fed_is_not_changed():
    before = water(1.0)
    fed(CalibrateConfig(offset_m=1.0), before)
    assert before == water(1.0)


@pytest.mark.parametrize(
    ("table", "code", "path"),
    [
        ({"slope": 0.0}, "rules.slope-zero", "s.calibrate.slope"),
        ({"tilt_deg": 90.0}, "config.wrong-type", "s.calibrate.tilt_deg"),
        ({"mount_height_m": math.nan}, "config.wrong-type", "s.calibrate.mount_height_m"),
        ({"mount_hight_m": 1.0}, "config.misspelt-key", "s.calibrate.mount_hight_m"),
    ],
)
def test_mistakes_in_the_config(table, code, path):
    made, (problem,) = decode(CalibrateConfig, table, "s.calibrate")
    assert made is None and problem.code == code and problem.facts["path"] == path


def level_of(quantities, **config):
    reading = msgspec.structs.replace(water(), quantities={n: Quantity(v, u) for n, (v, u) in quantities.items()})
    (made,) = Calibrate(CalibrateConfig(**config), "miyagawa").feed(reading)
    return made


def test_a_pressure_sensor_in_the_water():
    made = level_of({"pressure": (0.245, Unit.BAR)}, sensor_height_m=-0.5, density_kg_m3=1000)
    assert made.quantities["level"].value == pytest.approx(0.245e5 / 9798 - 0.5, abs=1e-4)


def test_absolute_pressure_less_the_air_measured_or_given():
    beside = {"pressure": (1.258, Unit.BAR), "air_pressure": (1.013, Unit.BAR)}
    alone = {"pressure": (1.258, Unit.BAR)}
    found = [level_of(q, sensor_height_m=0.0, air_bar=1.013).quantities["level"].value for q in (beside, alone)]
    assert found[0] == found[1] == pytest.approx(0.245e5 / (999 * 9.798), abs=1e-4)
    assert level_of(beside, sensor_height_m=0.0).quantities["level"].value == found[0], "the barometer beside it"


@pytest.mark.parametrize(("current", "level"), [(4.0, 0.5), (20.0, 5.5), (12.0, 3.0), (3.8, 0.4375)])
def test_four_to_twenty_milliampere(current, level):
    made = level_of({"current": (current, Unit.MILLIAMPERE)}, at_4ma_m=0.5, at_20ma_m=5.5)
    assert made.quantities["level"].value == pytest.approx(level)


def test_only_one_end_of_the_range_is_a_mistake():
    assert [p.facts["path"] for p in CalibrateConfig(at_4ma_m=0.0).problems()] == ["at_20ma_m"]


def test_from_when_the_constants_hold():
    made = level_of({"level": (1.0, Unit.METRE)}, offset_m=0.2, since="2026-11-23")
    assert made.facts["calibrated"] == "2026-11-23" and "offset=0.2" in made.facts["calibration"]
