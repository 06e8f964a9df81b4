"""`python -m tests.update.living FOLDER [fault]`: a gateway through three releases, one of them rolled back.

Says after every step, on stdout, what the next start has to run and what may not be forgotten.
The repository is made in the same process; only `FOLDER/state` is a gateway's.
"""

import os
import sys
from pathlib import Path

import msgspec

from edgeagent.daemon.build import read_config
from edgeagent.update import boot, durable, trial, trust
from edgeagent.update.poll import poll
from tests.update.gateway import CITY, Field


def say(field, step):
    record = field.record
    floors = trust._read_floors(field.slots.folder / "floors.json")
    said = {
        "step": step,
        "runs": record.runs.name,
        "floors": {name: floor.version for name, floor in floors.roles.items()},
        "refused": [one.release.name for one in record.refused],
    }
    os.write(1, msgspec.json.encode(said) + b"\n")


def careless(fault):
    """Leave out what makes files durable."""
    if fault == "no-folder-sync":
        durable.sync_folder = lambda _folder: None
    elif fault == "record-first":
        real = durable.write

        def write(path, data, *, mode=0o600):
            if path.name == "record.json":
                path.write_bytes(data)
            else:
                real(path, data, mode=mode)

        durable.write = write


def main(folder, fault=""):
    field = Field(folder)
    careless(fault)

    def polled(every_s):
        field.city(CITY.format(out=field.out).replace("1.5", every_s))
        poll(field.config, clock=field.clock, check=lambda path: read_config(path)[1])
        say(field, "polled")

    say(field, "new")
    for every_s, fate in (("1.5", "kept"), ("2.5", "kept"), ("3.5", "back"), ("4.5", "kept")):
        polled(every_s)
        boot.plan(field.config, field.clock, lambda path: read_config(path)[1])
        say(field, "started")
        record = field.record
        field.slots.write(
            trial.commit(record, 1) if fate == "kept" else trial.roll_back(record, "update.watchdog", {}, 1)
        )
        say(field, fate)
        boot.note_end(field.slots.folder)
        say(field, "ended")
        field.clock.advance(7200)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
