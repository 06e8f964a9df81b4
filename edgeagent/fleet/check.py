"""Whether the fleet goes on well if nobody does anything: expiries, drafts, files, every gateway's config."""

from __future__ import annotations

import hashlib
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

from edgeagent.clock import Clock
from edgeagent.errors import ConfigError, EdgeAgentError, UpdateRefused
from edgeagent.fleet import books as book
from edgeagent.fleet.books import Gateway
from edgeagent.fleet.repository import Repository
from edgeagent.update import layers, resolve
from edgeagent.update.layers import LOCAL, Layer, Merged
from edgeagent.update.origin import FolderOrigin
from edgeagent.update.resolve import Named
from edgeagent.update.trust import Trust

__all__ = ["WARN_DAYS", "check", "merged"]

WARN_DAYS = {"timestamp": 5, "snapshot": 7, "root": 180, "targets": 30}
_CITY_DAYS = 30
_MISSING = "config.missing"  # ports and drivers stand in the gateway's own file, which may be unknown here


def check(repo: Repository, clock: Clock, mistakes: Callable[[Path], list[ConfigError]]) -> Iterator[EdgeAgentError]:
    """Everything somebody should look at.

    Args:
        repo: the maintainer's folder.
        clock: for expiries.
        mistakes: of a config file.
    """
    for role, days in repo.expiries().items():
        if days < WARN_DAYS.get(role, _CITY_DAYS):
            verb = "refresh" if role in ("timestamp", "snapshot") else "rotate" if role == "root" else f"resign {role}"
            yield EdgeAgentError("fleet.expires", role=role, days=round(days), verb=verb)
    for path in repo.drafted():
        yield EdgeAgentError("fleet.unsigned", path=path)
    yield from _files(repo)
    with tempfile.TemporaryDirectory() as folder:
        root = min(repo.public.glob("metadata/*.root.json"), key=lambda p: int(p.name.split(".")[0])).read_bytes()
        trust = Trust(Path(folder), FolderOrigin(repo.public), root, clock)
        try:
            trust.refresh()
        except EdgeAgentError as error:
            yield error
            return
        yield from _gateways(repo, Path(folder), mistakes)


def merged(repo: Repository, gateway: str, *, ring: str = "") -> Merged:
    """The config that a gateway would merge now; without its own file where that is unknown.

    Raises:
        ConfigError: no such gateway.  UpdateRefused: a layer cannot be read.
    """
    books = book.read(repo.folder)
    if gateway not in books.gateways:
        raise ConfigError("fleet.no-gateway", path="", gateway=gateway)
    one = books.gateways[gateway]
    name = book.name_of(repo.folder, gateway, one.city)
    files = {file.path: file for file in repo.names()}
    chosen = resolve.layers_of(files.get, city=one.city, name=name, groups=one.groups, ring=ring or one.ring)
    said = [layers.parse(repo.content(c.file), name=c.layer, path=c.path, sequence=c.file.sequence) for c in chosen]
    return layers.merge([*said, _own(gateway, one)], _unlocked(one))


def _gateways(
    repo: Repository, folder: Path, mistakes: Callable[[Path], list[ConfigError]]
) -> Iterator[EdgeAgentError]:
    """A dry run: what every gateway would say to what is published for it, candidates included."""
    for gateway, one in book.read(repo.folder).gateways.items():
        seen: set[str] = set()
        for ring in dict.fromkeys((one.ring, "canary")):
            try:
                text = layers.to_toml(merged(repo, gateway, ring=ring))
            except UpdateRefused as error:
                yield error
                continue
            if text in seen:
                continue
            seen.add(text)
            file = folder / "config.toml"
            file.write_text(text, encoding="utf-8")
            for mistake in mistakes(file):
                if one.local or mistake.code != _MISSING:
                    yield EdgeAgentError("fleet.would-refuse", gateway=gateway, why=mistake)


def _files(repo: Repository) -> Iterator[EdgeAgentError]:
    for file in repo.names():
        if not _whole(repo, file):
            yield EdgeAgentError("fleet.file-gone", path=file.path)


def _whole(repo: Repository, file: Named) -> bool:
    try:
        return hashlib.sha256(repo.content(file)).hexdigest() == file.sha256
    except OSError:
        return False


def _own(gateway: str, one: Gateway) -> Layer:
    if one.local:
        return Layer(LOCAL, f"{gateway}.toml", 0, tomllib.loads(one.local))
    return Layer(LOCAL, "?", 0, {"gateway": {"id": gateway}})


def _unlocked(one: Gateway) -> tuple[str, ...]:
    found = tomllib.loads(one.local).get("update", {}).get("unlocked", []) if one.local else []
    return tuple(str(key) for key in found)
