"""The desk of the enrolment server: who may have which certificate.  Knows no socket.

Everything it decides is in its books on disk before the answer leaves, and everything may be asked again:
a gateway that lost power after its request comes back with the same key and gets the same certificate, so
a code that was "used" by nobody but itself still works.  A code is good once, for a while, and for five
wrong guesses.  A renewed certificate retires the one before when it is first used, not when it is issued.

`issued/<serial>.pem` holds the certificates, `enrol_books` the rest.
"""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from edgeagent.clock import Clock
from edgeagent.errors import Refused
from edgeagent.fleet.enrol_books import (
    Code,
    EnrolBooks,
    Issued,
    Pages,
    changing,
    day,
    hash_of,
    holders,
    new_code,
    read,
)
from edgeagent.fleet.enrol_ca import Authority
from edgeagent.update import durable

__all__ = ["LOCKED_AFTER", "Code", "Desk", "EnrolBooks", "Issued", "day", "new_code", "read"]

LOCKED_AFTER = 5  # wrong secrets for one code
_ADDRESS_TRIES, _ADDRESS_WAIT_S, _ADDRESSES = 10, 900.0, 1000


class Desk:
    """Answers requests for one folder of books.

    Args:
        folder: of the books.
        authority: that signs.
        clock: of the server.
        days: how long a certificate is good.
    """

    def __init__(self, folder: Path, authority: Authority, clock: Clock, *, days: float = 365) -> None:
        self._folder, self._authority, self._clock, self._days = folder, authority, clock, days
        self._wrong: dict[str, list[float]] = {}
        (folder / "issued").mkdir(mode=0o700, exist_ok=True)

    def called(self, url: str) -> None:
        """Remember what gateways call this server; codes carry it."""
        with changing(self._folder) as pages:
            pages.now = msgspec.structs.replace(pages.now, url=url)

    @property
    def authority(self) -> x509.Certificate:
        """The authority's certificate."""
        return self._authority.certificate

    def enrol(self, locator: str, secret: str, request: bytes, address: str) -> x509.Certificate:
        """Exchange a code for a certificate.

        Args:
            locator: of the code.
            secret: of the code.
            request: PKCS#10, DER.
            address: who asks, for the lock-out.

        Raises:
            Refused: why not.
        """
        self._may_try(address)
        key, name = _asked(request)
        now_s = self._now_s()
        try:
            with changing(self._folder) as pages:
                code = self._proven(pages, locator, secret)
                if code.key == key.print and code.serial in pages.now.issued:
                    return self._again(code.serial)
                _usable(code, name, now_s)
                held_by = holders(pages.now, code.gateway, now_s)
                others = [one for one in held_by if pages.now.issued[one].key != key.print]
                if others and not code.replace:
                    raise Refused("claim.gateway-taken", gateway=code.gateway)
                made = self._sign(pages, code.gateway, key, now_s)
                pages.issued({one: _retired(pages.now.issued[one]) for one in others})
                pages.code(locator, msgspec.structs.replace(code, key=key.print, serial=_serial(made)))
                return made
        except _WrongError as wrong:
            self._count_wrong(locator, secret, address)
            raise Refused("claim.wrong-code") from wrong

    def renew(self, serial: int, request: bytes) -> x509.Certificate:
        """Another certificate for a gateway that has proven to hold one.

        Raises:
            Refused: `claim.identity-retired`, or the request is no good.
        """
        key, name = _asked(request)
        now_s = self._now_s()
        with changing(self._folder) as pages:
            held = self._live(pages.now, serial)
            if name not in ("", held.gateway):
                raise Refused("claim.other-gateway", gateway=held.gateway, ours=name)
            pages.issued({f"{serial:x}": msgspec.structs.replace(held, state="used")})
            waiting = {
                number: one
                for number, one in pages.now.issued.items()
                if one.gateway == held.gateway and one.state == "issued"
            }
            for number, one in waiting.items():
                if one.key == key.print:
                    return self._again(number)
            pages.issued({number: _retired(one) for number, one in waiting.items()})
            return self._sign(pages, held.gateway, key, now_s)

    def seen(self, serial: int) -> Issued:
        """A certificate is in use: it is the gateway's only one from now on.

        Raises:
            Refused: `claim.identity-retired`.
        """
        with changing(self._folder) as pages:
            held = self._live(pages.now, serial)
            if held.state != "used":
                others = holders(pages.now, held.gateway, self._now_s())
                pages.issued({one: _retired(pages.now.issued[one]) for one in others if one != f"{serial:x}"})
                held = msgspec.structs.replace(held, state="used")
                pages.issued({f"{serial:x}": held})
            return held

    def _live(self, books: EnrolBooks, serial: int) -> Issued:
        held = books.issued.get(f"{serial:x}")
        if held is None or held.state == "retired":
            raise Refused("claim.identity-retired", gateway=held.gateway if held else "?")
        return held

    def _proven(self, pages: Pages, locator: str, secret: str) -> Code:
        code = pages.now.codes.get(locator)
        if code is None:
            raise _WrongError
        if code.wrong >= LOCKED_AFTER:
            raise Refused("claim.locked", tries=code.wrong)
        if not hmac.compare_digest(code.secret, hash_of(locator, secret)):
            raise _WrongError
        return code

    def _count_wrong(self, locator: str, secret: str, address: str) -> None:
        with changing(self._folder) as pages:
            code = pages.now.codes.get(locator)
            if code is not None and code.secret != hash_of(locator, secret):
                pages.code(locator, msgspec.structs.replace(code, wrong=code.wrong + 1))
        if len(self._wrong) >= _ADDRESSES and address not in self._wrong:
            self._wrong.pop(next(iter(self._wrong)))
        self._wrong[address] = [*self._wrong.get(address, []), self._clock.mono()][-_ADDRESS_TRIES:]

    def _may_try(self, address: str) -> None:
        began = self._clock.mono() - _ADDRESS_WAIT_S
        recent = [at for at in self._wrong.get(address, []) if at > began]
        if len(recent) >= _ADDRESS_TRIES:
            minutes = max(1, round((recent[0] - began) / 60))
            raise Refused("claim.address-locked", minutes=minutes)

    def _sign(self, pages: Pages, gateway: str, key: _Key, now_s: float) -> x509.Certificate:
        made = self._authority.gateway(gateway, key.public, now_s, self._days)
        file = self._folder / "issued" / f"{_serial(made)}.pem"
        durable.write(file, made.public_bytes(serialization.Encoding.PEM), mode=0o644)
        pages.issued({_serial(made): Issued(gateway, key.print, made.not_valid_after_utc.timestamp())})
        return made

    def _again(self, serial: str) -> x509.Certificate:
        return x509.load_pem_x509_certificate((self._folder / "issued" / f"{serial}.pem").read_bytes())

    def _now_s(self) -> float:
        return self._clock.now().wall_ms / 1000


