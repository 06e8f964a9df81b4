"""Making room in a store that is as good as full; `retention` says what goes."""

from __future__ import annotations

import contextlib
import itertools

from edgeagent.outbox import retention, schema
from edgeagent.outbox.ledger import runs_of
from edgeagent.outbox.record import RecordDamaged, RecordUnknown, pack, unpack
from edgeagent.outbox.shelf import CLASS, Shelf
from edgeagent.ports import Row
from edgeagent.reading import ReadingClass

__all__ = ["Room"]

_HIGH, _LOW = 0.97, 0.95  # thinning begins and ends at these shares of the room
_STEP = 5000  # rows looked at in one step of thinning
_STEPS = 10  # steps before one put: its caller waits for them
_FEW = 50  # a stage waits until so many ids are new to it


class Room:
    """How far each stage of thinning has come with one shelf."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._reached = [0] * len(retention.STAGES)

    @property
    def scarce(self) -> bool:
        """Whether something should go before more comes in."""
        return self._shelf.file.fullness() > _HIGH

    def free_bytes(self) -> int:
        """Bytes that readings may still take before anything is thinned."""
        file = self._shelf.file
        return max(int(file.room_bytes() * _HIGH) - file.used_bytes(), 0)

    def make(self, *, all_of_it: bool = False) -> bool:
        """Thin until there is room again, but not for longer than a put may wait.

        Args:
            all_of_it: go on as long as there is something to thin: without it the put fails.

        Returns:
            Whether anything went.
        """
        before = self._shelf.ledger.thinned
        for step in itertools.count():
            if step >= _STEPS and not all_of_it:
                break
            if self._shelf.file.fullness() <= (_LOW / 2 if all_of_it else _LOW) or not self.thin():
                break
        return self._shelf.ledger.thinned > before

    def thin(self) -> bool:
        """One step; False when there is nothing left that may go."""
        ledger = self._shelf.ledger
        boundary = ledger.last - max(_FEW, ledger.waiting // 10)
        floor = ledger.store.settled.floor
        begins = [max(reached, floor) for reached in self._reached]
        index = next((at for at, begin in enumerate(begins) if begin + _FEW <= boundary), None)
        if index is None:
            return False
        begin, stage = begins[index], retention.STAGES[index]
        found = self._shelf.file.db.execute(schema.OLD, (begin, boundary, _STEP)).fetchall()
        self._reached[index] = found[-1][0] if len(found) == _STEP else boundary
        classes = {CLASS[cls] for cls in stage.classes} | ({CLASS[ReadingClass.ROUTINE]} if stage.gaps else set())
        rows = []
        for row, cls, record in found:
            if cls in classes and not ledger.on_lease(row):
                with contextlib.suppress(RecordUnknown, RecordDamaged):  # met and counted when it is leased
                    rows.append(Row(row, unpack(record)))
        cut = retention.cut(rows, stage, ledger.order.newest, ledger.untouched)
        return not cut.gone or self._replace(cut)

    def _replace(self, cut: retention.Cut) -> bool:
        """Delete, change and add in one transaction, so that every loss is named or did not happen."""
        shelf = self._shelf
        if shelf.books.dirty:
            shelf.books.write()
        new = shelf.stamp(cut.gaps)

        def change() -> None:
            shelf.file.db.executemany(schema.CHANGE_ROW, [(pack(row.reading), row.id) for row in cut.changed])

        for run in runs_of(cut.gone):
            shelf.books.forget(shelf.ledger.thin(*run))
        return shelf.thin(cut.counts, new, change)
