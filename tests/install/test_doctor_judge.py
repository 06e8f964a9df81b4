"""A failing world for every code of `doctor`, and a good one; judged without looking at any machine."""

import re

import pytest

from edgeagent import messages
from edgeagent.install import doctor_box as box
from edgeagent.install import doctor_city as city
from edgeagent.install import doctor_data as data
from edgeagent.install.doctor_item import State, document, exit_code, failed, good, left_out, warned
from edgeagent.reading import Quality, Quantity, Unit

BUILT_S = 1_795_392_000
NOW_S = BUILT_S + 86_400
DAY_S = 86_400
F, W, S, OK = State.FAILED, State.WARNING, State.SKIPPED, State.OK


def metres(*values, quality=Quality.GOOD):
    return tuple({"level": Quantity(v, Unit.METRE, quality)} for v in values)


def power(**seen):
    return box.power(box.Power(**{"flags": 0, "celsius": 50.0, **seen}))


def clock(**seen):
    now = {"wall_s": NOW_S, "built_s": BUILT_S, "text": "2026-11-24", "synced": True, "rtc": True}
    return box.clock(box.Clock(**{**now, "server": "ntp.example", "offset_s": 0.01, **seen}))


def storage(**seen):
    disk = {"folder": "/var/lib/edgeagent", "filesystem": "ext4", "free_bytes": 10 << 30, "commits_ms": (8.0,) * 50}
    return box.storage(box.Storage(**{**disk, "life": (1, 1), "pre_eol": 1, **seen}))


def service(answers=True, systemd=True, remote=("city.example",), **unit):
    shown = {"LoadState": "loaded", "UnitFileState": "enabled", "ActiveState": "active", "NRestarts": "0"}
    shown |= {"Result": "success", "IPAddressAllow": "0.0.0.0/0 ::/0", "IPAddressDeny": "0.0.0.0/0 ::/0", **unit}
    return box.service(box.Service(systemd=systemd, unit=shown, remote=remote, answers=answers))


def identity(secret=None, **seen):
    base = {"owner": "nagano", "file": "c.pem", "key_file": "k.pem", "from_s": 0.0, "until_s": NOW_S + 300 * DAY_S}
    return city.identity([city.Certificate(**{**base, **seen})], [secret] if secret else [], NOW_S)


NTP = city.Ntp("ntp.example", 0.1)


def network(route=True, ntp=NTP, **link):
    base = {"owner": "nagano", "where": "city.example:443", "talk": "ngsi", "stage": "done", "tls": True}
    one = city.Reached(**{**base, "status": 200, "delivers": True, **link})
    return city.network(city.Network(route=route, remote=True, links=(one,), ntp=ntp))


def ended(stage, code, **more):
    return network(stage=stage, code=code, facts={"where": "city.example:443", "why": "x", "timeout_s": "8"}, **more)


def updates(**seen):
    base = {"root": "/etc/edgeagent/root.json", "root_found": True, "what": "current", "asked_s": 3600.0}
    return city.updates(city.Updates(**{**base, "left_s": 10.0 * DAY_S, **seen}))


def device(**seen):
    base = {"id": "miyagawa", "name": "宮川橋", "driver": "modbus-gauge", "place": "/dev/serial/by-id/x"}
    return data.devices([data.Device(**{**base, "reads": metres(1.42, 1.42, 1.43), **seen})])


def buffer(**seen):
    return data.buffer(data.Store(**{"accepted": 10, "hours": 200.0, **seen}))


BEFORE = data.Before(boot_id="a", wall_ms=1_000_000, sources=("miyagawa", "tags"), accepted=100, lost=0)


def cycle(before=BEFORE, **seen):
    now = {"boot_id": "b", "wall_ms": 2_000_000, "sources": ("miyagawa", "tags"), "accepted": 120}
    return data.cycle(before, data.Now(**{**now, **seen}))


