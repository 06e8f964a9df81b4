"""The books of the enrolment desk on disk: codes by locator (the secret only as a hash), certificates by serial.

`enrol.json`, written whole; the server and the verbs beside it take turns.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from edgeagent.errors import ConfigError, Refused
from edgeagent.fleet import claim_code
from edgeagent.fleet.claim_code import ClaimCode
from edgeagent.update import durable

__all__ = ["Code", "EnrolBooks", "Issued", "Pages", "changing", "day", "hash_of", "holders", "new_code", "read"]

_KEPT_S = 30 * 86_400  # what has expired stays in the books so long


class Code(msgspec.Struct, frozen=True):
    """A one-time code.

    Attributes:
        gateway: whose.
        secret: SHA-256 of locator and secret, hex.
        expires_s: UTC epoch seconds.
        replace: another gateway's box may hold this id already; its certificate is retired.
        wrong: guesses so far.
        key: fingerprint of the key it was used with; "" while it is unused.
        serial: of the certificate it was exchanged for.
    """

    gateway: str
    secret: str
    expires_s: float
    replace: bool = False
    wrong: int = 0
    key: str = ""
    serial: str = ""


class Issued(msgspec.Struct, frozen=True):
    """A certificate; `issued` until it is first used, `retired` when another took its place."""

    gateway: str
    key: str
    expires_s: float
    state: Literal["issued", "used", "retired"] = "issued"


class EnrolBooks(msgspec.Struct, frozen=True):
    """`enrol.json`; `url` is what the gateways call, told by the server when it starts."""

    url: str = ""
    codes: dict[str, Code] = {}
    issued: dict[str, Issued] = {}


def read(folder: Path) -> EnrolBooks:
    """The books; empty ones where there are none yet.

    Raises:
        ConfigError: they cannot be read.
    """
    file = folder / "enrol.json"
    try:
        return msgspec.json.decode(file.read_bytes(), type=EnrolBooks)
    except FileNotFoundError:
        return EnrolBooks()
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigError("fleet.books-broken", path="", file=str(file), why=str(error)) from error


@contextmanager
def changing(folder: Path) -> Iterator[Pages]:
    """The books to change; written at the end, unless an error came between.  Server and verbs take turns."""
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        pages = Pages(read(folder))
        yield pages
        if pages.now != pages.before:
            durable.write(folder / "enrol.json", msgspec.json.format(msgspec.json.encode(pages.now), indent=1) + b"\n")
    finally:
        os.close(lock)


class Pages:
    """The books before and now."""

    def __init__(self, before: EnrolBooks) -> None:
        self.before = self.now = before

    def code(self, locator: str, code: Code) -> None:
        """Enter a code, or what became of it."""
        self.now = msgspec.structs.replace(self.now, codes={**self.now.codes, locator: code})

    def issued(self, changed: dict[str, Issued]) -> None:
        """Enter certificates, or what became of them."""
        self.now = msgspec.structs.replace(self.now, issued={**self.now.issued, **changed})


def new_code(folder: Path, gateway: str, *, now_s: float, valid_s: float, replace: bool = False) -> ClaimCode:
    """Enter a code for a gateway.

    Raises:
        ConfigError: `fleet.no-enrolment`: the server was never started here.
        Refused: `claim.gateway-taken`: a box with this id holds a certificate already.
    """
    authority = folder / "ca.pem"
    if not authority.is_file():
        raise ConfigError("fleet.no-enrolment", path="", folder=str(folder))
    with changing(folder) as pages:
        books = pages.now
        if not books.url:
            raise ConfigError("fleet.no-enrolment", path="", folder=str(folder))
        if not replace and holders(books, gateway, now_s):
            raise Refused("claim.gateway-taken", gateway=gateway)
        der = x509.load_pem_x509_certificate(authority.read_bytes()).public_bytes(serialization.Encoding.DER)
        drawn = claim_code.make(claim_code.pin_of(der), books.url)
        while drawn.locator in books.codes:
            drawn = claim_code.make(drawn.pin, books.url)
        pages.now = _without_old(books, now_s)
        made = Code(gateway, hash_of(drawn.locator, drawn.secret), now_s + valid_s, replace)
        pages.code(drawn.locator, made)
    return drawn


def holders(books: EnrolBooks, gateway: str, now_s: float) -> list[str]:
    """Serials of a gateway's certificates that still count."""
    return [
        serial
        for serial, one in books.issued.items()
        if one.gateway == gateway and one.state != "retired" and one.expires_s > now_s
    ]


def _without_old(books: EnrolBooks, now_s: float) -> EnrolBooks:
    """Forget what expired long ago."""
    codes = {at: code for at, code in books.codes.items() if code.expires_s + _KEPT_S > now_s}
    issued = {at: one for at, one in books.issued.items() if one.expires_s + _KEPT_S > now_s}
    return msgspec.structs.replace(books, codes=codes, issued=issued)


def hash_of(locator: str, secret: str) -> str:
    """What the books keep of a secret."""
    return hashlib.sha256(f"{locator}-{secret}".encode()).hexdigest()


def day(at_s: float) -> str:
    """A moment as people here read it, in Japan's time: `2026-11-26 17:05 JST`."""
    return f"{dt.datetime.fromtimestamp(at_s, dt.timezone(dt.timedelta(hours=9))):%Y-%m-%d %H:%M} JST"
