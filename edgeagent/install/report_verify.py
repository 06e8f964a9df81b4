"""Does this report say what the gateway said?  Proven from the file alone, without a network.

Unchanged: every byte is as it was written, the page's too.  Signed: by the key of the certificate inside, which
names the gateway that the report is about.  Vouched for: only where that certificate is held against an authority
or against a copy of it; anybody can make a certificate with any name.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from edgeagent.errors import ConfigError, Refused
from edgeagent.install.report_seal import PSS, SLOT, Seal, digest, document

__all__ = ["LARGEST", "Verified", "verify"]

LARGEST = 32 << 20


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """What a file proves.

    Attributes:
        report: the report's own facts.
        sha256: of the report, hex; what the QR code of a printed page says.
        gateway: whose key signed it.
        fingerprint: SHA-256 of the certificate, hex.
        begins_s, ends_s: the certificate's life, UTC epoch seconds.
        issuer: who signed the certificate.
        in_time: the report's date lies within that life.
        vouched: the certificate was held against one that is trusted.
        page: it is the HTML, and what it shows was proven as well.
    """

    report: dict[str, Any]
    sha256: str
    gateway: str
    fingerprint: str
    begins_s: float
    ends_s: float
    issuer: str
    in_time: bool
    vouched: bool
    page: bool


def verify(file: Path, *, ca: Path | None = None, cert: Path | None = None) -> Verified:
    """Prove a report, .json or .html.

    Args:
        file: of the report.
        ca: PEM file of authorities that are trusted.
        cert: PEM file with the certificate that it must be.

    Raises:
        ConfigError: `report.unreadable`, `report.no-certificate`: a file that was named cannot be read.
        Refused: `report.not-one`, `report.unsigned`, `report.changed`, `report.foreign`, `report.not-vouched`,
            `report.other-cert`.
    """
    data = _read(file)
    report, seal, page = _opened(data, file)
    certificate = _certificate(seal, file)
    if seal.report_sha256 != digest(report) or (page is not None and seal.page_sha256 != _sha256(page)):
        raise Refused("report.changed", file=file)
    if not _signed_by(certificate, seal):
        raise Refused("report.changed", file=file)
    try:
        gateway, issuer = _name(certificate.subject), _name(certificate.issuer)
    except ValueError as error:
        raise Refused("report.changed", file=file) from error
    fingerprint = certificate.fingerprint(hashes.SHA256()).hex()
    said = report["gateway"]["id"]
    if gateway != said:
        raise Refused("report.foreign", file=file, said=said, signer=gateway, sha256=fingerprint)
    if cert is not None and certificate not in _certificates(cert, "--cert"):
        raise Refused("report.other-cert", file=file, sha256=fingerprint, cert=cert)
    if ca is not None and not _issued(certificate, _certificates(ca, "--ca")):
        raise Refused("report.not-vouched", file=file, sha256=fingerprint, issuer=issuer, ca=ca)
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return Verified(
        report=report,
        sha256=seal.report_sha256,
        gateway=gateway,
        fingerprint=fingerprint,
        begins_s=begins.timestamp(),
        ends_s=ends.timestamp(),
        issuer=issuer,
        in_time=begins <= dt.datetime.fromisoformat(report["made_at"]) <= ends,
        vouched=ca is not None or cert is not None,
        page=page is not None,
    )


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as source:
            data = source.read(LARGEST + 1)
    except OSError as error:
        raise ConfigError("report.unreadable", path="FILE", file=file, why=error.strerror or str(error)) from error
    if len(data) > LARGEST:
        raise Refused("report.not-one", file=file)
    return data


def _opened(data: bytes, file: Path) -> tuple[dict[str, Any], Seal, bytes | None]:
    """The report, its signature, and the page with an empty slot where it is a page."""
    opening, closing = SLOT
    if opening in data:
        before, _, rest = data.partition(opening)
        written, _, after = rest.partition(closing)
        page: bytes | None = before + opening + closing + after
    else:
        written, page = data.removesuffix(b"\n"), None
    try:
        told = json.loads(written)
        report, signature = told["report"], told["signature"]
        assert isinstance(report["gateway"]["id"], str)
        dt.datetime.fromisoformat(report["made_at"]).astimezone()
    except (ValueError, LookupError, TypeError, AssertionError, RecursionError, OverflowError) as error:
        raise Refused("report.not-one", file=file) from error
    if signature is None:
        raise Refused("report.unsigned", file=file)
    try:
        seal = msgspec.convert(signature, Seal)
        same = document(report, seal) == written
    except (ValueError, RecursionError) as error:  # msgspec's ValidationError is a ValueError
        raise Refused("report.changed", file=file) from error
    if not same:  # a blank more, a name twice: no gateway wrote it like that
        raise Refused("report.changed", file=file)
    return report, seal, page


def _certificate(seal: Seal, file: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(seal.certificate.encode())
    except ValueError as error:
        raise Refused("report.changed", file=file) from error


def _signed_by(certificate: x509.Certificate, seal: Seal) -> bool:
    try:
        value, key = base64.b64decode(seal.value, validate=True), certificate.public_key()
        if seal.algorithm == "ecdsa-sha256" and isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(value, seal.message, ec.ECDSA(hashes.SHA256()))
        elif seal.algorithm == "ed25519" and isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(value, seal.message)
        elif seal.algorithm == "rsa-pss-sha256" and isinstance(key, rsa.RSAPublicKey):
            key.verify(value, seal.message, PSS, hashes.SHA256())
        else:
            return False
    except (InvalidSignature, UnsupportedAlgorithm, binascii.Error, ValueError):
        return False
    return base64.b64encode(value).decode() == seal.value


def _certificates(file: Path, path: str) -> list[x509.Certificate]:
    try:
        pem = file.read_bytes()
        return x509.load_pem_x509_certificates(pem[pem.index(b"-----BEGIN CERTIFICATE") :])
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else "") or "PEM"
        raise ConfigError("report.no-certificate", path=path, file=file, why=why) from error


def _issued(certificate: x509.Certificate, trusted: Sequence[x509.Certificate]) -> bool:
    """Whether one of these signed it and may: a gateway's own certificate is no authority."""
    for authority in trusted:
        try:
            constraints = authority.extensions.get_extension_for_class(x509.BasicConstraints).value
            certificate.verify_directly_issued_by(authority)
        except (x509.ExtensionNotFound, InvalidSignature, ValueError, TypeError):
            continue
        if constraints.ca:
            return True
    return False


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _name(name: x509.Name) -> str:
    found = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else ""
