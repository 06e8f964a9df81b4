"""How fast a backlog leaves, beside what paho and SQLite could do alone, in one run."""

import asyncio
import sqlite3
import threading
import time

import paho.mqtt.client as mqtt
from paho.mqtt.enums import MQTTErrorCode

from edgeagent.clock import SystemClock
from edgeagent.ngsi import iota_json
from edgeagent.outbox.sqlite import OutboxConfig, SqliteOutbox
from edgeagent.ports import Site
from edgeagent.reading import Moment
from tests.bench.agent import _broker, _city, _folder
from tests.bench.figures import say
from tests.fakes import water
from tests.faults.pipe import NAMES, Order, Said, give, started

ROWS = 30_000
WINDOW = 20  # messages in flight, as our uplink has
BATCH = 500  # rows deleted in one transaction, as our couriers settle
CLOCK = SystemClock()


def drain():
    """`drain_mqtt`, `drain_http`: readings per second from a full outbox to PUBACK and to HTTP 2xx.

    `drain_paho`: messages per second to PUBACK, one reading each, nothing else done; `drain_sqlite`: rows per
    second read and deleted with a synced commit per 500.  `…_ratio`: ours to the slower of the two.
    """
    with _folder() as folder, _broker(folder) as port:
        asyncio.run(_filled(folder / "mqtt"))
        ours = _drained(folder / "mqtt", _mqtt(port))
        paho = _paho(port, iota_json.measure(water(1.234, at=CLOCK.now()), Site("GW-1")))
    with _folder() as folder, _city() as url:
        asyncio.run(_filled(folder / "http"))
        http = _drained(folder / "http", _http(url))
        asyncio.run(_filled(folder / "raw"))
        raw = _sqlite(folder / "raw" / "outbox.db")
    say("drain_mqtt", ours, "readings per second from a backlog to PUBACK", ROWS)
    say("drain_http", http, "readings per second from a backlog to HTTP 2xx", ROWS)
    say("drain_paho", paho, "messages per second to PUBACK, paho alone", ROWS)
    say("drain_sqlite", raw, "rows per second read and deleted, SQLite alone", ROWS)
    say("drain_ratio", ours / min(paho, raw), "drain_mqtt to the slower of paho and SQLite alone", ROWS)


def _mqtt(port):
    return {"id": "city", "driver": "iota-json", "host": "127.0.0.1", "port": port, "apikey": "k", "tls": False}


def _http(url):
    return {"id": "city", "driver": "ngsi-ld", "url": url, "history": "temporal"}


async def _filled(folder):
    """A backlog of ROWS readings, one every 10 s from each river."""
    folder.mkdir()
    outbox = SqliteOutbox(folder / "outbox.db", CLOCK, OutboxConfig(), ["city"])
    now = CLOCK.now()
    for begin in range(0, ROWS, 3000):
        readings = []
        for n in range(begin, begin + 3000):
            ago_ms = (ROWS - n) * 10_000 // len(NAMES)
            at = Moment(now.wall_ms - ago_ms, now.mono_ms - ago_ms, now.boot_id, now.trust)
            readings.append(water(n / 1000, source=NAMES[n % len(NAMES)], at=at))
        await outbox.put(readings)
    await outbox.close()


def _drained(folder, uplink):
    said = Said(folder / "said")
    with started() as process:
        give(process, Order(str(folder), str(said.path), {**uplink, "backfill_bytes_per_s": 0}, rivers=()))
        while said.waiting is None:
            time.sleep(0.01)
            said.listen()
        began, first = time.monotonic(), said.waiting
        while said.waiting:
            time.sleep(0.01)
            said.listen()
        return first / (time.monotonic() - began)


def _paho(port, measure):
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.max_inflight_messages_set(WINDOW)
    done, left = threading.Event(), [ROWS]

    def acknowledged(*_):
        left[0] -= 1
        if not left[0]:
            done.set()

    client.on_publish = acknowledged
    client.connect("127.0.0.1", port)
    client.loop_start()
    began = time.monotonic()
    for _ in range(ROWS):
        assert client.publish("/json/k/x/attrs", measure, qos=1).rc == MQTTErrorCode.MQTT_ERR_SUCCESS
    assert done.wait(300)
    seconds = time.monotonic() - began
    client.disconnect()
    client.loop_stop()
    return ROWS / seconds


def _sqlite(path):
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA synchronous = FULL")
    began, gone = time.monotonic(), 0
    while rows := db.execute("SELECT id, record FROM rows WHERE id > ? ORDER BY id LIMIT ?", (gone, BATCH)).fetchall():
        gone = rows[-1][0]
        db.execute("DELETE FROM rows WHERE id <= ?", (gone,))
    seconds = time.monotonic() - began
    db.close()
    return ROWS / seconds
