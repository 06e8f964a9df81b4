"""The MQTT uplink against a real mosquitto: what is settled was acknowledged, what is not is kept."""

import asyncio
import contextlib
import itertools
from types import SimpleNamespace

import msgspec
import pytest
from paho.mqtt.enums import MQTTErrorCode

from edgeagent import messages
from edgeagent.errors import UplinkRefused, UplinkUnavailable
from edgeagent.ports import Row
from edgeagent.reading import Moment, TimeTrust
from edgeagent.uplinks.iota_mqtt import IotaConfig, IotaJson, IotaUl
from edgeagent.uplinks.meter import Meter
from edgeagent.uplinks.mqtt_link import MqttDoor, MqttLink
from edgeagent.uplinks.thread import NamedThread
from tests.fakes import surroundings, water
from tests.uplinks.certificates import Authority
from tests.uplinks.mosquitto import Agent, Mosquitto

pytestmark = pytest.mark.tool("mosquitto")
START = 1_795_000_000_000
DEVICE = "GW-TEST:WaterObserved:miyagawa"


@pytest.fixture
def opened():
    """Things with close(), closed in reverse."""
    things = []
    yield lambda thing: things.append(thing) or thing
    for thing in reversed(things):
        thing.close()


@pytest.fixture
async def uplink(tmp_path):
    made = []

    def make(port, kind=IotaJson, **config):
        config = {"id": "iota", "driver": "iota-json", "host": "127.0.0.1", "port": port, "apikey": "k", **config}
        made.append(kind.make(IotaConfig(**{"tls": False, "timeout_s": 5, **config}), surroundings(tmp_path)))
        return made[-1]

    yield make
    for one in made:
        await one.close()


def row(number, source="miyagawa", second=None):
    second = number if second is None else second
    at = Moment(START + second * 1000, second * 1000, "b00700000001", TimeTrust.SYNCED)
    return Row(number, water(second / 100, source=source, at=at, sequence=number))


async def fails(uplink, rows=None):
    with pytest.raises(UplinkUnavailable) as caught:
        await uplink.deliver(rows or [row(1)])
    for lang in messages.LANGUAGES:
        assert "?" not in messages.text(caught.value.code, caught.value.facts, lang).what
    return caught.value


async def test_readings_of_a_device_travel_together_oldest_first(tmp_path, opened, uplink):
    broker = opened(Mosquitto(tmp_path)).start()
    agent = opened(Agent(broker.port))
    rows = [row(i, f"gauge{i % 10}") for i in range(1, 501)]
    delivery = await uplink(broker.port).deliver(rows)
    assert delivery.accepted == {r.id for r in rows} and delivery.error is None
    await asyncio.sleep(0.1)
    assert agent.sequences("GW-TEST:WaterObserved:gauge3") == list(range(3, 501, 10))


async def test_one_reading_is_an_object(tmp_path, opened, uplink):
    broker = opened(Mosquitto(tmp_path)).start()
    agent = opened(Agent(broker.port))
    await uplink(broker.port).deliver([row(1)])
    await asyncio.sleep(0.1)
    ((device, measure),) = agent.measures
    assert device == DEVICE
    assert measure["waterLevel"] == 0.01 and measure["TimeInstant"] == "2026-11-18T11:06:41.000Z"
    assert measure["quality"] == "good" and measure["timeQuality"] == "synced"


async def test_a_late_reading_does_not_end_up_as_the_newest(tmp_path, opened, uplink):
    broker = opened(Mosquitto(tmp_path)).start()
    agent = opened(Agent(broker.port))
    link = uplink(broker.port)
    await link.deliver([row(5)])
    assert (await link.deliver([row(3)])).accepted == {3}
    assert (await link.deliver([row(8), row(7)])).accepted == {7, 8}
    await asyncio.sleep(0.1)
    assert agent.sequences(DEVICE) == [5, 3, 5, 7, 8]


async def test_ultralight_says_the_same(tmp_path, opened, uplink):
    broker = opened(Mosquitto(tmp_path)).start()
    agent = opened(Agent(broker.port))
    link = uplink(broker.port, IotaUl)
    assert (await link.deliver([row(2), row(1), row(3, "other")])).accepted == {1, 2, 3}
    await asyncio.sleep(0.1)
    assert agent.sequences(DEVICE) == ["1", "2"]
    assert agent.measures[0][1]["waterLevel"] == "0.01"
    assert agent.measures[0][1]["TimeInstant"] == "2026-11-18T11:06:41.000Z"


async def test_bytes_are_what_the_line_carried(tmp_path, opened, uplink):
    broker = opened(Mosquitto(tmp_path)).start()
    opened(Agent(broker.port))
    link = uplink(broker.port)
    first = (await link.deliver([row(1)])).bytes_sent
    one = (await link.deliver([row(2)])).bytes_sent
    ten = (await link.deliver([row(i) for i in range(3, 13)])).bytes_sent
    assert 150 < one < 400 and one < first < one + 300  # CONNECT, once
    assert one * 5 < ten < one * 10
    broker.freeze()
    link._config = msgspec.structs.replace(link._config, timeout_s=0.5)
    link._link._door = msgspec.structs.replace(link._link._door, timeout_s=0.5)
    assert (await fails(link, [row(20)])).bytes_sent >= one
    assert link._meter.exact


