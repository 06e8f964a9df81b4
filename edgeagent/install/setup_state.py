"""How far the wizard has come: `<state_dir>/setup.json`, written after every answer and every step.

The power may go and Ctrl-C may come at any moment: the next start goes on behind the last thing that is written
here.  A claim code is kept only until the claim is done.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from edgeagent.errors import ConfigError
from edgeagent.install.discover import Found
from edgeagent.install.identity import as_owner
from edgeagent.update import durable

__all__ = ["FILE", "Progress", "load", "save"]

FILE = "setup.json"
_VERSION = 1


class Progress(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The file.

    Attributes:
        version: of the format.
        begun_ms: wall time of the first start, UTC epoch milliseconds.
        boot_id: of the kernel when the devices were found: after a restart they are looked for again.
        answers: by question; what was typed.
        earlier: the answers of a run that came to its end; defaults of the next.
        found: what was plugged in.
        gateway: id by the certificate; "" before a claim.
        staff_m: what the staff gauge showed, by source.
        sections: of the config, that were made of it.
        notes: what is written above each, by source.
        done: names of steps that need not be gone again.
        config_sha256: of the config file as it was written.
    """

    version: int = _VERSION
    begun_ms: int = 0
    boot_id: str = ""
    answers: dict[str, str] = {}
    earlier: dict[str, str] = {}
    found: Found | None = None
    gateway: str = ""
    staff_m: dict[str, float] = {}
    sections: list[dict[str, Any]] = []
    notes: dict[str, str] = {}
    done: list[str] = []
    config_sha256: str = ""


def load(state_dir: Path) -> Progress | None:
    """What is written there; None where there is nothing that can be gone on from."""
    try:
        made = msgspec.json.decode((state_dir / FILE).read_bytes(), type=Progress)
    except (OSError, msgspec.MsgspecError):
        return None
    return made if made.version == _VERSION else None


def save(state_dir: Path, progress: Progress) -> None:
    """Replace the file; after a power cut it is the old one or the new one.

    Raises:
        ConfigError: `setup.cannot-write`.
    """
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with as_owner(state_dir):
            durable.write(state_dir / FILE, msgspec.json.encode(progress) + b"\n")
    except OSError as error:
        why = error.strerror or str(error)
        raise ConfigError("setup.cannot-write", path="", file=str(state_dir / FILE), why=why) from error
