"""What a power cut leaves of a tree of folders, as `tests.faults.disk` says it for one folder.

Bytes: as there.  Names: a folder's entries are durable after a sync of that folder; of what came later the
first few are there, in order, in every folder independently of the others.  A folder whose own name is not
durable takes everything in it along.
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.faults.disk import ROOT, Op, _File, _whole_lines

_CALLS = "write,pwrite64,fdatasync,fsync,ftruncate,openat,unlink,unlinkat,rmdir,rename,mkdir,mkdirat,symlink,link"
_NEVER = "renameat,renameat2,linkat,symlinkat,writev,pwritev,copy_file_range,sendfile,fallocate"  # not understood here
_LINE = re.compile(r"(?:\d+ +)?(\w+)\((.*)\) = (\d+)")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_FD = re.compile(r"(?:AT_FDCWD|\d+)<([^>]*)>")


def record(folder: Path, trace: Path, *arguments: str) -> list[Op]:
    """Run `python -m *arguments` under strace; what it did below `folder`, in order; names are relative to it."""
    words = ["strace", "-f", "-y", "-xx", "-s", "2000000", "-o", str(trace), "-e", f"trace={_CALLS},{_NEVER}"]
    subprocess.run([*words, sys.executable, "-m", *arguments], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    reader = _Reader(folder)
    return [op for line in _whole_lines(trace) for op in reader.read(line)]


class _Reader:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: set[str] = set()
        self._sizes: dict[str, int] = {}  # where the next write without an offset goes

    def read(self, line: str):
        found = _LINE.match(line)
        if not found:
            return  # failed, or the end of a thread
        call, arguments, result = found.groups()
        texts = [bytes.fromhex(text.replace("\\x", "")) for text in _TEXT.findall(arguments)]
        where = [bytes.fromhex(text.replace("\\x", "")).decode() for text in _FD.findall(arguments)]
        if call == "write" and arguments.startswith("1<"):
            yield Op("say", data=texts[0])
            return
        names = [self._within(os.path.join(*where[:1], os.fsdecode(text))) for text in texts]  # noqa: PTH118
        if call in ("write", "pwrite64", "fsync", "fdatasync", "ftruncate"):
            name = self._within(where[0]) if where else None
            if name is not None:
                yield self._to_a_file(call, name, arguments, texts, int(result))
            return
        if not names or not names[-1]:  # elsewhere, or the folder itself
            return
        assert call not in _NEVER.split(","), f"a call that the model does not know: {call}"
        if call == "openat" and "O_CREAT" in arguments:
            yield from self._opened(names[0], arguments)
        elif call in ("unlink", "unlinkat", "rmdir"):
            self._known.discard(names[0])
            yield Op("remove", names[0])
        elif call == "rename":
            self._known.discard(names[0])
            self._known.add(names[1])
            self._sizes[names[1]] = self._sizes.pop(names[0], 0)
            yield Op("rename", names[0], to=names[1])
        elif call in ("mkdir", "mkdirat"):
            yield Op("mkdir", names[0])
        elif call == "symlink":
            yield Op("symlink", names[1], data=texts[0])

    def _opened(self, name, arguments):
        if name not in self._known:
            self._known.add(name)
            yield Op("create", name)
        elif "O_TRUNC" in arguments:
            yield Op("cut", name)
        if "O_APPEND" not in arguments or name not in self._sizes:
            self._sizes[name] = 0

    def _to_a_file(self, call, name, arguments, texts, result):
        if call in ("fsync", "fdatasync"):
            return Op("sync", name)
        if call == "ftruncate":
            return Op("cut", name, int(arguments.rpartition(", ")[2]))
        assert len(texts[0]) == result, "a short write"
        if call == "pwrite64":
            return Op("write", name, int(arguments.rpartition(", ")[2]), texts[0])
        offset = self._sizes[name]
        self._sizes[name] += result
        return Op("write", name, offset, texts[0])

    def _within(self, path: str) -> str | None:
        """Path below the folder, "" for the folder itself, None for anything else."""
        if path == str(self._folder):
            return ""
        head = f"{self._folder}/"
        return path.removeprefix(head) if path.startswith(head) else None


@dataclass
class _Link:
    target: str


@dataclass
class _Folder:
    now: dict = field(default_factory=dict)
    durable: dict = field(default_factory=dict)
    pending: list = field(default_factory=list)  # (name, inode or None) in order

    def put(self, *changes) -> None:
        """One step: all of its changes are there after a cut, or none."""
        self.pending.append(changes)
        _apply(self.now, changes)

    def sync(self) -> None:
        for changes in self.pending:
            _apply(self.durable, changes)
        self.pending.clear()

    def left(self, luck: Random) -> dict:
        entries = dict(self.durable)
        for changes in self.pending[: luck.randint(0, len(self.pending))]:
            _apply(entries, changes)
        return entries


def _apply(entries: dict, changes) -> None:
    for name, inode in changes:
        if inode is None:
            entries.pop(name, None)
        else:
            entries[name] = inode


class Tree:
    """Lives through recorded operations; may be cut off after any of them."""

    def __init__(self) -> None:
        self._root = _Folder()

    def happens(self, op: Op) -> None:
        if op.what == "say":
            return
        folder, name = self._at(op.name)
        if op.what == "create":
            folder.put((name, _File()))
        elif op.what == "mkdir":
            folder.put((name, _Folder()))
        elif op.what == "symlink":
            folder.put((name, _Link(os.fsdecode(op.data))))
        elif op.what == "remove":
            folder.put((name, None))
        elif op.what == "rename":
            to, new = self._at(op.to)
            assert to is folder, "a rename from folder to folder"
            folder.put((name, None), (new, folder.now[name]))
        elif op.what == "sync":
            (folder.now[name] if name else folder).sync()
        else:
            folder.now[name].pending.append(op)

    def _at(self, path: str):
        """(folder, name) of a path; name is "" for the root."""
        *folders, name = path.split("/")
        folder = self._root
        for one in folders:
            folder = folder.now[one]
        return folder, name

    def cut(self, place: Path, luck: Random) -> None:
        """Write what is left into an empty folder."""
        _leave(self._root, place, luck)


def _leave(folder: _Folder, place: Path, luck: Random) -> None:
    for name, inode in folder.left(luck).items():
        at = place / name
        if isinstance(inode, _Folder):
            at.mkdir()
            _leave(inode, at, luck)
        elif isinstance(inode, _Link):
            at.symlink_to(inode.target)
        else:
            at.write_bytes(inode.left(luck))
