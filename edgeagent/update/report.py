"""What a gateway says about its updates: to `update status`, to the maintainer over MQTT, to the city as a Device.

`poll.json` is written by every poll; together with the record it makes the reported state, an
AWS-shadow-like pair of desired and applied with a reason in plain words.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from edgeagent.reading import TimeTrust
from edgeagent.update import durable
from edgeagent.update.slots import Slots
from edgeagent.update.trial import Record

__all__ = ["STALE_S", "PollNote", "Reported", "read_note", "report", "write_note"]

STALE_S = 5 * 86_400  # signatures that expire sooner are somebody's business now
_FILE = "poll.json"


class PollNote(msgspec.Struct, frozen=True, kw_only=True):
    """How the last poll ended.

    Attributes:
        wall_ms: when; UTC epoch milliseconds.
        what: `current`, `staged`, `refused`, `unavailable`, `in-trial`.
        code, facts: why, for a message.
        where: who was asked.
        seen_sequence: highest sequence of the release that is meant for this gateway; 0 before the first.
        release: its name.
        versions: of the top-level roles, at the last success.
        expires_s: when the first of them expires, UTC epoch seconds; and its name.
        ok_wall_ms: when a poll last reached a trusted repository.
        fetched, requests: bytes of bodies, and how many requests.
    """

    wall_ms: int
    what: str
    code: str = ""
    facts: dict[str, str] = {}
    where: str = ""
    seen_sequence: int = 0
    release: str = ""
    versions: dict[str, int] = {}
    expires_s: int = 0
    first_to_expire: str = ""
    ok_wall_ms: int = 0
    fetched: int = 0
    requests: int = 0


class Reported(msgspec.Struct, frozen=True, kw_only=True):
    """The reported state, one JSON document.

    Attributes:
        gateway, version: who, and which software.
        state: `idle`, `staged`, `trial`, `probation`; see `trial`.
        desired, applied: sequence of the release meant for it, and of the one that runs.
        release: what runs, hex; "" for the gateway's own file.
        on_trial: what is staged or tried, "" for nothing.
        reason, facts: message code of the last refusal or rollback; "" when all is well.
        ring: as configured.
        root, timestamp: versions of the metadata.
        expires_s: UTC epoch seconds; see PollNote.
        clock: `synced` or `unsynced`.
        stale: nothing trusted was seen for so long that signatures expire, or have.
        failing: sources without a valid value now.
        oldest_s: age of the oldest waiting reading.
        waiting: readings that wait.
        wall_ms: when this was said.
    """

    gateway: str
    version: str
    state: str
    desired: int
    applied: int
    release: str
    on_trial: str = ""
    reason: str = ""
    facts: dict[str, str] = {}
    ring: str = ""
    root: int = 0
    timestamp: int = 0
    expires_s: int = 0
    clock: str = TimeTrust.UNSYNCED.value
    stale: bool = False
    failing: tuple[str, ...] = ()
    oldest_s: float = 0.0
    waiting: int = 0
    wall_ms: int = 0


def read_note(folder: Path) -> PollNote | None:
    """How the last poll ended; None before the first."""
    try:
        return msgspec.json.decode((folder / _FILE).read_bytes(), type=PollNote)
    except (OSError, msgspec.DecodeError):
        return None


def write_note(folder: Path, note: PollNote) -> None:
    """Replace the note."""
    durable.write(folder / _FILE, msgspec.json.encode(note))


def report(folder: Path, *, gateway: str, version: str, ring: str, wall_ms: int, trust: TimeTrust) -> Reported:
    """The reported state, without what only the running agent knows."""
    record, note = Slots(folder).record(), read_note(folder)
    code, facts = _reason(record, note)
    expires_s = note.expires_s if note else 0
    return Reported(
        gateway=gateway,
        version=version,
        state=record.state,
        desired=max(note.seen_sequence if note else 0, record.current.sequence),
        applied=record.runs.sequence if record.state == "trial" else record.current.sequence,
        release=(record.runs if record.state == "trial" else record.current).name,
        on_trial=record.candidate.name if record.candidate else "",
        reason=code,
        facts=facts,
        ring=ring,
        root=note.versions.get("root", 0) if note else 0,
        timestamp=note.versions.get("timestamp", 0) if note else 0,
        expires_s=expires_s,
        clock=trust.value,
        stale=bool(expires_s) and wall_ms / 1000 > expires_s - STALE_S,
        wall_ms=wall_ms,
    )


def _reason(record: Record, note: PollNote | None) -> tuple[str, dict[str, str]]:
    if note and note.what in ("refused", "unavailable"):
        for one in record.refused:  # why it is in quarantine says more than that it is
            if note.code == "update.quarantined" and one.release.name == note.release:
                return one.code, one.facts
        return note.code, note.facts
    if record.last and record.last.what == "rolled-back":
        return record.last.code, record.last.facts
    return "", {}
