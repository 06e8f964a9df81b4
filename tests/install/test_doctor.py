"""`doctor` on real parts: gauges on ptys and TCP, a city, mosquitto, certificates, a time server, a full disk."""

import http.server
import json
import os
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path

import msgspec
import pytest

from edgeagent import messages
from edgeagent.clock import SystemClock
from edgeagent.daemon import build
from edgeagent.errors import EdgeAgentError
from edgeagent.install import doctor, doctor_bundle, doctor_probe_box, doctor_probe_city, doctor_probe_devices
from edgeagent.install.doctor_data import Before
from edgeagent.install.doctor_item import State
from edgeagent.install.doctor_probe_devices import Agent, from_agent
from edgeagent.simulate.city import City
from edgeagent.simulate.modbus_slave import ModbusSlave, registers_from
from tests.uplinks.certificates import Authority
from tests.uplinks.mosquitto import Mosquitto

ROOT = Path(__file__).resolve().parents[2]
ENV = {k: v for k, v in os.environ.items() if k not in ("EDGEAGENT_LANG", "LC_ALL", "LANG", "NO_COLOR")}
F, W, S, OK = State.FAILED, State.WARNING, State.SKIPPED, State.OK
HOST = '[[sources]]\nid = "box"\ndriver = "host"\n'


# the console script, that asks no time server of the world
CLI = (
    "from edgeagent.install import doctor_probe_city as city; city.time_servers = lambda root: ['127.0.0.1'];"
    "from edgeagent.cli import main; main()"
)


