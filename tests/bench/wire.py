"""Bytes on the wire per reading, as the kernel counts them: every uplink, live and backlog, TLS too.

Live: the newest values of 12 gauges in one delivery, the connection open.  Backlog: 600 readings of
12 gauges, the newest known already.
"""

import asyncio
import contextlib
import tempfile
from pathlib import Path

import msgspec

from edgeagent.clock import SystemClock
from edgeagent.ports import Row, Site, Surroundings
from edgeagent.reading import Moment
from edgeagent.simulate.city import City
from edgeagent.uplinks.iota_mqtt import IotaConfig, IotaJson, IotaUl
from edgeagent.uplinks.ngsi_http import NgsiLd, NgsiLdConfig, NgsiV2, NgsiV2Config
from tests.bench.figures import say
from tests.ngsi.samples import AT, WATER
from tests.uplinks.certificates import Authority
from tests.uplinks.mosquitto import Agent, Mosquitto
from tests.uplinks.test_ngsi_http import https

GAUGES, ROUNDS = 12, 50


def wire():
    asyncio.run(_wire())


async def _wire():
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        authority = Authority(folder)
        plain, leap, tls = City(concise=True), City(), City(tls=https(authority), concise=True)
        for city in (plain, leap, tls):
            city.start()
            stack.callback(city.stop)
        broker = stack.enter_context(contextlib.closing(Mosquitto(folder)))
        broker.start()
        stack.enter_context(contextlib.closing(Agent(broker.port)))
        http = {"url": plain.url, "id": "c"}
        mqtt = {"host": "127.0.0.1", "port": broker.port, "tls": False, "apikey": "river", "id": "c"}
        temporal, quantum = {"history": "temporal"}, {"history": "quantumleap", "quantumleap_url": leap.url}
        cases = {
            "ngsi_ld": (NgsiLd, NgsiLdConfig(driver="ngsi-ld", **http, **temporal)),
            "ngsi_ld_replay": (NgsiLd, NgsiLdConfig(driver="ngsi-ld", **http)),
            "ngsi_ld_concise": (NgsiLd, NgsiLdConfig(driver="ngsi-ld", form="concise", **http)),
            "ngsi_ld_tls": (NgsiLd, NgsiLdConfig(driver="ngsi-ld", id="c", url=tls.url, ca=authority.ca, **temporal)),
            "ngsi_v2": (NgsiV2, NgsiV2Config(driver="ngsi-v2", **http)),
            "ngsi_v2_quantumleap": (NgsiV2, NgsiV2Config(driver="ngsi-v2", **http, **quantum)),
            "iota_json": (IotaJson, IotaConfig(driver="iota-json", **mqtt)),
            "iota_ul": (IotaUl, IotaConfig(driver="iota-ul", **mqtt)),
        }
        for name, (kind, section) in cases.items():
            place = folder / name
            place.mkdir()
            link = kind.make(section, Surroundings(SystemClock(), Site("GW-0147", (138.2529, 36.6513)), place))
            await _send(link, _rows(0))  # connects; shakes hands
            newest = await _send(link, _rows(ROUNDS + 1))
            say(f"wire_{name}_live", newest / GAUGES, "bytes on the wire per reading", GAUGES)
            late = [row for n in range(1, ROUNDS + 1) for row in _rows(n)]
            say(f"wire_{name}_backlog", await _send(link, late) / len(late), "bytes on the wire per reading", len(late))
            await link.close()


async def _send(link, rows):
    """All of the rows, in as many deliveries as it takes; the bytes of it."""
    sent = 0
    while rows:
        done = await link.deliver(rows)
        sent += done.bytes_sent
        rows = [row for row in rows if row.id not in done.accepted]
    return sent


def _rows(n):
    at = Moment(AT.wall_ms + n * 10_000, AT.mono_ms + n * 10_000, AT.boot_id, AT.trust)
    return [
        Row(
            n * GAUGES + gauge,
            msgspec.structs.replace(WATER, source=f"gauge{gauge}", entity=f"gauge{gauge}", at=at, sequence=n + 1),
        )
        for gauge in range(GAUGES)
    ]
