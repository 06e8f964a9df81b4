"""The signed folder itself: newest metadata read back, signed with the keys at hand, written in a safe order.

Files are written in an order in which a reader, or a power cut, finds the old state or the new
one: targets, delegated roles, targets, snapshot, timestamp.  Versions of metadata are taken from
the folder itself.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from securesystemslib.signer import Key, Signer
from tuf.api.metadata import Metadata, MetaFile, Root, Signed, Snapshot, TargetFile, Targets, Timestamp
from tuf.api.serialization import DeserializationError
from tuf.api.serialization.json import JSONSerializer

from edgeagent.errors import ConfigError
from edgeagent.fleet import books as book
from edgeagent.fleet import keys
from edgeagent.fleet.books import Books
from edgeagent.fleet.token import Which, is_token, public_half
from edgeagent.update import durable

__all__ = ["ONLINE", "TOP", "SignedFolder"]

T = TypeVar("T", bound=Signed)
TOP = ("root", "targets", "snapshot", "timestamp")
ONLINE = ("snapshot", "timestamp")
_KEPT_VERSIONS = 20  # of metadata: a gateway in the middle of a slow poll still finds its own


class SignedFolder:
    """`public/` and `keys/` of one maintainer.

    Args:
        folder: that holds both.
        now_s: UTC epoch seconds, asked whenever something is signed.
        passphrase: of key files; asked once per key.
    """

    def __init__(self, folder: Path, now_s: Callable[[], float], passphrase: keys.Passphrase) -> None:
        said: dict[str, str] = {}

        def once(key: str) -> str:
            if key not in said:
                said[key] = passphrase(key)
            return said[key]

        self.passphrase = once
        self.folder, self._now_s = folder, now_s
        self.public, self.drafts, self.keys = folder / "public", folder / "drafts", folder / "keys"
        self.metadata = self.public / "metadata"

    def publish(self, books: Books, roles: dict[str, Targets]) -> None:
        """Write changed roles, then what vouches for them, the timestamp last."""
        known = self.prove(roles, books)
        snapshot = self.newest("snapshot", Snapshot)
        for role in sorted(roles, key=lambda name: name == "targets"):
            before = snapshot.meta.get(f"{role}.json")
            roles[role].version = (before.version + 1) if before else 1
            self.sign_and_write(roles[role], role, books, roles[role].version, public=known)
            snapshot.meta[f"{role}.json"] = MetaFile(roles[role].version)
        snapshot.version += 1
        self.sign_and_write(snapshot, "snapshot", books, snapshot.version)
        self.write_timestamp(books, self.newest("timestamp", Timestamp).version + 1, snapshot.version)
        self._forget(snapshot)

    def prove(self, roles: Mapping[str, Signed], books: Books, root: Root | None = None) -> dict[str, Key]:
        """That every key is at hand which a publication of these roles needs: nothing is written before that.

        Args:
            roles: about to be published; snapshot and timestamp always are.
            books: as they will be.
            root: that is about to be published.

        Returns:
            Public keys by id.

        Raises:
            ConfigError: a key is not here, or its passphrase or PIN is wrong.
        """
        targets = roles.get("targets")
        known = self._public_keys(targets if isinstance(targets, Targets) else None)
        known = {**known, **(root.keys if root is not None else {})}
        for role in (*roles, *ONLINE):
            self.signers(role, books, public=known)
        return known

    def write_timestamp(self, books: Books, version: int, snapshot: int) -> None:
        """The file that every poll reads: which snapshot holds, and that somebody is still there."""
        self.sign_and_write(Timestamp(version=version, snapshot_meta=MetaFile(snapshot)), "timestamp", books, 0)

    def sign_and_write(
        self,
        signed: Signed,
        role: str,
        books: Books,
        version: int,
        *,
        signers: Iterable[str] = (),
        public: dict[str, Key] | None = None,
    ) -> None:
        """Sign a role with every key that is here, and write it out under its version (0 for none)."""
        signed.expires = self.expiry(role, books)
        made: Metadata[Any] = Metadata(signed)
        for signer in self.signers(role, books, signers, public):
            made.sign(signer, append=True)
        self.write(made, role, version)

    def write(self, made: Metadata[Any], role: str, version: int) -> None:
        """Write signed metadata."""
        name = f"{version}.{role}.json" if version else f"{role}.json"
        durable.write(self.metadata / name, made.to_bytes(JSONSerializer(compact=True)), mode=0o644)

    def signers(
        self, role: str, books: Books, wanted: Iterable[str] = (), public: dict[str, Key] | None = None
    ) -> list[Signer]:
        """Who signs for a role.

        Raises:
            ConfigError: the key is not here.
        """
        known = self._public_keys() if public is None else public
        asked = set(wanted)
        found = []
        for place in books.keys.get(role, []):
            if asked and place.keyid not in asked:
                continue
            signer = (
                keys.load(place.place, known[place.keyid], self.keys, self.passphrase) if place.keyid in known else None
            )
            if signer is not None:
                found.append(signer)
        if not found:
            raise ConfigError(
                "fleet.no-key", path="", role=role, places=", ".join(p.place for p in books.keys.get(role, []))
            )
        return found

    def places(self, role: str) -> list[str]:
        """Where the keys of a role are, as a person looks for them."""
        found = [one.place for one in book.read(self.folder).keys.get(role, [])]
        return [place if is_token(place) else f"keys/{place}" for place in found]

    def new_key(self, name: str, on: Which | None, *, take: bool = False) -> tuple[str, Key]:
        """(place, public key) of a key for a role: a new one in `keys/<name>.pem`, or the one on a token.

        Args:
            name: of the file.
            on: the token; None for a file.
            take: a file that is there was left by an attempt that was interrupted.

        Raises:
            ConfigError: as `keys.make`, `token.public_half`.
        """
        if on is not None:
            return public_half(on, self.passphrase)
        file = f"{name}.pem"
        return file, keys.make(self.keys / file, self.passphrase(file), take=take).public_key

    def _public_keys(self, pending: Targets | None = None) -> dict[str, Key]:
        """Every key that root and targets name, the targets about to be written included."""
        if pending is None and any(self.metadata.glob("*.targets.json")):
            pending = self.newest("targets", Targets)
        delegations = pending.delegations if pending is not None else None
        return {**self.newest("root", Root).keys, **(delegations.keys if delegations else {})}

    def newest(self, role: str, kind: type[T]) -> T:
        """The newest signed content of a role, fresh for changing."""
        file = self.newest_file(role)
        try:
            signed = Metadata[Any].from_file(str(file)).signed
        except (OSError, DeserializationError) as error:
            raise ConfigError("fleet.metadata-broken", path="", file=str(file), why=str(error)) from error
        assert isinstance(signed, kind)
        return signed

    def newest_file(self, role: str) -> Path:
        """Where the newest version of a role is."""
        if role == "timestamp":
            return self.metadata / "timestamp.json"
        numbered = [
            (int(p.name.split(".")[0]), p)
            for p in self.metadata.glob(f"*.{role}.json")
            if p.name.split(".")[0].isdigit()
        ]
        if not numbered:
            raise ConfigError("fleet.no-repository", path="", folder=str(self.folder))
        return max(numbered)[1]

    def store(self, path: str, content: bytes) -> None:
        """Keep a target under its hash."""
        at = self.at(path, hashlib.sha256(content).hexdigest())
        at.parent.mkdir(parents=True, exist_ok=True)
        if not at.exists() or at.read_bytes() != content:
            durable.write(at, content, mode=0o644)

    def stored(self, path: str, file: TargetFile) -> bytes:
        """What a signed file holds."""
        return self.at(path, file.hashes["sha256"]).read_bytes()

    def at(self, path: str, sha256: str) -> Path:
        """Where a target lies."""
        folder, slash, name = path.rpartition("/")
        return self.public / "targets" / f"{folder}{slash}{sha256}.{name}"

    def _forget(self, snapshot: Snapshot) -> None:
        """Old versions of metadata and files nobody names any more, long after."""
        newest = {
            "snapshot": snapshot.version,
            **{n.removesuffix(".json"): m.version for n, m in snapshot.meta.items()},
        }
        for role, version in newest.items():
            for file in self.metadata.glob(f"*.{role}.json"):
                number = file.name.split(".")[0]
                if number.isdigit() and int(number) <= version - _KEPT_VERSIONS:
                    file.unlink(missing_ok=True)

    def expiry(self, role: str, books: Books) -> dt.datetime:
        """When something signed now expires."""
        days = books.expiry_days.get(role if role in TOP else "city", book.EXPIRY_DAYS["city"])
        return dt.datetime.fromtimestamp(int(self._now_s()), dt.UTC) + dt.timedelta(days=days)

    def days_left(self, expires: dt.datetime) -> float:
        """Until an expiry; negative when it has passed."""
        return (expires.timestamp() - self._now_s()) / 86_400
