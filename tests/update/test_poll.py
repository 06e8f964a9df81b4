"""A poll from the repository to the record, and what a start would run after it."""

import json
import subprocess
import sys

import pytest

from edgeagent.config import read_toml
from edgeagent.daemon.build import read_config
from edgeagent.errors import ConfigError, UpdateRefused, UpdateUnavailable
from edgeagent.reading import TimeTrust
from edgeagent.security_log import SecurityLog
from edgeagent.update import report, trial, validate
from edgeagent.update.poll import Agent, poll
from edgeagent.update.trial import Release
from tests.update.gateway import CITY, Field


class Told(Agent):
    """A running agent with a dead camera."""

    def __init__(self, unwell=((), ())):
        self._unwell = unwell

    def unwell(self):
        return self._unwell


@pytest.fixture
def field(tmp_path):
    made = Field(tmp_path)
    made.city()
    return made


def polled(field, agent=None, **more):
    return poll(field.config, clock=field.clock, check=lambda p: read_config(p)[1], agent=agent or Told(), **more)


def refused(field, code, **more):
    with pytest.raises(UpdateRefused) as caught:
        polled(field, **more)
    assert caught.value.code == code, caught.value
    return caught.value


def committed(field):
    """Poll, start, prove."""
    polled(field)
    field.boot()
    field.slots.write(trial.commit(field.record, 1))
    return field.record.current


def test_a_release_is_staged_and_the_next_start_runs_it(field):
    agent = Told((("cam",), ("pref",)))
    note = polled(field, agent)
    assert note.what == "staged"
    assert (field.record.state, field.record.failing, field.record.down) == ("staged", ("cam",), ("pref",))
    plan = field.boot()
    assert plan.release == note.release and plan.environment["EDGEAGENT_SLOT"].endswith(note.release)
    data = read_toml(plan.config)
    assert data["sources"] == [{"id": "box", "driver": "host", "every_s": 1}], "its own file has the last word"
    assert data["uplinks"][0]["id"] == "out"
    assert field.record.state == "trial" and field.record.running


def test_polling_again_changes_nothing(field):
    committed(field)
    before = field.record
    assert polled(field).what == "current"
    assert field.record == before


def test_polling_while_on_trial_leaves_it_alone(field):
    polled(field)
    field.boot()
    before = field.record
    assert polled(field).what == "in-trial"
    field.city(CITY.format(out="x").replace("1.5", "2"))
    refused(field, "update.busy")
    assert field.record == before


def test_a_candidate_for_the_canary_is_not_ours(field):
    current = committed(field)
    field.city(CITY.format(out=field.out).replace("1.5", "2.5"), at_once=False)
    assert polled(field).what == "current" and field.record.current == current
    field.repo.promote("nagano", "all", 100)
    assert polled(field).what == "staged"


def test_halt_is_a_higher_sequence_of_what_runs(field):
    before = committed(field)
    field.city(CITY.format(out=field.out).replace("1.5", "2.5"), at_once=False)
    field.repo.halt("nagano")
    assert polled(field).what == "current"
    assert field.record.current == Release(before.name, before.sequence + 2)


