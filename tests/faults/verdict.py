"""What was accepted against what the receiver holds."""

import contextlib
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from edgeagent.ngsi.terms import TYPES
from edgeagent.reading import Reading

BOOKS = "ReadingCompleteness:"  # what the outbox itself tells at the end of a day
ROUNDS = int(os.environ.get("EDGEAGENT_ROUNDS", "0"))


def rounds(short: int, per_thousand: int) -> int:
    """How often: `short` in the normal suite, else `per_thousand` for EDGEAGENT_ROUNDS=1000."""
    return max(short, per_thousand * ROUNDS // 1000)


@contextlib.contextmanager
def in_ram() -> Iterator[Path]:
    """A folder that needs no real disk: what a sync is worth has been decided elsewhere."""
    ram = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="edgeagent-", dir=ram if ram.is_dir() else None) as name:
        yield Path(name)


def level_of(reading: Reading) -> float | None:
    found = reading.quantities.get("level")
    return found.value if found is not None else None


@dataclass
class Arrived:
    """One reading as a receiver saw it; thing is `<entity type>:<entity>`."""

    thing: str
    sequence: int
    level: float | None


@dataclass
class Verdict:
    """missing, wrong, unknown, stale must be empty; repeats are allowed and counted."""

    accepted: int
    missing: list = field(default_factory=list)
    wrong: list = field(default_factory=list)
    unknown: list = field(default_factory=list)
    stale: list = field(default_factory=list)
    repeats: int = 0

    @property
    def good(self) -> bool:
        return self.accepted > 0 and not (self.missing or self.wrong or self.unknown or self.stale)


def thing_of(reading: Reading) -> str:
    return f"{TYPES[reading.kind]}:{reading.entity}"


def compare(
    accepted: list[Reading], arrived: list[Arrived], current: dict[str, int], perhaps: Iterable[Reading] = ()
) -> Verdict:
    """Hold both sides together.

    Args:
        accepted: what the outbox said it has, with sequence numbers.
        arrived: everything the receiver was sent.
        current: sequence number of what the receiver holds as the current state, by thing.
        perhaps: what was about to be accepted when the process was killed: may have arrived, once.
    """
    wanted = {(thing_of(r), r.sequence): level_of(r) for r in accepted}
    verdict = Verdict(len(accepted))
    if len(wanted) != len(accepted):
        verdict.wrong.append("a sequence number was given twice")
    seen = Counter((one.thing, one.sequence) for one in arrived)
    cut_off = Counter((thing_of(r), level_of(r)) for r in perhaps)
    for one in sorted(arrived, key=lambda one: one.sequence):
        if (one.thing, one.sequence) not in wanted and cut_off[(one.thing, one.level)] > 0:
            cut_off[(one.thing, one.level)] -= 1
            wanted[(one.thing, one.sequence)] = one.level
    verdict.repeats = sum(seen.values()) - len(seen)
    verdict.missing = sorted(wanted.keys() - seen.keys())
    verdict.unknown = sorted(key for key in seen.keys() - wanted.keys() if not key[0].startswith(BOOKS))
    for one in arrived:
        level = wanted.get((one.thing, one.sequence))
        if level is not None and one.level is not None and level != one.level:
            verdict.wrong.append((one, level))
    newest: dict[str, int] = {}
    for thing, sequence in wanted:
        newest[thing] = max(sequence, newest.get(thing, 0))
    verdict.stale = [(thing, current.get(thing), n) for thing, n in newest.items() if current.get(thing) != n]
    return verdict


def of_city(city) -> tuple[list[Arrived], dict[str, int]]:
    """Everything a `simulate.city` was sent, and its current state."""
    history, snapshot = city.history(), city.snapshot()
    arrived = [Arrived(_thing(i.entity), i.sequence, i.values.get("waterLevel")) for i in history]
    return arrived, {_thing(name): i.sequence for name, i in snapshot.newest.items()}


def _thing(entity: str) -> str:
    """urn:ngsi-ld:<type>:<gateway>:<entity> -> <type>:<entity>."""
    _, _, type_, _, name = entity.split(":", 4)
    return f"{type_}:{name}"
