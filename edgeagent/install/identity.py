"""The gateway's identity on disk: `<state_dir>/identity/`, written so that a power cut leaves the old or the new.

    next.key      a key made here that has no certificate yet; stays the same until it has one
    new.pem       key and certificate, not yet proven to be accepted
    current.pem   key and certificate that uplinks use (`cert = "identity"`); replaced by a proven new.pem only
    server.json   where the certificate comes from
    trust.pem     authority that the server is known by; absent where the system's authorities vouch for it

Keys have mode 0400 and belong to the owner of the state directory, who is the agent's user on a gateway, so
nothing that renews or reads them runs as root.  Nothing here needs the network.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from edgeagent.errors import EdgeAgentError
from edgeagent.update import durable

__all__ = ["Card", "Identity", "Server", "as_owner", "day", "read_card"]


class Server(msgspec.Struct, frozen=True):
    """`server.json`.

    Attributes:
        url: of the enrolment server.
        root_sha256: of the TUF root it gave; "" for none.
        root_file: where that was put.
        locator: of the code that was given to it.
    """

    url: str
    root_sha256: str = ""
    root_file: str = ""
    locator: str = ""


class Card(msgspec.Struct, frozen=True):
    """What a certificate says.

    Attributes:
        gateway: common name.
        begins_s, ends_s: UTC epoch seconds.
        sha256: of the certificate, hex.
        serial: hex.
    """

    gateway: str
    begins_s: float
    ends_s: float
    sha256: str
    serial: str

    @property
    def renew_s(self) -> float:
        """From when on it is to be renewed: two thirds of its life."""
        return self.begins_s + (self.ends_s - self.begins_s) * 2 / 3


class Identity:
    """The files of one state directory.

    Attributes:
        folder: where they are.
    """

    def __init__(self, state_dir: Path) -> None:
        self.folder = state_dir / "identity"
        self.next_key, self.new, self.current = (self.folder / name for name in ("next.key", "new.pem", "current.pem"))
        self.trust = self.folder / "trust.pem"

    @contextlib.contextmanager
    def held(self) -> Iterator[bool]:
        """Make the folder and hold it; False when another process does.

        Raises:
            EdgeAgentError: `claim.cannot-write`.
        """
        try:
            state_dir = self.folder.parent
            state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            with as_owner(state_dir):
                self.folder.mkdir(mode=0o700, exist_ok=True)
                durable.sync_folder(state_dir)
                lock = durable.held(self.folder / "lock")
                alone = lock.__enter__()
        except OSError as error:
            raise EdgeAgentError("claim.cannot-write", file=self.folder, why=error.strerror or "") from error
        try:
            yield alone
        finally:
            lock.__exit__(None, None, None)

    @property
    def server(self) -> Server | None:
        """Where the certificate comes from; None before a claim, or where the file is torn."""
        try:
            return msgspec.json.decode((self.folder / "server.json").read_bytes(), type=Server)
        except (OSError, msgspec.DecodeError):
            return None

    def put_server(self, server: Server, trust: bytes) -> None:
        """Remember the server, its authority first."""
        if trust:
            self._put(self.trust, trust, 0o600)
        else:
            self._remove(self.trust)
        self._put(self.folder / "server.json", msgspec.json.encode(server) + b"\n", 0o600)

    def put_next_key(self, pem: bytes) -> None:
        """Keep a key before anybody hears of it."""
        self._put(self.next_key, pem, 0o400)

    def put_new(self, pem: bytes) -> None:
        """Key and certificate, to be proven."""
        self._put(self.new, pem, 0o400)
        self._remove(self.next_key)

    def accept_new(self) -> None:
        """The new one was proven: it is the identity from now on, in one step."""
        with self._writing(self.current):
            durable.rename(self.new, self.current)
        self._remove(self.next_key)

    def drop_new(self) -> None:
        """The new one was refused."""
        self._remove(self.new)
        self._remove(self.next_key)

    def put_beside(self, file: Path, data: bytes) -> None:
        """A public file outside the folder, as whoever runs this.

        Raises:
            EdgeAgentError: `claim.cannot-write`.
        """
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            durable.write(file, data, mode=0o644)
        except OSError as error:
            raise EdgeAgentError("claim.cannot-write", file=file, why=error.strerror or "") from error

    def _put(self, file: Path, data: bytes, mode: int) -> None:
        with self._writing(file):
            beside = file.with_name(file.name + ".new")
            beside.unlink(missing_ok=True)  # mode 0400 of an attempt that was cut short cannot be opened again
            durable.write(file, data, mode=mode)

    def _remove(self, file: Path) -> None:
        with self._writing(file):
            if file.exists():
                file.unlink()
                durable.sync_folder(self.folder)

    @contextlib.contextmanager
    def _writing(self, file: Path) -> Iterator[None]:
        try:
            with as_owner(self.folder.parent):
                yield
        except OSError as error:
            raise EdgeAgentError("claim.cannot-write", file=file, why=error.strerror or "") from error


def read_card(file: Path) -> Card | None:
    """What the certificate in a PEM file says; None where there is no such file.

    Raises:
        EdgeAgentError: `claim.identity-broken`.
    """
    try:
        pem = file.read_bytes()
        found = x509.load_pem_x509_certificate(pem[pem.index(b"-----BEGIN CERTIFICATE") :])
        names = found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error).splitlines()[0]
        raise EdgeAgentError("claim.identity-broken", file=file, why=why) from error
    return Card(
        str(names[0].value) if names else "",
        found.not_valid_before_utc.timestamp(),
        found.not_valid_after_utc.timestamp(),
        found.fingerprint(hashes.SHA256()).hex(),
        f"{found.serial_number:x}",
    )


def day(at_s: float) -> str:
    """A date as a person reads it, in Japan's time."""
    return f"{dt.datetime.fromtimestamp(at_s, dt.timezone(dt.timedelta(hours=9))):%Y-%m-%d}"


@contextlib.contextmanager
def as_owner(folder: Path) -> Iterator[None]:
    """As the folder's owner, where we are root: `sudo edgeagent claim` leaves files that the agent can read."""
    if os.geteuid() != 0:
        yield
        return
    owner = folder.stat()
    group = os.getegid()
    os.setegid(owner.st_gid)
    os.seteuid(owner.st_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
