"""The governor keeps a worker to its share, and says what holds it down."""

import pytest

from edgeagent.sources.camera_governor import HOT_C, LEAST_FPS, Governor


def run(governor, cost_s, *, board_c=50.0, times=40):
    """Let it judge a worker whose looks cost `cost_s` each."""
    for _ in range(times):
        governor.judge(min(governor.fps * cost_s, 1.0), board_c)
    return governor


def test_a_light_worker_runs_at_full_rate():
    governor = run(Governor(10, 0.8), 0.02)
    assert (governor.fps, governor.limit, governor.overrun) == (10, "", False)


def test_a_heavy_one_is_slowed_to_its_share_and_no_further():
    governor = run(Governor(15, 0.5), 0.05)
    assert 0.8 * 10 <= governor.fps <= 10 + 1e-6
    assert governor.limit == "cpu" and not governor.overrun


def test_it_settles():
    governor = run(Governor(15, 0.5), 0.05)
    rates = {round(run(governor, 0.05, times=1).fps, 2) for _ in range(20)}
    assert max(rates) - min(rates) < 1.5


def test_below_the_least_rate_counting_is_not_proven_so_it_says_so_instead():
    governor = run(Governor(10, 0.3), 0.2)
    assert governor.fps == LEAST_FPS and governor.overrun and governor.limit == "cpu"


SIZES = (1.0, 0.7, 0.4)


def looked(governor, cost_s, *, board_c=50.0, times=40):
    """As `run`, of a model with smaller inputs; what was decided, step by step."""
    told = []
    for _ in range(times):
        governor.judge(min(governor.fps * cost_s * governor.costs[governor.step], 1.0), board_c)
        told.append((round(governor.fps, 1), governor.step))
    return told


def test_the_rate_goes_before_the_size_and_comes_back_after_it():
    governor = Governor(10, 0.3, SIZES)
    told = looked(governor, 0.15)
    assert [step for fps, step in told if fps > LEAST_FPS] == [0] * sum(fps > LEAST_FPS for fps, _ in told)
    assert governor.fps == LEAST_FPS and governor.step == 2 and not governor.overrun and governor.limit == "cpu"
    back = looked(governor, 0.01)
    assert back[-1] == (10, 0) and governor.limit == ""
    assert all(step == 0 for fps, step in back if fps > LEAST_FPS)


def test_it_settles_on_a_size():
    governor = Governor(10, 0.3, SIZES)
    looked(governor, 0.09)
    assert {step for _, step in looked(governor, 0.09)} == {1}


def test_what_the_smallest_size_cannot_hold_is_told():
    governor = Governor(10, 0.3, SIZES)
    looked(governor, 0.5)
    assert (governor.fps, governor.step, governor.overrun) == (LEAST_FPS, 2, True)


def test_heat_takes_the_size_too_and_coolness_gives_it_back():
    governor = Governor(10, 0.8, SIZES)
    assert looked(governor, 0.02, board_c=HOT_C + 3)[-1] == (LEAST_FPS, 2)
    assert not governor.overrun, "hot, and within its share"
    assert looked(governor, 0.02, board_c=HOT_C - 2)[-1] == (LEAST_FPS, 2)
    assert looked(governor, 0.02, board_c=HOT_C - 10)[-1] == (10, 0)


def test_who_asks_for_little_is_not_given_more():
    assert run(Governor(2, 0.1), 0.2).fps == 2


def test_heat_slows_and_coolness_frees():
    governor = run(Governor(10, 0.8), 0.02, board_c=HOT_C + 3)
    assert governor.fps == LEAST_FPS and governor.limit == "heat"
    run(governor, 0.02, board_c=HOT_C - 2)
    assert governor.fps == LEAST_FPS, "not before it has cooled by a margin"
    run(governor, 0.02, board_c=HOT_C - 10)
    assert (governor.fps, governor.limit) == (10, "")


@pytest.mark.parametrize("board_c", [None, 20.0])
def test_a_board_without_a_thermometer_is_held_by_its_share(board_c):
    assert run(Governor(10, 0.2), 0.04, board_c=board_c).fps == pytest.approx(5, abs=0.8)
