"""The pure parts of the signal tests, and independent definitions to hold them against."""

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.rules.flat import Flat
from edgeagent.rules.spike import SpikeTest
from edgeagent.rules.trend import Trend

level = st.floats(0, 5).map(lambda x: round(x, 3))


def judged(values):
    test = SpikeTest(0.05, 0.20)
    return [test.judge(v) for v in values], test.pending


def test_one_spike_fails_and_leaves_nothing_behind():
    flags, pending = judged([1.0, 1.0, 1.01, 1.0, 4.0, 1.0, 1.01])
    assert flags == ["unknown"] * 3 + ["pass", "fail", "pass", "pass"] and not pending


def test_a_small_one_is_suspect():
    assert judged([1.0, 1.0, 1.0, 1.1])[0][-1] == "suspect"


def test_two_more_where_the_first_was_confirm_it():
    flags, pending = judged([1.0, 1.0, 1.0, 3.0, 3.01, 3.02, 3.02])
    assert flags[3:] == ["fail", "fail", "pass", "pass"] and not pending
    assert judged([1.0, 1.0, 1.0, 3.0, 3.01])[1], "and until then more are asked for"


def test_wild_ones_that_do_not_agree_confirm_nothing():
    assert judged([1.0, 1.0, 1.0, 3.0, 2.0, 4.0, 1.5, 3.5])[0][3:] == ["fail"] * 5


def test_a_steady_rise_is_no_spike():
    assert set(judged([1.0 + 0.03 * n for n in range(60)])[0][3:]) == {"pass"}


@given(st.lists(level, min_size=4, max_size=4), level)
def test_hampel_as_it_is_defined(before, value):
    test = SpikeTest(0.05, 0.20)
    test._last.extend(before)
    middle = statistics.median(before)
    mad = statistics.median([abs(b - middle) for b in before])
    distance = abs(value - middle)
    expected = "fail" if distance > 6 * mad + 0.2 else "suspect" if distance > 3 * mad + 0.05 else "pass"
    assert test.judge(value) == expected


@given(st.lists(level, min_size=1, max_size=120), st.sampled_from([600, 1800, 3600]))
def test_flat_line_is_the_range_of_the_window(values, over_s):
    flat = Flat(3600)
    for minute, value in enumerate(values):
        flat.add(minute * 60_000, value)
    now_ms = (len(values) - 1) * 60_000
    window = values[-(over_s // 60 + 2) :] if now_ms >= over_s * 1000 else None
    inner = values[-(over_s // 60 + 1) :] if window else None
    found = flat.range_over(now_ms, over_s)
    if window is None:
        assert found is None
    else:
        assert max(inner) - min(inner) <= found <= max(window) - min(window), "to the minute"


def test_a_flickering_digit_is_flat_where_counting_equals_flaps():
    flat = Flat(10_800)
    for n in range(4 * 360):
        flat.add(n * 10_000, 1.0 + 0.0005 * (n % 2))
    assert flat.range_over(4 * 3_600_000, 10_800) == pytest.approx(0.0005)
    assert len(flat._minutes) < 200, "memory is counted in minutes"


def test_theil_sen():
    trend = Trend(600, 60)
    for n in range(11):
        trend.add(n * 60_000, 1.0 + n * 0.05 if n != 5 else 9.0)
    assert trend.per_hour(600_000) == pytest.approx(3.0), "a wild reading among eleven changes nothing"


@given(st.lists(level, min_size=3, max_size=20))
def test_theil_sen_as_it_is_defined(values):
    trend = Trend(1800, 60)
    for n, value in enumerate(values):
        trend.add(n * 60_000, value)
    slopes = [(values[j] - values[i]) / (j - i) * 60 for i in range(len(values)) for j in range(i + 1, len(values))]
    assert trend.per_hour((len(values) - 1) * 60_000) == pytest.approx(statistics.median_low(slopes), abs=1e-9)


def test_too_little_is_no_trend():
    trend = Trend(600, 300)
    for n in range(5):
        trend.add(n * 30_000, n)
    assert trend.per_hour(120_000) is None, "two minutes"
    assert Trend(600, 0).per_hour(0) is None
    trend.add(2_000_000, 1.0)
    assert trend.per_hour(2_000_000) is None, "the old ones are forgotten"


def test_many_samples_are_thinned():
    trend = Trend(600, 300)
    for n in range(6000):
        trend.add(n * 100, n / 10_000)
    assert len(trend._points) <= 31
    assert trend.per_hour(600_000) == pytest.approx(3.6)