def edgeagent(*args, env=ENV, **more):
    done = subprocess.run(
        [sys.executable, "-c", CLI, *map(str, args)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=env,
        timeout=120,
        **more,
    )
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    return done


def config_of(tmp_path, body):
    file = tmp_path / "config.toml"
    file.write_text(f'[gateway]\nid = "GW-1"\nstate_dir = "{tmp_path}"\n{body}')
    return file


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """What needs no pause of its own is read without one, and who is away is given up sooner."""
    monkeypatch.setattr(doctor_probe_devices, "_COMPLAINTS", 2)
    monkeypatch.setattr(doctor_probe_devices, "_QUICK_S", 0.05)


def nobody(code="daemon.not-running"):
    def ask(*_):
        raise EdgeAgentError(code, path="control.sock")

    return ask


def world(tmp_path, body, *, agent=None, store=None, **more):
    """The world of a config; a time server that nobody asks in vain: a closed port answers at once."""
    file = config_of(tmp_path, body)
    config, problems = build.read_config(file)
    return doctor.World(
        file=file,
        config=config,
        problems=problems,
        state_dir=tmp_path,
        clock=SystemClock(),
        agent=agent or nobody(),
        store=store or nobody(),
        **{"ntp": ("127.0.0.1", closed_port()), **more},
    )


async def found(made):
    items = [item async for item in doctor.examine(made)]
    for item in items:
        for lang in messages.LANGUAGES:
            said = item.text(lang)
            assert item.said in messages.catalogue("doctor", lang) and said.what, item
            assert said.remedy or item.state in (OK, S), item
    assert not [i for i in items if i.said == "broken"], [i.facts for i in items if i.said == "broken"]
    return items


def only(items, code):
    (item,) = [i for i in items if i.code == code]
    return item


def closed_port():
    with socket.socket() as link:
        link.bind(("127.0.0.1", 0))
        return link.getsockname()[1]


def gauge(slave, *, register=0x20, name="miyagawa"):
    where = f'host = "127.0.0.1"\ntcp_port = {slave.port}' if slave.port else f'port = "{slave.path}"'
    return (
        f'[[sources]]\nid = "{name}"\ndriver = "modbus-gauge"\n{where}\n'
        f'profile = "geolux-lx80-modbus"\nunit = 1\nevery_s = 600\n'
    )


def ngsi(url, **more):
    keys = "".join(f'{key} = "{value}"\n' for key, value in more.items())
    return f'[[uplinks]]\nid = "nagano"\ndriver = "ngsi-ld"\nurl = "{url}"\n{keys}'


def level(mm):
    """Every register of the profile says something; the level register says `mm`."""
    return registers_from(dict.fromkeys(range(0x40), mm))


@pytest.mark.parametrize("tcp", [False, True], ids=["pty", "tcp"])
async def test_a_gauge_is_opened_and_read_three_times(tmp_path, tcp):
    with ModbusSlave({1: level(1420)}, tcp=tcp) as slave:
        items = await found(world(tmp_path, gauge(slave)))
        assert len(slave.asked) >= 3
        assert {function for _, _, function, _, _ in slave.asked} <= {3, 4}, "reading never writes"
    read = only(items, "E-DEVICE-02")
    assert read.state is OK and read.facts["value"].startswith("level 1.420 m") and read.facts["n"] == "3"
    assert only(items, "E-DEVICE-03").facts["spread"] == "0.000"


async def test_a_gauge_that_is_away_says_why_and_the_others_are_tried(tmp_path):
    with ModbusSlave({1: level(900)}, tcp=True) as slave:
        away = (
            '[[sources]]\nid = "away"\ndriver = "modbus-gauge"\nport = "/dev/serial/by-id/none"\n'
            'profile = "geolux-lx80-modbus"\n'
        )
        items = await found(world(tmp_path, away + gauge(slave)))
    gone = only(items, "E-DEVICE-01")
    assert gone.state is F and gone.about == "away" and gone.cause[0] == "gauges.no-port"
    assert only(items, "E-DEVICE-02").about == "miyagawa" and only(items, "E-DEVICE-02").state is OK


async def test_reading_leaves_the_state_directory_as_it_was(tmp_path, monkeypatch):
    """A source that makes its key while root looks would leave a key that the agent cannot read."""
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/none")
    tags = (
        '[[sources]]\nid = "tags"\ndriver = "ble-tags"\nadapter = "B8:27:EB:00:00:01"\n'
        'tags = [ { hash = "3d0f6a1c9b7e42558c1d0e9fa6b47a10", alias = "T" } ]\n'
    )
    (tmp_path / "tags-keys").write_text("")
    items = await found(world(tmp_path, tags))
    assert only(items, "E-DEVICE-01").state is F
    assert {file.name for file in tmp_path.iterdir()} == {"config.toml", "tags-keys"}


async def test_a_closed_tcp_port_of_a_gauge(tmp_path):
    body = (
        f'[[sources]]\nid = "g"\ndriver = "modbus-gauge"\nhost = "127.0.0.1"\ntcp_port = {closed_port()}\n'
        'profile = "geolux-lx80-modbus"\n'
    )
    gone = only(await found(world(tmp_path, body)), "E-DEVICE-01")
    assert gone.state is F and "127.0.0.1" in gone.text("en").what and gone.text("ja").remedy


async def test_the_city_is_asked_and_nothing_is_written_there(tmp_path):
    city = City()
    city.start()
    try:
        items = await found(world(tmp_path, HOST + ngsi(city.url)))
        assert city.entities() == []
    finally:
        city.stop()
    assert only(items, "E-NET-06").state is OK and only(items, "E-NET-06").facts["status"] == "200"
    assert only(items, "E-NET-07").state is S, "nothing was delivered, so nothing is claimed"


async def test_a_closed_port_a_name_nobody_knows_and_a_wrong_token(tmp_path):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Refuses)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    (tmp_path / "pass").write_text("canary-secret")
    try:
        body = ngsi(f"http://127.0.0.1:{closed_port()}/")
        body += ngsi(f"http://127.0.0.1:{server.server_address[1]}/", token="pass").replace("nagano", "refused")
        body += ngsi("https://no-such-city.invalid/").replace("nagano", "nowhere")
        items = await found(world(tmp_path, HOST + body))
    finally:
        server.shutdown()
        server.server_close()
    bad = {(i.about, i.code) for i in items if i.state is F and i.code.startswith("E-NET-0") and i.about}
    assert bad == {("nagano", "E-NET-03"), ("refused", "E-NET-06"), ("nowhere", "E-NET-02")}
    assert only(items, "E-NET-06").facts["status"] == "401"
    assert only(items, "E-IDENT-05").state is OK
    assert "canary-secret" not in repr(items)