class _WrongError(Exception):
    """No such code, or not its secret; the two look alike from outside."""


class _Key:
    def __init__(self, public: ec.EllipticCurvePublicKey) -> None:
        self.public = public
        der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        self.print = hashlib.sha256(der).hexdigest()


def _asked(request: bytes) -> tuple[_Key, str]:
    """The key in a request that was signed with it, and the name it wants."""
    try:
        asked = x509.load_der_x509_csr(request)
        key = asked.public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp256r1":
            raise Refused("claim.bad-request", why="EC P-256")
        if not asked.is_signature_valid:
            raise Refused("claim.bad-request", why="signature")
        names = asked.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except (ValueError, TypeError, InvalidSignature) as error:
        raise Refused("claim.bad-request", why="PKCS#10") from error
    return _Key(key), str(names[0].value) if names else ""


def _usable(code: Code, name: str, now_s: float) -> None:
    if code.key:
        raise Refused("claim.used", gateway=code.gateway)
    if now_s >= code.expires_s:
        raise Refused("claim.expired", when=day(code.expires_s))
    if name not in ("", code.gateway):
        raise Refused("claim.other-gateway", gateway=code.gateway, ours=name)


def _retired(one: Issued) -> Issued:
    return msgspec.structs.replace(one, state="retired")


def _serial(certificate: x509.Certificate) -> str:
    return f"{certificate.serial_number:x}"
