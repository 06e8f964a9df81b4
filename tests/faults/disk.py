"""What a power cut leaves of the files that a process wrote.

strace records every write, sync, rename and unlink of the real process, and what it said on
stdout in between.  The model of a disk is the weakest that POSIX allows and journals keep:

- bytes are durable after fsync or fdatasync of their file; of the rest, each 512-byte sector and
  each new length is there or not, independently;
- names (created, renamed, removed) are durable after a sync of their directory; of the rest, the
  first few are there, in order.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

_SECTOR = 512
_CALLS = "pwrite64,write,fdatasync,fsync,ftruncate,unlink,rename,openat"
_LINE = re.compile(r"(?:\d+ +)?(\w+)\((.*)\) = (\d+)")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')
_FD = re.compile(r"(\d+)<([^>]*)>")
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Op:
    """One thing that happened; name is a file name within the folder, "" the folder itself."""

    what: str  # create write cut sync rename remove say
    name: str = ""
    offset: int = 0
    data: bytes = b""
    to: str = ""


def record(folder: Path, trace: Path, *arguments: str) -> list[Op]:
    """Run `python -m *arguments` under strace; what it did in `folder`, in order."""
    command = ["strace", "-f", "-y", "-xx", "-s", "2000000", "-o", str(trace), "-e", f"trace={_CALLS}"]
    subprocess.run([*command, sys.executable, "-m", *arguments], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return list(_ops(_whole_lines(trace), folder))


def _whole_lines(trace: Path) -> Iterator[str]:
    """Lines of the trace, calls that another thread interrupted put together where they ended."""
    begun: dict[str, str] = {}
    with trace.open() as lines:
        for line in lines:
            pid = line.split(None, 1)[0]
            if line.endswith("<unfinished ...>\n"):
                begun[pid] = line.removesuffix("<unfinished ...>\n")
            elif " resumed>" in line and pid in begun:
                yield begun.pop(pid) + line.partition(" resumed>")[2]
            else:
                yield line


def _ops(lines: Iterator[str], folder: Path) -> Iterator[Op]:
    known: set[str] = set()
    sizes: dict[str, int] = {}  # of files written without an offset: from the start, or at the end (O_APPEND)
    for line in lines:
        found = _LINE.match(line)
        if not found:
            continue  # failed, or the end of a thread
        call, arguments, result = found.groups()
        texts = [bytes.fromhex(text.replace("\\x", "")) for text, cut in _TEXT.findall(arguments) if not cut]
        if call == "write" and arguments.startswith("1<"):
            yield Op("say", data=texts[0])
        elif call in ("unlink", "rename"):
            names = [_within(os.fsdecode(text), folder) for text in texts]
            if names[0]:
                known.discard(names[0])
                known.update(names[1:])
                sizes.update(dict.fromkeys(names[1:], sizes.pop(names[0], 0)))
                yield Op("rename", names[0], to=names[1]) if call == "rename" else Op("remove", names[0])
        elif call == "openat":
            name = _within(os.fsdecode(texts[0]), folder)
            if name and "O_CREAT" in arguments:
                yield from _opened(name, arguments, known, sizes)
        else:
            name = _within(_path(arguments), folder)
            if name is not None:
                assert "write" not in call or len(texts[0]) == int(result), "a short write"
                yield _file_op(call, name, arguments, texts, sizes)


def _opened(name: str, arguments: str, known: set[str], sizes: dict[str, int]) -> Iterator[Op]:
    if name not in known:
        known.add(name)
        yield Op("create", name)
    elif "O_TRUNC" in arguments:
        yield Op("cut", name)
    if "O_APPEND" not in arguments:
        sizes[name] = 0


def _file_op(call: str, name: str, arguments: str, texts: list[bytes], sizes: dict[str, int]) -> Op:
    if call in ("fsync", "fdatasync"):
        return Op("sync", name)
    if call == "ftruncate":
        return Op("cut", name, int(arguments.rpartition(", ")[2]))
    if call == "pwrite64":
        return Op("write", name, int(arguments.rpartition(", ")[2]), texts[0])
    offset = sizes[name]
    sizes[name] += len(texts[0])
    return Op("write", name, offset, texts[0])


def _path(arguments: str) -> str:
    found = _FD.match(arguments)
    text = found[2] if found else ""
    return bytes.fromhex(text.replace("\\x", "")).decode() if text.startswith("\\x") else text


def _within(path: str, folder: Path) -> str | None:
    """Name below the folder, "" for the folder, None for anything else."""
    if path == str(folder):
        return ""
    head, _, name = path.rpartition("/")
    return name if head == str(folder) else None


@dataclass
class _File:
    durable: bytearray = field(default_factory=bytearray)
    pending: list[Op] = field(default_factory=list)

    def sync(self) -> None:
        for op in self.pending:
            _apply(self.durable, op.what, op.offset, op.data)
        self.pending.clear()

    def left(self, luck: Random) -> bytes:
        """The content after a cut."""
        content, share = bytearray(self.durable), luck.choice((0.0, 0.3, 0.7, 1.0))
        for op in self.pending:
            if op.what == "cut":
                if luck.random() < share:
                    _apply(content, "cut", op.offset)
                continue
            for begin in range(0, len(op.data), _SECTOR):
                if luck.random() < share:
                    _apply(content, "write", op.offset + begin, op.data[begin : begin + _SECTOR])
        return bytes(content)


class Disk:
    """Lives through recorded operations; may be cut off after any of them."""

    def __init__(self) -> None:
        self._names: dict[str, _File] = {}  # as the process sees them
        self._durable: dict[str, _File] = {}
        self._pending: list[tuple[Op, _File | None]] = []

    def happens(self, op: Op) -> None:
        if op.what in ("create", "rename", "remove"):
            if op.what == "create":
                self._names[op.name] = _File()
            self._pending.append((op, self._names[op.name]))
            _rename(self._names, op, self._names[op.name])
        elif op.what == "sync" and not op.name:
            for pending, file in self._pending:
                _rename(self._durable, pending, file)
            self._pending.clear()
        elif op.what == "sync":
            self._names[op.name].sync()
        elif op.what in ("write", "cut"):
            self._names[op.name].pending.append(op)

    def cut(self, folder: Path, luck: Random) -> None:
        """Write what is left into an empty folder."""
        names = dict(self._durable)
        for op, file in self._pending[: luck.randint(0, len(self._pending))]:
            _rename(names, op, file)
        for name, file in names.items():
            with (folder / name).open("wb", buffering=0) as out:
                out.write(file.left(luck))


def _rename(names: dict[str, _File], op: Op, file: _File | None) -> None:
    names.pop(op.name, None)
    if op.what == "create":
        names[op.name] = file
    elif op.what == "rename":
        names[op.to] = file


def _apply(content: bytearray, what: str, offset: int, data: bytes = b"") -> None:
    if what == "cut":
        del content[offset:]
        content.extend(bytes(max(offset - len(content), 0)))
        return
    content.extend(bytes(max(offset + len(data) - len(content), 0)))
    content[offset : offset + len(data)] = data