class _Refuses(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(401)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.mark.parametrize(
    ("issued", "code"),
    [({"ends": -0.5, "begins": -2}, "uplinks.tls-expired"), ({"host": "other.example"}, "uplinks.tls-wrong-name")],
)
async def test_a_city_that_cannot_prove_who_it_is(tmp_path, issued, code):
    authority = Authority(tmp_path)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(*authority.issue("server", **issued))
    city = City(tls=server)
    city.start()
    try:
        items = await found(world(tmp_path, HOST + ngsi(city.url, ca=authority.ca)))
    finally:
        city.stop()
    bad = only(items, "E-NET-04")
    assert bad.state is F and bad.cause[0] == code
    assert not [i for i in items if i.code == "E-NET-06"], "nothing is said before that"


@pytest.mark.parametrize(
    ("ends", "mode", "code", "said"),
    [
        (-0.5, 0o600, "E-IDENT-02", "E-IDENT-02"),
        (10, 0o600, "E-IDENT-02", "E-IDENT-02-soon"),
        (100, 0o644, "E-IDENT-03", "E-IDENT-03"),
    ],
)
async def test_our_own_certificate(tmp_path, ends, mode, code, said):
    cert, key = Authority(tmp_path).issue("client", begins=-2, ends=ends)
    Path(key).chmod(mode)
    body = ngsi(f"http://127.0.0.1:{closed_port()}/", cert=cert, key=key)
    bad = only(await found(world(tmp_path, HOST + body)), code)
    assert bad.said == said and bad.state is not OK


async def test_a_key_of_another_certificate(tmp_path):
    authority = Authority(tmp_path)
    cert, _ = authority.issue("client", ends=100)
    _, key = authority.issue("other", ends=100)
    body = ngsi(f"http://127.0.0.1:{closed_port()}/", cert=cert, key=key)
    items = await found(world(tmp_path, HOST + body))
    assert only(items, "E-IDENT-04").state is F
    items = await found(world(tmp_path, HOST + body.replace(key, str(tmp_path / "none.key"))))
    assert only(items, "E-IDENT-01").state is F and "none.key" in only(items, "E-IDENT-01").text("ja").what


@pytest.mark.tool("mosquitto")
async def test_mqtt_there_and_back(tmp_path):
    broker = Mosquitto(tmp_path).start()
    body = f'[[uplinks]]\nid = "pref"\ndriver = "iota-json"\nhost = "127.0.0.1"\nport = {broker.port}\napikey = "k"\ntls = false\n'
    try:
        items = await found(world(tmp_path, HOST + body))
    finally:
        broker.close()
    assert only(items, "E-NET-05").state is OK and only(items, "E-NET-05").facts["status"] in ("0x00", "0x10")
    items = await found(world(tmp_path, HOST + body))
    assert only(items, "E-NET-03").state is F


class _TimeServer(threading.Thread):
    """Answers like RFC 5905, so many seconds off."""

    def __init__(self, off_s, *, stratum=2):
        super().__init__(daemon=True)
        self._off_s, self._stratum = off_s, stratum
        self.link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.link.bind(("127.0.0.1", 0))
        self.port = self.link.getsockname()[1]

    def run(self):
        _, asker = self.link.recvfrom(512)
        now = time.time() + self._off_s + 2_208_988_800
        stamp = struct.pack("!II", int(now), int(now % 1 * 2**32))
        self.link.sendto(bytes([0x24, self._stratum, 0, 0]) + 28 * b"\0" + stamp + stamp, asker)
        self.link.close()


@pytest.mark.parametrize(("off_s", "state"), [(0, OK), (-3600, F)])
async def test_the_clock_is_compared_with_a_time_server(tmp_path, off_s, state):
    server = _TimeServer(off_s)
    server.start()
    items = await found(world(tmp_path, HOST, ntp=("127.0.0.1", server.port)))
    assert only(items, "E-CLOCK-03").state is state and only(items, "E-NET-08").state is OK
    assert abs(float(only(items, "E-CLOCK-03").facts["offset"]) - off_s) < 1.9


async def test_a_time_server_that_sends_us_away_is_no_time_server(tmp_path):
    server = _TimeServer(0, stratum=0)
    server.start()
    answer = await doctor_probe_city.ntp("127.0.0.1", port=server.port)
    assert answer.offset_s is None and answer.why


def test_the_servers_this_machine_is_set_to_ask(tmp_path):
    (tmp_path / "etc/systemd").mkdir(parents=True)
    (tmp_path / "etc/chrony").mkdir()
    (tmp_path / "etc/systemd/timesyncd.conf").write_text("[Time]\n#NTP=old.example\nNTP=a.example b.example\n")
    (tmp_path / "etc/chrony/chrony.conf").write_text("pool c.example iburst\n")
    assert doctor_probe_city.time_servers(tmp_path) == ["a.example", "b.example", "c.example"]
    assert doctor_probe_city.time_servers(tmp_path / "none") == ["ntp.nict.jp"]


def test_a_disk_that_is_full(tmp_path):
    """No byte more may be written (RLIMIT_FSIZE, as a quota would do it): an ordinary user's full disk."""
    code = (
        "import resource, sys\nfrom pathlib import Path\nfrom edgeagent.install import doctor_probe_box as box\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
        "seen = box.storage(Path(sys.argv[1]), 1 << 20)\nprint(seen.why, len(seen.commits_ms))"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "File too large 0", done.stderr
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"


def test_the_commit_probe_leaves_nothing(tmp_path):
    took = doctor_probe_box.commits_ms(tmp_path, 5)
    assert len(took) == 5 and min(took) > 0 and list(tmp_path.iterdir()) == []


def board(root, **files):
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def test_a_board_that_tells(tmp_path):
    board(
        tmp_path,
        **{
            "sys/devices/platform/soc/soc:firmware/get_throttled": "50005\n",
            "sys/class/thermal/thermal_zone0/temp": "61234\n",
            "proc/self/mountinfo": "29 1 179:2 / / rw,relatime - ext4 /dev/root rw\n"
            "40 29 179:3 / /var/lib/edgeagent ro,noatime shared:1 - ext4 /dev/mmcblk0p3 ro\n",
            "sys/dev/block/179:3/device/life_time": "0x02 0x09\n",
            "sys/dev/block/179:3/device/pre_eol_info": "0x01\n",
            "proc/net/route": "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU\n"
            "wwan0 00000000 0101A8C0 0003 0 0 0 00000000 0 0 0\n",
        },
    )
    power = doctor_probe_box.power(tmp_path)
    assert (power.flags, power.celsius) == (0x50005, 61.234)
    kind, options, device = doctor_probe_box.mount_of(Path("/var/lib/edgeagent"), tmp_path)
    assert (kind, "ro" in options, device) == ("ext4", True, "179:3")
    seen = doctor_probe_box.storage(Path("/var/lib/edgeagent-none"), 1, tmp_path)
    assert seen.filesystem == "ext4" and not seen.read_only and seen.why, "the folder's own name is not its neighbour's"
    assert doctor_probe_box._wear(device, tmp_path) == ((2, 9), 1)
    assert doctor_probe_city.has_route(tmp_path) and not doctor_probe_city.has_route(tmp_path / "none")


async def test_a_broken_config_leaves_out_what_needs_it_and_says_so(tmp_path):
    items = await found(world(tmp_path, '[[sources]]\nid = "a"\ndriver = "hos"\n'))
    assert only(items, "E-CONFIG-01").state is F and "hos" in only(items, "E-CONFIG-01").text("en").what
    assert {i.code for i in items if i.said == "skip-config"} >= {
        "E-DEVICE-01",
        "E-BUFFER-01",
        "E-NET-06",
        "E-IDENT-01",
    }
    assert only(items, "E-STORE-01").state is OK, "the state directory is known all the same"


async def test_a_config_that_measures_nothing(tmp_path):
    assert only(await found(world(tmp_path, "")), "E-CONFIG-02").state is W


async def test_a_check_that_breaks_stops_no_other(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor_probe_box, "power", lambda root: 1 / 0)
    items = [item async for item in doctor.examine(world(tmp_path, HOST))]
    broken = [i for i in items if i.said == "broken"]
    assert [i.code for i in broken] == ["E-POWER-00"] and "ZeroDivisionError" in broken[0].text("ja").what
    assert only(items, "E-DEVICE-02").state is OK


async def test_an_agent_that_we_may_not_ask_is_not_gone_behind(tmp_path):
    items = await found(world(tmp_path, HOST, agent=nobody("daemon.not-allowed")))
    assert {i.said for i in items if i.code in ("E-DEVICE-01", "E-SERVICE-04")} == {"skip-not-allowed"}


async def test_the_agent_is_asked_until_there_are_three_readings():
    answers = [
        msgspec.json.decode(
            json.dumps(
                {
                    "sources": [{"id": "g", "driver": "d", "readings": n, "last": {"level": [v, "MTR", "good"]}}],
                    "uplinks": [],
                }
            ),
            type=Agent,
        )
        for n, v in ((1, 1.0), (1, 1.0), (2, 1.1), (3, 1.2), (4, 1.3))
    ]
    asked = iter(answers)
    (seen,) = await from_agent(lambda: next(asked), None, step_s=0.0, patience_s=1.0)
    assert [read["level"].value for read in seen.reads] == [1.0, 1.1, 1.2] and seen.by_agent
    (seen,) = await from_agent(lambda: answers[0], None, step_s=0.01, patience_s=0.03)
    assert len(seen.reads) == 1


class _Running:
    """The real daemon on a virtual gauge and a virtual city."""

    def __init__(self, tmp_path, body):
        self.config = config_of(tmp_path, body)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "edgeagent", "run", "--config", self.config],
            cwd=ROOT,
            env=ENV,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def __enter__(self):
        end = time.monotonic() + 60
        while time.monotonic() < end:
            done = edgeagent("status", "--json", "--config", self.config)
            if done.returncode == 0:
                told = json.loads(done.stdout.splitlines()[-1])
                if all(one["well"] and one["last"] for one in told["sources"]):
                    return self
            assert self.process.poll() is None
            time.sleep(0.3)
        raise AssertionError("the agent did not get going")

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


def by_code(done):
    told = json.loads(done.stdout.splitlines()[-1])
    return told, {item["code"]: item for item in told["items"]}


def test_while_the_agent_runs_it_is_asked_and_after_a_power_cut_compared(tmp_path):
    city = City()
    city.start()
    note = tmp_path / doctor.NOTE
    try:
        with ModbusSlave({1: level(1420)}) as slave:
            body = gauge(slave).replace("every_s = 600", "every_s = 1") + ngsi(city.url)
            with _Running(tmp_path, body) as agent:
                _, items = by_code(edgeagent("doctor", "--json", "--config", agent.config))
                assert items["E-DEVICE-02"]["state"] == "ok" and items["E-SERVICE-04"]["state"] == "ok"
                assert items["E-BUFFER-01"]["state"] == "ok" and "E-DEVICE-01" not in items
                before = msgspec.json.decode(note.read_bytes(), type=Before)
                assert before.sources == ("miyagawa",) and before.accepted > 0

                _, items = by_code(edgeagent("doctor", "--after-power-cycle", "--json", "--config", agent.config))
                assert items["E-CYCLE-01"]["state"] == "failed", "the plug was not pulled"

                # as if that had been another start of the kernel
                note.write_bytes(msgspec.json.encode(msgspec.structs.replace(before, boot_id="b00700000000")))
                _, items = by_code(edgeagent("doctor", "--after-power-cycle", "--json", "--config", agent.config))
                assert {code: i["state"] for code, i in items.items() if "CYCLE" in code} == {
                    f"E-CYCLE-0{n}": "ok" for n in range(1, 6)
                }
                bundle = tmp_path / "bundle.tar.gz"
                assert edgeagent("doctor", "--bundle", bundle, "--config", agent.config).returncode in (0, 1, 6)
                assert "status.json" in contents(bundle)
    finally:
        city.stop()


def contents(bundle):
    with tarfile.open(bundle) as tar:
        return {Path(m.name).name: tar.extractfile(m).read().decode() for m in tar.getmembers()}


CANARIES = ("hunter2", "s3cret-name", "ibeacon:b9407f30-f5f8-466e-af92-5556b57fe6eb:1:2", "T-008-mother", "138.2529")


def test_the_bundle_holds_no_secret_and_no_tag(tmp_path):
    body = (
        'name = "miyagawa box"\nlocation = [138.2529, 36.6513]\n'
        '[[sources]]\nid = "cam"\ndriver = "traffic-camera"\ncamera = "rtsp://admin:hunter2@192.168.1.30/s"\n'
        'lines = [ { id = "l", from = [0, 10], to = [100, 10], forward = "down" } ]\nenabled = false\n'
        '[[sources]]\nid = "tags"\ndriver = "ble-tags"\nadapter = "B8:27:EB:00:00:01"\nenabled = false\n'
        f'tags = [ {{ id = "{CANARIES[2]}", alias = "T-008-mother" }} ]\n'
        + ngsi(f"http://127.0.0.1:{closed_port()}/", token="s3cret-name")
    )
    bundle = tmp_path / "b.tar.gz"
    done = edgeagent("doctor", "--json", "--bundle", bundle, "--config", config_of(tmp_path, body))
    assert done.returncode == 1
    assert bundle.stat().st_mode & 0o777 == 0o600
    files = contents(bundle)
    assert {"doctor.json", "config.json", "versions.json"} <= set(files)
    whole = "".join(text for name, text in files.items() if name != "doctor.json")
    assert not [canary for canary in CANARIES if canary in whole]
    assert "hunter2" not in files["doctor.json"] and "B8:27:EB" not in whole
    told = json.loads(files["config.json"])
    assert told["sources"][0]["camera"] == "rtsp://***@192.168.1.30/s" and told["gateway"]["id"] == "GW-1"


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer abc.def",
        "password=abc.def",
        "https://u:abc.def@x/",
        "-----BEGIN PRIVATE KEY-----\nabc.def\n-----END PRIVATE KEY-----",
        "heard b8:27:eb:00:00:0f abc.def".replace(" abc.def", ""),
    ],
)
def test_whatever_looks_like_a_secret_is_struck_out(text):
    clean = doctor_bundle.redacted(text)
    assert "abc.def" not in clean and "b8:27:eb" not in clean and "***" in clean


def test_a_bundle_that_cannot_be_written(tmp_path):
    done = edgeagent("doctor", "--bundle", tmp_path / "none" / "b.tar.gz", "--config", config_of(tmp_path, HOST))
    assert done.returncode == 1 and "--bundle" in done.stderr


def test_the_bundle_of_a_broken_config_tells_nothing_of_it(tmp_path):
    file = tmp_path / "c.toml"
    file.write_text('password = "hunter2"\n[gateway')
    assert doctor_bundle.redacted_config(file) == ""


def test_a_machine_without_systemd_is_not_asked(tmp_path):
    assert doctor_probe_box.unit(tmp_path) is None
