"""A release on trial: what is tried, for how long, and when the gateway goes back by itself.  Pure.

    idle ──stage──► staged ──start──► trial ──all well for the window──► probation ──24 h──► idle
                      │                 │ three starts without an end, watchdog,       │ three crashes
                      │                 │ a silent source or uplink, memory            │
                      ▼                 ▼                                              ▼
                    idle (refused: the content is in quarantine until a higher sequence)

Every state is one record that is written whole, so a power cut finds the old record or the new one;
whatever was being done is done again from there.  Silence is a no: only `commit` keeps a release.

- A source that failed before the trial, or an uplink that was down, does not count against it: a
  gateway with a dead camera can still get its river thresholds.
- A start after a power cut counts like any other: three in one window, and the old config returns.
- After the commit a release is watched for another day of running, because some die of old age.
May import: errors; msgspec.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from edgeagent.errors import UpdateRefused

__all__ = [
    "BOOTS",
    "CRASHES",
    "PROBATION_S",
    "End",
    "Evidence",
    "Judgement",
    "Outcome",
    "Record",
    "Refused",
    "Release",
    "abandon",
    "commit",
    "judge",
    "roll_back",
    "stage",
    "start",
    "steady",
    "stopped",
]

BOOTS = 3
CRASHES = 3
PROBATION_S = 24 * 3600.0
_REFUSED_KEPT = 8

State = Literal["idle", "staged", "trial", "probation"]
End = Literal["clean", "power", "watchdog", "died"]


class Release(msgspec.Struct, frozen=True):
    """What runs: the name of a stored release, "" for the gateway's own file alone."""

    name: str = ""
    sequence: int = 0


class Refused(msgspec.Struct, frozen=True):
    """A release that is not tried again below a higher sequence, and why (a message code with facts)."""

    release: Release
    code: str
    facts: dict[str, str]
    wall_ms: int


class Outcome(msgspec.Struct, frozen=True):
    """How the last trial ended."""

    what: Literal["committed", "rolled-back"]
    release: Release
    wall_ms: int
    code: str = ""
    facts: dict[str, str] = {}


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """All there is to remember.

    Attributes:
        state: see above.
        current: what is trusted; runs unless there is a trial.
        previous: what was trusted before; where a crash loop goes back to.
        candidate: what is staged or on trial.
        boots_left: starts that the trial may still have.
        failing, down: sources and uplinks that were not well before.
        boot_id: of the kernel at the last start.
        running: started, and has not said goodbye since.
        crashes: ends without a goodbye in the probation.
        watched_s: how long the release has run in the probation.
        refused: the newest last.
        last: how the last trial ended.
    """

    state: State = "idle"
    current: Release = Release()
    previous: Release | None = None
    candidate: Release | None = None
    boots_left: int = 0
    failing: tuple[str, ...] = ()
    down: tuple[str, ...] = ()
    boot_id: str = ""
    running: bool = False
    crashes: int = 0
    watched_s: float = 0.0
    refused: tuple[Refused, ...] = ()
    last: Outcome | None = None

    @property
    def runs(self) -> Release:
        """What a start would run now."""
        if self.state in ("staged", "trial") and self.candidate is not None:
            return self.candidate
        return self.current

    def ended(self, boot_id: str, *, by_watchdog: bool) -> End:
        """How the run before this start ended."""
        if not self.running:
            return "clean"
        if boot_id != self.boot_id:
            return "power"
        return "watchdog" if by_watchdog else "died"


class Evidence(msgspec.Struct, frozen=True):
    """What the agent has seen since it started.

    Attributes:
        elapsed_s: since then.
        sources: by id, whether a valid value came.
        uplinks: by id, whether something was acknowledged (or there was nothing to send).
        memory_mb: most that the agent and its workers used.
    """

    elapsed_s: float
    sources: dict[str, bool]
    uplinks: dict[str, bool]
    memory_mb: float


class Judgement(msgspec.Struct, frozen=True):
    """Commit, or go back, and why."""

    keep: bool
    code: str = ""
    facts: dict[str, str] = {}


