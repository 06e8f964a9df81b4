"""What `edgeagent status` knows: measured by the loops around the parts, not claimed by the parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from edgeagent import messages
from edgeagent.daemon.disclosed import Disclosed, Left
from edgeagent.errors import EdgeAgentError
from edgeagent.ngsi.entities import verdict
from edgeagent.ports import DeadLetter, OutboxStats, Row
from edgeagent.reading import Kind, Moment, Quality, Quantity, Reading

__all__ = [
    "DeadLetters",
    "Health",
    "Privacy",
    "Problem",
    "Retried",
    "SourceHealth",
    "SourceStatus",
    "Status",
    "Taken",
    "UplinkHealth",
    "UplinkStatus",
    "Waiting",
    "named",
]

_LATELY_MS = 600_000  # the slowest usual gauge speaks every ten minutes
_KEPT_CODES = 32  # a device can fail in many ways, a status page need not grow for ever


@dataclass
class SourceHealth:
    """One configured source."""

    id: str
    driver: str
    name: str = ""
    running: bool = False
    healed: int = 0
    readings: int = 0
    valid: int = 0
    valid_mono_ms: int | None = None
    alive_mono_ms: int | None = None
    last: Reading | None = None
    problems: Counter[str] = field(default_factory=Counter)
    last_problem: EdgeAgentError | None = None
    last_problem_at: Moment | None = None

    def proved(self, made: Sequence[Reading], raw: Reading) -> None:
        """A reading came; whether it was a valid one is what the rules left of it, else itself."""
        if any(_usable(one) for one in made if one.entity == raw.entity) or (not made and _usable(raw)):
            self.valid += 1
            self.valid_mono_ms = raw.at.mono_ms

    def well(self, now_ms: int) -> bool:
        """Whether a valid value came lately."""
        return self.valid_mono_ms is not None and now_ms - self.valid_mono_ms < _LATELY_MS

    def saw(self, reading: Reading) -> None:
        """A reading of this source came out of the rules."""
        self.readings += 1
        if reading.kind is Kind.CROWD and _usable(reading):  # tags: being able to hear is the valid value
            self.valid += 1
            self.valid_mono_ms = reading.at.mono_ms
        if reading.entity == self.id or self.last is None:
            self.last = reading

    def failed(self, error: EdgeAgentError, at: Moment) -> None:
        """Count an error by its kind and remember the newest."""
        _count(self.problems, error)
        self.last_problem, self.last_problem_at = error, at
        if error.code != "daemon.healed":
            self.alive_mono_ms = at.mono_ms


@dataclass
class UplinkHealth:
    """One configured uplink."""

    id: str
    driver: str
    state: str = "idle"
    batches: int = 0
    filtered: int = 0
    delivered_readings: int = 0
    sent_bytes: int = 0
    failures: int = 0
    problems: Counter[str] = field(default_factory=Counter)
    last_problem: EdgeAgentError | None = None
    last_ok_mono_ms: int | None = None
    disclosed: Disclosed = field(default_factory=Disclosed)
    busy_since_mono_ms: int | None = None

    def well(self, waiting: int) -> bool:
        """Whether something was acknowledged, or there was nothing to say."""
        return self.state == "ok" or self.last_ok_mono_ms is not None or (self.state == "idle" and waiting == 0)

    def failed(self, error: EdgeAgentError) -> None:
        """Count an error by its kind and remember the newest."""
        _count(self.problems, error)
        self.last_problem = error
        self.failures += 1
        self.state = "down"

    def delivered(self, at: Moment, readings: int) -> None:
        """A batch was acknowledged, at least in part."""
        self.batches += 1
        self.delivered_readings += readings
        self.failures = 0
        self.state = "ok"
        self.last_ok_mono_ms = at.mono_ms


@dataclass
class Health:
    """Of the whole daemon."""

    sources: dict[str, SourceHealth]
    uplinks: dict[str, UplinkHealth]
    outbox_problem: EdgeAgentError | None = None
    held_in_ram: int = 0
    dropped_from_ram: int = 0
    pump_mono_ms: int = 0
    keeper_mono_ms: int | None = None


class Problem(msgspec.Struct, frozen=True):
    """An error as it travels: `text` in the gateway's language, code and facts for any other."""

    code: str
    facts: dict[str, str]
    text: str


class SourceStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One source, for a person or a machine."""

    id: str
    driver: str
    name: str
    state: str
    readings: int
    age_s: float | None
    last: dict[str, Quantity]
    problems: dict[str, int]
    last_problem: Problem | None
    last_problem_age_s: float | None
    well: bool = True
    healed: int = 0


class UplinkStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One uplink, for a person or a machine.

    Attributes:
        filtered: readings settled unsent since the start, because `sources` or `classes` leave them out.
        sent_bytes: what left for this receiver since the start: bodies, headers, TLS and whatever was
            repeated, as the kernel counts it; headers of TCP and IP are not in it.
        bytes_per_reading: of these, per acknowledged reading; None before the first.
        month_bytes: sent in this calendar month (JST), restarts included.
        monthly_bytes: what may be sent in a month; 0 for no limit.
        forecast_bytes: at the end of the month at the pace so far; None without a trusted clock.
        thrift: `freely`, or what is held back to stay within `monthly_bytes`; see `budget`.
    """

    id: str
    driver: str
    state: str
    acknowledged: int
    waiting: int
    dead: int
    oldest_s: float
    last_ok_s: float | None
    problems: dict[str, int]
    last_problem: Problem | None
    well: bool = True
    filtered: int = 0
    sent_bytes: int = 0
    bytes_per_reading: float | None = None
    month_bytes: int = 0
    monthly_bytes: int = 0
    forecast_bytes: int | None = None
    thrift: str = "freely"


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to `edgeagent status --json`."""

    gateway: str
    version: str
    pid: int
    up_s: float
    clock: str
    queue: int
    held_in_ram: int
    dropped_from_ram: int
    outbox: OutboxStats
    outbox_problem: Problem | None
    sources: list[SourceStatus]
    uplinks: list[UplinkStatus]


def named(part: str, error: EdgeAgentError, lang: str) -> str:
    """The error's text, with the id of the part before it unless the text begins with that itself."""
    said = str(messages.text(error.code, error.facts, lang))
    return said if said.startswith(part) else f"{part}: {said}"


class Privacy(msgspec.Struct, frozen=True):
    """The answer to `privacy`: what left in the last day, or since the start.

    Attributes:
        up_s: since when this is counted, in seconds, at most a day.
        left: by uplink.
        raw: readings that left with a raw id in them, by uplink.
    """

    up_s: float
    left: dict[str, list[Left]]
    raw: dict[str, int]


class DeadLetters(msgspec.Struct, frozen=True):
    """The answer to `dead`: some letters, oldest first."""

    letters: list[DeadLetter]


class Waiting(msgspec.Struct, frozen=True):
    """The answer to `waiting`: some rows, oldest first."""

    rows: list[Row]


class Taken(msgspec.Struct, frozen=True):
    """The answer to `take-in`: how many were stored."""

    taken: int


class Retried(msgspec.Struct, frozen=True):
    """The answer to `dead-retry`: how many are owed again."""

    retried: int


def _usable(reading: Reading) -> bool:
    """Whether a reading says something about the world that may be believed."""
    if reading.kind in (Kind.ALERT, Kind.GAP):
        return False
    listening = reading.quantities.get("listening")
    if listening is not None and listening.value is False:
        return False
    return verdict(reading)[0] in (Quality.GOOD, Quality.SUSPECT)


def _count(problems: Counter[str], error: EdgeAgentError) -> None:
    if error.code in problems or len(problems) < _KEPT_CODES:
        problems[error.code] += 1
    else:
        problems["other"] += 1
