"""Signing keys: Ed25519 in a file under a passphrase, or on a PKCS#11 token that never gives them away.

A key file is PKCS#8 PEM, encrypted; `openssl pkey` reads it.  A token key is `hsm:<keyid>?…` as
securesystemslib writes it (extra `edgeagent[fleet]`).
"""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.exceptions import UnsupportedLibraryError
from securesystemslib.signer import CryptoSigner, HSMSigner, Key, Signer

from edgeagent.errors import ConfigError
from edgeagent.update import durable

__all__ = ["Passphrase", "ask_passphrase", "import_token", "load", "make"]

Passphrase = Callable[[str], str]


def ask_passphrase(key: str) -> str:
    """The passphrase of a key: EDGEAGENT_FLEET_PASSPHRASE, a systemd credential, or the keyboard.

    Raises:
        ConfigError: there is nobody to ask.
    """
    said = os.environ.get("EDGEAGENT_FLEET_PASSPHRASE")
    if said is not None:
        return said
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if folder:
        file = Path(folder) / "fleet-passphrase"
        if file.is_file():
            return file.read_text(encoding="utf-8").strip()
    if not sys.stdin.isatty():
        raise ConfigError("fleet.no-passphrase", path="", key=key)
    return getpass.getpass(f"{key}: ")


def make(file: Path, passphrase: str, *, take: bool = False) -> CryptoSigner:
    """A new key in a new file of mode 0600.

    Args:
        file: where.
        passphrase: that it is encrypted with.
        take: use the key that is there, left by an attempt that was interrupted.

    Raises:
        ConfigError: the file exists (a key is never overwritten), or the passphrase is empty.
    """
    if file.exists() and take:
        return CryptoSigner(_private(file, passphrase))
    if file.exists():
        raise ConfigError("fleet.key-exists", path="", file=str(file))
    if not passphrase:
        raise ConfigError("fleet.no-passphrase", path="", key=file.name)
    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(passphrase.encode()),
    )
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    durable.write(file, pem)
    return CryptoSigner(private)


def load(place: str, public: Key, folder: Path, passphrase: Passphrase) -> Signer | None:
    """The signer behind a key; None where its file is not here (another person holds it).

    Args:
        place: file name within `folder`, or `hsm:…`.
        public: its public half, as the metadata names it.
        folder: of key files.
        passphrase: asked once per key.

    Raises:
        ConfigError: wrong passphrase, or a token that does not answer.
    """
    try:
        if place.startswith("hsm:"):
            return Signer.from_priv_key_uri(place, public, passphrase)
        file = folder / place
        if not file.is_file():
            return None
        private = _private(file, passphrase(place))
        return CryptoSigner(private, public)  # type: ignore[arg-type]  # SSlibKey, the only kind we make
    except (ValueError, UnsupportedLibraryError) as error:
        raise ConfigError("fleet.key-unreadable", path="", key=place, why=str(error).splitlines()[0]) from error


def _private(file: Path, passphrase: str) -> Ed25519PrivateKey:
    try:
        private = serialization.load_pem_private_key(file.read_bytes(), passphrase.encode() or None)
    except (ValueError, TypeError, OSError) as error:
        raise ConfigError("fleet.key-unreadable", path="", key=file.name, why=str(error).splitlines()[0]) from error
    if not isinstance(private, Ed25519PrivateKey):
        raise ConfigError("fleet.key-unreadable", path="", key=file.name, why="not Ed25519")
    return private


def import_token() -> tuple[str, Key]:
    """(place, public key) of the signing key on the PKCS#11 token named by PYKCS11LIB.

    Raises:
        ConfigError: no library, no token, no key.
    """
    try:
        return HSMSigner.import_()
    except Exception as error:
        raise ConfigError("fleet.no-token", path="", why=str(error) or type(error).__name__) from error
