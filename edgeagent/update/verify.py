"""Are these the files that were signed?  A package and its parts list, held against `vendor/packages/SHA256SUMS`.

That target lists what `make deb` made, as sha256sum writes it; the repository's targets key signs it, so the
trust is the one that config arrives by: same root, same floors, same clock.  Nothing is installed here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

from edgeagent import config as configs
from edgeagent import shipped
from edgeagent.clock import Clock
from edgeagent.errors import ConfigError, UpdateRefused, UpdateUnavailable
from edgeagent.update import boot, durable
from edgeagent.update.origin import origin_of
from edgeagent.update.trust import Trust

__all__ = ["SUMS", "Verified", "verify"]

SUMS = "vendor/packages/SHA256SUMS"
_LINE = re.compile(r"([0-9a-f]{64}) [ *](\S+)")


class Verified(msgspec.Struct, frozen=True):
    """One file that is as it was signed."""

    file: str
    sha256: str


def verify(config: Path, files: Sequence[Path], *, clock: Clock, place: str = "") -> list[Verified]:
    """Hold files against what is signed; all of them must be in it, by name and content.

    Args:
        config: the gateway's own file; it says where to ask and which root to trust.
        files: packages and parts lists.
        clock: time and trust.
        place: a URL or folder instead of the configured one.

    Raises:
        ConfigError: no `[update]`, no root, or a file that cannot be read.
        UpdateRefused: `update.not-listed`, `update.other-content`, or the repository is not trusted.
        UpdateUnavailable: it is away, or a poll is under way.
    """
    data = configs.read_toml(config)
    section = boot.section_of(data)
    if section is None:
        raise ConfigError("update.not-configured", path="update", file=str(config))
    digests = {file: _digest(file) for file in files}
    folder = boot.folder_of(data)
    durable.folder(folder)
    origin = origin_of(place or section.url, clock=clock, ca=section.ca)
    with durable.held(folder / "lock") as alone:
        if not alone:
            raise UpdateUnavailable("update.busy")
        try:
            root = Path(section.root).read_bytes()
        except OSError as error:
            why = error.strerror or ""
            raise ConfigError("update.no-root", path="update.root", file=section.root, why=why) from error
        trust = Trust(folder, origin, root, clock, built_s=shipped.built_s())
        trust.refresh()
        named = trust.find(SUMS)
        listed = _parsed(trust.fetch(named).read_text(encoding="utf-8", errors="replace")) if named else {}
    for file, digest in digests.items():
        if file.name not in listed:
            raise UpdateRefused("update.not-listed", file=file.name, where=origin.where)
        if listed[file.name] != digest:
            raise UpdateRefused("update.other-content", file=str(file), sha256=digest[:16], where=origin.where)
    return [Verified(str(file), digest) for file, digest in digests.items()]


def _parsed(text: str) -> dict[str, str]:
    found = (_LINE.fullmatch(line) for line in text.splitlines())
    return {line[2]: line[1] for line in found if line is not None}


def _digest(file: Path) -> str:
    try:
        with file.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError("config.unreadable", path="FILE", file=str(file), why=error.strerror or "") from error
