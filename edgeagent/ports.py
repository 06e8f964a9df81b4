"""The four doors of the house, and what passes through them.

A source emits, a rule refines, the outbox keeps, an uplink delivers; none knows another's name.
May import: reading errors clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, Protocol, TypeAlias, runtime_checkable

import msgspec

from edgeagent.clock import Clock
from edgeagent.errors import EdgeAgentError, UplinkUnavailable
from edgeagent.reading import Moment, Reading, ReadingClass

__all__ = [
    "Batch",
    "DayBooks",
    "DeadLetter",
    "Delivery",
    "Emit",
    "Lane",
    "Outbox",
    "OutboxPlan",
    "OutboxStats",
    "Pace",
    "Paced",
    "Row",
    "Rule",
    "Site",
    "Source",
    "SourceConfig",
    "StreamOfDay",
    "Surroundings",
    "Uplink",
    "UplinkConfig",
    "UplinkOfDay",
    "UplinkStats",
]


@dataclass(frozen=True)
class Site:
    """Where the box stands and what its things are called.

    Attributes:
        gateway: id of the gateway, e.g. `GW-0147`.
        location: (lon, lat) WGS84 of the box, if configured.
        locations: (lon, lat) by source id, where a source has its own.
        names: display name by source id (Japanese allowed).
    """

    gateway: str
    location: tuple[float, float] | None = None
    locations: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How a rule wishes its source to measure; None where it has no wish.

    Attributes:
        every_s: seconds between measurements, on multiples of the wall clock once that is trusted.
        again_s: measure once more after so many seconds, whatever the period.
    """

    every_s: float | None = None
    again_s: float | None = None


@runtime_checkable
class Paced(Protocol):
    """A rule that has a say in how often its source measures."""

    @property
    def pace(self) -> Pace:
        """Its present wish."""
        ...


def _no_wish(source: str) -> Pace:  # noqa: ARG001
    return Pace()


@dataclass(frozen=True)
class Surroundings:
    """What a source or an uplink is given besides its own config section.

    Attributes:
        pace: source id -> how its rules wish it to measure now; asked anew before every measurement.
    """

    clock: Clock
    site: Site
    state_dir: Path
    pace: Callable[[str], Pace] = _no_wish


class SourceConfig(msgspec.Struct, kw_only=True, frozen=True):
    """Keys that every `[[sources]]` section has.

    Attributes:
        id: lower-case name, part of the entity id.
        driver: key of the SOURCES table.
        name: what people call it, e.g. 宮川橋.
        location: [lon, lat] where it differs from the gateway's.
        enabled: false keeps the section and starts nothing.
    """

    id: str
    driver: str
    name: str = ""
    location: tuple[float, float] | None = None
    enabled: bool = True


class UplinkConfig(msgspec.Struct, kw_only=True, frozen=True):
    """Keys that every `[[uplinks]]` section has.

    Attributes:
        id: name, part of file names in the state directory.
        driver: key of the UPLINKS table.
        enabled: false keeps the section and sends nothing.
        sources: ids of the sources whose readings this receiver gets; empty for all.
        classes: delivery classes it gets; empty for all.
        backfill_bytes_per_s: how fast a backlog may leave, averaged over seconds, so that days of it
            leave room for live values; 0 for as fast as the line carries it.
        monthly_bytes: what may be sent in a calendar month (JST), headers and TLS included; alarms leave
            beyond it too; 0 for no limit.  See `daemon.budget`.
    """

    id: str
    driver: str
    enabled: bool = True
    sources: tuple[str, ...] = ()
    classes: tuple[ReadingClass, ...] = ()
    backfill_bytes_per_s: Annotated[int, msgspec.Meta(ge=0)] = 64_000
    monthly_bytes: Annotated[int, msgspec.Meta(ge=0)] = 0

    def wants(self, reading: Reading) -> bool:
        """Whether this receiver is to get the reading; what it is not to get is settled unsent."""
        if self.sources and reading.source not in self.sources:
            return False
        return not self.classes or reading.cls in self.classes


class Emit(Protocol):
    """What a source is handed: a way out for readings and for trouble."""

    async def __call__(self, *readings: Reading) -> None:
        """Hand readings over; waits while the queue behind is full (back-pressure)."""
        ...

    async def kept(self) -> None:
        """Wait until everything handed over so far is durable; as long as the store is away."""
        ...

    def problem(self, source: str, error: EdgeAgentError) -> None:
        """Count an error of one configured source without stopping the others it runs with."""
        ...


class Source(Protocol):
    """A device (or a bus of devices) that turns into readings."""

    async def run(self, emit: Emit) -> None:
        """Emit until cancelled.

        Raises:
            SourceUnavailable: the supervisor waits and calls `run` again.
        """
        ...


class Rule(Protocol):
    """Readings in, readings out; no clock, no I/O."""

    def feed(self, reading: Reading) -> Iterable[Reading]:
        """Zero or more readings in place of this one."""
        ...

    def tick(self, now: Moment) -> Iterable[Reading]:
        """What falls due by the mere passing of time; called about once a second."""
        ...


class Row(msgspec.Struct, frozen=True):
    """A stored reading and its place in the outbox."""

    id: int
    reading: Reading


Lane: TypeAlias = Literal["alarm", "live", "backfill"]


class Batch(msgspec.Struct, frozen=True):
    """Rows leased to one uplink, all of one lane, oldest first.

    Attributes:
        uplink: whose rows these are.
        rows: what to deliver.
        lane: `alarm` for alarms, `live` for rows that are the newest of their stream, `backfill` for
            the rest, which may be sent as slowly as the line requires.
        whole: nothing else waits for this uplink.
    """

    uplink: str
    rows: tuple[Row, ...]
    lane: Lane = "live"
    whole: bool = False


