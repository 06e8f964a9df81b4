"""What makes a report one that nobody can change: its canonical form, its digests, the signature.

A report is one JSON document, written without blanks, and the same again inside its HTML page:

    {"report":{…},"signature":{"algorithm":…,"certificate":PEM,"page_sha256":…,"report_sha256":…,"value":base64}}

Signed are four lines of text: what this is, the SHA-256 of `report` as `canonical` writes it, of the HTML file with
the place of this document left empty, and of the certificate's PEM.  So one signature proves either file, and in the
HTML every byte counts, also what a person reads there.  The key is the gateway's; its certificate is inside.

    ecdsa-sha256     DER (FIPS 186-5); what `edgeagent claim` makes: P-256
    ed25519          RFC 8032
    rsa-pss-sha256   RFC 8017, salt of 32 bytes
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from edgeagent.errors import EdgeAgentError, Refused

__all__ = ["PSS", "SLOT", "Seal", "Signer", "canonical", "digest", "document", "signed", "signer", "with_document"]

SLOT = (b'<script type="application/json" id="report">', b"</script>")
PSS = padding.PSS(padding.MGF1(hashes.SHA256()), 32)


class Signer(msgspec.Struct, frozen=True):
    """A key that signs.

    Attributes:
        algorithm: of the table above.
        certificate: what the key belongs to, PEM.
        sha256: of that certificate, hex.
        sign: bytes -> signature.
    """

    algorithm: str
    certificate: str
    sha256: str
    sign: Callable[[bytes], bytes]


class Seal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The signature as it stands in the document.

    Attributes:
        algorithm: of the table above.
        certificate: PEM.
        page_sha256: of the HTML with an empty SLOT, hex.
        report_sha256: of the report's canonical form, hex; what the QR code says.
        value: base64.
    """

    algorithm: str
    certificate: str
    page_sha256: str
    report_sha256: str
    value: str

    @property
    def message(self) -> bytes:
        """The bytes that are signed."""
        of_certificate = hashlib.sha256(self.certificate.encode()).hexdigest()
        said = f"report {self.report_sha256}\npage {self.page_sha256}\ncertificate {of_certificate}\n"
        return f"edgeagent-report/1\n{said}".encode()


def canonical(value: object) -> bytes:
    """The one spelling: UTF-8, keys sorted, no blanks, `<` escaped so that it can stand in a page."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").encode()


def digest(report: Mapping[str, Any]) -> str:
    """SHA-256 of a report's canonical form, hex."""
    return hashlib.sha256(canonical(report)).hexdigest()


def signed(report: Mapping[str, Any], page: bytes, by: Signer | None) -> bytes:
    """The document for a report and its page, whose slot is still empty; unsigned without a signer."""
    if by is None:
        return document(report, None)
    page_sha256 = hashlib.sha256(page).hexdigest()
    seal = Seal(by.algorithm, by.certificate, page_sha256, digest(report), "")
    return document(report, msgspec.structs.replace(seal, value=base64.b64encode(by.sign(seal.message)).decode()))


def document(report: Mapping[str, Any], seal: Seal | None) -> bytes:
    """As it is written, into the .json and into the page."""
    return canonical({"report": report, "signature": None if seal is None else msgspec.to_builtins(seal)})


def with_document(page: bytes, written: bytes) -> bytes:
    """The page with the document in its slot."""
    before, found, after = page.partition(b"".join(SLOT))
    assert found, "the page has a slot"
    return before + SLOT[0] + written + SLOT[1] + after


def signer(pem_file: Path) -> Signer:
    """The gateway's key and certificate in one PEM file.

    Raises:
        Refused: `claim.not-claimed`: there is none.
        EdgeAgentError: `claim.identity-broken`: it cannot be read, or is of a kind we cannot sign with.
    """
    try:
        pem = pem_file.read_bytes()
        certificate = x509.load_pem_x509_certificate(pem[pem.index(b"-----BEGIN CERTIFICATE") :])
        key = serialization.load_pem_private_key(pem, None)
        assert key.public_key() == certificate.public_key(), "key and certificate do not belong together"
        algorithm, sign = _signing(key)
    except FileNotFoundError as error:
        raise Refused("claim.not-claimed") from error
    except (OSError, ValueError, TypeError, AssertionError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error).splitlines()[0]
        raise EdgeAgentError("claim.identity-broken", file=pem_file, why=why) from error
    sha256 = certificate.fingerprint(hashes.SHA256()).hex()
    return Signer(algorithm, certificate.public_bytes(serialization.Encoding.PEM).decode(), sha256, sign)


def _signing(key: object) -> tuple[str, Callable[[bytes], bytes]]:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return "ecdsa-sha256", lambda message: key.sign(message, ec.ECDSA(hashes.SHA256()))
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519", key.sign
    if isinstance(key, rsa.RSAPrivateKey):
        return "rsa-pss-sha256", lambda message: key.sign(message, PSS, hashes.SHA256())
    raise TypeError(f"a {type(key).__name__} cannot sign")
