"""Stand-ins that behave like what they stand for, faults included."""

from edgeagent.clock import Clock
from edgeagent.errors import EdgeAgentError
from edgeagent.ports import Site, Surroundings
from edgeagent.reading import Kind, Moment, Quantity, Reading, TimeTrust, Unit


class FakeClock:
    """A clock that moves only when told; the wall may be wrong and later become trusted."""

    def __init__(self, wall_ms=1_795_000_000_000, mono_s=1000.0, boot_id="b00700000001", trust=TimeTrust.SYNCED):
        self.wall_ms, self.mono_s, self.boot_id, self.trust = wall_ms, mono_s, boot_id, trust

    def now(self) -> Moment:
        return Moment(self.wall_ms, int(self.mono_s * 1000), self.boot_id, self.trust)

    def mono(self) -> float:
        return self.mono_s

    def advance(self, seconds: float) -> None:
        self.mono_s += seconds
        self.wall_ms += int(seconds * 1000)


class Collector:
    """An Emit that keeps everything: what a source said and what it complained of."""

    def __init__(self):
        self.readings: list[Reading] = []
        self.problems: list[tuple[str, EdgeAgentError]] = []

    async def __call__(self, *readings: Reading) -> None:
        self.readings.extend(readings)

    async def kept(self) -> None:
        pass

    def problem(self, source: str, error: EdgeAgentError) -> None:
        self.problems.append((source, error))


def surroundings(tmp_path, clock: Clock | None = None) -> Surroundings:
    return Surroundings(clock or FakeClock(), Site("GW-TEST", (138.25, 36.65)), tmp_path)


def water(level=1.23, *, source="miyagawa", at=None, **more) -> Reading:
    """A plain gauge reading."""
    return Reading(
        source=source,
        kind=Kind.WATER,
        entity=source,
        at=at or FakeClock().now(),
        quantities={"level": Quantity(level, Unit.METRE)},
        **more,
    )
