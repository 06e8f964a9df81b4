"""The picture of a day: nothing joined that was not seen, nothing told by colour alone."""

import itertools
import re
import xml.etree.ElementTree as ET

import pytest

from edgeagent.history import History, Level, Point, Trace
from edgeagent.reading import Quality
from edgeagent.web.day import Day
from edgeagent.web.hydrograph import svg

NOW = 1_795_681_500_000  # 2026-11-26 17:25 JST
MINUTE, HOUR = 60_000, 3_600_000
LEVELS = [Level("standby", 1.0), Level("caution", 1.5), Level("evacuate", 2.1), Level("danger", 2.6)]
NS = {"s": "http://www.w3.org/2000/svg"}


def at(minutes_ago, mean=1.0, *, low=None, high=None, quality=Quality.GOOD, failed=0, missing=0):
    if mean is None:
        return Point(NOW - minutes_ago * MINUTE, None, None, None, quality, failed, missing)
    ends = (mean if low is None else low, mean, mean if high is None else high)
    return Point(NOW - minutes_ago * MINUTE, *ends, quality, failed, missing)


def every(step, begin=1440, end=0, mean=1.0):
    return [at(ago, mean) for ago in range(begin, end - 1, -step)]


def history(points, *, levels=LEVELS, name="宮川橋", since=NOW - 24 * HOUR, clock="synced"):
    trace = Trace(source="miyagawa", name=name, levels=levels, points=points)
    return trace, History(now_ms=NOW, since_ms=since, clock=clock, traces=[trace])


def drawn(points, *, lang="ja", **more):
    trace, told = history(points, **more)
    return ET.fromstring(svg(trace, told, lang=lang))


def texts(root):
    return [one.text for one in root.iterfind(".//s:text", NS)]


def lines(root, name="water"):
    return [one for one in root.iter() if one.get("class") == name]


def corners(path):
    return [tuple(map(float, pair)) for pair in re.findall(r"(-?[\d.]+) (-?[\d.]+)", path.get("d"))]


@pytest.mark.parametrize("step", [1, 2, 10, 60])
def test_a_gauge_that_spoke_as_usual_is_one_line_without_a_gap(step):
    root = drawn(every(step))
    assert len(lines(root)) == 1
    assert lines(root, "gap") == []
    assert "値なし" not in texts(root)


def test_a_gauge_that_speaks_more_often_in_a_flood_is_one_line():
    assert len(lines(drawn([*every(10, 1440, 300), *every(1, 299, 0)]))) == 1
    assert len(lines(drawn([*every(1, 1440, 300), *every(10, 290, 0)]))) == 1


@pytest.mark.parametrize(
    "points",
    [
        [*every(1, 1440, 700), *every(1, 640, 0)],
        [*every(10, 1440, 700), *every(10, 640, 0)],
        [*every(1, 1440, 701), at(700, None, quality=Quality.MISSING, missing=1), *every(1, 699, 0)],
        [*every(1, 1440, 701), at(700, None, quality=Quality.FAIL, failed=3), *every(1, 699, 0)],
    ],
    ids=["silence", "silence of a slow gauge", "missing", "failed"],
)
def test_a_gap_is_a_gap(points):
    root = drawn(points)
    assert len(lines(root)) == 2
    (gap,) = lines(root, "gap")
    before, after = corners(lines(root)[0])[-1][0], corners(lines(root)[1])[0][0]
    assert float(gap.get("x")) == pytest.approx(before, abs=1.6)
    assert float(gap.get("x")) + float(gap.get("width")) == pytest.approx(after, abs=1.6)
    assert "値なし" in texts(root)


def test_silence_until_now_is_a_gap_and_not_a_line_to_now():
    root = drawn(every(1, 1440, 60))
    (gap,) = lines(root, "gap")
    assert float(gap.get("x")) + float(gap.get("width")) == pytest.approx(312)
    assert corners(lines(root)[0])[-1][0] < 304


def test_what_came_last_and_was_no_value_is_a_gap_however_short():
    trace, told = history([*every(1, 1440, 1), at(0, None, quality=Quality.FAIL, failed=1)])
    assert Day(trace, told).gaps == [(NOW - MINUTE, NOW)]


def test_before_anybody_watched_is_hatched_and_said():
    root = drawn(every(1, 120, 0), since=NOW - 2 * HOUR)
    (gap,) = lines(root, "gap")
    assert float(gap.get("x")) == 36
    assert "記録開始 15:25" in texts(root)
    assert "11/26 15:25 より前は記録していません。" in root.find("s:desc", NS).text


def test_a_refused_reading_is_a_cross_and_a_doubtful_one_a_ring_each_with_its_word():
    points = every(1, 1440, 0)
    points[300] = at(1140, None, quality=Quality.FAIL, failed=2)
    points[900] = at(540, 1.3, quality=Quality.SUSPECT)
    root = drawn(points, lang="en")
    assert len(lines(root, "refused")) == len(lines(root, "doubtful")) == 1
    assert {"refused", "doubtful", "no data"} <= set(texts(root))
    assert "Readings refused as wrong: 2." in root.find("s:desc", NS).text


