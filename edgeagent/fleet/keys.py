"""Signing keys: Ed25519 in a file under a passphrase, or on a PKCS#11 token (`token`).

A key file is PKCS#8 PEM, encrypted; `openssl pkey` reads it.
"""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner, Key, Signer

from edgeagent.errors import ConfigError
from edgeagent.fleet import token
from edgeagent.update import durable

__all__ = ["Passphrase", "ask_passphrase", "load", "make"]

Passphrase = Callable[[str], str]


def ask_passphrase(key: str) -> str:
    """The passphrase of a key file, or the PIN of a token (`hsm:…`): environment, systemd credential, or keyboard.

    EDGEAGENT_FLEET_PASSPHRASE and `fleet-passphrase` are for files, EDGEAGENT_FLEET_PIN and `fleet-pin` for tokens.

    Raises:
        ConfigError: there is nobody to ask.
    """
    pin = token.is_token(key)
    said = os.environ.get("EDGEAGENT_FLEET_PIN" if pin else "EDGEAGENT_FLEET_PASSPHRASE")
    if said is not None:
        return said
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if folder:
        file = Path(folder) / ("fleet-pin" if pin else "fleet-passphrase")
        if file.is_file():
            return file.read_text(encoding="utf-8").strip()
    name = token.Which.of_place(key).label if pin else key
    if not sys.stdin.isatty():
        raise ConfigError("fleet.no-pin" if pin else "fleet.no-passphrase", path="", key=name)
    return getpass.getpass(f"PIN {name}: " if pin else f"{name}: ")


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
    """The signer behind a key; None where its file or token is not here (another person holds it).

    Args:
        place: file name within `folder`, or `hsm:…`.
        public: its public half, as the metadata names it.
        folder: of key files.
        passphrase: asked once per key.

    Raises:
        ConfigError: wrong passphrase or PIN, or a token that does not answer.
    """
    if token.is_token(place):
        return token.load(place, public, passphrase)
    file = folder / place
    if not file.is_file():
        return None
    return CryptoSigner(_private(file, passphrase(place)), public)  # type: ignore[arg-type]  # the only kind we make


def _private(file: Path, passphrase: str) -> Ed25519PrivateKey:
    try:
        private = serialization.load_pem_private_key(file.read_bytes(), passphrase.encode() or None)
    except (ValueError, TypeError, OSError) as error:
        raise ConfigError("fleet.key-unreadable", path="", key=file.name, why=str(error).splitlines()[0]) from error
    if not isinstance(private, Ed25519PrivateKey):
        raise ConfigError("fleet.key-unreadable", path="", key=file.name, why="not Ed25519")
    return private
