"""TLS for one opening of the page: a key and a certificate made now, in memory, gone with the process.

Nobody vouches for it, so the browser warns; the terminal shows its SHA-256 fingerprint, and whoever
wants to be sure compares it with what the browser shows.  The key never touches the card.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import ssl
from collections.abc import Sequence
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ["Tls", "make"]

_DAYS = 2  # a box without a clock may be a day off; what counts is the end of the process
_EARLIER = dt.timedelta(days=1)


class Tls(NamedTuple):
    """What a server needs, and the fingerprint for people: 32 bytes as `AB:CD:…`."""

    context: ssl.SSLContext
    fingerprint: str


def make(addresses: Sequence[str], gateway: str, now_s: float) -> Tls:
    """A certificate for these addresses.

    Args:
        addresses: IP addresses the page listens on.
        gateway: id of the gateway, its common name.
        now_s: UTC epoch seconds as this box believes.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"edgeagent {gateway}"[:64])])
    now = dt.datetime.fromtimestamp(int(now_s), dt.UTC)
    served = [x509.IPAddress(ipaddress.ip_address(one)) for one in addresses]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now + dt.timedelta(days=_DAYS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(served), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + made.public_bytes(serialization.Encoding.PEM)
    return Tls(_context(pem), made.fingerprint(hashes.SHA256()).hex(":").upper())


def _context(pem: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    handle = os.memfd_create("edgeagent-web", os.MFD_CLOEXEC)  # the library wants a file name
    try:
        os.write(handle, pem)
        context.load_cert_chain(f"/proc/self/fd/{handle}")
    finally:
        os.close(handle)
    return context