def test_a_refused_value_has_no_height():
    points = every(1, 1440, 0)
    points[300] = Point(NOW - 1140 * MINUTE, None, None, None, Quality.FAIL, 1, 0)
    high = drawn(points)
    assert corners(lines(high)[0])[0] == corners(lines(drawn(every(1)))[0])[0]


def test_a_peak_of_one_minute_reaches_its_height_in_a_picture_of_300_columns():
    points = every(1, 1440, 0, 0.5)
    points[700] = at(740, 0.6, low=0.5, high=2.6)
    root = drawn(points)
    (danger,) = lines(root, "level danger")
    top = min(y for band in lines(root, "band") for _, y in corners(band))
    assert top == pytest.approx(corners(danger)[0][1], abs=0.06)
    assert "最高 2.60 m" in root.find("s:desc", NS).text


def test_thresholds_have_name_and_metres_and_never_cover_each_other():
    close = [
        Level("standby", 1.00),
        Level("caution", 1.02),
        Level("evacuate", 1.04, ja="氾濫危険水位に準ずる水位"),
        Level("danger", 9.0),
    ]
    root = drawn(every(1), levels=close)
    labels = [one for one in root.iterfind(".//s:text", NS) if one.get("class") == "label"]
    assert [one.text for one in labels] == [
        "水防団待機 1.00 m",
        "氾濫注意 1.02 m",
        "氾濫危険水位に準ずる水位 1.04 m",
        "氾濫危険 9.00 m",
    ]
    heights = [float(one.get("y")) for one in labels]
    assert all(below - above >= 13 for below, above in itertools.pairwise(heights))
    assert (
        len(
            {
                one.get("stroke-dasharray")
                for n in ("standby", "caution", "evacuate", "danger")
                for one in lines(root, f"level {n}")
            }
        )
        == 4
    )


def test_the_distance_to_every_threshold_is_seen_on_a_calm_day():
    root = drawn(every(1, mean=0.3))
    assert all(18 <= corners(lines(root, f"level {n.name}")[0])[0][1] <= 180 for n in LEVELS)


@pytest.mark.parametrize("lang", ["ja", "en"])
def test_a_screen_reader_hears_name_times_newest_and_thresholds(lang):
    root = drawn([*every(1, 1440, 1), at(0, 2.4)], lang=lang)
    assert root.get("role") == "img"
    assert root.get("lang") == lang
    title, desc = root.find("s:title", NS), root.find("s:desc", NS)
    assert (root.get("aria-labelledby"), root.get("aria-describedby")) == (title.get("id"), desc.get("id"))
    assert "宮川橋" in title.text
    assert "11/25 17:25" in title.text and "11/26 17:25" in title.text
    assert "2.40 m" in desc.text
    assert ("避難判断 2.10 m" if lang == "ja" else "Evacuation decision 2.10 m") in desc.text


def test_hours_are_japanese():
    assert [t for t in texts(drawn(every(1))) if ":" in t or "/" in t] == ["18:00", "11/26", "06:00", "12:00"]


def test_an_unset_clock_is_told_in_the_picture():
    root = drawn(every(1), clock="unsynced")
    assert "JST (時計未同期)" in texts(root)
    assert "JST" in texts(drawn(every(1)))


def test_without_any_value_the_picture_says_so():
    for points in ([], [at(5, None, quality=Quality.MISSING, missing=1)]):
        root = drawn(points, levels=[])
        assert "使える値はありません。" in root.find("s:desc", NS).text
        assert len(lines(root, "gap")) == 1
        assert lines(root) == []


def test_a_single_point_is_a_dot():
    root = drawn([at(0, 1.0)])
    assert [one.tag.rpartition("}")[2] for one in lines(root)] == ["circle"]


def test_what_people_named_a_gauge_cannot_become_markup():
    evil = '<script>alert(1)</script>"&'
    root = drawn(every(1), name=evil, levels=[Level("danger", 2.0, evil, evil)])
    assert evil in root.find("s:title", NS).text
    assert root.find(".//s:script", NS) is None


def test_it_asks_nothing_of_the_outside_and_needs_no_style_sheet():
    trace, told = history(every(1))
    text = svg(trace, told)
    assert "style=" not in text
    assert "<style" not in text
    assert [one for one in re.findall(r"https?://[^\"]+", text) if one != NS["s"]] == []
    assert len(text) < 40_000


def test_negative_levels_and_a_range_of_nothing_are_drawn():
    for mean in (-0.35, 0.0, 4000.0):
        root = drawn(every(1, mean=mean), levels=[])
        ys = [y for one in lines(root) for _, y in corners(one)]
        assert min(ys) == max(ys)
        assert 18 < ys[0] < 180
