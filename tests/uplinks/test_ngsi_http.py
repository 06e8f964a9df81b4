"""The HTTP uplinks against the embedded city: who is accepted, who is kept, what becomes current."""

import pytest

from edgeagent.ports import Row
from edgeagent.reading import Moment, TimeTrust
from edgeagent.simulate.city import City
from edgeagent.uplinks.ngsi_http import NgsiLd, NgsiLdConfig, NgsiV2, NgsiV2Config
from tests.fakes import surroundings, water

START = 1_795_000_000_000


@pytest.fixture
def city():
    with_city = City()
    with_city.start()
    yield with_city
    with_city.stop()


@pytest.fixture
def uplink(city, tmp_path):
    made = []

    def make(driver="ngsi-ld", **config):
        kind, section = {"ngsi-ld": (NgsiLd, NgsiLdConfig), "ngsi-v2": (NgsiV2, NgsiV2Config)}[driver]
        config = {"id": "city", "driver": driver, "url": city.url, "timeout_s": 3, **config}
        made.append(kind.make(section(**config), surroundings(tmp_path)))
        return made[-1]

    return make


def row(number, source="miyagawa", *, second=None, level=None):
    """Row `number`; its second defaults to its number, so that order of rows is order of time."""
    second = number if second is None else second
    at = Moment(START + second * 1000, second * 1000, "b00700000001", TimeTrust.SYNCED)
    return Row(number, water(level if level is not None else second / 100, source=source, at=at, sequence=number))


def name(source):
    return f"urn:ngsi-ld:WaterObserved:GW-TEST:{source}"


@pytest.mark.parametrize("driver", ["ngsi-ld", "ngsi-v2"])
async def test_readings_become_entities(city, uplink, driver):
    delivery = await uplink(driver).deliver([row(1, "a"), row(2, "b"), row(3, "a")])
    assert delivery.accepted == {1, 2, 3}
    assert not delivery.rejected and delivery.error is None
    seen = city.snapshot()
    assert seen.newest[name("a")].sequence == 3
    assert seen.newest[name("b")].values["waterLevel"] == 0.02
    assert [i.sequence for i in city.history(name("a"))] == [1, 3]
    assert (seen.regressions, seen.duplicates, seen.repeated) == (0, 0, 0)
