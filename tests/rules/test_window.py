import pytest

from edgeagent.reading import Kind, Moment, Quality, Quantity, Reading, ReadingClass, TimeTrust, Unit
from edgeagent.rules.window import Window, WindowConfig
from tests.fakes import FakeClock, water

NOON = 1_795_003_200_000  # 12:00:00 UTC
G, S, F = Quality.GOOD, Quality.SUSPECT, Quality.FAIL


def run(config, levels, *, clock=None, every_s=60):
    """Feed levels (number, (number, quality) or None) every `every_s`; what came out."""
    clock = clock or FakeClock(wall_ms=NOON)
    rule, out = Window(config, "miyagawa"), []
    for level in levels:
        value, quality = level if isinstance(level, tuple) else (level, G)
        quantity = Quantity.missing(Unit.METRE) if value is None else Quantity(value, Unit.METRE, quality)
        facts = {"profile": "p", "raw": "00", **({"reason:level": "no-echo"} if value is None else {})}
        out += rule.feed(
            Reading(source="miyagawa", kind=Kind.WATER, entity="miyagawa", at=clock.now(), quantities={"level": quantity}, cls=ReadingClass.LIVE, facts=facts)
        )  # fmt: skip
        clock.advance(every_s)
        out += rule.tick(clock.now())
    clock.advance(3)
    return [*out, *rule.tick(clock.now())]


@pytest.mark.parametrize(("of", "expected"), [("median", 2.0), ("mean", 3.2), ("max", 9.0), ("sum", 16.0)])
def test_one_value_per_interval(of, expected):
    first, *rest = run(WindowConfig(every_s=300, of=of), [1.0, 2.0, 9.0, 2.0, 2.0, 5.0, 5.0])
    assert not rest
    assert first.quantities == {"level": Quantity(expected, Unit.METRE)}
    assert first.at == Moment(NOON + 300_000, 1_300_000, "b00700000001")
    assert first.span_ms == 300_000 and first.cls is ReadingClass.LIVE
    assert first.facts == {
        "profile": "p", "window": f"{of} 300 s", "n": "5", "n_valid:level": "5", "min:level": "1", "max:level": "9",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ([1.0, 1.0, 1.0, None], Quantity(1.0, Unit.METRE, G)),
        ([1.0, 3.0, None, None], Quantity(2.0, Unit.METRE, G)),  # half
        ([1.0, None, None, None], Quantity(1.0, Unit.METRE, S)),
        ([1.0, (90.0, F), (90.0, F), (90.0, F)], Quantity(1.0, Unit.METRE, S)),
        ([1.0, 1.0, (9.0, S), (9.0, S)], Quantity(1.0, Unit.METRE, G)),  # good ones are enough
        ([(5.0, S), (6.0, S), (7.0, S), 6.0], Quantity(6.0, Unit.METRE, S)),  # doubted in a flood is not gone
        ([None, (90.0, F), None, (float("nan"), G)], Quantity.missing(Unit.METRE)),
    ],
)
def test_quality(levels, expected):
    (out,) = run(WindowConfig(every_s=240), levels)
    assert out.quantities["level"] == expected
    assert out.facts["n"] == "4"
    assert ("reason:level" in out.facts) == (expected.value is None)


def test_a_sum_with_a_hole_is_doubted():
    (out,) = run(WindowConfig(every_s=240, of="sum"), [1.0, 1.0, 1.0, None])
    assert out.quantities["level"] == Quantity(3.0, Unit.METRE, S)


def test_the_first_interval_is_shorter_and_says_so():
    clock = FakeClock(wall_ms=NOON + 420_000)
    first, second = run(WindowConfig(every_s=600), [1.0] * 13, clock=clock)
    assert (first.at.wall_ms, first.span_ms) == (NOON + 600_000, 180_000)
    assert (second.at.wall_ms, second.span_ms) == (NOON + 1_200_000, 600_000)


def test_without_trust_the_length_is_kept_and_the_doubt_too():
    clock = FakeClock(wall_ms=NOON + 123_456, mono_s=5.0, trust=TimeTrust.UNSYNCED)
    first, second = run(WindowConfig(every_s=600), [1.0] * 21, clock=clock)
    assert second.at.mono_ms - first.at.mono_ms == 600_000
    assert first.at.trust is second.at.trust is TimeTrust.UNSYNCED
    assert first.at.wall_ms - first.at.mono_ms == NOON + 123_456 - 5000


def test_a_clock_that_steps_back_repeats_no_interval():
    clock, rule, out = FakeClock(wall_ms=NOON), Window(WindowConfig(every_s=60), "miyagawa"), []
    for step in range(40):
        if step == 20:
            clock.wall_ms -= 3_600_000
        out += rule.feed(water(1.0, at=clock.now()))
        clock.advance(10)
    monos = [reading.at.mono_ms for reading in out]
    assert monos == sorted(set(monos)) and len(out) in (5, 6)


def test_time_alone_ends_an_interval_after_a_moment_of_grace():
    clock, rule = FakeClock(wall_ms=NOON), Window(WindowConfig(every_s=60), "miyagawa")
    assert list(rule.feed(water(1.0, at=clock.now()))) == []
    clock.advance(61)
    assert list(rule.tick(clock.now())) == []
    late = clock.now()
    late = Moment(late.wall_ms - 1500, late.mono_ms - 1500, late.boot_id)  # taken before the end, arrives after it
    assert list(rule.feed(water(3.0, at=late))) == []
    clock.advance(2)
    (out,) = rule.tick(clock.now())
    assert out.quantities["level"].value == 2.0
    assert list(rule.tick(clock.now())) == []


def test_alarms_do_not_wait_and_things_do_not_mix():
    clock, rule = FakeClock(wall_ms=NOON), Window(WindowConfig(every_s=60), "route")
    alarm = water(9.0, cls=ReadingClass.ALARM)
    assert list(rule.feed(alarm)) == [alarm]
    rule.feed(water(1.0, source="up", at=clock.now()))
    rule.feed(water(5.0, source="down", at=clock.now()))
    clock.advance(70)
    assert {r.entity: r.quantities["level"].value for r in rule.tick(clock.now())} == {"up": 1.0, "down": 5.0}


def test_text_keeps_its_latest_and_side_values_their_median():
    clock, rule = FakeClock(wall_ms=NOON), Window(WindowConfig(every_s=60, of="max"), "g")
    for level, text, temperature in ((1.0, "normal", 4.0), (2.0, "standby", 5.0), (1.5, "standby", 30.0)):
        quantities = {
            "level": Quantity(level, Unit.METRE),
            "alarm_level": Quantity(text),
            "temperature": Quantity(temperature, Unit.CELSIUS),
        }
        rule.feed(Reading(source="g", kind=Kind.WATER, entity="g", at=clock.now(), quantities=quantities))
        clock.advance(10)
    clock.advance(60)
    (out,) = rule.tick(clock.now())
    assert {name: q.value for name, q in out.quantities.items()} == {
        "level": 2.0,
        "alarm_level": "standby",
        "temperature": 5.0,
    }


def test_an_interval_begins_where_the_last_one_ended_not_at_its_first_sample():
    spans = {r.at.wall_ms - NOON: r.span_ms for r in run(WindowConfig(every_s=600), [1.0] * 27, every_s=70)}
    assert spans == {600_000: 600_000, 1_200_000: 600_000, 1_800_000: 600_000}
