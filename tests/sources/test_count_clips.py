"""What simple counters get wrong on real clips, each on the clip that shows it, and the whole campaign.

The peer is supervision's ByteTrack with one count per track and line on the baseline detector; its errors are those of
`python -m tests.bench vision`. The constants of tracker and gates were not chosen on these clips one by one: see
`vision/tracking.py` and `vision/crossing.py` for the reasons, `test_the_constants_are_not_tuned` for the proof.
"""

import pytest

from edgeagent.sources.count_eval import read_truth, watch
from edgeagent.sources.motion_eye import MotionEye
from edgeagent.vision import crossing, tracking
from tests.conftest import SHARED

pytestmark = pytest.mark.shared
RATES = (None, 10, 5)
# Vehicles wrong of the peer at full rate, 10 and 5 looks per second.
PEER = {
    "a12_curve": (1, 4, 13),
    "a13_day": (0, 2, 14),
    "a13_night": (2, 4, 13),
    "a13_queue": (0, 4, 8),
    "blackfriars_noon": (0, 0, 0),
    "blackfriars_queue": (1, 1, 0),
    "carpark_overhead": (3, 3, 4),
    "elephant_castle": (1, 1, 2),
    "stuttgart_arterial": (1, 1, 18),
}


def score(seen, name, clip, fps):
    footage, truth = seen(name, clip)
    return footage.score(truth, fps=fps)


@pytest.mark.parametrize("clip", ["a12_curve", "a13_night"])
def test_at_five_looks_a_fast_vehicle_does_not_overlap_with_itself(seen, clip):
    """Overlap alone loses 13 of 15 on both."""
    assert score(seen, "vehicles", clip, 5).error <= 2


@pytest.mark.parametrize("fps", RATES)
def test_a_standing_queue_trembles_over_the_line_and_crosses_nothing(seen, fps):
    """Every change of side counted would be 8."""
    result = score(seen, "vehicles", "blackfriars_queue", fps)
    assert result.per_direction["road:positive"].counted == 0
    assert result.error == 0


@pytest.mark.parametrize("fps", RATES)
def test_the_skip_truck_is_two_boxes_and_one_vehicle(seen, fps):
    """Frames 155-170 of a13_queue: cab and skip are found apart, as car and as truck."""
    result = score(seen, "vehicles", "a13_queue", fps)
    passed = [c for c in result.crossings if 5.6 <= c[0] <= 7.2 and c[2] == "negative"]
    true = [
        e
        for e in read_truth(SHARED / "traffic" / "a13_queue.json").lines[0].events["negative"]
        if 140 <= e.frame <= 180
    ]
    assert len(passed) <= len(true) + (fps == 10), "at 10 looks per second its cab is still counted beside it"


@pytest.mark.parametrize("fps", RATES)
def test_a_lorry_that_hides_a_lorry_costs_that_one(seen, fps):
    """Frame 84 of a12_curve: nothing of it is ever seen alone. One more is let go: at full rate two cars in one box."""
    missed = [d for d in score(seen, "vehicles", "a12_curve", fps).differences if d.kind == "missed"]
    assert len([d for d in missed if abs(d.at_s * 25 - 84) > 10]) <= 1


@pytest.mark.parametrize("fps", RATES)
def test_headlights_without_a_body(seen, fps):
    """Frames 42 and 87 of a13_night: two lamps only; the peer loses 2, 3 and 13 at night."""
    assert score(seen, "vehicles", "a13_night", fps).error <= 2


@pytest.mark.parametrize("fps", RATES)
def test_a_view_from_above_is_counted_by_what_moves(fps):
    """carpark_overhead: a detector of side views loses 3 of 4, or counts one twice."""
    clip = SHARED / "traffic" / "carpark_overhead"
    result = watch(clip.with_suffix(".mp4"), MotionEye(), fps=fps).score(read_truth(clip.with_suffix(".json")))
    assert (result.error, result.differences) == (0, ())


# Measured: 4, 3, 4. Another processor rounds a network differently, worth a vehicle or two.
@pytest.mark.slow
def test_the_whole_campaign(seen):
    """Nine clips, 157 vehicles, at full rate, 10 and 5 looks per second; on no clip two worse than the peer."""
    sums, truths = [0, 0, 0], 0
    for clip, peer in PEER.items():
        results = [score(seen, "vehicles", clip, fps) for fps in RATES]
        truths += results[0].truth
        errors = [result.error for result in results]
        print(clip, errors, "peer", peer)
        assert all(error <= other + 1 for error, other in zip(errors, peer, strict=True)), clip
        sums = [a + b for a, b in zip(sums, errors, strict=True)]
    assert truths == 157
    assert all(total <= limit for total, limit in zip(sums, (5, 6, 7), strict=True)), sums


CONSTANTS = {  # about a third less, a third more
    (tracking, "_KEPT_S"): (0.6, 1.0),
    (tracking, "_GROWTH_YOUNG"): (2.0, 3.0),
    (tracking, "_GROWTH_KNOWN"): (1.25, 1.8),
    (crossing, "_BAND_SHARE"): (0.04, 0.08),
    (crossing, "_LEAST_MOVE"): (0.3, 0.6),
    (crossing, "_STAYED_S"): (0.1, 0.2),
    (crossing, "_TWIN_S"): (0.3, 0.5),
}


@pytest.mark.slow
@pytest.mark.parametrize("end", [0, 1], ids=["less", "more"])
def test_the_constants_are_not_tuned(seen, monkeypatch, end):
    """All constants a third off at once change the count by a vehicle or two, so none was fitted to these clips."""
    clips = ("a12_curve", "a13_queue", "blackfriars_queue")
    usual = [sum(score(seen, "vehicles", clip, fps).error for clip in clips) for fps in RATES]
    for (module, name), values in CONSTANTS.items():
        monkeypatch.setattr(module, name, values[end])
    other = [sum(score(seen, "vehicles", clip, fps).error for clip in clips) for fps in RATES]
    assert all(b <= a + 3 for a, b in zip(usual, other, strict=True)), (usual, other)
