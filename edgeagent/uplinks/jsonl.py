"""`jsonl`: one JSON line per reading, to a file or stdout.

For dry runs and the bench, and the example to copy when you write an uplink of your own: a frozen
Config, `make`, `deliver`, `close`, and a line in UPLINKS.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from edgeagent.errors import UplinkUnavailable
from edgeagent.ports import Delivery, Row, Surroundings, UplinkConfig
from edgeagent.reading import Reading
from edgeagent.uplinks.thread import NamedThread

__all__ = ["JsonLines", "JsonLinesConfig"]

_STDOUT = "-"


class JsonLinesConfig(UplinkConfig, frozen=True, kw_only=True):
    """`driver = "jsonl"`.

    Attributes:
        path: file to append to, relative to the state directory; `-` is stdout.
        fsync: count a line as delivered only when it is on the disk.
    """

    path: str = _STDOUT
    fsync: bool = False


class JsonLines:
    """Appends lines; a line is whole or not there."""

    Config = JsonLinesConfig

    def __init__(self, config: JsonLinesConfig, around: Surroundings) -> None:
        self._config = config
        self._path = around.state_dir / config.path
        self._thread = NamedThread(f"uplink-{config.id}")
        self._file: int | None = None

    @classmethod
    def make(cls, config: JsonLinesConfig, around: Surroundings) -> JsonLines:
        """The uplink of one section."""
        return cls(config, around)

    async def deliver(self, rows: Sequence[Row], *, behind: bool = False) -> Delivery:  # noqa: ARG002  a file has no newest
        """Write every row, or none.

        Raises:
            UplinkUnavailable: the file cannot be written.
        """
        lines = b"".join(line(row.reading) for row in rows)
        await self._thread.run(lambda: self._write(lines))
        return Delivery(frozenset(row.id for row in rows))

    async def close(self) -> None:
        """Close the file."""
        await self._thread.run(self._close)
        self._thread.close()

    def _write(self, lines: bytes) -> None:
        try:
            if self._config.path == _STDOUT:
                sys.stdout.buffer.write(lines)
                sys.stdout.buffer.flush()
                return
            if self._file is None:
                self._file = _open(self._path)
            start = os.fstat(self._file).st_size
            try:
                rest = memoryview(lines)
                while rest:
                    rest = rest[os.write(self._file, rest) :]
                if self._config.fsync:
                    os.fsync(self._file)
            except OSError:
                os.ftruncate(self._file, start)  # half a line would spoil the next one
                raise
        except OSError as error:
            self._close()
            raise UplinkUnavailable(
                "uplinks.file", uplink=self._config.id, file=str(self._path), why=error.strerror or str(error)
            ) from error

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def line(reading: Reading) -> bytes:
    """A reading as a JSON object with names, and the line's end."""
    made = {
        "source": reading.source,
        "kind": reading.kind,
        "entity": reading.entity,
        "sequence": reading.sequence,
        "class": reading.cls,
        "at": dict(zip(reading.at.__struct_fields__, msgspec.structs.astuple(reading.at), strict=True)),
        "span_ms": reading.span_ms,
        "quantities": {
            name: {"value": q.value, "unit": q.unit, "quality": q.quality} for name, q in reading.quantities.items()
        },
        "facts": reading.facts,
    }
    return msgspec.json.encode(made) + b"\n"


def _open(path: Path) -> int:
    """Open for appending; a last line that a power cut left unended is ended."""
    file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    if (size := os.fstat(file).st_size) and os.pread(file, 1, size - 1) != b"\n":
        os.write(file, b"\n")
    return file