AGENT = {"by_agent": True, "wanted": 1, "readings": 1000}
SILENT = ("gauges.timeout", {"bus": "b", "unit": "1"})
# code, state, text, world
WORLDS = [
    ("E-POWER-01", F, "", lambda: power(flags=0x1)),
    ("E-POWER-01", F, "", lambda: power(flags=None, low=True)),
    ("E-POWER-01", S, "", lambda: power(flags=None)),
    ("E-POWER-02", W, "", lambda: power(flags=0x10000)),
    ("E-POWER-02", S, "", lambda: power(flags=None, low=False)),
    ("E-POWER-03", W, "", lambda: power(celsius=81.0)),
    ("E-POWER-03", W, "", lambda: power(flags=0x4)),
    ("E-POWER-03", S, "", lambda: power(flags=None, celsius=None)),
    ("E-CLOCK-01", F, "", lambda: clock(wall_s=0.0, text="1970-01-01")),
    ("E-CLOCK-02", W, "", lambda: clock(synced=False)),
    ("E-CLOCK-03", F, "", lambda: clock(offset_s=-7.5)),
    ("E-CLOCK-03", S, "", lambda: clock(offset_s=None)),
    ("E-CLOCK-04", W, "", lambda: clock(rtc=False, synced=False, offset_s=None)),
    ("E-CLOCK-04", OK, "E-CLOCK-04-no-rtc", lambda: clock(rtc=False)),
    ("E-STORE-01", F, "", lambda: storage(why="Input/output error")),
    ("E-STORE-01", F, "", lambda: storage(read_only=True)),
    ("E-STORE-01", S, "", lambda: storage(why="denied", commits_ms=())),
    ("E-STORE-02", F, "", lambda: storage(free_bytes=10 << 20)),
    ("E-STORE-02", W, "", lambda: storage(free_bytes=300 << 20)),
    ("E-STORE-03", W, "", lambda: storage(commits_ms=(8.0,) * 9 + (400.0,))),
    ("E-STORE-03", F, "", lambda: storage(commits_ms=(2500.0, 2600.0))),
    ("E-STORE-04", W, "", lambda: storage(life=(3, 9))),
    ("E-STORE-04", F, "", lambda: storage(life=(11, 1))),
    ("E-STORE-04", F, "", lambda: storage(pre_eol=3)),
    ("E-STORE-04", S, "", lambda: storage(life=(), pre_eol=0)),
    ("E-STORE-05", F, "", lambda: storage(filesystem="tmpfs")),
    ("E-STORE-05", F, "", lambda: storage(filesystem="overlay")),
    ("E-SERVICE-01", F, "", lambda: service(UnitFileState="disabled")),
    ("E-SERVICE-01", F, "", lambda: service(LoadState="not-found")),
    ("E-SERVICE-02", F, "", lambda: service(ActiveState="failed", Result="watchdog")),
    ("E-SERVICE-02", W, "E-SERVICE-02-again", lambda: service(NRestarts="3")),
    ("E-SERVICE-03", F, "", lambda: service(IPAddressAllow="127.0.0.0/8 ::1/128")),
    ("E-SERVICE-03", S, "", lambda: service(systemd=False)),
    ("E-SERVICE-04", F, "", lambda: service(answers=False)),
    ("E-SERVICE-04", W, "", lambda: service(answers=False, systemd=False)),
    ("E-SERVICE-04", S, "", lambda: service(answers=None)),
    ("E-IDENT-01", F, "", lambda: identity(why="k.pem: No such file")),
    ("E-IDENT-01", S, "", lambda: identity(why="denied")),
    ("E-IDENT-02", F, "", lambda: identity(until_s=NOW_S - 1)),
    ("E-IDENT-02", F, "E-IDENT-02-early", lambda: identity(from_s=NOW_S + 60)),
    ("E-IDENT-02", W, "E-IDENT-02-soon", lambda: identity(until_s=NOW_S + 10 * DAY_S)),
    ("E-IDENT-03", F, "", lambda: identity(key_mode=0o644)),
    ("E-IDENT-04", F, "", lambda: identity(same=False)),
    ("E-IDENT-05", F, "", lambda: identity(city.Secret("nagano", "token", found=False, visible=True))),
    ("E-IDENT-05", S, "", lambda: identity(city.Secret("nagano", "token", found=False, visible=False))),
    ("E-NET-01", F, "", lambda: network(route=False)),
    ("E-NET-02", F, "", lambda: ended("dns", "uplinks.no-such-host")),
    ("E-NET-03", F, "", lambda: ended("tcp", "uplinks.connection-refused")),
    ("E-NET-04", F, "", lambda: ended("tls", "uplinks.tls-expired")),
    ("E-NET-05", F, "", lambda: ended("talk", "uplinks.credentials-refused", talk="mqtt")),
    ("E-NET-05", W, "", lambda: network(talk="mqtt", status=0x97)),
    ("E-NET-05", OK, "", lambda: network(talk="mqtt", status=0x10)),
    ("E-NET-06", F, "", lambda: ended("talk", "uplinks.timeout")),
    ("E-NET-06", F, "", lambda: network(status=401, delivers=None)),
    ("E-NET-06", F, "", lambda: network(status=404, delivers=None)),
    ("E-NET-06", F, "", lambda: network(status=302, delivers=None)),
    ("E-NET-06", W, "", lambda: network(status=403, delivers=None)),
    ("E-NET-06", W, "", lambda: network(status=503, delivers=None)),
    ("E-NET-06", OK, "", lambda: network(status=403, delivers=True)),
    (
        "E-NET-07",
        F,
        "",
        lambda: network(delivers=False, problem=("uplinks.cut", {"uplink": "n", "where": "w", "why": ""})),
    ),
    ("E-NET-07", S, "", lambda: network(delivers=None)),
    ("E-NET-08", W, "", lambda: network(ntp=city.Ntp("ntp.example", None, "no answer"))),
    ("E-DEVICE-01", F, "", lambda: device(reads=(), problem=("gauges.no-port", {"port": "/dev/x", "found": "-"}))),
    ("E-DEVICE-01", S, "", lambda: data.devices([])),
    ("E-DEVICE-02", F, "", lambda: device(reads=metres(1.4, 1.5))),
    ("E-DEVICE-02", F, "", lambda: device(**AGENT, well=False, age_s=900.0)),
    ("E-DEVICE-02", OK, "", lambda: device(**{**AGENT, "reads": metres(1.4)})),
    ("E-DEVICE-03", W, "", lambda: device(reads=metres(1.40, 1.52, 1.41))),
    ("E-DEVICE-04", W, "", lambda: device(**AGENT, errors={"gauges.crc": 80})),
    ("E-DEVICE-04", W, "E-DEVICE-04-late", lambda: device(**AGENT, errors={"gauges.timeout": 80})),
    ("E-DEVICE-04", OK, "", lambda: device(**AGENT, errors={"gauges.timeout": 8})),
    ("E-DEVICE-05", W, "", lambda: device(place="/dev/ttyUSB0", lasting=False)),
    ("E-DEVICE-06", F, "", lambda: device(console=True)),
    ("E-DEVICE-07", F, "", lambda: device(holder="ModemManager (pid 7)")),
    ("E-BUFFER-01", F, "", lambda: buffer(problem=("outbox.no-answer", {"path": "p"}))),
    ("E-BUFFER-01", S, "", lambda: data.buffer(None)),
    ("E-BUFFER-02", W, "", lambda: buffer(lost=3)),
    ("E-BUFFER-03", W, "", lambda: buffer(dead=3)),
    ("E-BUFFER-04", W, "", lambda: buffer(hours=71.9)),
    ("E-BUFFER-04", S, "", lambda: buffer(hours=None)),
    ("E-BUFFER-05", W, "", lambda: buffer(waiting=5, oldest_s=1000.0)),
    ("E-OTA-01", F, "", lambda: updates(root_found=False)),
    ("E-OTA-01", S, "", lambda: city.updates(None)),
    ("E-OTA-02", F, "", lambda: updates(what="refused", why=("update.quarantined", {}))),
    ("E-OTA-02", W, "", lambda: updates(what="")),
    ("E-OTA-02", W, "", lambda: updates(what="unavailable", why=("update.no-repository", {"where": "w"}))),
    ("E-OTA-02", W, "", lambda: updates(asked_s=3 * DAY_S)),
    ("E-OTA-03", W, "", lambda: updates(left_s=4.0 * DAY_S)),
    ("E-OTA-03", F, "", lambda: updates(left_s=-1.0)),
    ("E-OTA-03", S, "", lambda: updates(left_s=None)),
    ("E-OTA-04", W, "", lambda: updates(rolled_back=("update.quarantined", {}))),
    ("E-CYCLE-01", F, "", lambda: cycle(before=None)),
    ("E-CYCLE-01", F, "E-CYCLE-01-same-boot", lambda: cycle(boot_id="a")),
    ("E-CYCLE-02", F, "", lambda: cycle(wall_ms=500_000)),
    ("E-CYCLE-03", F, "", lambda: cycle(sources=None)),
    ("E-CYCLE-04", F, "", lambda: cycle(sources=("miyagawa",))),
    ("E-CYCLE-05", F, "", lambda: cycle(accepted=90)),
    ("E-CYCLE-05", F, "", lambda: cycle(lost=1)),
]
GOOD = (power, clock, storage, service, identity, network, updates, device, buffer, cycle)
ELSEWHERE = {"E-CONFIG-01", "E-CONFIG-02"}  # tests/install/test_doctor.py: they are judged where the config is read


