"""Where the page listens: the IPv4 addresses of this box on local networks, none of the mobile line."""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import socket
import struct
from collections.abc import Sequence

from edgeagent.errors import ConfigError, EdgeAgentError

__all__ = ["lan", "listen", "plain", "url"]

_SIOCGIFADDR, _SIOCGIFFLAGS = 0x8915, 0x8913  # linux/sockios.h
_UP, _LOOPBACK, _POINT_TO_POINT = 0x1, 0x8, 0x10  # linux/if.h; the mobile line is point to point, or called wwan
_NOT_HERE = ("wwan", "ppp", "rmnet", "docker", "br-", "veth", "virbr", "tun", "tap", "wg")  # the line out, or inside
_BACKLOG = 16


def lan() -> list[str]:
    """Private addresses of interfaces that are up, wireless ones first: that is where a phone is."""
    found: list[tuple[bool, str]] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        for _, name in socket.if_nameindex():
            request = struct.pack("256s", name.encode()[:15])
            with contextlib.suppress(OSError):
                (flags,) = struct.unpack("H", fcntl.ioctl(asking, _SIOCGIFFLAGS, request)[16:18])
                address = socket.inet_ntoa(fcntl.ioctl(asking, _SIOCGIFADDR, request)[20:24])
                local = flags & _UP and not flags & (_LOOPBACK | _POINT_TO_POINT) and not name.startswith(_NOT_HERE)
                if local and ipaddress.ip_address(address).is_private:
                    found.append((not name.startswith("wl"), address))
    return [address for _, address in sorted(found)]


def plain(given: Sequence[str]) -> list[str]:
    """Addresses a person named.

    Raises:
        ConfigError: one is no address of one interface.
    """
    for one in given:
        try:
            unfit = ipaddress.ip_address(one).is_unspecified  # the whole world is never meant
        except ValueError:
            unfit = True
        if unfit:
            raise ConfigError("web.bad-listen", path="--listen", got=one)
    return list(given)


def listen(addresses: Sequence[str], port: int) -> list[socket.socket]:
    """A listening socket on each address.

    Raises:
        EdgeAgentError: there is no address, or one cannot be listened on.
    """
    if not addresses:
        raise EdgeAgentError("web.no-address")
    listeners: list[socket.socket] = []
    for address in addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            one = socket.socket(family, socket.SOCK_STREAM)
            listeners.append(one)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind((address, port))
            one.listen(_BACKLOG)
        except (OSError, OverflowError) as error:
            for other in listeners:
                other.close()
            why = getattr(error, "strerror", None) or str(error)
            raise EdgeAgentError("web.cannot-listen", where=f"{address}:{port}", why=why) from error
    return listeners


def url(listener: socket.socket) -> str:
    """Where a browser finds it."""
    address, port = listener.getsockname()[:2]
    return f"https://[{address}]:{port}" if ":" in address else f"https://{address}:{port}"
