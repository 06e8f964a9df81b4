"""What may be believed: python-tuf's ngclient, made safe for a box that loses power and has no RTC.

ngclient checks signatures, thresholds, versions and expiry (TUF specification 1.0, section 5).
What it leaves to its user, and what this file adds:

- Its files are renamed but not fsynced; a power cut may leave them empty, and with an empty cache
  an old signed timestamp is accepted again.  Here every file is fsynced, and the versions seen
  last stand in a file of our own (`floors.json`), below which nothing is accepted.  A floor counts
  for the keys that signed it: when the parent role changes the keys (recovery from a thief who ran
  the versions up), it starts again.
- Expiry is judged by max(clock, floor of time, build time).  The floor only rises while the clock
  is synchronised, so a clock that runs ahead cannot poison it; a clock that is far ahead and not
  synchronised is a reason to wait, not to refuse for ever.
- Targets appear whole or not at all, and go on where they stopped.
- The root of trust is the one that was installed with the package, never the cache.
- Whatever ngclient raises becomes one of two errors: not trusted (stay), or not available (later).

Two names of tuf 7.0 are private: `Updater._persist_file`, `Updater._trusted_set`; tests/update
hold them in place.  May import: clock errors; tuf.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
from tuf.api import exceptions
from tuf.api.metadata import Delegations, Root, Targets
from tuf.ngclient import Updater, UpdaterConfig
from tuf.ngclient.fetcher import FetcherInterface

from edgeagent.clock import Clock
from edgeagent.errors import EdgeAgentError, UpdateRefused, UpdateUnavailable
from edgeagent.reading import TimeTrust
from edgeagent.update import durable
from edgeagent.update.origin import Missing, Origin
from edgeagent.update.resolve import Named

__all__ = ["FAR_AHEAD_S", "Floors", "Seen", "Trust", "effective_s"]

FAR_AHEAD_S = 400 * 86_400  # no box is offline so long and comes back with a clock to be believed
_TIME_STEP_S = 6 * 3600  # the floor of time is written so often at most: an SD card wears out
_TOP = ("root", "timestamp", "snapshot", "targets")
_NOT_FOUND = 404
_SHA256 = re.compile(r"[0-9a-f]{64}")
_CODES = (
    (exceptions.ExpiredMetadataError, "update.expired"),
    (exceptions.BadVersionNumberError, "update.older-than-seen"),
    (exceptions.LengthOrHashMismatchError, "update.tampered"),
    (exceptions.UnsignedMetadataError, "update.not-signed"),
)


class Floor(msgspec.Struct, frozen=True):
    """A version seen, and the keys that vouched for it."""

    version: int
    keys: tuple[str, ...]


class Floors(msgspec.Struct, frozen=True):
    """What was once known and may not be forgotten.

    Attributes:
        time_s: newest synchronised wall time, UTC epoch seconds.
        roles: by role name.
    """

    time_s: int = 0
    roles: dict[str, Floor] = {}


class Seen(msgspec.Struct, frozen=True):
    """The state of the repository after a successful refresh.

    Attributes:
        versions: by top-level role.
        expires_s: UTC epoch seconds when the first of the top-level roles expires, and which.
        first_to_expire: its name.
        at_s: the effective time it was judged by.
    """

    versions: dict[str, int]
    expires_s: int
    first_to_expire: str
    at_s: int


def effective_s(clock_s: int, floor_s: int, built_s: int, *, synced: bool) -> int:
    """The time by which expiry is judged, UTC epoch seconds.

    Raises:
        UpdateUnavailable: the clock is implausibly far ahead and nobody vouches for it.
    """
    known = max(floor_s, built_s)
    if not synced and known and clock_s > known + FAR_AHEAD_S:
        raise UpdateUnavailable("update.clock-ahead", clock=_date(clock_s), known=_date(known))
    return max(clock_s, known)


class Trust:
    """One look at one repository; made anew for every poll.

    Args:
        folder: where metadata, targets and floors are kept; made if missing.
        origin: where to fetch from.
        root: the installed root metadata, bytes.
        clock: wall time and whether it is synchronised.
        built_s: when this software was built, UTC epoch seconds.
    """

    def __init__(self, folder: Path, origin: Origin, root: bytes, clock: Clock, *, built_s: int = 0) -> None:
        self._folder, self._origin, self._root, self._clock, self._built_s = folder, origin, root, clock, built_s
        self._targets = folder / "targets"
        self._updater: _Updater | None = None
        self._floors = Floors()
        self._checked: set[str] = set()

    def refresh(self) -> Seen:
        """Fetch and verify root, timestamp, snapshot and targets.

        Raises:
            UpdateRefused: not trusted.  UpdateUnavailable: not to be had now.
        """
        now = self._clock.now()
        with _ours(self._origin.where):
            for folder in (self._folder, self._folder / "metadata", self._targets):
                durable.folder(folder)
            self._floors = _read_floors(self._folder / "floors.json")
            synced = now.trust is TimeTrust.SYNCED
            at_s = effective_s(now.wall_ms // 1000, self._floors.time_s, self._built_s, synced=synced)
            updater = _Updater(self._folder / "metadata", self._origin, self._root, at_s)
            updater.refresh()
            self._updater = updater
            self._hold(_TOP)
            self._remember(now.wall_ms // 1000 if synced else 0)
            roles = {name: updater.role(name) for name in _TOP}
            expiries = {name: int(role.expires.timestamp()) for name, role in roles.items()}
            first = min(expiries, key=lambda name: expiries[name])
            return Seen({n: r.version for n, r in roles.items()}, expiries[first], first, at_s)

    def find(self, path: str) -> Named | None:
        """What signed metadata says about a path; None when it is nobody's.

        Raises:
            UpdateRefused, UpdateUnavailable: as `refresh`.
        """
        updater = self._refreshed()
        with _ours(self._origin.where):
            found = updater.get_targetinfo(path)
            self._hold(updater.delegated())
            self._remember(0)
        if found is None:
            return None
        custom = found.unrecognized_fields.get("custom")
        digest = found.hashes.get("sha256", "")
        if not _SHA256.fullmatch(digest):  # becomes a file name
            raise UpdateRefused("update.bad-metadata", where=self._origin.where, why=f"{path}: no sha256")
        return Named(path, digest, found.length, custom if isinstance(custom, dict) else {})

    def fetch(self, target: Named) -> Path:
        """A verified copy of a target, whole and durable; goes on where an earlier attempt stopped.

        Raises:
            UpdateRefused: what came is not what was signed.  UpdateUnavailable: later.
        """
        with _ours(self._origin.where):
            whole = self._targets / target.sha256
            if _digest(whole) == target.sha256:
                return whole
            part = self._targets / f"{target.sha256}.part"
            resumed = self._download(target, part)
            if _digest(part) != target.sha256 and resumed:  # what an interrupted write left was no good
                part.unlink()
                self._download(target, part)
            if part.stat().st_size != target.length or _digest(part) != target.sha256:
                part.unlink()
                raise UpdateRefused("update.tampered", where=self._origin.where, file=target.path)
            durable.rename(part, whole)
            return whole

    def prune(self, keep: set[str]) -> None:
        """Remove targets whose sha256 is not in `keep`."""
        for file in self._targets.iterdir():
            if file.name.removesuffix(".part") not in keep:
                file.unlink(missing_ok=True)

    def _download(self, target: Named, part: Path) -> bool:
        """Fetch the rest of a target; whether there was something to go on from."""
        had = part.stat().st_size if part.exists() else 0
        if had > target.length:
            part.unlink()
            had = 0
        folder, slash, name = target.path.rpartition("/")
        size = had
        with part.open("ab") as file:
            rest = self._origin.read(f"targets/{folder}{slash}{target.sha256}.{name}", size)
            for piece in rest if size < target.length else ():
                size += len(piece)
                if size > target.length:
                    part.unlink()
                    raise UpdateRefused("update.tampered", where=self._origin.where, file=target.path)
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        return had > 0

    def _refreshed(self) -> _Updater:
        assert self._updater is not None, "refresh first"
        return self._updater

    def _hold(self, names: tuple[str, ...]) -> None:
        """Refuse a role that is older than one we have seen under the same keys; then remember it."""
        updater = self._refreshed()
        roles = dict(self._floors.roles)
        for name in names:
            if name in self._checked:
                continue
            self._checked.add(name)
            version, keys = updater.role(name).version, updater.keys_of(name)
            floor = roles.get(name)
            if floor is not None and floor.keys == keys and version < floor.version:
                raise UpdateRefused(
                    "update.older-than-seen", where=self._origin.where, role=name, why=f": {version} < {floor.version}"
                )
            roles[name] = Floor(version, keys)
        self._floors = msgspec.structs.replace(self._floors, roles=roles)

    def _remember(self, synced_s: int) -> None:
        stored = _read_floors(self._folder / "floors.json")
        if synced_s >= stored.time_s + _TIME_STEP_S or (
            synced_s > stored.time_s and stored.roles != self._floors.roles
        ):
            self._floors = msgspec.structs.replace(self._floors, time_s=synced_s)
        if self._floors != stored:
            durable.write(self._folder / "floors.json", msgspec.json.encode(self._floors))


class _Updater(Updater):
    """ngclient with fsync, and judged by our own time."""

    def __init__(self, folder: Path, origin: Origin, root: bytes, at_s: int) -> None:
        config = UpdaterConfig(max_root_rotations=64, max_delegations=32)
        super().__init__(
            str(folder), "metadata", str(folder), "targets", fetcher=_Fetcher(origin), config=config, bootstrap=root
        )
        self._trusted_set.reference_time = dt.datetime.fromtimestamp(at_s, dt.UTC)

    def _persist_file(self, filename: str, data: bytes) -> None:
        path = Path(filename)
        if not path.is_file() or path.read_bytes() != data:
            durable.write(path, data)

    def role(self, name: str) -> Root | Targets:
        """A verified role; all have `version` and `expires`."""
        return self._trusted_set[name]  # type: ignore[return-value]  # a Mapping of Signed

    def delegated(self) -> tuple[str, ...]:
        """Names of the delegated roles loaded so far."""
        return tuple(s for s in self._trusted_set._trusted_set if s not in _TOP)  # noqa: SLF001  see above

    def keys_of(self, name: str) -> tuple[str, ...]:
        """Ids of the keys that may sign a role, as its parent says."""
        if name in _TOP:
            return tuple(sorted(self._trusted_set.root.roles[name].keyids))
        delegations: Delegations | None = self._trusted_set.targets.delegations
        roles = delegations.roles if delegations and delegations.roles else {}
        return tuple(sorted(roles[name].keyids)) if name in roles else ()


class _Fetcher(FetcherInterface):
    """Lets ngclient read from an Origin."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin

    def _fetch(self, url: str) -> Iterator[bytes]:
        try:
            yield from self._origin.read(url)
        except Missing as error:
            raise exceptions.DownloadHTTPError(str(error), _NOT_FOUND) from error


class _ours:  # noqa: N801  reads as a verb where it is used
    """Turns whatever is raised inside into an error of ours."""

    def __init__(self, where: str) -> None:
        self._where = where

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is None or isinstance(error, EdgeAgentError) or not isinstance(error, Exception):
            return
        why = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        for kind, code in _CODES:
            if isinstance(error, kind):
                raise UpdateRefused(code, where=self._where, why=why, role="", file=why) from error
        if isinstance(error, exceptions.DownloadLengthMismatchError):
            raise UpdateRefused("update.tampered", where=self._where, file=why) from error
        if isinstance(error, exceptions.DownloadError):
            raise UpdateUnavailable("update.unreachable", where=self._where, why=why) from error
        if isinstance(error, OSError):
            raise UpdateUnavailable("update.disk", why=error.strerror or why) from error
        raise UpdateRefused("update.bad-metadata", where=self._where, why=f"{type(error).__name__}: {why}") from error


def _read_floors(path: Path) -> Floors:
    """The floors; none where the file is missing or damaged (it is written whole, so a card is dying)."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Floors)
    except (OSError, msgspec.DecodeError):
        return Floors()


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _date(seconds: int) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).date().isoformat()
