"""The power goes at every step: of a poll, of a start, of a commit, of going back.

After each death: the next start runs a release that was committed or is on trial, or the gateway's own
file; the next poll ends well; nothing is half there.
"""

import os
import shutil
from pathlib import Path

from edgeagent.daemon.build import read_config
from edgeagent.security_log import LARGEST, SecurityLog
from edgeagent.update import boot, trial
from edgeagent.update.poll import poll
from tests.update.gateway import CITY, Field
from tests.update.killed import at_each_step


def polled(field):
    return poll(field.config, clock=field.clock, check=lambda p: read_config(p)[1])


def prove(field):
    field.slots.write(trial.commit(field.record, 1))


class Saved:
    """A state directory to come back to."""

    def __init__(self, field):
        self.field, self.copy = field, field.folder / "saved"
        shutil.copytree(field.state, self.copy, symlinks=True)

    def again(self):
        shutil.rmtree(self.field.state)
        shutil.copytree(self.copy, self.field.state, symlinks=True)


def two_releases(tmp_path):
    """A field that runs the first and is offered the second."""
    field = Field(tmp_path)
    field.city()
    polled(field)
    field.boot()
    prove(field)
    boot.note_end(field.slots.folder)
    first = field.record.current
    field.city(CITY.format(out=field.out).replace("1.5", "2.5"))
    return field, first


def sound(field, *allowed):
    """What the next start runs."""
    plan = field.boot()
    assert not plan.why_not, plan.why_not
    assert plan.release in allowed, (plan.release, allowed)
    made, problems = read_config(plan.config)
    assert made is not None, problems
    return plan


def test_of_a_poll(tmp_path):
    field, first = two_releases(tmp_path)
    saved = Saved(field)
    second = polled(field).release
    saved.again()

    def check(_n):
        assert field.record.current == first
        sound(field, first.name, second)
        if field.record.state != "trial":
            assert polled(field).what == "staged"
            sound(field, second)
        saved.again()

    assert at_each_step(lambda: polled(field), check, every=3) > 30


def test_of_a_start_of_a_trial(tmp_path):
    field, first = two_releases(tmp_path)
    second = polled(field).release
    saved = Saved(field)

    def check(_n):
        assert field.record.current == first and field.record.boots_left >= trial.BOOTS - 1
        sound(field, second)
        saved.again()

    assert at_each_step(field.boot, check) >= 5


def test_of_a_commit_and_of_going_back(tmp_path):
    field, first = two_releases(tmp_path)
    polled(field)
    field.boot()
    second = field.record.candidate
    saved = Saved(field)

    def check(_n):
        assert field.record.current in (first, second)
        sound(field, second.name)
        saved.again()

    assert at_each_step(lambda: prove(field), check) >= 3
    saved.again()

    def back():
        field.slots.write(trial.roll_back(field.record, "update.watchdog", {}, 1))

    def check_back(_n):
        assert field.record.current == first
        sound(field, first.name, second.name)
        saved.again()

    assert at_each_step(back, check_back) >= 3


def test_three_power_cuts_in_the_window_bring_the_old_config_back(tmp_path):
    field, first = two_releases(tmp_path)
    second = polled(field).release
    for n in range(trial.BOOTS):
        field.clock.boot_id = f"boot{n}"
        sound(field, second)
    field.clock.boot_id = "boot9"
    assert field.boot().release == first.name
    assert field.record.last.code == "update.died"


def test_a_config_that_cannot_start_is_gone_at_once(tmp_path, monkeypatch):
    """Between poll and start the software was changed and no longer takes it."""
    field, first = two_releases(tmp_path)
    polled(field)
    second = field.record.candidate

    def picky(path):
        return ["broken"] if "2.5" in path.read_text() else []

    monkeypatch.setattr(boot, "_text", lambda problem: problem)
    field.config.write_text(field.own.replace("every_s = 1\n", "").replace('driver = "host"', 'driver = "host"'))
    plan = boot.plan(field.config, field.clock, picky)
    assert plan.release == first.name and plan.why_not[0][0] == "update.invalid"
    assert field.record.refused[-1].release == second


def test_a_card_that_is_read_only_still_starts_the_agent(tmp_path, monkeypatch):
    field, _ = two_releases(tmp_path)

    def read_only(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(boot.durable, "write", read_only)
    plan = field.boot()
    assert plan.config == field.config and plan.why_not[0][0] == "update.disk"


def test_files_are_synced_before_their_names_and_names_after(tmp_path, monkeypatch):
    """Rename without fsync is how a power cut makes an empty file."""
    field = Field(tmp_path)
    field.city()
    happened = []
    names = {}
    real_open, real_sync, real_replace = os.open, os.fsync, os.replace

    def opened(path, *args, **more):
        handle = real_open(path, *args, **more)
        names[handle] = str(path)
        return handle

    def synced(handle):
        happened.append(("sync", str(Path(f"/proc/self/fd/{handle}").readlink())))
        real_sync(handle)

    def replaced(old, new):
        happened.append(("rename", str(old), str(new)))
        real_replace(old, new)

    monkeypatch.setattr(os, "open", opened)
    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    polled(field)
    renames = [(n, h) for n, h in enumerate(happened) if h[0] == "rename" and "/state/" in h[1]]
    assert len(renames) > 10
    for n, (_, old, new) in renames:
        assert ("sync", old) in happened[:n], f"{old} was renamed and not synced"
        assert ("sync", str(Path(new).parent)) in happened[n:], f"{new}: its folder was not synced"


def test_the_security_log_is_bounded_numbered_and_survives_torn_lines(tmp_path):
    from tests.fakes import FakeClock  # noqa: PLC0415

    log = SecurityLog(tmp_path, FakeClock())
    for n in range(3):
        log.note("config-refused", n=n, long="x" * 1000)
    with (tmp_path / "security.jsonl").open("ab") as file:
        file.write(b'{"n":4,"wall')
    log.note("wiped")
    assert [(e.n, e.event) for e in log.events()] == [
        (1, "config-refused"),
        (2, "config-refused"),
        (3, "config-refused"),
        (4, "wiped"),
    ]
    assert len(next(log.events()).facts["long"]) == 200
    (tmp_path / "security.jsonl").write_bytes(
        b'{"n":9,"wall_ms":1,"trust":"synced","boot_id":"b","mono_ms":1,"event":"wiped","facts":{}}\n' * (LARGEST // 90)
    )
    for _ in range(40):
        log.note("claim")
    assert [e.n for e in log.events()][-1] == 49
    assert sum(p.stat().st_size for p in tmp_path.glob("security*.jsonl")) <= 2 * LARGEST


def test_killed_while_noting_an_event(tmp_path):
    from tests.fakes import FakeClock  # noqa: PLC0415

    log = SecurityLog(tmp_path, FakeClock())
    numbers = []

    def check(_n):
        log.note("claim")
        numbers.append([e.n for e in log.events()][-1])

    at_each_step(lambda: log.note("wiped"), check)
    assert numbers == sorted(set(numbers))
