"""The wizard's own thoughts: questions, resuming, the config that was there, how it ends; devices are canned here."""

import os
import stat

import pytest

from edgeagent import messages
from edgeagent.daemon.build import read_config
from edgeagent.errors import ConfigError
from edgeagent.install import setup_state
from edgeagent.install.answers import Answers
from edgeagent.install.discover import Discover, Found
from edgeagent.install.doctor_item import failed, warned
from edgeagent.update import durable
from tests.install.enrolment import City
from tests.install.setup_rig import ALL, EYE, KEYS, RADAR, RADIO, SONAR, Desk, Killed, Person, dies_at
from tests.sources.camera_rig import free_port

TYPED = {
    "name": "宮川橋 水位計",
    "installer": "佐藤",
    "city": "http://localhost:{port} nagano",
    "claim": "GW-0147",
    "gauges": "miyagawa=1.45 akutagawa=0.80",
}


@pytest.fixture
def desk(tmp_path, monkeypatch):
    return Desk(tmp_path, monkeypatch)


@pytest.fixture
def port():
    """Somebody listens there."""
    import socket  # noqa: PLC0415

    with socket.create_server(("127.0.0.1", 0)) as door:
        yield door.getsockname()[1]


def typed(port, **more):
    return {**{key: text.format(port=port) for key, text in TYPED.items()}, **more}


def body(desk):
    """The config without the date on top and without the folder it was made in."""
    return [line.replace(str(desk.folder), "") for line in desk.file.read_text().splitlines()[1:]]


def test_eight_questions_and_one_config(desk, port):
    person = Person(typed(port))
    site, code = desk.run(person)
    assert code == 0 and tuple(person.asked) == KEYS and site.asked == 8 and not person.refused
    assert [name for name, *_ in person.steps] == [
        "language", "time", "network", "claim", "devices", "assign", "lines", "test", "report",
    ]  # fmt: skip
    made, problems = read_config(desk.file)
    assert problems == [] and made.gateway.id == "GW-0147" and made.gateway.name == "宮川橋 水位計"
    assert [one["id"] for one in desk.config()["sources"]] == ["miyagawa", "akutagawa", "road", "tags", "box"]
    radar = {"id": "miyagawa", "driver": "modbus-gauge", "port": RADAR.port, "profile": "geolux-lx80-modbus"}
    assert desk.source("miyagawa") == {**radar, "unit": 7, "baud": 19200}, "8E1 is the profile's own"
    sonar = {"id": "akutagawa", "driver": "serial-gauge", "port": SONAR.port, "profile": "maxbotix-hrxl-wr"}
    assert desk.source("akutagawa") == {**sonar, "calibrate": {"mount_height_m": 4.0}}, "0.80 m and 3.20 m above it"
    line = {"id": "line", "from": [26, 288], "to": [614, 288], "forward": "down"}
    assert desk.source("road") == {"id": "road", "driver": "traffic-camera", "camera": EYE.camera, "lines": [line]}
    assert desk.source("tags") == {"id": "tags", "driver": "ble-tags", "enrolled": True}
    assert desk.config()["uplinks"] == [
        {"id": "city", "driver": "ngsi-ld", "url": f"http://localhost:{port}", "tenant": "nagano"}
    ]
    assert (desk.state / "calibrations/miyagawa.json").exists(), "a gauge that gives a level is compared"
    assert stat.S_IMODE((desk.state / "setup.json").stat().st_mode) == 0o600
    assert "setup.port-silent" in person.codes(), "what was looked at in vain is said"


def test_enter_accepts_everything(desk):
    site, code = desk.run(Person())
    assert (code, site.exit_code) == (6, 6), "no level yet is worth a warning"
    made, problems = read_config(desk.file)
    assert problems == [] and made.gateway.id == "GW-3D1219"
    assert [s.config.id for s in made.sources] == ["gauge", "gauge-2", "road", "tags", "box"]
    assert [t.code for t in site.troubles] == ["setup.no-level"]


def test_nobody_is_asked_without_devices_or_with_answers_for_all(desk, port):
    desk.found = Found(gauges=(RADAR,))
    person = Person(typed(port, gauges="miyagawa=1.42"))
    _, code = desk.run(person)
    assert (code, person.asked) == (0, ["language", "name", "installer", "city", "claim", "devices", "gauges"])


