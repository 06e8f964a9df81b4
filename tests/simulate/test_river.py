"""The river is a function of time, the same on every machine."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.simulate.river import Flood, River


def test_the_same_seed_is_the_same_river():
    times = [0, 17.5, 3600, 86_400]
    assert [River(3).level_m(t) for t in times] == [River(3).level_m(t) for t in times]
    assert [River(3).level_m(t) for t in times] != [River(4).level_m(t) for t in times]


def test_a_flood_rises_and_falls():
    river = River(1, base_m=0.8, floods=[Flood(100, 60, 300, 2.0)])
    assert river.level_m(50) == pytest.approx(0.8, abs=0.08)
    assert river.level_m(160) == pytest.approx(2.8, abs=0.08)
    assert river.level_m(460) == pytest.approx(0.8 + 2.0 / 2.718, abs=0.08)


@given(st.integers(0, 1000), st.floats(0, 7 * 86_400))
def test_it_stays_a_river(seed, t):
    assert 0 <= River(seed).level_m(t) < 8
    assert abs(River(seed).level_m(t + 1) - River(seed).level_m(t)) < 0.1
