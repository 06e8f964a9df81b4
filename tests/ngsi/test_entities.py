"""Readings -> entities: ids, times, what is shown and what is not."""

import json
import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.ngsi import entities, iota_json, iota_ul, ld, v2
from edgeagent.ngsi.terms import attribute_name
from edgeagent.ports import Site
from edgeagent.reading import Kind, Moment, Quality, Quantity, TimeTrust, Unit
from tests.ngsi.samples import AT, BLIND, DARK, FLOOD, SITE, SOS, TAG, TRAFFIC, WATER, made, metres
from tests.ngsi.smart_data_models import key_values


def values(reading, site=SITE):
    return key_values(json.loads(ld.normalized(entities.entity(reading, site))))


def test_a_gauge_reading():
    made_ = json.loads(ld.normalized(entities.entity(WATER, SITE)))
    assert made_["id"] == "urn:ngsi-ld:WaterObserved:GW-0147:miyagawa"
    assert made_["waterLevel"] == {
        "type": "Property",
        "value": 1.234,
        "unitCode": "MTR",
        "observedAt": "2026-11-18T11:06:41.234Z",
    }, "good needs no word: an update replaces the attribute and any doubt that stood at it"
    doubtful = made("m", Kind.WATER, {"level": Quantity(1.0, Unit.METRE, Quality.SUSPECT)})
    told = json.loads(ld.normalized(entities.entity(doubtful, SITE)))["waterLevel"]
    assert told["quality"] == {"type": "Property", "value": "suspect"}
    assert made_["location"] == {"type": "GeoProperty", "value": {"type": "Point", "coordinates": [138.2529, 36.6513]}}
    assert made_["refDevice"]["object"] == "urn:ngsi-ld:Device:GW-0147:miyagawa"
    assert made_["sequenceNumber"]["value"] == 7
    assert made_["dateObserved"]["value"] == {"@type": "DateTime", "@value": "2026-11-18T11:06:41.234Z"}


def test_missing_and_failed_values_are_left_out_and_quality_tells():
    found = values(BLIND)
    assert "measuredDistance" not in found and "waterLevel" not in found
    assert (found["quality"], found["qualityReason"]) == ("fail", "range")
    found = values(DARK)
    assert "intensity" not in found and found["coverage"] == 0.0
    assert (found["quality"], found["qualityReason"]) == ("missing", "not watched")
    assert values(WATER)["qualityReason"] == "none"


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_no_value(number):
    found = values(made("m", Kind.WATER, {"level": metres(number)}))
    assert "waterLevel" not in found and found["quality"] == "fail"
    assert "waterLevel" not in json.loads(iota_json.measure(made("m", Kind.WATER, {"level": metres(number)}), SITE))


def test_below_gauge_zero_stays_below():
    assert values(made("m", Kind.WATER, {"level": metres(-0.31)}))["waterLevel"] == -0.31


def test_a_window_says_from_when_to_when():
    found = values(TRAFFIC)
    assert found["dateObservedFrom"] == "2026-11-18T11:05:41.234Z"
    assert found["dateObservedTo"] == found["dateObserved"] == "2026-11-18T11:06:41.234Z"
    assert found["intensity"] == 12 and found["intensityForward"] == 7
    assert found["intensityBackwardBicycle"] == 1
    assert (found["countingLine"], found["modelHash"], found["sceneCondition"]) == ("up-down", "a1b2c3d4e5f6", "dark")
    assert found["location"]["coordinates"] == [138.3, 36.7]
    calm = made("route140", Kind.TRAFFIC, {"count": 0}, facts={"line": "up-down"})
    assert values(calm)["sceneCondition"] == "none"  # else "dark" would stay at the city