async def test_small_messages_where_the_limit_is_small(tmp_path, opened, uplink):
    broker = opened(Mosquitto(tmp_path, lines=["max_packet_size 5000"])).start()
    agent = opened(Agent(broker.port))
    rows = [row(i) for i in range(1, 201)]
    assert len((await uplink(broker.port).deliver(rows)).accepted) == 200
    await asyncio.sleep(0.1)
    assert agent.sequences(DEVICE) == list(range(1, 201))


async def test_nobody_listens_is_not_delivered(tmp_path, opened, uplink):
    broker = opened(Mosquitto(tmp_path)).start()
    link = uplink(broker.port)
    error = await fails(link)
    assert error.code == "uplinks.no-subscriber"
    opened(Agent(broker.port))
    assert (await link.deliver([row(1)])).accepted == {1}


async def test_killed_and_restarted_under_load_loses_nothing(tmp_path, opened, uplink):
    authority = Authority(tmp_path)
    cert, key = authority.issue("gateway")
    broker = opened(Mosquitto(tmp_path, tls=(authority.ca, authority.issue("server")))).start()
    agent = opened(Agent(broker.plain_port))
    link = uplink(broker.port, tls=True, ca=authority.ca, cert=cert, key=key, max_body=2_000)
    waiting = {i: row(i, f"gauge{i % 3}") for i in range(1, 2001)}
    for round_ in itertools.count():
        batch = list(itertools.islice(waiting.values(), 200))
        if not batch:
            break
        work = asyncio.create_task(link.deliver(batch))
        if round_ in (1, 4):
            await asyncio.sleep(0.01)
            broker.kill()
        try:
            delivery = await work
        except UplinkUnavailable:
            agent.subscribed = False
            broker.start()
            await asyncio.to_thread(agent.wait)
            continue
        for number in delivery.accepted:
            del waiting[number]
        if delivery.error:
            agent.subscribed = False
            broker.start()
            await asyncio.to_thread(agent.wait)
    await asyncio.sleep(0.3)
    heard = {m["sequenceNumber"] for _, m in agent.measures}
    assert heard == set(range(1, 2001))


async def test_a_frozen_broker_settles_nothing(tmp_path, opened, uplink):
    broker = opened(Mosquitto(tmp_path)).start()
    opened(Agent(broker.port))
    link = uplink(broker.port, timeout_s=0.5)
    await link.deliver([row(1)])
    broker.freeze()
    assert (await fails(link, [row(2)])).code == "uplinks.timeout"
    assert (await fails(link, [row(2)])).code == "uplinks.timeout"


async def test_no_broker(uplink, unused_tcp_port):
    assert (await fails(uplink(unused_tcp_port))).code == "uplinks.connection-refused"


async def test_wrong_password(tmp_path, opened, uplink):
    (tmp_path / "users").write_text("")
    broker = opened(Mosquitto(tmp_path)).start()
    broker.kill()
    config = tmp_path / "mosquitto.conf"
    config.write_text(config.read_text().replace("allow_anonymous true", f"password_file {tmp_path / 'users'}"))
    (tmp_path / "users").chmod(0o600)
    broker.start()
    (tmp_path / "iota-password").write_text("guess\n")
    error = await fails(uplink(broker.port, username="box", password="iota-password"))
    assert isinstance(error, UplinkRefused) and error.code == "uplinks.credentials-refused"
    error = await fails(uplink(broker.port, username="box", password="absent"))
    assert error.code == "uplinks.no-credential"


async def test_certificates_that_do_not_do(tmp_path, opened, uplink):
    authority, other = Authority(tmp_path), Authority(tmp_path, "other")
    client = dict(zip(("cert", "key"), authority.issue("gateway"), strict=True))
    broker = opened(Mosquitto(tmp_path, tls=(authority.ca, authority.issue("server")))).start()
    code = {}
    code["ca"] = (await fails(uplink(broker.port, tls=True, ca=other.ca, **client))).code
    code["none"] = (await fails(uplink(broker.port, tls=True, ca=authority.ca))).code
    foreign = dict(zip(("cert", "key"), other.issue("stranger"), strict=True))
    code["foreign"] = (await fails(uplink(broker.port, tls=True, ca=authority.ca, **foreign))).code
    old = dict(zip(("cert", "key"), authority.issue("old", begins=-9, ends=-2), strict=True))
    code["old"] = (await fails(uplink(broker.port, tls=True, ca=authority.ca, **old))).code
    code["missing"] = (await fails(uplink(broker.port, tls=True, ca=str(tmp_path / "nothing.pem")))).code
    code["plain"] = (await fails(uplink(broker.plain_port, tls=True, ca=authority.ca))).code
    assert code == {
        "ca": "uplinks.tls-untrusted",
        "none": "uplinks.tls-own-wanted",
        "foreign": "uplinks.tls-own-refused",
        "old": "uplinks.tls-own-expired",
        "missing": "uplinks.tls-file",
        "plain": "uplinks.cut",
    }


