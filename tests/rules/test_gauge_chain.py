"""A gauge's trip through all of its rules, in the order of the RULES table."""

from edgeagent import rules, sources
from edgeagent.reading import Kind, Quality, Quantity, Reading, Unit
from edgeagent.rules.alarm import AlarmConfig, Levels
from edgeagent.rules.calibrate import CalibrateConfig
from edgeagent.rules.chain import Chain
from edgeagent.rules.plausible import PlausibleConfig
from edgeagent.rules.window import WindowConfig
from tests.fakes import FakeClock

CONFIGS = {
    "calibrate": CalibrateConfig(mount_height_m=7.42, datum="T.P.", zero_point_m=331.2),
    "plausible": PlausibleConfig(min_m=-0.1, max_m=6.0, suspect_max_m=4.0, max_rate_m_per_10min=3.0),
    "alarm": AlarmConfig(levels_m=Levels(caution=1.5, danger=2.6)),
    "window": WindowConfig(every_s=60),
}


def trip(distances, every_s=10):
    chain = Chain([rules.rule(name)(CONFIGS[name], "miyagawa") for name in rules.names() if name in CONFIGS])
    clock, out = FakeClock(wall_ms=1_795_003_200_000), []
    for distance in distances:
        quantity = Quantity.missing(Unit.METRE) if distance is None else Quantity(distance, Unit.METRE)
        out += chain.feed(
            Reading(source="miyagawa", kind=Kind.WATER, entity="miyagawa", at=clock.now(), quantities={"distance": quantity})
        )  # fmt: skip
        clock.advance(every_s)
        out += chain.tick(clock.now())
    clock.advance(3)
    return [*out, *chain.tick(clock.now())]


def test_a_flood():
    out = trip([6.9] * 6 + [6.4] * 6 + [5.5] * 12)
    waters = [r for r in out if r.kind is Kind.WATER]
    assert [(r.quantities["level"].value, r.quantities["alarm_level"].value) for r in waters] == [
        (0.52, "normal"),
        (1.02, "normal"),
        (1.92, "caution"),
        (1.92, "caution"),
    ]
    assert waters[-1].quantities["elevation"].value == 333.12
    assert waters[-1].facts["datum"] == "T.P." and waters[-1].facts["n"] == "6"
    active = [r for r in out if r.kind is Kind.ALERT and r.quantities["active"].value]
    assert [r.quantities["level_name"].value for r in active] == ["caution"]
    rose_ms = 1_795_003_200_000 + 12 * 10_000
    # 0.9 m in ten seconds may be a bird: the next two readings confirm it, not the end of the window
    assert active[0].at.wall_ms - rose_ms <= 30_000


def test_a_spider_before_the_sensor_is_no_flood():
    out = trip([6.9] * 6 + [6.9, 0.3, 0.3, 6.9, 6.9, 6.9] * 3 + [0.3] * 12)
    levels = [r.quantities["level"] for r in out if r.kind is Kind.WATER]
    assert levels == [Quantity(0.52, Unit.METRE)] * 4 + [Quantity(None, Unit.METRE, Quality.MISSING)] * 2
    assert not [r for r in out if r.kind is Kind.ALERT and r.quantities["active"].value]


def test_every_driver_names_its_rules_in_the_order_of_the_table():
    """The daemon builds chains in the driver's order, this file in the table's: they must be one."""
    for name in sources.SOURCES:
        accepted = sources.driver(name).rules
        assert list(accepted) == [rule for rule in rules.names() if rule in accepted], name