def test_alerts():
    found = values(FLOOD)
    assert (found["category"], found["subCategory"], found["severity"]) == ("naturalDisaster", "floodRisk", "high")
    assert found["alertSource"] == "urn:ngsi-ld:WaterObserved:GW-0147:miyagawa"
    assert found["description"] == "宮川橋 (上流): 避難判断水位 / evacuation decision level 2.15 m"
    over = made("miyagawa", Kind.ALERT, {"active": False, "sub_category": "floodLevel", "level_name": "normal"})
    assert values(over)["description"] == "宮川橋 (上流): 解除: 平常 / cleared: normal"
    found = values(SOS)
    assert found["category"] == "health" and found["alertKind"] == "sos" and "subCategory" not in found
    assert found["alertSource"] == "urn:ngsi-ld:Device:GW-0147:tags:9f3c01aa55ee0011"


def test_a_tag_that_left_is_told_as_one_passage():
    found = values(TAG)
    assert (found["deviceState"], found["batteryLevel"], found["rssi"], found["framesHeard"]) == ("left", 0.75, -71, 42)
    assert found["firstSeen"] == "2026-11-18T11:01:30.734Z" and found["lastSeen"] == "2026-11-18T11:05:39.234Z"
    assert found["pseudonymDay"] == "2026-11-18"
    assert values(SOS)["tagAlias"] == "T-008"


def test_ids_are_ascii_and_never_too_long():
    japanese = entities.entity_id("TrafficFlowObserved", "GW-1", "route140:西行き")
    assert japanese == "urn:ngsi-ld:TrafficFlowObserved:GW-1:route140:%E8%A5%BF%E8%A1%8C%E3%81%8D"
    long = {entities.entity_id("WaterObserved", "GW-1", "川" * 90 + end) for end in "ab"}
    assert len(long) == 2 and all(len(i) <= 256 and i.isascii() for i in long)


@given(st.text(min_size=1, max_size=80))
def test_any_name_makes_an_acceptable_id(name):
    made_ = entities.entity_id("Device", "GW-1", name)
    assert made_.isascii() and made_.isprintable() and len(made_) <= 256
    assert not set(made_) & set("<>\"'=;() &?/#")


@pytest.mark.parametrize(
    ("name", "attribute"),
    [
        ("level", "waterLevel"),
        ("battery_voltage", "batteryVoltage"),
        ("type", "typeMeasured"),
        ("2nd echo", "q2ndEcho"),
        ("流量", "unnamed"),
        ("pH", "pH"),
    ],
)
def test_quantities_of_a_users_own_profile_keep_their_name(name, attribute):
    assert attribute_name(Kind.WATER, name) == attribute


@pytest.mark.parametrize("wall_ms", [-1, 10**15])
def test_what_is_no_time_is_said(wall_ms):
    reading = made("m", Kind.WATER, {"level": metres(1.0)}, at=Moment(wall_ms, 0, "b", TimeTrust.UNSYNCED))
    with pytest.raises(ValueError, match=str(wall_ms)):
        entities.entity(reading, SITE)
    with pytest.raises(ValueError, match=str(wall_ms)):
        iota_json.measure(reading, SITE)


def test_time_keeps_its_milliseconds():
    assert entities.time_text(1_795_000_000_007) == "2026-11-18T11:06:40.007Z"
    assert entities.time_text(0) == "1970-01-01T00:00:00.000Z"


def test_an_unsynchronised_clock_is_said():
    at = Moment(AT.wall_ms, 5, "b", TimeTrust.UNSYNCED)
    assert values(made("m", Kind.WATER, {"level": metres(1.0)}, at=at))["timeQuality"] == "unsynced"


def test_v2_sends_its_metadata_every_time_and_no_forbidden_character():
    site = Site("GW", names={"m": '橋 ("西") <1>; a=b\'s'})
    made_ = json.loads(v2.normalized(entities.entity(made("m", Kind.WATER, {"level": metres(1.0)}), site)))
    assert made_["waterLevel"]["metadata"] == {
        "TimeInstant": {"type": "DateTime", "value": "2026-11-18T11:06:41.234Z"},
        "unitCode": {"type": "Text", "value": "MTR"},
        "quality": {"type": "Text", "value": "good"},
    }
    assert made_["name"]["value"] == "橋 （”西”） ＜1＞； a＝b’s"
    assert made_["dateObserved"]["type"] == made_["TimeInstant"]["type"] == "DateTime"


