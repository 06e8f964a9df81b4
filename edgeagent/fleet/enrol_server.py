"""The enrolment server of a small city: EST (RFC 7030) over HTTPS, for a few hundred gateways.

    GET  /.well-known/est/cacerts           the authority's certificate (PKCS#7, base64)
    POST /.well-known/est/simpleenroll      a one-time code (HTTP Basic: locator, secret) and a PKCS#10
    POST /.well-known/est/simplereenroll    the present certificate by TLS and a PKCS#10
    GET  /.well-known/edgeagent/whoami      whose certificate this is; the first call retires the one before
    GET  /.well-known/edgeagent/root.json   the TUF root of trust for updates

A refusal is `{"code": "claim.used", "facts": {…}}`; the gateway turns it into the installer's language.
A connection has a deadline and a request a size; a handshake never holds up the next caller.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import http.server
import logging
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Sequence
from email.utils import formatdate
from pathlib import Path
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from edgeagent.clock import Clock
from edgeagent.errors import EdgeAgentError, Refused
from edgeagent.fleet.enrol_ca import Authority
from edgeagent.fleet.enrol_desk import Desk

__all__ = ["EnrolServer"]

log = logging.getLogger(__name__)

EST, OURS = "/.well-known/est/", "/.well-known/edgeagent/"
_LARGEST = 16_384  # a request for a P-256 key has 500 bytes
_TIMEOUT_S = 20.0
_AT_ONCE = 32
_LOOK_S = 3600.0  # so often the server's own certificate is looked at
_STATUS = {
    "claim.wrong-code": 401,
    "claim.bad-request": 400,
    "claim.used": 409,
    "claim.gateway-taken": 409,
    "claim.other-gateway": 409,
    "claim.expired": 410,
    "claim.locked": 423,
    "claim.address-locked": 429,
}


class EnrolServer(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """Listens until `shutdown`.

    Args:
        listen: address and port; port 0 chooses a free one.
        names: host names and addresses that gateways may call it by.
        desk: decides.
        authority: makes the server's own certificate.
        clock: the server's.
        root: file with the TUF root; None for none.

    Raises:
        OSError: the port is taken, or not ours to take.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 32

    def __init__(
        self,
        listen: tuple[str, int],
        names: Sequence[str],
        *,
        desk: Desk,
        authority: Authority,
        clock: Clock,
        root: Path | None = None,
    ) -> None:
        self.desk, self.clock, self.root = desk, clock, root
        self._authority, self._names = authority, tuple(names)
        self._room = threading.BoundedSemaphore(_AT_ONCE)
        self._looked_s = clock.mono()
        if ":" in listen[0]:
            self.address_family = socket.AF_INET6
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._context.load_verify_locations(authority.file)
        self._context.verify_mode = ssl.CERT_OPTIONAL
        self._load()
        super().__init__(listen, _Handler)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    def server_bind(self) -> None:
        """Bind without asking the resolver for our name."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def service_actions(self) -> None:
        """Between two callers: a server that runs for years needs a new certificate of its own."""
        if self.clock.mono() - self._looked_s > _LOOK_S:
            self._looked_s = self.clock.mono()
            self._load()

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401  socketserver's signature
        """At most so many at once; the next one is hung up on and comes again."""
        if self._room.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401  as above
        """The handshake belongs to the caller's own thread."""
        try:
            request.settimeout(_TIMEOUT_S)
            with contextlib.suppress(OSError):
                wrapped = self._context.wrap_socket(request, server_side=True)
                super().process_request_thread(wrapped, client_address)
        finally:
            self._room.release()
            self.shutdown_request(request)

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401  as above
        """Close, whatever state it is in."""
        with contextlib.suppress(OSError):
            super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:
        """A caller that goes away is not worth a traceback."""

    def _load(self) -> None:
        self._context.load_cert_chain(self._authority.server(self._names, self.clock.now().wall_ms / 1000))


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _TIMEOUT_S
    server: EnrolServer
    server_version, sys_version = "edgeagent", ""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
        """One line per decision is written where it is made."""

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The server's clock, as the gateway compares its own with it."""
        at_s = self.server.clock.now().wall_ms / 1000 if timestamp is None else timestamp
        return formatdate(at_s, usegmt=True)

    def do_GET(self) -> None:
        """What may be looked at."""
        if self.path == EST + "cacerts":
            self._certificates([self.server.desk.authority])
        elif self.path == OURS + "whoami":
            self._decide(self._whoami)
        elif self.path == OURS + "root.json" and self.server.root is not None and self.server.root.is_file():
            self._say(200, self.server.root.read_bytes(), "application/json")
        else:
            self._say(404, b"", "text/plain")

    def do_POST(self) -> None:
        """A request for a certificate."""
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > _LARGEST:
            self.close_connection = True
            self._say(411 if not length.isdigit() else 413, b"", "text/plain")
            return
        body = self.rfile.read(int(length))
        if self.path == EST + "simpleenroll":
            self._decide(lambda: self._enrol(body))
        elif self.path == EST + "simplereenroll":
            self._decide(lambda: self._renew(body))
        else:
            self._say(404, b"", "text/plain")

    def _enrol(self, body: bytes) -> None:
        kind, _, told = self.headers.get("Authorization", "").partition(" ")
        try:
            locator, _, secret = base64.b64decode(told, validate=True).decode("ascii").partition(":")
        except (ValueError, binascii.Error):
            locator = secret = ""
        if kind != "Basic":
            locator = secret = ""
        made = self.server.desk.enrol(locator, secret, _decoded(body), self._from)
        log.info("enrolled %s for %s", _name(made), self._from)
        self._certificates([made])

    def _renew(self, body: bytes) -> None:
        made = self.server.desk.renew(self._certificate().serial_number, _decoded(body))
        log.info("renewed %s for %s", _name(made), self._from)
        self._certificates([made])

    def _whoami(self) -> None:
        held = self.server.desk.seen(self._certificate().serial_number)
        said = {"gateway": held.gateway, "expires_s": held.expires_s}
        self._say(200, msgspec.json.encode(said), "application/json")

    def _certificate(self) -> x509.Certificate:
        """The caller's; the handshake has proven that it holds the key and that we signed it."""
        connection = self.connection
        der = connection.getpeercert(binary_form=True) if isinstance(connection, ssl.SSLSocket) else None
        if not der:
            raise Refused("claim.no-certificate")
        return x509.load_der_x509_certificate(der)

    def _decide(self, answer: Callable[[], None]) -> None:
        try:
            answer()
        except EdgeAgentError as error:
            log.warning("refused %s: %s", self._from, error)
            facts = {name: str(value) for name, value in error.facts.items()}
            self._say(
                _STATUS.get(error.code, 403),
                msgspec.json.encode({"code": error.code, "facts": facts}),
                "application/json",
            )
        except OSError as error:
            log.exception("the books cannot be written")
            said = {"code": "claim.server-broken", "facts": {"why": error.strerror or ""}}
            self._say(503, msgspec.json.encode(said), "application/json")

    def _certificates(self, certificates: list[x509.Certificate]) -> None:
        der = pkcs7.serialize_certificates(certificates, Encoding.DER)
        self._say(200, base64.encodebytes(der), "application/pkcs7-mime; smime-type=certs-only")

    def _say(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if status == 401:  # noqa: PLR2004  RFC 9110 15.5.2
            self.send_header("WWW-Authenticate", 'Basic realm="edgeagent"')
        if kind.startswith("application/pkcs7"):
            self.send_header("Content-Transfer-Encoding", "base64")
        self.end_headers()
        self.wfile.write(body)

    @property
    def _from(self) -> str:
        return str(self.client_address[0])


def _decoded(body: bytes) -> bytes:
    try:
        return base64.b64decode(b"".join(body.split()), validate=True)
    except binascii.Error as error:
        raise Refused("claim.bad-request", why="base64") from error


def _name(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string()