class Delivery(msgspec.Struct, frozen=True):
    """What a receiver said about a batch, by row id.  A row in neither set is kept and retried.

    Attributes:
        accepted: acknowledged for good; may be forgotten.
        rejected: refused for good, with the reason; goes to the dead letters.
        retry_after_s: the receiver asked to wait so long before the next batch.
        error: why the rest was kept, for `status`; None when nothing was kept, or the uplink only
            reports what is done so far and has no objection to going on at once.
        bytes_sent: what this took on the line, headers included; 0 where there is no line.
    """

    accepted: frozenset[int]
    rejected: Mapping[int, str] = {}
    retry_after_s: float | None = None
    error: UplinkUnavailable | None = None
    bytes_sent: int = 0


class DeadLetter(msgspec.Struct, frozen=True):
    """A reading that one uplink refused for good, or that could not be read.

    Attributes:
        number: of the letter.
        uplink: who refused it; "" for a damaged record.
        wall_ms: when, UTC epoch milliseconds.
        reason: what the receiver said.
        reading: None where the record is damaged.
    """

    number: int
    uplink: str
    wall_ms: int
    reason: str
    reading: Reading | None


class UplinkStats(msgspec.Struct, frozen=True):
    """One uplink's progress.

    Attributes:
        acknowledged, waiting, dead: readings.
        oldest_s: age of the oldest waiting.
        month, sent: a month and the bytes sent in it; see `outbox.days.month_at`.
    """

    acknowledged: int
    waiting: int
    dead: int
    oldest_s: float
    month: int = 0
    sent: int = 0


class OutboxStats(msgspec.Struct, frozen=True):
    """What `edgeagent outbox stats` prints.

    Attributes:
        accepted: readings made durable since the store was created.
        acknowledged: of these, acknowledged by every uplink.
        waiting: still owed to at least one uplink.
        thinned: replaced by a tombstone because the store was full.
        lost: known to be gone without acknowledgement.
        oldest_s: age of the oldest waiting reading, in seconds; 0 when none waits.
        uplinks: the same by uplink id.
    """

    accepted: int
    acknowledged: int
    waiting: int
    thinned: int
    lost: int
    oldest_s: float
    bytes: int
    uplinks: dict[str, UplinkStats]


class OutboxPlan(msgspec.Struct, frozen=True):
    """How long an outage may last before anything is thinned.

    Attributes:
        per_hour: readings stored per hour, measured.
        measured_s: over how many seconds; at most the last hour.
        bytes_each: bytes one reading takes in the file.
        free_bytes: room left.
        hours: how long that lasts; None while nothing was measured.
    """

    per_hour: float
    measured_s: float
    bytes_each: float
    free_bytes: int
    hours: float | None


class StreamOfDay(msgspec.Struct, frozen=True):
    """Numbers a stream was given on a day, from first to last, without a hole."""

    stream: str
    first: int
    last: int


class UplinkOfDay(msgspec.Struct, frozen=True):
    """What of a day's readings an uplink has not acknowledged: still waiting, or refused for good."""

    waiting: int
    dead: int


class DayBooks(msgspec.Struct, frozen=True, kw_only=True):
    """What `edgeagent outbox prove` prints: the books of one day (JST).

    Attributes:
        day: `2026-11-25`.
        open: it is not over yet.
        streams: every stream that was given numbers.
        accepted: readings made durable.
        thinned, lost: readings thinned, or found to be gone, on that day, whenever they were accepted.
        unsynced: of the accepted, those that came while the clock was not trusted.
        uplinks: by id.
    """

    day: str
    open: bool
    streams: list[StreamOfDay]
    accepted: int
    thinned: int
    lost: int
    unsynced: int
    uplinks: dict[str, UplinkOfDay]


class Outbox(Protocol):
    """Readings that survive a power cut; a cursor per uplink."""

    async def put(self, readings: Sequence[Reading]) -> Sequence[Reading]:
        """Make readings durable (fsynced) and give them their sequence numbers.

        Raises:
            OutboxUnavailable: nothing of this call was stored.
        """
        ...

    async def lease(
        self, uplink: str, limit: int, *, backfill: bool = True, live: bool = True, together: bool = False
    ) -> Batch:
        """Up to `limit` rows owed to this uplink, waiting until there is at least one.

        Alarms come first, then the newest row of each stream, then the rest from the oldest on (which
        also has its turn when live values never end).

        Args:
            uplink: id of the uplink.
            limit: rows at most.
            backfill: False waits for an alarm or a newest row.
            live: False (and no backfill) waits for an alarm.
            together: when all that waits fits into `limit`, it comes in one live batch, oldest first:
                without a backlog nothing needs to overtake.
        """
        ...

    async def settle(self, batch: Batch, delivery: Delivery) -> None:
        """Forget what was accepted, bury what was rejected, keep the rest for this uplink."""
        ...

    async def stats(self) -> OutboxStats:
        """Counts, durable across restarts."""
        ...

    async def close(self) -> None:
        """Commit and let go of the file."""
        ...


class Uplink(Protocol):
    """A receiver of readings."""

    async def deliver(self, rows: Sequence[Row], *, behind: bool = False) -> Delivery:
        """Deliver rows of one batch (at most the uplink's own limits; it splits as needed).

        Args:
            rows: what to deliver.
            behind: older rows of the same streams may still wait in the outbox, and will come
                later, perhaps after a restart.

        Raises:
            UplinkUnavailable: nothing is known to have arrived; all rows are kept.
        """
        ...

    async def close(self) -> None:
        """Let go of connections and threads."""
        ...
