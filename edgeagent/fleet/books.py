"""The maintainer's own books beside the served folder: who signs what, which gateways there are."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from edgeagent.errors import ConfigError
from edgeagent.update import durable
from edgeagent.update.resolve import device_name
from edgeagent.update.section import Ring

__all__ = ["EXPIRY_DAYS", "Books", "Gateway", "KeyPlace", "path_key", "read", "write"]

# Long where keys lie in a safe, short where a thief could hold the gateways still unseen.
EXPIRY_DAYS = {"root": 3650, "targets": 365, "city": 180, "snapshot": 30, "timestamp": 14}
_FILE = "fleet.json"


class KeyPlace(msgspec.Struct, frozen=True):
    """Where the private half of a key is: a file name in `keys/`, or `hsm:…`."""

    keyid: str
    place: str


class Gateway(msgspec.Struct, frozen=True):
    """What the maintainer knows about one gateway.

    Attributes:
        city, groups, ring: as in its `[update]`.
        local: its own config file, as the installer left it, for the dry run of `check`; "" when unknown.
    """

    city: str
    groups: tuple[str, ...] = ()
    ring: Ring = "all"
    local: str = ""


class Books(msgspec.Struct, frozen=True):
    """`fleet.json`.

    Attributes:
        sequence: of the last publication; never goes back.
        keys: by role.
        cities: names.
        gateways: by id.
        expiry_days: by role, `city` for all cities.
    """

    sequence: int = 0
    keys: dict[str, list[KeyPlace]] = {}
    cities: tuple[str, ...] = ()
    gateways: dict[str, Gateway] = {}
    expiry_days: dict[str, int] = msgspec.field(default_factory=lambda: dict(EXPIRY_DAYS))


def read(folder: Path) -> Books:
    """The books of a repository.

    Raises:
        ConfigError: there are none, or they cannot be read.
    """
    file = folder / _FILE
    try:
        return msgspec.json.decode(file.read_bytes(), type=Books)
    except FileNotFoundError as error:
        raise ConfigError("fleet.no-repository", path="", folder=str(folder)) from error
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigError("fleet.books-broken", path="", file=str(file), why=str(error)) from error


def write(folder: Path, books: Books) -> None:
    """Replace the books."""
    durable.write(folder / _FILE, msgspec.json.format(msgspec.json.encode(books), indent=1) + b"\n")


def path_key(folder: Path, city: str) -> bytes:
    """The key that turns ids of a city's gateways into names; made when first asked for."""
    file = folder / "keys" / f"{city}.names"
    if not file.exists():
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        durable.write(file, os.urandom(32).hex().encode() + b"\n")
    return bytes.fromhex(file.read_text(encoding="ascii").strip())


def name_of(folder: Path, gateway: str, city: str) -> str:
    """A gateway's name in the repository."""
    return device_name(path_key(folder, city), gateway)