def test_the_device_layer_puts_a_gateway_into_ring_and_groups(field):
    field.repo.put(f"nagano/dev/{field.name}.toml", b'[update]\nring = "canary"\ngroups = ["river"]\n')
    field.repo.put("nagano/group/river.toml", b"[outbox]\nmax_bytes = 200000000\n")
    field.repo.publish(at_once=True)
    committed(field)
    assert read_toml(field.boot().config)["outbox"]["max_bytes"] == 200_000_000
    field.city(CITY.format(out=field.out) + "[gateway]\nname = 'canary sees this'\n", at_once=False)
    assert polled(field).what == "staged"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('[[sources]]\nid = "box"\nevry_s = 3\n', "update.invalid"),
        (
            '[[sources]]\nid = "g"\ndriver = "serial-gauge"\nport = "/dev/serial/by-id/gone"\nprofile = "maxbotix-hrxl-wr"\n',
            "update.no-port",
        ),
        ('[gateway]\nid = "GW-9"\n', "update.key-local"),
        ("[[sources]\n", "update.layer-broken"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_stops(field, text, code):
    current = committed(field)
    if code in ("update.key-local", "update.layer-broken"):  # past the maintainer's own check
        field.repo.drafts.joinpath("nagano").mkdir(parents=True, exist_ok=True)
        field.repo.drafts.joinpath("nagano/city.toml").write_text(text)
        field.repo.publish(at_once=True)
    else:
        field.city(text)
    refused(field, code)
    assert field.record.current == current and field.record.state == "probation"
    note = report.read_note(field.slots.folder)
    assert (note.what, note.code) == ("refused", code) and note.facts
    if code in ("update.invalid", "update.no-port"):
        assert refused(field, "update.quarantined").facts["reason"] == code
        assert field.city(text) and refused(field, code), "published again: tried again"


def test_a_device_that_is_missing_now_already_is_no_reason(field):
    gauge = '[[sources]]\nid = "g"\ndriver = "serial-gauge"\nport = "/dev/serial/by-id/gone"\nprofile = "maxbotix-hrxl-wr"\n'
    field.config.write_text(field.own + gauge)
    assert polled(field).what == "staged"


def test_no_room_is_said_and_nothing_is_stored(field, monkeypatch):
    monkeypatch.setattr(validate, "SPARE_BYTES", 1 << 60)
    refused(field, "update.no-space")
    assert not (field.slots.folder / "slots").exists()


@pytest.mark.slow
def test_a_model_arrives_with_its_card_and_runs_on_golden_pictures(field):
    from edgeagent import shipped  # noqa: PLC0415

    onnx, card = shipped.models() / "vehicles.onnx", shipped.models() / "vehicles.toml"
    camera = '[[sources]]\nid = "cam"\ndriver = "traffic-camera"\ncamera = "clip.mp4"\nmodel = "newer"\nlines = [{ id = "l", from = [0, 100], to = [640, 100] }]\n'
    field.repo.put("nagano/models/newer.onnx", onnx.read_bytes())
    field.repo.put("nagano/models/newer.toml", card.read_bytes())
    field.city(CITY.format(out=field.out) + camera)
    note = polled(field)
    assert note.what == "staged"
    assert (field.slots.slot(note.release) / "models" / "newer.onnx").read_bytes() == onnx.read_bytes()
    field.boot()
    field.slots.write(trial.commit(field.record, 1))
    field.repo.put("nagano/models/newer.onnx", onnx.read_bytes()[:-1000])  # the card says another hash
    field.repo.publish(at_once=True)
    assert "model-differs" in refused(field, "update.model-broken").facts["why"]


def test_the_memory_of_a_model_is_its_own(tmp_path):
    """Not that of the process which started the trial."""
    from edgeagent import shipped  # noqa: PLC0415

    trial_of = "import subprocess, sys\nbig = bytearray(900 << 20)\nsubprocess.run(sys.argv[1:], check=True)"
    model = str(shipped.models() / "vehicles.onnx")
    command = [sys.executable, "-c", trial_of, sys.executable, "-m", "edgeagent.sources.model_trial", model]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert 20 < json.loads(done.stdout.splitlines()[-1])["mb"] < 500


def test_a_slow_or_silent_model_process_is_a_refusal(field, monkeypatch, tmp_path):
    for answer, code in (
        ('{"ms": 9000, "mb": 10}', "model-slow"),
        ('{"ms": 1, "mb": 9000}', "model-large"),
        ("", "model-broken"),
    ):
        fake = tmp_path / "python"
        fake.write_text(f"#!/bin/sh\necho '{answer}'\n")
        fake.chmod(0o755)
        monkeypatch.setattr(validate.sys, "executable", str(fake))
        with pytest.raises(UpdateRefused) as caught:
            validate.model(tmp_path / "m.onnx", 10)
        assert caught.value.code == f"update.{code}"


def test_a_profile_arrives_and_is_found_before_the_shipped_one(field, monkeypatch):
    from edgeagent import profiles, shipped  # noqa: PLC0415

    text = (shipped.profiles() / "maxbotix-hrxl-wr.toml").read_text().replace("maxbotix-hrxl-wr", "our-gauge")
    field.repo.put("nagano/profiles/our-gauge.toml", text.encode())
    field.city(
        CITY.format(out=field.out)
        + '[[sources]]\nid = "g"\ndriver = "serial-gauge"\nport = "/tmp/x"\nprofile = "our-gauge"\n'
    )
    assert polled(field).what == "staged"
    plan = field.boot()
    assert plan.release and not plan.why_not
    monkeypatch.setenv("EDGEAGENT_SLOT", plan.environment["EDGEAGENT_SLOT"])
    assert profiles.load("our-gauge")[0].id == "our-gauge"


def test_the_server_away_is_unavailable_and_noted(field):
    field.config.write_text(field.own.replace(str(field.repo.public), str(field.folder / "nowhere")))
    with pytest.raises(UpdateUnavailable):
        polled(field)
    note = report.read_note(field.slots.folder)
    assert (note.what, note.code) == ("unavailable", "update.no-repository")
    assert polled(field, place=str(field.repo.public)).what == "staged", "a stick at hand: --from"


def test_a_stick_is_looked_for_when_the_server_is_away(field, monkeypatch, tmp_path):
    stick = tmp_path / "stick with space" / "edgeagent-update"
    stick.parent.mkdir()
    stick.symlink_to(field.repo.public)
    mounts = tmp_path / "mounts"
    mounts.write_text(
        f"proc /proc proc rw 0 0\n/dev/sda1 {str(stick.parent).replace(' ', chr(92) + '040')} vfat rw 0 0\n"
    )
    from edgeagent.update import origin  # noqa: PLC0415

    monkeypatch.setattr(origin.usb_sticks, "__defaults__", (mounts,))
    field.config.write_text(field.own.replace(str(field.repo.public), "/nowhere").replace("usb = false", "usb = true"))
    note = polled(field)
    assert note.what == "staged" and note.where == str(stick)


def test_only_one_poll_at_a_time(field):
    from edgeagent.update import durable  # noqa: PLC0415

    field.slots.folder.mkdir(parents=True)
    with durable.held(field.slots.folder / "lock") as first:
        assert first
        with pytest.raises(UpdateUnavailable) as caught:
            polled(field)
    assert caught.value.code == "update.busy"


def test_without_a_section_it_says_so(field):
    text = field.own
    field.config.write_text(text[: text.index("[update]")] + text[text.index("[[sources]]") :])
    with pytest.raises(ConfigError) as caught:
        polled(field)
    assert caught.value.code == "update.not-configured"
    plan = field.boot()
    assert plan.config == field.config and plan.environment == {}


def test_a_damaged_slot_means_the_own_file_and_is_fetched_again(field):
    committed(field)
    file = next(field.slots.slot(field.record.current.name).glob("layers/*"))
    file.write_bytes(file.read_bytes()[:-3])
    plan = field.boot()
    assert plan.config == field.config and plan.why_not[0][0] == "update.slot-damaged"


def test_a_record_that_cannot_be_read_means_the_own_file_and_the_release_comes_back(field):
    committed(field)
    (field.slots.folder / "record.json").write_bytes(b"\0" * 100)
    assert field.boot().config == field.config
    assert polled(field).what == "staged"
    assert field.boot().release


def test_the_installers_change_counts_at_the_next_start(field):
    committed(field)
    assert field.value("box", "every_s") == 1
    field.config.write_text(field.own.replace("every_s = 1\n", "every_s = 7\n"))
    assert field.value("box", "every_s") == 7
    field.config.write_text(field.own.replace("[update]", '[update]\nunlocked = ["sources.box.every_s"]'))
    assert field.value("box", "every_s") == 1.5


def test_what_was_untrusted_stands_in_the_security_log(field):
    committed(field)
    timestamp = field.repo.public / "metadata" / "timestamp.json"
    timestamp.write_bytes(timestamp.read_bytes().replace(b'"version":', b'"version":1'))
    refused(field, "update.not-signed")
    events = [(e.n, e.event) for e in SecurityLog(field.state, field.clock).events()]
    assert events == [(1, "config-staged"), (2, "update-untrusted")]


def test_reported_state(field):
    committed(field)
    said = report.report(
        field.slots.folder, gateway="GW-1", version="1", ring="all", wall_ms=field.clock.wall_ms, trust=TimeTrust.SYNCED
    )
    assert (said.state, said.desired, said.applied, said.reason, said.root) == ("probation", 1, 1, "", 1)
    assert said.expires_s == field.clock.wall_ms // 1000 + 14 * 86_400 and not said.stale
    later = report.report(
        field.slots.folder,
        gateway="GW-1",
        version="1",
        ring="all",
        wall_ms=field.clock.wall_ms + 10 * 86_400_000,
        trust=TimeTrust.SYNCED,
    )
    assert later.stale
    json.dumps({"ok": said.release})
