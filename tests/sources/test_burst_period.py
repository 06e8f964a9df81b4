"""Samples into one value, and when a measurement begins and ends."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.ports import Pace, Site, Surroundings
from edgeagent.reading import TimeTrust
from edgeagent.sources.burst import Burst, Samples
from edgeagent.sources.bus_schedule import Schedule
from edgeagent.sources.period import Period
from edgeagent.wire.registers import Value
from tests.fakes import FakeClock


def burst(*samples, of=None):
    made = Samples()
    for sample in samples:
        made.add(sample if isinstance(sample, Value) else Value(sample))
    return made.result(of)


def test_one_stray_echo_moves_no_median():
    assert burst(2.0, 2.001, 2.002, 9.0, 2.001) == Burst(Value(2.001), 5, 0.001, 2.0, 9.0)


@pytest.mark.parametrize(
    ("samples", "value"),
    [
        ((2.0, 2.0, Value(None, "no-target")), Value(2.0)),
        ((2.0, Value(None, "no-target"), Value(None, "no-target")), Value(2.0, "few-values")),
        ((Value(None, "no-target"), Value(None, "timeout"), Value(None, "timeout")), Value(None, "timeout")),
        ((Value(2.0, "edge-of-range"), Value(2.0, "edge-of-range"), 2.0), Value(2.0, "edge-of-range")),
        ((), Value(None, "silent")),
    ],
)
def test_how_good_it_is(samples, value):
    assert burst(*samples).value == value


@given(st.lists(st.floats(0, 10), min_size=1, max_size=30))
def test_the_median_lies_between_lowest_and_highest(samples):
    made = burst(*samples)
    assert made.low <= made.value.value + 1e-6 and made.value.value <= made.high + 1e-6
    assert 0 <= made.mad <= made.high - made.low + 1e-6 and made.n_valid == len(samples)


class Rhythm:
    """A Period run through time, second by second."""

    def __init__(self, tmp_path, burst_s=10.0, trust=TimeTrust.SYNCED):
        self.clock = FakeClock(wall_ms=1_795_003_195_000, mono_s=50.0, trust=trust)  # 5 s before a multiple of 600
        self.wish = Pace()
        around = Surroundings(self.clock, Site("GW"), tmp_path, lambda _: self.wish)
        self.period = Period("a", burst_s, around)
        self.period.begin(self.clock.mono())
        self.began, self.ended = [], []

    def run(self, seconds):
        end = self.clock.mono() + seconds
        while self.clock.mono() < end:
            self.clock.advance(max(self.period.wait_s(self.clock.mono()), 0.001))
            now = self.clock.mono()
            if self.period.opens(now):
                self.began.append(now)
            elif self.period.ends(now):
                self.ended.append(self.clock.wall_ms / 1000)
                self.period.begin(now)
        return self


def test_without_a_wish_one_follows_the_other(tmp_path):
    rhythm = Rhythm(tmp_path).run(35)
    assert len(rhythm.ended) == 3 and rhythm.began == []


def test_with_a_wish_it_ends_on_the_wall_clocks_multiples(tmp_path):
    rhythm = Rhythm(tmp_path)
    rhythm.wish = Pace(every_s=600)
    rhythm.period.begin(rhythm.clock.mono())
    rhythm.run(3600)
    assert len(rhythm.ended) == 5, "five seconds are too few for the first"
    assert all(abs(at / 600 - round(at / 600)) * 600 < 0.1 for at in rhythm.ended)
    assert len(rhythm.began) in (5, 6), "what is said before the last ten seconds does not count"


def test_an_untrusted_clock_is_not_aligned_to(tmp_path):
    rhythm = Rhythm(tmp_path, trust=TimeTrust.UNSYNCED)
    rhythm.wish = Pace(every_s=600)
    rhythm.period.begin(rhythm.clock.mono())
    rhythm.run(1801)
    assert len(rhythm.ended) == 3 and rhythm.ended[0] == pytest.approx(1_795_003_195 + 600, abs=0.1)


def test_a_wild_value_is_looked_at_again_at_once(tmp_path):
    rhythm = Rhythm(tmp_path)
    rhythm.wish = Pace(every_s=600)
    rhythm.period.begin(rhythm.clock.mono())
    rhythm.run(30)
    seen = len(rhythm.ended)
    rhythm.wish = Pace(every_s=600, again_s=15.0)
    rhythm.run(20)
    assert len(rhythm.ended) >= seen + 1
    assert rhythm.ended[seen] <= 1_795_003_195 + 45


def schedule(offset_s=None, every_s=600.0):
    made = Schedule(50.0)
    made.wall_offset_s = offset_s
    made.add(every_s, 1.0)
    return made


def test_a_bus_is_aligned_too():
    made = schedule(offset_s=1_795_003_145.0)
    made.answered(0, 50.0)
    assert (made.turns[0].due + 1_795_003_145.0) % 600 == 0
    made.heed(0, 120.0, None)
    assert (made.turns[0].due + 1_795_003_145.0) % 120 == 0 and made.turns[0].due <= 170


def test_a_bus_obeys_a_faster_and_a_slower_wish_and_once_more():
    made = schedule(every_s=10.0)
    made.answered(0, 50.0)
    made.heed(0, 60.0, None)
    assert made.turns[0].due == 110.0
    made.heed(0, 60.0, 15.0)
    assert made.turns[0].due == 65.0
    made.heed(0, 10.0, None)
    assert made.turns[0].due == 60.0


@given(st.sampled_from([60.0, 120.0, 300.0, 600.0]), st.floats(0, 1e6), st.floats(1.6e9, 2e9))
def test_the_next_one_is_never_further_than_a_period(every_s, now, offset_s):
    made = schedule(offset_s=offset_s, every_s=every_s)
    made.answered(0, now)
    assert 0 < made.turns[0].due - now <= every_s + 1e-3
    assert math.isclose(round((made.turns[0].due + offset_s) / every_s) * every_s, made.turns[0].due + offset_s)
