"""A repository whose keys the test holds, thieves' included; static files in a dict, no server."""

import copy
import datetime as dt
import hashlib

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization.json import JSONSerializer

from edgeagent.errors import UpdateUnavailable
from edgeagent.update.origin import Missing

NOW_S = 1_795_000_000  # FakeClock's wall
DAY = 86_400


def when(seconds):
    return dt.datetime.fromtimestamp(seconds, dt.UTC)


def key():
    return CryptoSigner.generate_ed25519()


class Shelf:
    """An Origin over a dict; can be away, and counts."""

    def __init__(self, files):
        self.files, self.away, self.fetched, self.requests, self.asked = files, False, 0, 0, []
        self.where = "shelf"
        self.cut_after = None  # bytes of one answer before the line breaks

    def read(self, path, start=0):
        self.requests += 1
        self.asked.append((path, start))
        if self.away:
            raise UpdateUnavailable("update.unreachable", where="shelf", why="away")
        if path not in self.files:
            raise Missing("update.missing", where="shelf", file=path)
        data, sent = self.files[path][start:], 0
        while sent < len(data):
            piece = data[sent : sent + 4096]
            if self.cut_after is not None and sent + len(piece) > self.cut_after:
                yield piece[: self.cut_after - sent]
                raise UpdateUnavailable("update.unreachable", where="shelf", why="cut")
            sent += len(piece)
            self.fetched += len(piece)
            yield piece


class Forge:
    """root 2-of-3, targets, snapshot, timestamp, and one delegated role per city."""

    def __init__(self, cities=("city-007", "city-009"), now_s=NOW_S):
        self.files, self.now_s = {}, now_s
        self.keys = {"root": [key(), key(), key()], "targets": [key()], "snapshot": [key()], "timestamp": [key()]}
        self.root = Metadata(Root(expires=when(now_s + 3650 * DAY), consistent_snapshot=True))
        for role, signers in self.keys.items():
            for one in signers:
                self.root.signed.add_key(one.public_key, role)
        self.root.signed.roles["root"].threshold = 2
        self.targets = Metadata(Targets(expires=when(now_s + 365 * DAY)))
        self.targets.signed.delegations = Delegations(keys={}, roles={})
        self.snapshot = Metadata(Snapshot(expires=when(now_s + 30 * DAY), meta={}))
        self.timestamp = Metadata(Timestamp(expires=when(now_s + 14 * DAY)))
        self.cities, self._published = {}, False
        for city in cities:
            self.keys[city] = [key()]
            self.targets.signed.delegations.roles[city] = DelegatedRole(
                city, [], 1, True, paths=[f"{city}/*", f"{city}/*/*"]
            )
            self.targets.signed.add_key(self.keys[city][0].public_key, city)
            self.cities[city] = Metadata(Targets(expires=when(now_s + 180 * DAY)))
        self.publish_root()
        self.bootstrap = self.files["metadata/1.root.json"]

    def write(self, metadata, name, version=None):
        name = f"{version}.{name}" if version else name
        self.files[f"metadata/{name}.json"] = metadata.to_bytes(JSONSerializer(compact=True))

    def sign(self, metadata, role):
        metadata.signatures.clear()
        for one in self.keys[role]:
            metadata.sign(one, append=True)

    def put(self, role, path, data, **custom):
        target = TargetFile.from_data(path, data, ["sha256"])
        if custom:
            target.unrecognized_fields["custom"] = custom
        (self.cities.get(role) or self.targets).signed.targets[path] = target
        folder, slash, name = path.rpartition("/")
        at = f"targets/{folder}{slash}{hashlib.sha256(data).hexdigest()}.{name}"
        self.files[at] = data
        return at

    def publish_root(self):
        self.sign(self.root, "root")
        self.write(self.root, "root", self.root.signed.version)

    def publish(self, *roles):
        seen = self.snapshot.signed
        for role in roles or ("targets", *self.cities):
            metadata = self.cities.get(role) or self.targets
            if f"{role}.json" in seen.meta:
                metadata.signed.version += 1
            self.sign(metadata, role)
            self.write(metadata, role, metadata.signed.version)
            seen.meta[f"{role}.json"] = MetaFile(metadata.signed.version)
        self.publish_snapshot(bump=self._published)
        self.publish_timestamp(bump=self._published)
        self._published = True

    def publish_snapshot(self, *, bump=True):
        self.snapshot.signed.version += bump
        self.sign(self.snapshot, "snapshot")
        self.write(self.snapshot, "snapshot", self.snapshot.signed.version)

    def publish_timestamp(self, *, bump=True, expires_s=None):
        signed = self.timestamp.signed
        signed.version += bump
        signed.snapshot_meta = MetaFile(self.snapshot.signed.version)
        signed.expires = when(expires_s or self.now_s + 14 * DAY)
        self.sign(self.timestamp, "timestamp")
        self.write(self.timestamp, "timestamp")

    def rotate(self, role):
        """New keys for a top-level role; the next root has them."""
        self.root.signed.revoke_key(self.keys[role][0].public_key.keyid, role)
        self.keys[role] = [key()]
        self.root.signed.add_key(self.keys[role][0].public_key, role)

    def next_root(self):
        self.root.signed.version += 1
        self.publish_root()

    def stolen(self, metadata):
        return copy.deepcopy(metadata)