def stage(record: Record, release: Release, *, failing: tuple[str, ...] = (), down: tuple[str, ...] = ()) -> Record:
    """Note that a stored release is to be tried at the next start.

    Raises:
        UpdateRefused: `lower-sequence`, `quarantined`, or `busy` while another is on trial.
    """
    if record.state == "trial":
        raise UpdateRefused("update.busy")
    if release.sequence < record.current.sequence:
        raise UpdateRefused("update.lower-sequence", got=release.sequence, have=record.current.sequence)
    for one in record.refused:
        if one.release.name == release.name and release.sequence <= one.release.sequence:
            raise UpdateRefused("update.quarantined", release=release.name[:12], reason=one.code)
    return msgspec.structs.replace(
        record, state="staged", candidate=release, boots_left=BOOTS, failing=failing, down=down
    )


def abandon(record: Record, code: str, facts: dict[str, str], release: Release, wall_ms: int) -> Record:
    """Put a release that failed its validation into quarantine; what runs is not touched."""
    return _with_refused(record, Refused(release, code, facts, wall_ms))


def start(record: Record, *, boot_id: str, end: End, wall_ms: int) -> Record:
    """The agent is about to start; `record.runs` is what to run.

    Args:
        record: as it was stored.
        boot_id: of the kernel.
        end: how the run before ended.
        wall_ms: for the reason that is reported.
    """
    if record.state in ("staged", "trial"):
        if record.state == "trial" and end == "watchdog":
            record = roll_back(record, "update.watchdog", {}, wall_ms)
        elif record.boots_left <= 0:
            record = roll_back(record, "update.died", {"boots": str(BOOTS)}, wall_ms)
        else:
            record = msgspec.structs.replace(record, state="trial", boots_left=record.boots_left - 1)
    elif record.state == "probation" and end in ("died", "watchdog"):
        record = msgspec.structs.replace(record, crashes=record.crashes + 1)
        if record.crashes >= CRASHES:
            record = roll_back(record, "update.crash-loop", {"crashes": str(record.crashes)}, wall_ms)
    return msgspec.structs.replace(record, boot_id=boot_id, running=True)


def stopped(record: Record) -> Record:
    """The agent ended because it was asked to."""
    return msgspec.structs.replace(record, running=False)


def judge(record: Record, seen: Evidence, *, window_s: float, memory_mb: int) -> Judgement | None:
    """Whether the trial has passed or failed; None while it goes on."""
    if seen.memory_mb > memory_mb:
        return Judgement(False, "update.memory", {"took": f"{seen.memory_mb:.0f}", "budget": str(memory_mb)})
    if seen.elapsed_s < window_s:
        return None
    for source, valid in seen.sources.items():
        if not valid and source not in record.failing:
            return Judgement(False, "update.source-silent", {"source": source})
    for uplink, well in seen.uplinks.items():
        if not well and uplink not in record.down:
            return Judgement(False, "update.uplink-silent", {"uplink": uplink})
    return Judgement(True)


def commit(record: Record, wall_ms: int) -> Record:
    """Trust what is on trial; watch it for another day."""
    if record.state != "trial" or record.candidate is None:
        return record
    return msgspec.structs.replace(
        record,
        state="probation",
        current=record.candidate,
        previous=record.current,
        candidate=None,
        boots_left=0,
        crashes=0,
        watched_s=0.0,
        last=Outcome("committed", record.candidate, wall_ms),
    )


def roll_back(record: Record, code: str, facts: dict[str, str], wall_ms: int) -> Record:
    """Go back to what was trusted before, and remember why."""
    if record.state in ("staged", "trial") and record.candidate is not None:
        bad, current = record.candidate, record.current
    elif record.state == "probation":
        bad, current = record.current, record.previous or Release()
    else:
        return record
    changed = msgspec.structs.replace(
        record,
        state="idle",
        current=current,
        previous=None,
        candidate=None,
        boots_left=0,
        crashes=0,
        watched_s=0.0,
        last=Outcome("rolled-back", bad, wall_ms, code, facts),
    )
    return _with_refused(changed, Refused(bad, code, facts, wall_ms))


def steady(record: Record, seconds: float) -> Record:
    """The release ran so much longer without dying."""
    if record.state != "probation":
        return record
    watched_s = record.watched_s + seconds
    if watched_s < PROBATION_S:
        return msgspec.structs.replace(record, watched_s=watched_s)
    return msgspec.structs.replace(record, state="idle", watched_s=0.0, crashes=0)


def _with_refused(record: Record, refused: Refused) -> Record:
    others = tuple(one for one in record.refused if one.release.name != refused.release.name)
    return msgspec.structs.replace(record, refused=(*others, refused)[-_REFUSED_KEPT:])
