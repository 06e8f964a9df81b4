"""Bytes that left over a connection, TLS included: what a SIM's budget is charged with.

The kernel counts them per socket (`tcpi_bytes_sent` of tcp(7), Linux 4.19 and later): handshake,
TLS records and retransmissions included, headers of TCP and IP not.  Where it does not tell, what
was handed to the socket is counted and TLS is estimated; `exact` says which it is.
"""

from __future__ import annotations

import socket
import ssl
import struct

__all__ = ["Meter"]

_BYTES_SENT = 200  # offset in struct tcp_info of linux/tcp.h, a __u64
_HANDSHAKE, _RECORD, _RECORD_MOST = 2_500, 29, 16_384  # TLS 1.3 with a client certificate; per record


class Meter:
    """Of one receiver, over all its connections.

    Attributes:
        exact: whether the kernel told every figure so far.
    """

    def __init__(self) -> None:
        self.exact = True
        self._closed = 0
        self._open: dict[socket.socket, int] = {}
        self._told = 0

    def opened(self, sock: object) -> None:
        """A connection stands.  Libraries call their sockets by types of their own; they are sockets."""
        assert isinstance(sock, socket.socket)
        self._open[sock] = _HANDSHAKE if isinstance(sock, ssl.SSLSocket) else 0

    def handed(self, sock: object, count: int) -> None:
        """So many bytes were given to the connection."""
        if isinstance(sock, socket.socket) and sock in self._open:
            tls = _RECORD * -(-count // _RECORD_MOST) if isinstance(sock, ssl.SSLSocket) else 0
            self._open[sock] += count + tls

    def closing(self, sock: object) -> None:
        """The connection is about to end."""
        if isinstance(sock, socket.socket) and sock in self._open:
            self._closed += self._of(sock)
            del self._open[sock]

    def fresh(self) -> int:
        """Bytes since the last call."""
        total = self._closed + sum(map(self._of, self._open))
        told, self._told = self._told, total
        return max(total - told, 0)

    def _of(self, sock: socket.socket) -> int:
        try:
            told = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_SENT + 8)
            return int(struct.unpack_from("=Q", told, _BYTES_SENT)[0])
        except (OSError, struct.error):  # closed already, or an older kernel
            self.exact = False
            return self._open[sock]