@pytest.mark.parametrize(("code", "state", "said", "world"), WORLDS)
def test_a_world_for_every_code(code, state, said, world):
    found = {item.code: item for item in world()}
    assert found[code].state is state
    if said:
        assert found[code].said == said
    for lang in messages.LANGUAGES:
        text = found[code].text(lang)
        area = messages.catalogue("doctor", lang)
        assert found[code].said in area, found[code].said
        if found[code].cause is None:
            assert "?" not in text.what.replace("open towards the time server?", ""), text
        assert text.remedy or state in (OK, S), "who is told what is wrong is told what to do"


@pytest.mark.parametrize("world", GOOD, ids=lambda w: w.__name__)
def test_a_good_world_has_nothing_to_say_against(world):
    items = list(world())
    assert items and {item.state for item in items} == {OK}, items
    for item in items:
        for lang in messages.LANGUAGES:
            assert "?" not in item.text(lang).what, item


def test_every_code_of_the_catalogue_is_tried():
    codes = {m[0] for key in messages.catalogue("doctor", "en") if (m := re.match(r"E-[A-Z]+-\d+", key))}
    tried = {code for code, state, _, _ in WORLDS if state in (F, W)}
    assert codes == tried | ELSEWHERE


def test_exit_by_class():
    assert exit_code([good("E-POWER-01"), left_out("E-STORE-04", "wear")]) == 0
    assert exit_code([good("E-POWER-01"), warned("E-POWER-02")]) == 6
    assert exit_code([warned("E-POWER-02"), failed("E-POWER-01")]) == 1


def test_the_document_for_machines():
    told = document([warned("E-POWER-02"), failed("E-DEVICE-07", "g", port="/dev/x", holder="ModemManager")], "ja")
    assert told["ok"] is False
    assert [set(item) >= {"code", "state", "text", "remedy"} for item in told["items"]] == [True, True]
    assert told["items"][1]["state"] == "failed" and "ModemManager" in told["items"][1]["text"]
    assert document([warned("E-POWER-02")], "en")["ok"] is True


def test_p99_is_the_nearest_rank():
    assert box.p99(range(1, 101)) == 99
    assert box.p99([5.0]) == 5.0


def test_a_cause_of_another_room_speaks_and_its_remedy_wins():
    (item,) = [i for i in ended("dns", "uplinks.no-such-host") if i.state is F]
    said, ours = item.text("en"), messages.text("uplinks.no-such-host", {**item.cause[1]}, "en")
    assert ours.what in said.what and said.remedy == ours.remedy
