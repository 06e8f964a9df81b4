"""`driver = "ble-tags"`: the section of a config, and the allow-list that it means.

May import besides the words: wire, the tag profiles.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Literal

import msgspec

from edgeagent.errors import ConfigError
from edgeagent.ports import SourceConfig
from edgeagent.sources.allow_list import Listed
from edgeagent.sources.pseudonym import keyed_hash, list_key
from edgeagent.sources.tag_profile_files import TagProfile, load
from edgeagent.wire.beacons import normal_id

__all__ = ["BleTagsConfig", "TagConfig", "listed", "profiles_of"]

_ADDRESS = re.compile(r"(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}")
_HASH = re.compile(r"[0-9a-f]{32}")


class TagConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A tag of the allow-list: by keyed hash, or, on a desk, by its id.

    Attributes:
        hash: 32 hex digits; the city makes them with `edgeagent privacy hash`.
        id: `ibeacon:<uuid>:<major>:<minor>`, `bthome:<address>` … (`wire.beacons` lists the forms): a raw id
            in the config, which `edgeagent privacy audit` objects to.
        alias: the city's own name for it; leaves the box with an SOS only.
    """

    hash: str = ""
    id: str = ""
    alias: str = ""


class BleTagsConfig(SourceConfig, frozen=True, kw_only=True):
    """`driver = "ble-tags"`.

    Attributes:
        adapter: address of the radio, or a list of several; empty takes the one there is.
        tags: the allow-list.
        enrolled: tags that were enrolled on site belong to the list too (`edgeagent scan ble --enrol`).
        profiles: further formats of tags: shipped names, or paths to your own .toml.
        canary: hash or id of a tag in the cabinet that tells a deaf radio from a quiet place.
        mode: `passive` hears continuously and saves the tags' batteries, where BlueZ can do it.
        key: name of the secret that pseudonyms are made with: a systemd credential, else a file in
            the state directory, made at the first start.
        tag_keys: name of the secret with the keys of encrypted BTHome tags.
        every_s: at most one sighting per tag in so many seconds (an SOS leaves at once).
        silence_s: without any advertisement of anybody for so long, a fresh scanner is started;
            shorter than the presence rule's `leave_s`, or a deaf gateway reports people as gone.
    """

    tags: tuple[TagConfig, ...] = ()
    adapter: str | tuple[str, ...] = ""
    enrolled: bool = False
    profiles: tuple[str, ...] = ()
    canary: str = ""
    mode: Literal["active", "passive"] = "active"
    key: Annotated[str, msgspec.Meta(pattern=r"^[^/.][^/]*$")] = "tags-key"
    tag_keys: Annotated[str, msgspec.Meta(pattern=r"^[^/.][^/]*$")] = "tags-keys"
    every_s: float = 2.0
    silence_s: float = 45.0

    @property
    def adapters(self) -> tuple[str, ...]:
        """Addresses in capitals; one empty for "the one there is"."""
        several = self.adapter if isinstance(self.adapter, tuple) else (self.adapter,)
        return tuple(one.upper() for one in several)

    def problems(self) -> Iterable[ConfigError]:
        """Checks that types cannot express."""
        yield from self._adapter_problems()
        names = []
        for index, name in enumerate(self.profiles):
            profile, problems = load(name)
            for problem in problems:
                problem.facts["path"] = f"profiles[{index}]{problem.facts['path']}"
                yield problem
            if profile is not None:
                names.append(profile.layout.name)
        yield from self._list_problems(names)
        if self.canary and _normal(self.canary, names) is None:
            yield ConfigError("tags.bad-tag", path="canary", got=self.canary)
        for name, value, least, most in (("every_s", self.every_s, 0.1, 60), ("silence_s", self.silence_s, 5, 3600)):
            if not least <= value <= most:
                yield ConfigError("tags.bad-interval", path=name, got=value, least=least, most=most)

    def _list_problems(self, names: Sequence[str]) -> Iterable[ConfigError]:
        if not self.tags and not self.enrolled:
            yield ConfigError("tags.no-tags", path="tags")
        seen: set[str] = set()
        for index, tag in enumerate(self.tags):
            at, told = (f"tags[{index}].hash", tag.hash) if tag.hash else (f"tags[{index}].id", tag.id)
            if bool(tag.hash) == bool(tag.id):
                yield ConfigError("tags.hash-or-id", path=f"tags[{index}]")
                continue
            normal = _normal(told, names)
            if normal is None or (tag.hash != "") != (_HASH.fullmatch(normal) is not None):
                yield ConfigError("tags.bad-hash" if tag.hash else "tags.bad-tag", path=at, got=told)
            elif normal in seen:
                yield ConfigError("tags.same-tag", path=at, got=told)
            else:
                seen.add(normal)

    def _adapter_problems(self) -> Iterable[ConfigError]:
        adapters = self.adapters
        for index, one in enumerate(adapters):
            path = f"adapter[{index}]" if isinstance(self.adapter, tuple) else "adapter"
            if one.startswith("HCI"):
                yield ConfigError("tags.adapter-by-number", path=path, got=one.lower())
            elif (one or len(adapters) > 1) and not _ADDRESS.fullmatch(one):
                yield ConfigError("tags.bad-adapter", path=path, got=one)
            elif one in adapters[:index]:
                yield ConfigError("tags.same-adapter", path=path, got=one)


def listed(
    config: BleTagsConfig, key: bytes, enrolled: Mapping[str, str], tag_keys: Mapping[str, bytes]
) -> list[Listed]:
    """The allow-list of a section: canary first, then the config, then what was enrolled on site.

    Args:
        config: the section; raw ids in it become hashes here.
        key: the gateway's key.
        enrolled: keyed hash -> alias.
        tag_keys: keyed hash -> key of an encrypted tag.
    """
    of_list, names = list_key(key), [profile.layout.name for profile in profiles_of(config)]

    def hashed(told: str) -> str:
        normal = _normal(told, names) or told
        return normal if _HASH.fullmatch(normal) else keyed_hash(of_list, normal).hex()

    lines = [Listed(hashed(config.canary), canary=True)] if config.canary else []
    lines += [Listed(hashed(tag.hash or tag.id), tag.alias) for tag in config.tags]
    lines += [Listed(hash_, alias) for hash_, alias in enrolled.items()]
    return [Listed(one.hash, one.alias, tag_keys.get(one.hash, b""), one.canary) for one in lines]


def profiles_of(config: BleTagsConfig) -> tuple[TagProfile, ...]:
    """The tag profiles that a checked section names."""
    found = (load(name)[0] for name in config.profiles)
    return tuple(profile for profile in found if profile is not None)


def _normal(told: str, names: Sequence[str]) -> str | None:
    text = told.strip().lower()
    return text if _HASH.fullmatch(text) else normal_id(text, names)
