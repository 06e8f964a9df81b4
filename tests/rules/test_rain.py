"""A running total becomes rain: nothing invented when it starts again."""

import pytest

from edgeagent.reading import Kind, Quality, Quantity, Reading, Unit
from edgeagent.rules.rain import Rain, RainConfig
from tests.fakes import FakeClock


def fallen(totals, *, every_s=600.0, **config):
    rule, clock, out = Rain(RainConfig(**config), "ame"), FakeClock(), []
    for total in totals:
        quantity = Quantity.missing(Unit.MILLIMETRE) if total is None else Quantity(total, Unit.MILLIMETRE)
        at = clock.now()
        (made,) = rule.feed(
            Reading(source="ame", kind=Kind.RAIN, entity="ame", at=at, quantities={"rain_total": quantity})
        )
        assert made.quantities["rain_total"] == quantity
        out.append((made.quantities["rain"].value, made.facts.get("reason:rain")))
        clock.advance(every_s)
    return out


def test_rain_is_the_difference():
    assert fallen([10.0, 10.0, 10.5, 12.0]) == [(None, "first-total"), (0.0, None), (0.5, None), (1.5, None)]


def test_a_total_that_starts_again_is_not_rain_and_not_minus():
    assert fallen([99.5, 0.5, 1.0]) == [(None, "first-total"), (None, "total-fell-back"), (0.5, None)]


def test_what_fell_while_the_gauge_was_silent_is_not_lost():
    assert fallen([10.0, None, None, 12.0])[1:] == [(None, None), (None, None), (2.0, None)]


@pytest.mark.parametrize(("step", "quality"), [(49.0, Quality.GOOD), (51.0, Quality.FAIL)])
def test_more_than_falls_anywhere_fails(step, quality):
    rule, clock = Rain(RainConfig(), "ame"), FakeClock()
    for total in (0.0, step):
        at = clock.now()
        quantities = {"rain_total": Quantity(total, Unit.MILLIMETRE)}
        (made,) = rule.feed(Reading(source="ame", kind=Kind.RAIN, entity="ame", at=at, quantities=quantities))
        clock.advance(600)
    assert made.quantities["rain"].quality is quality
    assert made.quantities["rain_rate"] == Quantity(step * 6, Unit.MILLIMETRE_PER_HOUR, quality)
    assert made.span_ms == 600_000


def test_other_things_pass():
    reading = Reading(source="a", kind=Kind.WATER, entity="a", at=FakeClock().now(), quantities={})
    assert list(Rain(RainConfig(), "a").feed(reading)) == [reading]
