"""TLS contexts from files, and credentials by name.

Files are read when a connection is made, not when the config is: a renewed certificate is used
at the next connection, and a missing one stops its own uplink only.
"""

from __future__ import annotations

import os
import select
import ssl
from collections.abc import Iterable
from pathlib import Path

from edgeagent.errors import ConfigError, UplinkRefused

__all__ = ["IDENTITY", "client_context", "credential", "pair_problems"]

IDENTITY = "identity"  # `cert = "identity"`: key and certificate that `edgeagent claim` got, in one file
_VERDICT_S = 1.0


class _ClientSocket(ssl.SSLSocket):
    """Closes itself when the handshake fails, and hears the server's verdict on our certificate.

    In TLS 1.3 the client is done before the server has looked at its certificate; the refusal
    comes with the first read, if a broken pipe does not come first.  A server that agrees sends
    session tickets at that moment, so the wait for either is short.  Servers of the protocols used
    here never speak first, so nothing is read away.
    """

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002  the base class's signature
        """As the base class, and then listen once."""
        try:
            super().do_handshake(block)
            if self.version() == "TLSv1.3" and select.select([self], [], [], _VERDICT_S)[0]:
                self._listen()
        except OSError:
            self.close()
            raise

    def _listen(self) -> None:
        limit = self.gettimeout()
        self.settimeout(0)
        try:
            if not self.recv(1):
                raise ConnectionResetError
        except ssl.SSLWantReadError:
            self.settimeout(limit)


def client_context(*, ca: str, cert: str, key: str, state_dir: Path) -> ssl.SSLContext:
    """A context that proves the server by name, and us by certificate where one is given.

    Args:
        ca: PEM file of the authorities to trust; "" for the system's.
        cert: PEM file of our certificate (and chain); "" for none; `identity` for the claimed one.
        key: PEM file of its private key; "" when it is in `cert`.
        state_dir: where the claimed one is.

    Raises:
        UplinkRefused: a file is missing, unreadable or no certificate.
    """
    if cert == IDENTITY:
        cert = str(state_dir / "identity" / "current.pem")
        if not Path(cert).exists():
            raise UplinkRefused("uplinks.not-claimed", file=cert)
    for file in filter(None, (ca, cert, key)):
        if not os.access(file, os.R_OK):
            why = "missing" if not Path(file).exists() else "not readable"
            raise UplinkRefused("uplinks.tls-file", file=file, why=why)
    try:
        context = ssl.create_default_context(cafile=ca or None)
        context.sslsocket_class = _ClientSocket
        if cert:
            context.load_cert_chain(cert, key or None)
    except (ssl.SSLError, OSError) as error:
        why = getattr(error, "reason", None) or str(error)
        raise UplinkRefused("uplinks.tls-file", file=", ".join(filter(None, (ca, cert, key))), why=why) from error
    return context


def pair_problems(cert: str, key: str) -> Iterable[ConfigError]:
    """What is wrong with a pair of `cert` and `key` in a config."""
    if key and not cert:
        yield ConfigError("config.missing", path="cert", expected="key")
    if key and cert == IDENTITY:
        yield ConfigError("uplinks.identity-key", path="key")


def credential(name: str, state_dir: Path) -> str:
    """The secret called `name`: a systemd credential, else a file in the state directory.

    Raises:
        UplinkRefused: there is none, or it is not one line of printable ASCII.
    """
    folders = [Path(f) for f in (os.environ.get("CREDENTIALS_DIRECTORY"),) if f]
    folders.append(state_dir)
    for folder in folders:
        try:
            text = (folder / name).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            continue
        if text and text.isascii() and text.isprintable():
            return text
    raise UplinkRefused("uplinks.no-credential", name=name, folders=", ".join(map(str, folders)))
