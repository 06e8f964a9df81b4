"""Bringing readings back from files set aside, a few pages between two calls of the store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edgeagent.clock import Clock
from edgeagent.errors import EdgeAgentError, OutboxUnavailable
from edgeagent.outbox import schema, trouble
from edgeagent.outbox.file import File
from edgeagent.outbox.ledger import Ledger
from edgeagent.outbox.room import Room
from edgeagent.outbox.salvage import Found, Salvage
from edgeagent.outbox.shelf import Shelf
from edgeagent.reading import Kind, Quantity, Reading

__all__ = ["Rescue"]

_PAGES = 64  # read at a time


class Rescue:
    """The file that is being read now, if any.

    Args:
        file: knows what was set aside.
        uplinks: ids of the configured uplinks.
        clock: for the moment of the gap that names what was not found.
        notice: told what a person should know.
    """

    def __init__(
        self, file: File, uplinks: tuple[str, ...], clock: Clock, notice: Callable[[EdgeAgentError], None]
    ) -> None:
        self._file, self._uplinks, self._clock, self._notice = file, uplinks, clock, notice
        self._wreck: Salvage | None = None
        self._look = True
        self._known: tuple[Path, Ledger] | None = None

    def look_again(self, aside: Path | None = None, ledger: Ledger | None = None) -> None:
        """Another file was set aside.

        Args:
            aside: that file.
            ledger: what was known of it in RAM; the file may not say who had the newest deliveries.
        """
        self._look = True
        if aside is not None and ledger is not None:
            self._known = (aside, ledger)

    def step(self, shelf: Shelf, room: Room) -> bool:
        """Bring some rows back; False when there are none (any more)."""
        if self._wreck is None and self._look:
            self._wreck = self._next()
        wreck = self._wreck
        if wreck is None:
            return False
        if room.scarce and room.thin() and room.scarce:
            return True
        try:
            found = wreck.read(_PAGES)
        except OSError as error:
            self._notice(trouble.of_file(error, wreck.path))
            self._end(wreck, shelf)
            return True
        if not _bring_back(wreck, found, shelf):
            wreck.close()
            self._wreck = None  # from where the file remembers it, at the next call
            return False
        if wreck.done:
            self._end(wreck, shelf)
        return True

    def _next(self) -> Salvage | None:
        path = self._file.unread()
        if path is None:
            self._look = False
            return None
        got = self._file.db.execute("SELECT value FROM numbers WHERE name = ?", (path.name,)).fetchone()
        try:
            wreck = Salvage(path, self._uplinks, place=got[0] if got else 0, rows=self._file.rows_aside(path))
        except OSError as error:
            self._notice(trouble.of_file(error, path))
            self._file.was_read(path)
            return None
        if self._known is not None and self._known[0] == path:
            wreck.learn(self._known[1])
        return wreck

    def _end(self, wreck: Salvage, shelf: Shelf) -> None:
        wreck.close()
        missing = wreck.missing()
        self._wreck = None
        self._notice(OutboxUnavailable("outbox.salvaged", file=str(wreck.path), count=wreck.brought, missing=missing))
        if missing:
            quantities = {"readings": Quantity(missing)}
            facts = {"reason": "damaged", "class": "any", "ranges": ""}
            at = self._clock.now()
            gap = Reading(source="outbox", kind=Kind.GAP, entity="outbox", at=at, quantities=quantities, facts=facts)
            shelf.lose(missing, [gap])
        self._file.was_read(wreck.path)


def _bring_back(wreck: Salvage, found: Found, shelf: Shelf) -> bool:
    """Rows keep their numbers; who had them already is not owed them again."""
    boots = {name: offset_ms for name, offset_ms in found.boots.items() if name not in shelf.offsets}
    items = [
        (reading, [name for name in shelf.ledger.accounts if old in wreck.settled[name]])
        for old, reading in sorted(found.rows.items())
    ]

    def write() -> None:
        shelf.file.db.executemany(schema.ADD_BOOT, boots.items())
        shelf.file.db.execute(schema.SET_NUMBER, (wreck.path.name, wreck.place))

    if not shelf.readmit(items, write):
        return False
    shelf.offsets.update(boots)
    return True