@pytest.mark.parametrize("key", KEYS)
def test_ctrl_c_at_each_question_loses_nothing(desk, tmp_path, monkeypatch, port, key):
    whole = Desk(tmp_path / "whole", monkeypatch)
    whole.run(Person(typed(port)))
    desk = Desk(tmp_path, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        desk.run(Person(typed(port, **{key: KeyboardInterrupt()})))
    assert not desk.file.exists()
    person = Person(typed(port))
    _, code = desk.run(person)
    assert code == 0 and tuple(person.asked) == KEYS[KEYS.index(key) :], "what was answered is not asked again"
    assert desk.looks == 1, "and what was found is not looked for again"
    assert body(desk) == body(whole)


def test_the_power_goes_at_every_write(tmp_path, monkeypatch, port):
    """Whatever was the last thing on disk, the next start comes to the same config."""
    whole = Desk(tmp_path / "whole", monkeypatch)
    with dies_at(monkeypatch, durable, "write", 0) as writes:
        whole.run(Person(typed(port)))
    wanted = body(whole)
    assert len(writes) > 10
    for nth in range(1, len(writes) + 1):
        desk = Desk(tmp_path / str(nth), monkeypatch)
        with dies_at(monkeypatch, durable, "write", nth), pytest.raises(Killed):
            desk.run(Person(typed(port)))
        _, code = desk.run(Person(typed(port)))
        assert code == 0 and body(desk) == wanted, nth
        assert not list(desk.file.parent.glob("*.new"))


@pytest.mark.parametrize("name", ["link", "replace"])
def test_the_power_goes_while_the_config_is_written(tmp_path, monkeypatch, port, name):
    desk = Desk(tmp_path, monkeypatch)
    desk.file.parent.mkdir()
    desk.file.write_text("# mine\n[gateway]\nid = 'GW-0147'\n")
    kept = name == "link"
    with monkeypatch.context() as patch:
        whole = getattr(os, name)

        def dying(old, new, **more):
            if str(new).startswith(str(desk.file)):
                raise Killed
            whole(old, new, **more)

        patch.setattr(os, name, dying)
        with pytest.raises(Killed):
            desk.run(Person(typed(port)))
    assert desk.file.read_text().startswith("# mine"), "the old one is whole"
    assert len(list(desk.file.parent.glob("*.bak"))) == (0 if kept else 1)
    desk.clock.advance(60)
    _, code = desk.run(Person(typed(port)))
    assert code == 0 and desk.source("miyagawa")
    assert all(file.read_text().startswith("# mine") for file in desk.file.parent.glob("*.bak"))


OLD = """# by hand
[gateway]
id = "GW-0147"
name = "旧"
state_dir = "{state}"
[update]
url = "https://city.example/tuf"
city = "nagano"
[[sources]]
id = "river"
driver = "modbus-gauge"
port = "/dev/serial/by-id/usb-FTDI_A5"
profile = "geolux-lx80-modbus"
unit = 7
alarm = {{ levels_m = {{ caution = 1.5 }} }}
[[sources]]
id = "rain"
driver = "modbus-gauge"
port = "/dev/serial/by-id/usb-other"
profile = "lambrecht-raine-modbus"
[[uplinks]]
id = "nagano"
driver = "ngsi-ld"
url = "http://localhost:{port}"
tenant = "nagano"
history = "temporal"
"""


def test_a_config_that_was_there_is_kept_and_gone_on_from(desk, port):
    desk.file.parent.mkdir()
    desk.file.write_text(OLD.format(state=desk.state, port=port))
    desk.file.chmod(0o640)
    before = desk.file.read_bytes()
    person = Person({"gauges": "river=1.42 akutagawa=0.8"})
    _, code = desk.run(person)
    assert code == 0 and person.defaults["name"] == "旧" and person.defaults["city"].startswith("http://localhost")
    (backup,) = desk.file.parent.glob("*.bak")
    assert backup.read_bytes() == before and "setup.backup" in person.codes()
    assert stat.S_IMODE(desk.file.stat().st_mode) == 0o640
    made = desk.config()
    assert made["update"]["city"] == "nagano" and made["gateway"]["id"] == "GW-0147"
    assert desk.source("river")["alarm"] == {"levels_m": {"caution": 1.5}} and desk.source("river")["baud"] == 19200
    assert desk.source("rain")["profile"] == "lambrecht-raine-modbus", "not found now, never lost"
    assert made["uplinks"] == [
        {
            "id": "nagano",
            "driver": "ngsi-ld",
            "url": f"http://localhost:{port}",
            "tenant": "nagano",
            "history": "temporal",
        }
    ]
    # the same answers again change nothing, and no second copy is kept
    after = desk.file.read_bytes()
    desk.clock.advance(90)
    _, code = desk.run(Person({"gauges": "- akutagawa=0.8"}))
    assert code == 0 and desk.file.read_bytes() == after and len(list(desk.file.parent.glob("*.bak"))) == 1


def test_a_device_that_is_not_wanted_leaves_the_config(desk, port):
    desk.run(Person(typed(port)))
    desk.run(Person({"devices": "1 3", "gauges": "-"}))
    assert [one["id"] for one in desk.config()["sources"]] == ["miyagawa", "road", "tags", "box"]
    assert desk.source("road")["lines"][0]["from"] == [26, 288], "the line that was there"


def test_a_camera_password_is_not_for_everybody(desk, port, monkeypatch):
    async def eye(url, progress):
        return type(EYE)(camera=url, width=640, height=360, fps=10.0)

    monkeypatch.setattr("edgeagent.install.setup_devices.discover.eye", eye)
    person = Person(typed(port, devices=["rtsp://u:geheim@192.168.1.30/s", "1 2 4"], claim="GW-0147"))
    _, code = desk.run(person)
    assert code == 0 and "geheim" in desk.source("road")["camera"]
    assert stat.S_IMODE(desk.file.stat().st_mode) & 0o007 == 0
    assert not any("geheim" in str(facts) for _, _, facts in person.said)


@pytest.mark.parametrize(
    ("key", "wrong", "code"),
    [
        ("language", "fr", "config.not-a-choice"),
        ("name", "a\x07b", "setup.bad-name"),
        ("city", "ftp://x", "setup.bad-city"),
        ("city", "nagano", "setup.bad-city"),
        ("claim", "K7QF-93MD-2XHT", "claim.mistyped"),
        ("devices", "9", "setup.bad-device"),
        ("devices", "rstp://x/", "scan.bad-camera"),
        ("gauges", "1 2 3", "setup.too-many"),
        ("gauges", "h4.0", "setup.no-height"),
        ("gauges", "1,4,2 x", "setup.too-many"),
        ("gauges", "a=b", "setup.bad-gauge"),
        ("gauges", "road", "config.duplicate-id"),
        ("gauges", "a=1 a=2", "config.duplicate-id"),
        ("lines", "road:1,2,3:down", "setup.bad-line"),
        ("lines", "r:1,2,3,4:down", "config.not-a-choice"),
        ("lines", "road:0,900,600,900:down", "setup.line-outside"),
        ("lines", "road:0,479,600,479:down", "setup.line-edge"),
        ("lines", "road:40,200,600,200:left", "camera.line-forward"),
    ],
)
def test_a_wrong_answer_is_explained_and_asked_again(desk, port, key, wrong, code):
    person = Person(typed(port, **{key: [wrong, typed(port).get(key, "")]}))
    _, ended = desk.run(person)
    assert ended == 0 and person.refused == [code] and person.asked.count(key) == 2
    for lang in messages.LANGUAGES:
        assert messages.text(code, {}, lang).remedy


def test_heights_by_hand_and_ids_alone(desk, port):
    _, code = desk.run(Person(typed(port, gauges="miyagawa akutagawa=h4.25")))
    assert code == 0 and desk.source("akutagawa")["calibrate"] == {"mount_height_m": 4.25} and desk.source("miyagawa")


def test_a_staff_reading_a_metre_off_is_no_drift(desk, port):
    site, code = desk.run(Person(typed(port, gauges="miyagawa=3.9 0.8")))
    assert code == 6 and [t.code for t in site.troubles] == ["install.calibration-far"]
    assert not (desk.state / "calibrations").exists()


# --- how it ends ------------------------------------------------------------------------------------


def unasked(**more):
    return Answers(lang="en", discover=Discover(watch_s=0), **{"gateway": {"id": "GW-0147"}, **more})


GAUGES = [
    {"id": "miyagawa", "driver": "modbus-gauge", "staff_m": 1.45},
    {"id": "akutagawa", "driver": "serial-gauge", "staff_m": 0.8},
]


def test_exit_0_by_answers_alone_the_same_way(desk, tmp_path, monkeypatch, port):
    uplink = {"id": "city", "driver": "ngsi-ld", "url": f"http://localhost:{port}", "tenant": "nagano"}
    sources = [*GAUGES, {"id": "road", "driver": "traffic-camera"}, {"id": "tags", "driver": "ble-tags"}]
    answers = unasked(
        sources=sources, uplinks=[uplink], installer="佐藤", gateway={"id": "GW-0147", "name": "宮川橋 水位計"}
    )
    site, code = desk.run(Person(asks=False), answers)
    assert code == 0 and site.asked == 0
    other = Desk(tmp_path / "typed", monkeypatch)
    other.run(Person(typed(port)))
    assert body(desk) == body(other)


def test_exit_3_a_device_of_the_answers_is_missing(desk):
    desk.found = Found(gauges=(RADAR,))
    site, code = desk.run(Person(asks=False), unasked(sources=GAUGES))
    assert code == 3 and [(t.code, t.facts["id"]) for t in site.troubles] == [("setup.missing-device", "akutagawa")]
    assert desk.source("miyagawa"), "the rest is set up"


def test_exit_3_nothing_is_plugged_in(desk):
    desk.found = Found()
    site, code = desk.run(Person(asks=False), unasked())
    assert code == 3 and [t.code for t in site.troubles] == ["setup.no-device"]
    assert read_config(desk.file)[1] == []


def test_nothing_is_plugged_in_until_the_person_looks_again(desk, port):
    desk.found = Found()
    looks = []

    class Installer(Person):
        def ask(self, question):
            if question.key == "devices":
                looks.append(question.default)
                desk.found = Found(gauges=(RADAR,))
            return super().ask(question)

    _, code = desk.run(Installer(typed(port, gauges="miyagawa=1.42")))
    assert code == 0 and looks == ["r", "1"] and desk.looks == 2


def test_exit_4_the_city_is_away(desk):
    uplink = {"id": "city", "driver": "ngsi-ld", "url": f"http://127.0.0.1:{free_port()}"}
    site, code = desk.run(Person(asks=False), unasked(sources=GAUGES, uplinks=[uplink]))
    assert code == 4 and [t.code for t in site.troubles] == ["setup.city-away"]
    assert desk.config()["uplinks"] == [uplink], "set up all the same"


def test_exit_6_and_the_exit_of_failed_checks(desk):
    desk.found = Found(gauges=(RADAR,))
    for item, code in (
        (warned("E-POWER-02", n=2), 6),
        (failed("E-STORE-01", folder="x"), 6),
        (failed("E-NET-02", where="x"), 4),
        (failed("E-DEVICE-02", "miyagawa", place="x"), 3),
    ):
        desk.items = [item]
        site, ended = desk.run(Person(asks=False), unasked())
        assert ended == code, item
        assert site.troubles[-1].facts["check"] == item.code and site.told["doctor"][item.state.value] == 1


def test_the_report_knows_what_was_answered(desk, port):
    desk.run(Person(typed(port)))
    told = {"site": "宮川橋 水位計", "installer": "佐藤", "staff_m": {"miyagawa": 1.45, "akutagawa": 0.8}}
    assert desk.reported == told
    # a report that cannot be written is no reason not to test
    desk.report = ConfigError("report.cannot-write", path="--out", file="x", why="full")
    desk.items = [failed("E-DEVICE-02", "miyagawa", place="x")]
    site, code = desk.run(Person({"gauges": "- -"}))
    assert code == 3 and [t.code for t in site.troubles] == ["setup.item", "setup.report-failed"]
    assert site.told["report"] is None


def test_exit_2_an_answer_that_nobody_can_mend(desk):
    with pytest.raises(ConfigError) as caught:
        desk.run(Person(asks=False), unasked(claim="K7QF-93MD-2XHT"))
    assert caught.value.code == "claim.mistyped"
    with pytest.raises(ConfigError) as caught:
        desk.run(Person(asks=False), unasked(claim="GW-0147", sources=[{**GAUGES[0], "alarm": {"levels": 1}}]))
    assert caught.value.facts["path"] == "sources[0].alarm.levels" and not desk.file.exists()


def test_exit_5_refused_by_the_city_and_5_goes_before_3(desk, tmp_path):
    with City(tmp_path / "city") as city:
        desk.clock = city.clock
        wrong = str(city.code()._replace(secret="0000000"))
        desk.found = Found()
        site, code = desk.run(Person(asks=False), unasked(gateway={}, claim=wrong, sources=GAUGES))
    assert code == 5 and {t.kind for t in site.troubles} == {"refused", "device"}
    assert not (desk.state / "identity/current.pem").exists() and read_config(desk.file)[1] == []


def test_a_person_types_the_code_again_or_leaves_it(desk, tmp_path, port):
    with City(tmp_path / "city") as city:
        desk.clock = city.clock
        good = city.code()
        person = Person(typed(port, claim=[str(good._replace(secret="0000000")), str(good)]))
        site, code = desk.run(person)
    assert code == 0 and person.refused == ["claim.wrong-code"] and site.told["gateway"] == "GW-0147"
    assert str(good) not in (desk.state / "setup.json").read_text(), "a code is not kept once it was used"


def test_offline_first_the_claim_comes_later(desk, tmp_path, port):
    """Measures under a made-up name and sends nothing; the claim names it, and everything goes."""
    desk.run(Person(typed(port, claim="-", city=f"http://localhost:{port} https://city.invalid/ x")))
    plain, secure = desk.config()["uplinks"]
    assert desk.config()["gateway"]["id"] == "GW-3D1219"
    assert plain["enabled"] is False and secure["cert"] == "identity" and "enabled" not in secure
    with City(tmp_path / "city") as city:
        desk.clock = city.clock
        person = Person({"claim": str(city.code()), "gauges": "- -"})
        _, code = desk.run(person)
    assert code == 4 and person.defaults["claim"] == "-", "city.invalid is away"
    assert desk.config()["gateway"]["id"] == "GW-0147"
    plain, secure = desk.config()["uplinks"]
    assert "enabled" not in plain and secure["cert"] == "identity"
    assert [one["id"] for one in desk.config()["sources"]] == ["miyagawa", "akutagawa", "road", "tags", "box"]
    person = Person({"gauges": "- -"})
    desk.run(person)
    assert "claim" not in person.asked, "it has its identity"


def test_resuming_after_a_restart_looks_again(desk, port):
    with pytest.raises(KeyboardInterrupt):
        desk.run(Person(typed(port, gauges=KeyboardInterrupt())))
    desk.clock.boot_id = "b00700000002"
    desk.found = Found(gauges=(SONAR,))
    with pytest.raises(KeyboardInterrupt):
        desk.run(Person(typed(port, lines=KeyboardInterrupt(), devices=KeyboardInterrupt())))
    assert desk.looks == 2


def test_a_state_file_of_another_world_is_no_end(desk, port):
    desk.state.mkdir()
    for text in ("", "{", '{"version": 99}', '{"answers": {"language": "xx", "devices": "99"}}'):
        (desk.state / "setup.json").write_text(text)
        _, code = desk.run(Person(typed(port)))
        assert code == 0, text


def test_a_disk_that_cannot_be_written(desk, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(setup_state.durable, "write", full)
    with pytest.raises(ConfigError) as caught:
        desk.run(Person())
    assert caught.value.code == "setup.cannot-write" and "setup.json" in caught.value.facts["file"]


def test_what_is_left_out_of_the_answers_is_said(desk, port):
    person = Person(asks=False)
    desk.run(person, unasked(sources=GAUGES[:1]))
    assert [facts["n"] for _, code, facts in person.said if code == "setup.left-out"] == [2, 3, 4]
    assert [one["id"] for one in desk.config()["sources"]] == ["miyagawa", "box"]


def test_who_says_most_about_a_device_gets_it(desk):
    twin = type(RADAR)(**{**{f: getattr(RADAR, f) for f in RADAR.__struct_fields__}, "unit": 8})
    desk.found = Found(gauges=(RADAR, twin), radio=RADIO)
    tcp = {"id": "tcp", "driver": "modbus-gauge", "host": "192.168.1.20", "profile": "vega-c2x-modbus"}
    sources = [{"id": "any", "driver": "modbus-gauge"}, {"id": "seven", "driver": "modbus-gauge", "unit": 7}, tcp]
    _, code = desk.run(Person(asks=False), unasked(sources=sources))
    assert code == 0 and desk.source("seven")["unit"] == 7 and desk.source("any")["unit"] == 8
    assert desk.source("tcp") == tcp, "what cannot be looked for is taken as it stands"
    assert ALL.radio == RADIO
