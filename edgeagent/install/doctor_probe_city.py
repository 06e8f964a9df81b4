"""Walks the way to each receiver: name, connection, TLS, one question that changes nothing there.

MQTT: a message of QoS 1 on `edgeagent/doctor/<gateway>`, under a client id of its own, so that the
running agent keeps its connection; the PUBACK is the round trip.  NGSI: one entity is asked for, with the
tenant's headers; nothing is written.  NTP: one packet of RFC 5905 in client mode.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import re
import socket
import struct
import time
import urllib.parse
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import msgspec

from edgeagent.clock import Clock
from edgeagent.config import Config
from edgeagent.errors import UplinkUnavailable
from edgeagent.install import doctor_city as city
from edgeagent.ngsi import ld, v2
from edgeagent.ports import UplinkConfig
from edgeagent.uplinks import meter
from edgeagent.uplinks.iota_mqtt import IotaConfig
from edgeagent.uplinks.ngsi_config import NgsiHttpConfig, NgsiLdConfig, NgsiV2Config
from edgeagent.uplinks.thread import NamedThread
from edgeagent.uplinks.tls import IDENTITY, client_context, credential
from edgeagent.uplinks.trouble import unreachable

__all__ = ["certificates", "has_route", "is_local", "ntp", "reach", "remote_hosts", "secrets", "time_servers"]

_LIMIT_S = 8.0
_NTP_EPOCH = 2_208_988_800  # seconds from 1900 to 1970
_NTP_CLIENT = b"\x23" + 47 * b"\0"  # version 4, mode 3
_SERVER_MODE = 4
_DEFAULT_NTP = "ntp.nict.jp"
_UNIT_CREDENTIALS = Path("/run/credentials/edgeagent.service")
_HTTPS, _HTTP = 443, 80
_TLS_PORT, _PLAIN_PORT = 8883, 1883


def is_local(host: str) -> bool:
    """Whether a receiver is this very machine."""
    return host in ("localhost", "::1") or host.startswith("127.")


async def reach(uplink: UplinkConfig, config: Config, clock: Clock) -> city.Reached | None:
    """Go as far as possible to one receiver; None for one that is no network receiver."""
    if isinstance(uplink, IotaConfig):
        port = uplink.port or (_TLS_PORT if uplink.tls else _PLAIN_PORT)
        address = uplink.host, port
        return await _walk(uplink.id, address, lambda: _publish(uplink, port, config), talk="mqtt", tls=uplink.tls)
    if isinstance(uplink, NgsiHttpConfig):
        parts = urllib.parse.urlsplit(uplink.url)
        tls = parts.scheme == "https"
        port = parts.port or (_HTTPS if tls else _HTTP)
        address = parts.hostname or "", port
        return await _walk(uplink.id, address, lambda: _ask(uplink, config, clock), talk="ngsi", tls=tls)
    return None


async def _walk(
    owner: str, address: tuple[str, int], say: Callable[[], Awaitable[int]], *, talk: city.Talk, tls: bool
) -> city.Reached:
    (host, port), began = address, time.monotonic()
    where = f"{host}:{port}"

    begun = city.Reached(owner=owner, where=where, talk=talk, stage="done", tls=tls, named=not _is_number(host))

    def ended(stage: str, error: UplinkUnavailable) -> city.Reached:
        facts = {name: str(value) for name, value in error.facts.items()}
        return msgspec.structs.replace(begun, stage=stage, code=error.code, facts=facts)

    thread = NamedThread(f"doctor-{owner}")
    try:
        async with asyncio.timeout(_LIMIT_S):
            await thread.run(lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except (OSError, UnicodeError) as error:  # a lookup that takes so long has failed, too
        gone = error if isinstance(error, socket.gaierror) else socket.gaierror(-3, "no answer")
        return ended("dns", unreachable(gone, where=where, timeout_s=_LIMIT_S))
    finally:
        thread.close()
    thread = NamedThread(f"doctor-{owner}")
    try:
        await thread.run(lambda: socket.create_connection((host, port), timeout=_LIMIT_S).close())
    except OSError as error:
        return ended("tcp", unreachable(error, where=where, timeout_s=_LIMIT_S))
    finally:
        thread.close()
    try:
        status = await say()
    except UplinkUnavailable as error:
        return ended("tls" if error.code.startswith("uplinks.tls") else "talk", error)
    ms = (time.monotonic() - began) * 1000
    return msgspec.structs.replace(begun, ms=ms, status=status)


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def _publish(uplink: IotaConfig, port: int, config: Config) -> int:
    from edgeagent.uplinks.mqtt_link import Message, MqttDoor, MqttLink  # noqa: PLC0415  paho

    state_dir, gateway = Path(config.gateway.state_dir), config.gateway.id
    context = None
    if uplink.tls:
        context = client_context(ca=uplink.ca, cert=uplink.cert, key=uplink.key, state_dir=state_dir)
    door = MqttDoor(
        host=uplink.host,
        port=port,
        client_id=f"{gateway}-doctor-{os.getpid()}",
        username=uplink.username,
        password=credential(uplink.password, state_dir) if uplink.password else "",
        timeout_s=_LIMIT_S,
    )
    thread = NamedThread(f"doctor-{uplink.id}")
    try:
        link = await MqttLink.open(door, context, thread, meter.Meter())
        try:
            (answer,) = await link.send([Message(f"edgeagent/doctor/{gateway}", b"round trip")])
            if answer is None:
                raise link.error or UplinkUnavailable("uplinks.timeout", where=door.where, timeout_s=_LIMIT_S)
            return answer
        finally:
            link.close()
    finally:
        thread.close()


async def _ask(uplink: NgsiHttpConfig, config: Config, clock: Clock) -> int:
    from edgeagent.uplinks.http import Door, Endpoint  # noqa: PLC0415  urllib3
    from edgeagent.uplinks.oauth import TokenSource  # noqa: PLC0415

    tokens = None
    if uplink.auth == "oauth2":
        tokens = TokenSource(url=uplink.token_url, client_id=uplink.client_id, scope=uplink.scope)
    door = Door(
        url=uplink.url.rstrip("/"),
        token=uplink.token,
        auth=uplink.auth,
        tokens=tokens,
        ca=uplink.ca,
        cert=uplink.cert,
        key=uplink.key,
        timeout_s=_LIMIT_S,
    )
    path, headers = "/v2/entities?type=Device&limit=1", {}
    if isinstance(uplink, NgsiLdConfig):
        path, headers = "/ngsi-ld/v1/entities?type=Device&limit=1", ld.headers(uplink.context, uplink.tenant)
    elif isinstance(uplink, NgsiV2Config):
        headers = v2.headers(uplink.tenant, uplink.service_path)
    headers = {name: text for name, text in headers.items() if name != "Content-Type"}
    endpoint = Endpoint(door, clock, Path(config.gateway.state_dir), meter.Meter())
    thread = NamedThread(f"doctor-{uplink.id}")
    try:
        answer = await thread.run(lambda: endpoint.get(path, headers))
    finally:
        await thread.run(endpoint.close)
        thread.close()
    return answer.status


def has_route(root: Path = Path("/")) -> bool:
    """Whether a default route exists (/proc/net/route, /proc/net/ipv6_route)."""
    for line in _lines(root / "proc/net/route")[1:]:
        fields = line.split()
        if len(fields) > 7 and fields[1] == "00000000" and fields[7] == "00000000":  # noqa: PLR2004  destination, mask
            return True
    for line in _lines(root / "proc/net/ipv6_route"):
        fields = line.split()
        if len(fields) > 9 and fields[0] == 32 * "0" and fields[1] == "00" and fields[9] != "lo":  # noqa: PLR2004
            return True
    return False


def time_servers(root: Path = Path("/")) -> list[str]:
    """The servers this machine is set to ask, else a public one in Japan."""
    found: list[str] = []
    files = [root / "etc/systemd/timesyncd.conf", *sorted((root / "etc/systemd/timesyncd.conf.d").glob("*.conf"))]
    for line in (line for file in files for line in _lines(file)):
        key, _, value = line.partition("=")
        if key.strip() == "NTP":
            found += value.split()
    chrony = [root / "etc/chrony/chrony.conf", *sorted((root / "etc/chrony").glob("*.d/*"))]
    for line in (line for file in chrony for line in _lines(file)):
        words = line.split()
        if len(words) > 1 and words[0] in ("server", "pool"):
            found.append(words[1])
    return found or [_DEFAULT_NTP]


async def ntp(server: str, *, port: int = 123, limit_s: float = 4.0) -> city.Ntp:
    """Ask a time server once."""
    thread = NamedThread("doctor-ntp")
    try:
        async with asyncio.timeout(limit_s + 2):
            offset_s = await thread.run(lambda: _offset_s(server, port, limit_s))
    except (OSError, ValueError) as error:
        why = "no answer" if isinstance(error, TimeoutError) else getattr(error, "strerror", None) or str(error)
        return city.Ntp(server, None, why)
    finally:
        thread.close()
    return city.Ntp(server, offset_s)


def _offset_s(server: str, port: int, limit_s: float) -> float:
    """RFC 5905, 8: ((t2 - t1) + (t3 - t4)) / 2."""
    family, kind, protocol, _, address = socket.getaddrinfo(server, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind, protocol) as link:
        link.settimeout(limit_s)
        link.connect(address)
        sent = time.time()
        link.send(_NTP_CLIENT)
        answer = link.recv(512)
        came = time.time()
    if len(answer) < 48 or answer[0] & 0x07 != _SERVER_MODE or answer[1] == 0:  # noqa: PLR2004  stratum 0: go away
        raise ValueError("no NTP answer")
    received, transmitted = (_unix(answer[at : at + 8]) for at in (32, 40))
    return ((received - sent) + (transmitted - came)) / 2


def _unix(stamp: bytes) -> float:
    seconds, fraction = struct.unpack("!II", stamp)
    return float(seconds - _NTP_EPOCH + fraction / 2**32)


def secrets(config: Config) -> list[city.Secret]:
    """The credentials that enabled uplinks name."""
    state_dir = Path(config.gateway.state_dir)
    if "CREDENTIALS_DIRECTORY" not in os.environ and os.access(_UNIT_CREDENTIALS, os.R_OK | os.X_OK):
        os.environ["CREDENTIALS_DIRECTORY"] = str(_UNIT_CREDENTIALS)  # those of the running service
    found = []
    for uplink in config.uplinks:
        name = getattr(uplink, "token", "") or getattr(uplink, "password", "")
        if name and uplink.enabled:
            seen = True
            try:
                credential(name, state_dir)
            except UplinkUnavailable:
                seen = False
            visible = os.access(state_dir, os.R_OK | os.X_OK) and not _UNIT_CREDENTIALS.exists()
            found.append(city.Secret(uplink.id, name, seen, visible))
    return found


def certificates(config: Config) -> list[city.Certificate]:
    """The client certificates that uplinks and updates name, and the claimed one, named or not."""
    owners: list[tuple[str, object]] = [(u.id, u) for u in config.uplinks if u.enabled]
    owners.append(("update", getattr(config.update, "mqtt", None)))
    claimed = str(Path(config.gateway.state_dir) / "identity" / "current.pem")
    found = []
    for owner, section in owners:
        cert, key = getattr(section, "cert", ""), getattr(section, "key", "")
        if cert:
            found.append(_certificate(owner, claimed if cert == IDENTITY else cert, key))
    if os.path.lexists(claimed) and claimed not in [one.file for one in found]:
        found.append(_certificate("claim", claimed, ""))
    return found


def _certificate(owner: str, cert: str, key: str) -> city.Certificate:
    from cryptography import x509  # noqa: PLC0415  4 MB
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415

    made = city.Certificate(owner=owner, file=cert, key_file=key)
    why, same, mode = "", True, 0o400
    from_s = until_s = 0.0
    try:
        shown = x509.load_pem_x509_certificate(Path(cert).read_bytes())
        from_s, until_s = shown.not_valid_before_utc.timestamp(), shown.not_valid_after_utc.timestamp()
        mode = Path(key or cert).stat().st_mode & 0o777
        secret = serialization.load_pem_private_key(Path(key or cert).read_bytes(), None)
        form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        same = secret.public_key().public_bytes(*form) == shown.public_key().public_bytes(*form)
    except PermissionError:
        why = "denied"
    except OSError as error:
        why = f"{error.filename}: {error.strerror}"
    except (ValueError, TypeError) as error:
        why = str(error).splitlines()[0][:80]
    return city.Certificate(
        owner=made.owner,
        file=cert,
        key_file=key,
        why=why,
        from_s=from_s,
        until_s=until_s,
        key_mode=mode,
        same=same,
    )


def _lines(file: Path) -> list[str]:
    with contextlib.suppress(OSError):
        return [re.sub(r"#.*", "", line).strip() for line in file.read_text(errors="replace").splitlines()]
    return []


def remote_hosts(uplinks: Iterable[UplinkConfig]) -> list[str]:
    """Receivers that are not this machine."""
    hosts = [
        urllib.parse.urlsplit(getattr(u, "url", "")).hostname or getattr(u, "host", "") for u in uplinks if u.enabled
    ]
    return [host for host in hosts if host and not is_local(host)]