def test_a_measure_leaves_out_what_it_cannot_mark():
    reading = made(
        "m", Kind.WATER, {"level": metres(1.0), "temperature": Quantity(80.0, Unit.CELSIUS, Quality.SUSPECT)}
    )
    assert set(json.loads(iota_json.measure(reading, SITE))) == {
        "waterLevel",
        "aggregation",
        "quality",
        "qualityReason",
        "timeQuality",
        "sequenceNumber",
        "TimeInstant",
    }
    suspect = made("m", Kind.WATER, {"level": metres(1.0, Quality.SUSPECT)})
    measure = json.loads(iota_json.measure(suspect, SITE))
    assert (measure["waterLevel"], measure["quality"]) == (1.0, "suspect")


def test_one_measure_is_an_object_several_are_an_array():
    assert iota_json.payload([b"{}"]) == b"{}"
    assert iota_json.payload([b"{}", b"{}"]) == b"[{},{}]"
    assert iota_json.topic("k", iota_json.device_id(WATER, "GW-0147:")) == (
        "/json/k/GW-0147:WaterObserved:miyagawa/attrs"
    )


def test_history_holds_what_was_observed_and_nothing_else():
    later = made(
        "miyagawa", Kind.WATER, {"level": metres(2.0)}, at=Moment(AT.wall_ms + 1000, 6000, "b", TimeTrust.SYNCED)
    )
    body = json.loads(ld.temporal([entities.entity(WATER, SITE), entities.entity(later, SITE)]))
    assert [i["value"] for i in body["waterLevel"]] == [1.234, 2.0]
    assert "location" not in body and "name" not in body and "refDevice" not in body


def test_ultralight_is_time_and_pairs():
    assert iota_ul.measure(WATER, SITE).decode() == (
        "2026-11-18T11:06:41.234Z|measuredDistance|6.19|waterLevel|1.234|waterElevation|332.434|validSamples|20"
        "|medianAbsoluteDeviation|0.002|rateOfRise|0.12|rateOfRise30min|0.1|nextAlarmLevel|evacuate"
        "|timeToNextAlarmLevel|25980"
        "|gaugeTemperature|11.5|signalToNoiseRatio|31|flow|12.5|alarmLevel|caution|datum|T.P."
        "|deviceProfile|vega-c2x-modbus|aggregation|none|quality|good|qualityReason|none|timeQuality|synced"
        "|sequenceNumber|7"
    )
    assert iota_ul.payload([b"a", b"b"]) == b"a#b"
    assert iota_ul.topic("k", "d") == "/ul/k/d/attrs"


@given(st.text(max_size=20), st.text(max_size=20))
def test_no_text_breaks_an_ultralight_measure(reason, datum):
    reading = made("m", Kind.WATER, {"level": metres(1.0)}, facts={"reason": reason, "datum": datum})
    text = iota_ul.payload([iota_ul.measure(reading, SITE)] * 2).decode()
    for group in text.split("#"):
        time, *fields = group.split("|")
        assert time == "2026-11-18T11:06:41.234Z" and len(fields) % 2 == 0
        assert all(fields) and {"waterLevel", "sequenceNumber"} <= set(fields[::2])
    assert text.count("#") == 1 and not set(text) & set("\r\n")


def test_an_alert_uses_the_names_that_people_here_use():
    reading = msgspec.structs.replace(FLOOD, facts={"level_ja": "警戒水位", "level_en": "watch"})
    assert "警戒水位 / watch" in entities.entity(reading, SITE).attributes["description"].value
