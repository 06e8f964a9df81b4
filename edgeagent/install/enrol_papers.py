"""What a claim holds in its hand: the request for a certificate, the certificate that came, the root for updates.

Nothing is believed for having come over the line: a certificate must be for our key, from the authority, for now;
a root must be signed by itself and never replaces another.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tuf.api.exceptions import UnsignedMetadataError
from tuf.api.metadata import Metadata, Root
from tuf.api.serialization import DeserializationError

from edgeagent.clock import Clock
from edgeagent.errors import EdgeAgentError, Refused
from edgeagent.install.enrol_client import CLOCK_APART_S, moment
from edgeagent.install.identity import Identity

__all__ = ["pem_of", "pin_root", "prove_fits", "read_next_key", "request_for"]


def pin_root(identity: Identity, root: bytes, file: Path) -> str:
    """Install the root of trust, unless another is there already; SHA-256 of the file."""
    if not root:
        return ""
    try:
        made = Metadata[Root].from_bytes(root)
        made.verify_delegate("root", made)
    except (DeserializationError, UnsignedMetadataError, ValueError, AttributeError) as error:
        raise Refused("claim.bad-root", why=str(error).splitlines()[0]) from error
    try:
        there = file.read_bytes()
    except FileNotFoundError:
        identity.put_beside(file, root)
    except OSError as error:
        raise EdgeAgentError("claim.cannot-write", file=file, why=error.strerror or "") from error
    else:
        if there != root:
            raise Refused("claim.root-differs", file=file, sha256=hashlib.sha256(root).hexdigest()[:16])
    return hashlib.sha256(root).hexdigest()


def request_for(private: ec.EllipticCurvePrivateKey, gateway: str) -> bytes:
    """A PKCS#10 (DER) for a key; without a name where the gateway has none yet."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, gateway)] if gateway else [])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(private, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.DER)


def prove_fits(
    made: x509.Certificate,
    private: ec.EllipticCurvePrivateKey,
    authorities: list[x509.Certificate],
    gateway: str,
    clock: Clock,
) -> None:
    """The certificate is for our key, from the authority, for this moment, and names a gateway."""
    names = made.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    name = str(names[0].value) if names else ""
    why = ""
    if made.public_key() != private.public_key():
        why = "key"
    elif not any(_issued_by(made, one) for one in authorities):
        why = "issuer"
    elif not name or not name.isprintable() or (gateway and name != gateway):
        why = "name"
    if why:
        raise Refused("claim.bad-certificate", why=why)
    now_s = clock.now().wall_ms / 1000
    begins_s, ends_s = made.not_valid_before_utc.timestamp(), made.not_valid_after_utc.timestamp()
    if not begins_s - CLOCK_APART_S <= now_s < ends_s:
        raise Refused("claim.clock-wrong", ours=moment(now_s), theirs=moment(begins_s))


def _issued_by(made: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        made.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def read_next_key(identity: Identity) -> ec.EllipticCurvePrivateKey:
    """The key that waits for its certificate.

    Raises:
        EdgeAgentError: `claim.identity-broken`.
    """
    try:
        key = serialization.load_pem_private_key(identity.next_key.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        why = str(error).splitlines()[0]
        raise EdgeAgentError("claim.identity-broken", file=identity.next_key, why=why) from error
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def pem_of(private: ec.EllipticCurvePrivateKey, made: x509.Certificate) -> bytes:
    """Key and certificate in one file, as TLS libraries load them."""
    key = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return key + made.public_bytes(serialization.Encoding.PEM)