async def test_an_expired_server_certificate(tmp_path, opened, uplink):
    authority = Authority(tmp_path)
    broker = opened(Mosquitto(tmp_path, tls=(authority.ca, authority.issue("server", begins=-9, ends=-2)))).start()
    assert (await fails(uplink(broker.port, tls=True, ca=authority.ca))).code == "uplinks.tls-expired"


@contextlib.asynccontextmanager
async def broker_of(*answers):
    """A broker of a few bytes on a port: says one answer per packet it gets."""
    writers = []

    async def talk(reader, writer):
        writers.append(writer)
        for answer in answers:
            await reader.read(4096)
            writer.write(answer)
        if not answers:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    for writer in writers:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        ([b"\x20\x03\x00\x00\x00", b"\xe0\x02\x8e\x00"], "uplinks.mqtt-taken-over"),
        ([b"\x20\x03\x00\x00\x00", b"\x40\x04\x00\x01\x87\x00"], "uplinks.topic-refused"),
        ([b"\x20\x03\x00\x00\x00", b"\x40\x04\x00\x01\x97\x00"], "uplinks.busy"),
        ([b"\x20\x03\x00\x00\x00", b"\x40\x04\x00\x07\x00\x00"], "uplinks.timeout"),
        ([b"\x20\x03\x00\x00\x00", b"\xff\xff\xff\xff\xff\xff"], "uplinks.cut"),
        ([b"\x20\x02\x00\x01"], "uplinks.mqtt-version"),
        ([b"\x20\x03\x00\x84\x00"], "uplinks.mqtt-version"),
        ([b"\x20\x03\x00\x88\x00"], "uplinks.busy"),
        ([b"\x20\x03\x00\x8a\x00"], "uplinks.mqtt-refused"),
        ([], "uplinks.cut"),
    ],
)
async def test_what_a_broker_may_say(uplink, answers, code):
    async with broker_of(*answers) as port:
        assert (await fails(uplink(port, timeout_s=1))).code == code


async def test_a_payload_that_is_refused_for_good_is_a_dead_letter(uplink):
    async with broker_of(b"\x20\x03\x00\x00\x00", b"\x40\x04\x00\x01\x99\x00") as port:
        delivery = await uplink(port).deliver([row(1)])
    assert delivery.rejected == {1: "payload format invalid"} and not delivery.accepted


async def test_no_more_in_flight_than_the_broker_takes(uplink):
    heard = bytearray()
    writers = []

    async def talk(reader, writer):
        writers.append(writer)
        await reader.read(4096)
        writer.write(b"\x20\x06\x00\x00\x03\x21\x00\x02")  # CONNACK, Receive Maximum 2
        while data := await reader.read(65_536):
            heard.extend(data)

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    link = uplink(server.sockets[0].getsockname()[1], timeout_s=0.3)
    assert (await fails(link, [row(i, f"gauge{i}") for i in range(1, 9)])).code == "uplinks.timeout"
    assert heard.count(b"/json/k/") == 2
    server.close()
    for writer in writers:
        writer.close()
        await writer.wait_closed()


async def test_a_dead_link_is_noticed_without_anything_to_send(tmp_path, opened):
    broker = opened(Mosquitto(tmp_path)).start()
    door = MqttDoor(host="127.0.0.1", port=broker.port, client_id="x", keepalive_s=1, timeout_s=5)
    link = await MqttLink.open(door, None, NamedThread("test"), Meter())
    broker.freeze()
    async with asyncio.timeout(10):
        while link.error is None:
            await asyncio.sleep(0.05)
    assert link.error.code == "uplinks.cut"


@pytest.mark.parametrize("where", ["publish", "write"])
async def test_a_line_that_breaks_while_publishing_is_not_waited_for(tmp_path, opened, uplink, monkeypatch, where):
    broker = opened(Mosquitto(tmp_path)).start()
    opened(Agent(broker.port))
    mqtt = uplink(broker.port, timeout_s=60)
    await mqtt.deliver([row(1)])
    if where == "publish":
        failed = SimpleNamespace(rc=MQTTErrorCode.MQTT_ERR_NO_CONN, mid=7)
        monkeypatch.setattr(mqtt._link._client, "publish", lambda *_, **__: failed)
    else:
        monkeypatch.setattr(mqtt._link._client, "loop_write", lambda: MQTTErrorCode.MQTT_ERR_CONN_LOST)
    async with asyncio.timeout(10):
        assert (await fails(mqtt, [row(2)])).code == "uplinks.cut"
    assert (await mqtt.deliver([row(2)])).accepted == {2}
