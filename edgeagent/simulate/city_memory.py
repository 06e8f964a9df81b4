"""What the embedded city remembers: the current state, the history, and what looked wrong.

Like real brokers it lets the last write win and compares no times; unlike them it notices.
Pure; the server in `city` calls it under a lock.
"""

from __future__ import annotations

import datetime as dt
from collections import deque
from collections.abc import Iterable
from typing import Any

import msgspec

__all__ = ["CityMemory", "Instance", "Snapshot"]


class Instance(msgspec.Struct, frozen=True):
    """One entity at one moment, as it was received.

    Attributes:
        entity, type: as sent.
        observed_at: ISO 8601 UTC.
        sequence: `sequenceNumber`, 0 when there was none.
        values: attribute name -> bare value.
        way: `upsert`, `temporal`, `v2` or `quantumleap`.
    """

    entity: str
    type: str
    observed_at: str
    sequence: int
    values: dict[str, Any]
    way: str

    @property
    def wall_ms(self) -> int:
        """`observed_at` as UTC epoch milliseconds."""
        return round(dt.datetime.fromisoformat(self.observed_at).timestamp() * 1000)


class Snapshot(msgspec.Struct, frozen=True):
    """Counts since the start.

    Attributes:
        requests: writes received, refused ones too.
        refused: of these, answered with an error.
        instances: moments stored.
        distinct: of these, with a sequence number not seen before for the entity.
        duplicates: with one seen before.
        regressions: writes that left an older value as the current one.
        repeated: an entity twice in one request.
        newest: current state by entity id: the last instance written to it.
    """

    requests: int
    refused: int
    instances: int
    distinct: int
    duplicates: int
    regressions: int
    repeated: int
    newest: dict[str, Instance]


class CityMemory:
    """Current state and history, bounded.

    Args:
        remember: instances and sequence numbers kept; older ones are forgotten.
        entities: entities kept; further ones are refused with ValueError.
    """

    def __init__(self, *, remember: int = 200_000, entities: int = 10_000) -> None:
        self._entities = entities
        self._seen: dict[tuple[str, int], None] = {}
        self._remember = remember
        self.current: dict[str, dict[str, Any]] = {}
        self.newest: dict[str, Instance] = {}
        self.history: deque[Instance] = deque(maxlen=remember)
        self.requests = self.refused = self.instances = self.duplicates = self.regressions = self.repeated = 0

    def upsert(self, instance: Instance, attributes: dict[str, Any]) -> bool:
        """Write one entity to the current state (attributes not sent stay).

        Returns:
            Whether the entity is new.
        """
        known = self.current.get(instance.entity)
        if known is None:
            if len(self.current) >= self._entities:
                raise ValueError(f"more than {self._entities} entities")
            self.current[instance.entity] = {"id": instance.entity, "type": instance.type, **attributes}
        else:
            known.update(attributes)
            if instance.observed_at < self.newest[instance.entity].observed_at:
                self.regressions += 1
        self.newest[instance.entity] = instance
        self._record(instance)
        return known is None

    def add_history(self, instances: Iterable[Instance], attributes: dict[str, Any]) -> bool:
        """Add moments of one entity; an unknown entity takes them as its state, as one real broker does.

        Returns:
            Whether the entity is new.
        """
        new = False
        for instance in instances:
            if instance.entity not in self.current:
                new = self.upsert(instance, attributes)
            else:
                self._record(instance)
        return new

    def note(self, instances: Iterable[Instance]) -> None:
        """Add moments to the history alone, as QuantumLeap does."""
        for instance in instances:
            self._record(instance)

    def between(self, entity: str, since: str, until: str) -> list[Instance]:
        """Moments of one entity strictly between two times, ends not included."""
        return [i for i in self.history if i.entity == entity and since < i.observed_at < until]

    def snapshot(self) -> Snapshot:
        """The counts now."""
        return Snapshot(
            self.requests,
            self.refused,
            self.instances,
            self.instances - self.duplicates,
            self.duplicates,
            self.regressions,
            self.repeated,
            dict(self.newest),
        )

    def _record(self, instance: Instance) -> None:
        self.instances += 1
        self.history.append(instance)
        if not instance.sequence:
            return
        key = (instance.entity, instance.sequence)
        if key in self._seen:
            self.duplicates += 1
            return
        self._seen[key] = None
        if len(self._seen) > self._remember:
            del self._seen[next(iter(self._seen))]
