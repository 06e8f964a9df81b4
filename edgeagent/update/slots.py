"""Stored releases and the one record that says which of them runs.

    update/record.json            see `trial`; written whole
    update/slots/<release>/       a release: manifest.json, layers/, models/, profiles/
    update/running.toml           what the agent was last started with

There are no links `current` and `previous` to get out of step: the record alone says it.  A slot is
built beside and renamed, and checked against its hashes before it is used; one that is damaged is
as good as absent, and the gateway then runs from its own file until the release is fetched again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from edgeagent.errors import UpdateRefused
from edgeagent.update import durable, layers
from edgeagent.update.layers import Layer
from edgeagent.update.resolve import Chosen
from edgeagent.update.trial import Record

__all__ = ["Entry", "Manifest", "Slots", "local_layer"]


class Entry(msgspec.Struct, frozen=True):
    """A file of a slot.

    Attributes:
        layer: vendor, city, group, device; "" for models and profiles.
        path: in the repository.
        sha256, sequence: as signed.
        file: within the slot.
    """

    layer: str
    path: str
    sha256: str
    sequence: int
    file: str


class Manifest(msgspec.Struct, frozen=True):
    """`manifest.json`: the name of the release, the highest sequence in it, its files."""

    release: str
    sequence: int
    files: tuple[Entry, ...]


class Slots:
    """The update folder of one gateway.

    Args:
        folder: `<state_dir>/update`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._slots = folder / "slots"

    def record(self) -> Record:
        """The record; a new one where there is none or it cannot be read.

        A record that cannot be read means a dying card: the gateway then runs from its own file.
        """
        try:
            return msgspec.json.decode((self.folder / "record.json").read_bytes(), type=Record)
        except (OSError, msgspec.DecodeError):
            return Record()

    def write(self, record: Record) -> None:
        """Replace the record.

        Raises:
            OSError: the old one is still there.
        """
        if record != self.record():
            durable.folder(self.folder)
            durable.write(self.folder / "record.json", msgspec.json.encode(record))

    def store(self, release: str, files: Sequence[tuple[Chosen, Path]]) -> Manifest:
        """Make a slot of verified files; does nothing when there is a whole one.

        Raises:
            OSError: it could not be made; nothing was changed.
        """
        entries = []
        for n, (one, _) in enumerate(files):
            name = one.path.rpartition("/")[2]
            kind = one.path.split("/")[-2] if not one.layer else "layers"
            entries.append(
                Entry(
                    one.layer,
                    one.path,
                    one.file.sha256,
                    one.file.sequence,
                    f"{kind}/{n}-{name}" if one.layer else f"{kind}/{name}",
                )
            )
        manifest = Manifest(release, max((e.sequence for e in entries), default=0), tuple(entries))
        if self.manifest(release) is not None:
            return manifest
        whole, beside = self._slots / release, self._slots / f".{release}"
        durable.remove_tree(beside)
        durable.remove_tree(whole)
        folders = {beside}
        for entry, (_, source) in zip(entries, files, strict=True):
            at = beside / entry.file
            durable.folder(at.parent)
            folders.add(at.parent)
            durable.write(at, source.read_bytes())
        durable.folder(beside)
        durable.write(beside / "manifest.json", msgspec.json.encode(manifest))
        for folder in folders:
            durable.sync_folder(folder)
        durable.rename(beside, whole)
        return manifest

    def manifest(self, release: str) -> Manifest | None:
        """What is in a slot; None where it is absent or not whole."""
        slot = self.slot(release)
        try:
            manifest = msgspec.json.decode((slot / "manifest.json").read_bytes(), type=Manifest)
            for entry in manifest.files:
                with (slot / entry.file).open("rb") as file:
                    if hashlib.file_digest(file, "sha256").hexdigest() != entry.sha256:
                        return None
        except (OSError, msgspec.DecodeError):
            return None
        return manifest if manifest.release == release else None

    def slot(self, release: str) -> Path:
        """The folder of a release; its `models/` and `profiles/` come before the shipped ones."""
        return self._slots / release

    def layers(self, release: str) -> list[Layer]:
        """The published layers of a stored release.

        Raises:
            UpdateRefused: `slot-damaged`.
        """
        manifest = self.manifest(release)
        if manifest is None:
            raise UpdateRefused("update.slot-damaged", release=release[:12])
        return [
            layers.parse((self.slot(release) / e.file).read_bytes(), name=e.layer, path=e.path, sequence=e.sequence)
            for e in manifest.files
            if e.layer
        ]

    def prune(self, keep: Sequence[str]) -> None:
        """Remove all slots but these."""
        if self._slots.is_dir():
            for folder in self._slots.iterdir():
                if folder.name not in keep:
                    durable.remove_tree(folder)


def local_layer(data: Mapping[str, Any], path: Path) -> Layer:
    """The gateway's own file as a layer."""
    return Layer(layers.LOCAL, str(path), 0, dict(data))
