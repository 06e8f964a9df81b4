"""What the staff gauge taught: <state_dir>/calibrations/<source>.json, a history that is never rewritten.

An installer reads the staff gauge in the water and says so; the difference to what the gauge says is
added from then on to the offset of the config.  Every comparison stays in the history with its date,
an undone one too, so that the past can be computed again.  A file is replaced whole: written beside,
synced, renamed; the one before it stays as `.bak`.
May import: errors rules.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from edgeagent.errors import ConfigError
from edgeagent.rules.calibrate import CalibrateConfig

__all__ = ["Entry", "History", "applied", "load", "save"]


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One comparison.

    Attributes:
        at: when, UTC, ISO 8601.
        clock: synced or unsynced: whether that date can be believed.
        staff_m: what the staff gauge showed.
        read_m: what the gauge said, with all that held until then.
        added_m: what is added to the config's offset from now on, in all.
        undone: taken back later.
    """

    at: str
    clock: str
    staff_m: float
    read_m: float
    added_m: float
    undone: bool = False


class History(msgspec.Struct, frozen=True, kw_only=True):
    """All comparisons of one gauge, oldest first."""

    source: str
    entries: tuple[Entry, ...] = ()

    @property
    def current(self) -> Entry | None:
        """The comparison that holds."""
        return next((e for e in reversed(self.entries) if not e.undone), None)

    def adding(self, entry: Entry) -> History:
        """With one more."""
        return History(source=self.source, entries=(*self.entries, entry))

    def undoing(self) -> History:
        """Without the one that holds; it stays written down."""
        current = self.current
        made = tuple(msgspec.structs.replace(e, undone=True) if e is current else e for e in self.entries)
        return History(source=self.source, entries=made)


def load(state_dir: Path, source: str) -> History:
    """The history of a gauge; empty where there is none.

    Raises:
        ConfigError: neither the file nor the one before it can be read.
    """
    file = _file(state_dir, source)
    problem = ""
    for candidate in (file, file.with_suffix(".bak")):
        try:
            return msgspec.json.decode(candidate.read_bytes(), type=History)
        except FileNotFoundError:
            continue
        except (OSError, msgspec.MsgspecError) as error:
            problem = str(error)
    if problem:
        raise ConfigError("install.calibration-damaged", path="", file=str(file), why=problem)
    return History(source=source)


def applied(configured: CalibrateConfig | None, state_dir: Path, source: str) -> CalibrateConfig | None:
    """The calibration of the config with what the staff gauge taught; None where there is neither.

    Raises:
        ConfigError: as `load`.
    """
    current = load(state_dir, source).current
    if current is None:
        return configured
    base = configured or CalibrateConfig()
    return msgspec.structs.replace(base, offset_m=base.offset_m + current.added_m, since=current.at[:10])


def save(state_dir: Path, history: History) -> None:
    """Replace the file.

    Raises:
        ConfigError: it cannot be written.
    """
    file = _file(state_dir, history.source)
    beside = file.with_suffix(".new")
    try:
        file.parent.mkdir(exist_ok=True)
        with beside.open("wb") as out:
            out.write(msgspec.json.format(msgspec.json.encode(history)) + b"\n")
            out.flush()
            os.fsync(out.fileno())
        if file.exists():
            os.link(file, _fresh(file.with_suffix(".bak")))
        beside.replace(file)
        folder = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        why = error.strerror or str(error)
        raise ConfigError("install.calibration-not-written", path="", file=str(file), why=why) from error


def _file(state_dir: Path, source: str) -> Path:
    return state_dir / "calibrations" / f"{source}.json"


def _fresh(path: Path) -> Path:
    path.unlink(missing_ok=True)
    return path
