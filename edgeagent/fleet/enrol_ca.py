"""The enrolment server's own authority: made on first start, signs gateways' keys and its own web certificate.

    ca.key      EC P-256, PKCS#8 PEM; under a passphrase where one is given, else mode 0400
    ca.pem      its certificate, 20 years; the gateways pin it
    server.pem  key and certificate of the web server, remade when a third of its life is left

Profiles follow RFC 5280: what `ssl.VERIFY_X509_STRICT` (the default from Python 3.13 on) asks for is there.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import secrets
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edgeagent.errors import ConfigError
from edgeagent.fleet.keys import Passphrase
from edgeagent.update import durable

__all__ = ["Authority"]

_CA_DAYS, _SERVER_DAYS = 7300, 398
_EARLIER = dt.timedelta(hours=1)  # a gateway's clock may be a little behind


class Authority:
    """The authority in a folder, opened or made.

    Args:
        folder: where its files are.
        now_s: UTC epoch seconds; for a new one.
        passphrase: that a new key is encrypted with; "" for none.
        ask: asked when a key that is there needs one.

    Raises:
        ConfigError: the key is there and cannot be read.

    Attributes:
        certificate: its own.
        file: PEM file of that.
    """

    def __init__(self, folder: Path, now_s: float, passphrase: str, ask: Passphrase) -> None:
        self._folder, self.file = folder, folder / "ca.pem"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        key_file = folder / "ca.key"
        if not key_file.exists():
            _put(key_file, _pem(ec.generate_private_key(ec.SECP256R1()), passphrase))
        self._key = _load(key_file, passphrase, ask)
        if not self.file.exists():
            name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"edgeagent enrolment {secrets.token_hex(4)}")])
            usage = _usage(signs_certificates=True)
            made = self._sign(
                name, name, self._key.public_key(), now_s=now_s, days=_CA_DAYS, more=[(usage, True)], authority=True
            )
            durable.write(self.file, made.public_bytes(serialization.Encoding.PEM), mode=0o644)
        self.certificate = x509.load_pem_x509_certificate(self.file.read_bytes())

    def gateway(self, gateway: str, key: ec.EllipticCurvePublicKey, now_s: float, days: float) -> x509.Certificate:
        """A gateway's certificate: common name is its id, good for client authentication only."""
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, gateway)])
        more: list[tuple[x509.ExtensionType, bool]] = [
            (_usage(), True),
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False),
        ]
        return self._sign(name, self.certificate.subject, key, now_s=now_s, days=days, more=more)

    def server(self, names: Sequence[str], now_s: float) -> Path:
        """The web server's PEM file, remade when it is old or the names have changed."""
        file = self._folder / "server.pem"
        wanted = x509.SubjectAlternativeName([_name(name) for name in names])
        if not (file.exists() and _still_good(file, wanted, now_s)):
            key = ec.generate_private_key(ec.SECP256R1())
            more: list[tuple[x509.ExtensionType, bool]] = [
                (_usage(), True),
                (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
                (wanted, False),
            ]
            name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
            made = self._sign(
                name, self.certificate.subject, key.public_key(), now_s=now_s, days=_SERVER_DAYS, more=more
            )
            _put(file, _pem(key, "") + made.public_bytes(serialization.Encoding.PEM))
        return file

    def _sign(
        self,
        subject: x509.Name,
        issuer: x509.Name,
        key: ec.EllipticCurvePublicKey,
        *,
        now_s: float,
        days: float,
        more: Sequence[tuple[x509.ExtensionType, bool]],
        authority: bool = False,
    ) -> x509.Certificate:
        now = dt.datetime.fromtimestamp(int(now_s), dt.UTC)
        own = self._key.public_key()
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _EARLIER)
            .not_valid_after(now + dt.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=0 if authority else None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(own), critical=False)
        )
        for extension, critical in more:
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(self._key, hashes.SHA256())


def _put(file: Path, data: bytes) -> None:
    """A secret file; what a crash left beside it has mode 0400 too and cannot be opened again."""
    file.with_name(file.name + ".new").unlink(missing_ok=True)
    durable.write(file, data, mode=0o400)


def _still_good(file: Path, wanted: x509.SubjectAlternativeName, now_s: float) -> bool:
    certificate = x509.load_pem_x509_certificate(file.read_bytes())
    begins, ends = certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp()
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return names == wanted and begins <= now_s < begins + (ends - begins) * 2 / 3


def _usage(*, signs_certificates: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(key: ec.EllipticCurvePrivateKey, passphrase: str) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(passphrase.encode()) if passphrase else serialization.NoEncryption(),
    )


def _load(file: Path, passphrase: str, ask: Passphrase) -> ec.EllipticCurvePrivateKey:
    try:
        pem = file.read_bytes()
        secret = (passphrase or ask(file.name)).encode() if b"ENCRYPTED" in pem else None
        key = serialization.load_pem_private_key(pem, secret)
    except (ValueError, TypeError, OSError) as error:
        raise ConfigError("fleet.key-unreadable", path="", key=str(file), why=str(error).splitlines()[0]) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigError("fleet.key-unreadable", path="", key=str(file), why="not EC")
    return key
