"""Where signed files come from: a web server, a folder, a USB stick.

An origin is trusted with nothing: it may serve rubbish, too much, too slowly, or send us in
circles.  Redirects are not followed, every answer has a size and a deadline, and what it says is
believed only after `trust` has checked it.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import urllib3

from edgeagent.clock import Clock
from edgeagent.errors import UpdateUnavailable

__all__ = ["CHUNK", "FOLDER_NAME", "FolderOrigin", "Missing", "Origin", "WebOrigin", "origin_of", "usb_sticks"]

CHUNK = 16_384  # read so much before a length is checked
FOLDER_NAME = "edgeagent-update"  # of the repository on a USB stick
_GONE = (403, 404)
_FINE = (200, 206)
_MOUNTS = Path("/proc/self/mounts")
_STICKS = ("vfat", "exfat", "ext4", "ext3", "ext2", "ntfs3", "fuseblk", "iso9660")


class Missing(UpdateUnavailable):
    """The origin answers and has no such file (HTTP 403 or 404)."""


class Origin(Protocol):
    """A place with the folders `metadata/` and `targets/`.

    Attributes:
        where: for messages.
        fetched: bytes of bodies so far.
        requests: how many so far.
    """

    where: str
    fetched: int
    requests: int

    def read(self, path: str, start: int = 0) -> Iterator[bytes]:
        """A file from byte `start` on, in pieces.

        Raises:
            Missing: there is no such file.
            UpdateUnavailable: anything else.
        """
        ...


class FolderOrigin:
    """A repository in a folder."""

    def __init__(self, folder: Path) -> None:
        self.where = str(folder)
        self.fetched = self.requests = 0
        self._folder = folder

    def read(self, path: str, start: int = 0) -> Iterator[bytes]:
        """As Origin."""
        self.requests += 1
        try:
            with (self._folder / path).open("rb") as file:
                file.seek(start)
                while piece := file.read(CHUNK):
                    self.fetched += len(piece)
                    yield piece
        except (FileNotFoundError, NotADirectoryError) as error:
            if not (self._folder / "metadata").is_dir():
                raise UpdateUnavailable("update.no-repository", where=self.where) from error
            raise Missing("update.missing", where=self.where, file=path) from error
        except OSError as error:
            raise UpdateUnavailable("update.unreachable", where=self.where, why=error.strerror or str(error)) from error


class WebOrigin:
    """A repository on a web server.

    Args:
        url: `https://…`; plain http is for a server on this very machine and for tests.
        ca: PEM file of authorities; "" for the system's.
        clock: for the deadline.
        timeout_s: of one packet.
        slowest_bytes_per_s: below this, over a whole file, it is given up.
    """

    def __init__(
        self, url: str, *, clock: Clock, ca: str = "", timeout_s: float = 20.0, slowest_bytes_per_s: int = 500
    ) -> None:
        self._base = url.rstrip("/") + "/"
        self.where = urllib.parse.urlsplit(url).netloc.rpartition("@")[2]
        self.fetched = self.requests = 0
        self._clock, self._timeout_s, self._slowest = clock, timeout_s, slowest_bytes_per_s
        limit = urllib3.Timeout(connect=timeout_s, read=timeout_s)
        self._pool = urllib3.PoolManager(num_pools=1, maxsize=1, timeout=limit, ca_certs=ca or None)

    def read(self, path: str, start: int = 0) -> Iterator[bytes]:
        """As Origin."""
        self.requests += 1
        began_s, got = self._clock.mono(), 0
        headers = {"Accept-Encoding": "identity", "User-Agent": "edgeagent"}
        if start:
            headers["Range"] = f"bytes={start}-"
        try:
            answer = self._pool.request(
                "GET", self._base + path, headers=headers, retries=False, redirect=False, preload_content=False
            )
            try:
                self._judge(answer.status, path)
                skip = start if start and answer.status == _FINE[0] else 0  # a server that does not know Range
                for piece in answer.stream(CHUNK, decode_content=False):
                    self.fetched += len(piece)
                    got += len(piece)
                    if self._clock.mono() - began_s > self._timeout_s + got / self._slowest:
                        raise UpdateUnavailable("update.too-slow", where=self.where, file=path)
                    if skip >= len(piece):
                        skip -= len(piece)
                        continue
                    yield piece[skip:]
                    skip = 0
            finally:
                answer.close()
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            why = type(error).__name__ if not str(error) else str(error).splitlines()[0][:160]
            raise UpdateUnavailable("update.unreachable", where=self.where, why=why) from error

    def _judge(self, status: int, path: str) -> None:
        if status in _GONE:
            raise Missing("update.missing", where=self.where, file=path)
        if status not in _FINE:
            raise UpdateUnavailable("update.http", where=self.where, file=path, status=status)


def origin_of(place: str, *, clock: Clock, ca: str = "") -> Origin:
    """The origin that an address means: a URL, or a folder."""
    if place.startswith(("https://", "http://")):
        return WebOrigin(place, clock=clock, ca=ca)
    return FolderOrigin(Path(place.removeprefix("file://")))


def usb_sticks(mounts: Path = _MOUNTS) -> list[Path]:
    """Repositories on mounted sticks: a folder `edgeagent-update` at the top of a file system."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        words = line.split()
        if len(words) > 2 and words[2] in _STICKS:  # noqa: PLR2004  device, place, type, …; see proc(5)
            folder = Path(words[1].encode().decode("unicode_escape")) / FOLDER_NAME
            if (folder / "metadata" / "timestamp.json").is_file():
                found.append(folder)
    return found
