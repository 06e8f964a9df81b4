"""Which files of a repository make up one gateway's release.  Pure: asks `find`, opens nothing.

vendor/agent.toml                        everybody
<city>/city.toml                         the city's gateways
<city>/group/<group>.toml                those of a group
<city>/dev/<name>.toml                   one gateway; the name is an HMAC of its id, for whoever
                                         reads the repository should not learn where watch tags are
<city>/models/<model>.onnx, .toml        a detector and its card, when a camera names it
<city>/profiles/<profile>.toml           an instrument, when a gauge names it
vendor/models/…, vendor/profiles/…       the same for everybody
<any of these>.next                      its candidate in a rollout (see `rings`)
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from edgeagent.update.rings import CANDIDATE, takes_part

__all__ = ["Chosen", "Find", "Named", "chosen", "device_name", "files_of", "layers_of", "release_of"]


class Named(msgspec.Struct, frozen=True):
    """A signed file: what `trust.Target` and the fleet's own books have in common."""

    path: str
    sha256: str
    length: int
    custom: dict[str, object]

    @property
    def sequence(self) -> int:
        """Number of the publication that changed it."""
        found = self.custom.get("seq")
        return found if isinstance(found, int) and not isinstance(found, bool) and found > 0 else 0


class Chosen(msgspec.Struct, frozen=True):
    """A file of the release.

    Attributes:
        layer: vendor, city, group, device; "" for models and profiles.
        path: its place, without `.next`.
        file: what was signed.
    """

    layer: str
    path: str
    file: Named


Find = Callable[[str], Named | None]


def device_name(path_key: bytes, gateway: str) -> str:
    """A gateway's name in the repository: 32 hex digits of HMAC-SHA256."""
    return hmac.new(path_key, gateway.encode(), hashlib.sha256).hexdigest()[:32]


def chosen(find: Find, layer: str, path: str, *, name: str, ring: str) -> Chosen | None:
    """The file at a path, or its candidate where this gateway takes part."""
    candidate = find(path + CANDIDATE)
    if candidate is not None and takes_part(name, ring, candidate.custom):
        return Chosen(layer, path, candidate)
    found = find(path)
    return None if found is None else Chosen(layer, path, found)


def layers_of(find: Find, *, city: str, name: str, groups: tuple[str, ...], ring: str) -> list[Chosen]:
    """The config layers, weakest first."""
    places = [("vendor", "vendor/agent.toml"), ("city", f"{city}/city.toml")]
    places += [("group", f"{city}/group/{group}.toml") for group in groups]
    if name:
        places.append(("device", f"{city}/dev/{name}.toml"))
    found = [chosen(find, layer, path, name=name, ring=ring) for layer, path in places]
    return [one for one in found if one is not None]


def files_of(find: Find, data: Mapping[str, Any], *, city: str, name: str, ring: str) -> list[Chosen]:
    """Models and profiles that the merged config names and the repository has."""
    files = []
    for path in dict.fromkeys(_wanted(data)):
        for owner in (city, "vendor"):
            found = chosen(find, "", f"{owner}/{path}", name=name, ring=ring)
            if found is not None:
                files.append(found)
                break
    return files


def release_of(files: list[Chosen]) -> str:
    """A release's name: SHA-256 over its files; the same content has the same name, whatever its numbers."""
    lines = [f"{one.layer} {one.path} {one.file.sha256}\n" for one in files]  # the order of groups matters
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _wanted(data: Mapping[str, Any]) -> Iterator[str]:
    sources = data.get("sources", [])
    for section in sources if isinstance(sources, list) else []:
        if not isinstance(section, Mapping):
            continue
        model, profile = section.get("model"), section.get("profile")
        if isinstance(model, str) and _plain(model):
            yield f"models/{model}.onnx"
            yield f"models/{model}.toml"
        elif section.get("driver") == "traffic-camera" and model is None:
            yield "models/vehicles.onnx"
            yield "models/vehicles.toml"
        if isinstance(profile, str) and _plain(profile):
            yield f"profiles/{profile}.toml"


def _plain(name: str) -> bool:
    """A name, not a path: it becomes part of one."""
    return (
        bool(name)
        and not name.startswith(".")
        and all(c.isalnum() or c in "._-" for c in name)
        and not name.endswith((".toml", ".onnx"))
    )
