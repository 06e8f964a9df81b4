"""Judgements about the way to the city: identity, network, updates.  Pure; `doctor_probe_city` looks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import msgspec

from edgeagent.install.doctor_item import Cause, Item, failed, good, left_out, warned

__all__ = ["Certificate", "Network", "Ntp", "Reached", "Secret", "Updates", "identity", "network", "updates"]

_DAY_S = 86_400
_SOON_DAYS = 30
_STALE_DAYS = 5
_POLL_DAYS = 2  # the timer asks every 6 hours
_OTHERS = 0o077
_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _LATER, _SERVER = 401, 403, 404, 429, 500
_MULTIPLE = 300
_NOBODY, _NOT_ALLOWED = 0x10, 0x87

Talk = Literal["mqtt", "ngsi", "none"]


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """A certificate of ours and its key.

    Attributes:
        owner: the uplink (or `update`) that shows it.
        file, key_file: as configured.
        why: why one of them cannot be used; "" when both can.  `denied`: not readable for this user.
        from_s, until_s: validity, UTC epoch seconds.
        key_mode: permissions of the key's file.
        same: the key belongs to the certificate.
    """

    owner: str
    file: str
    key_file: str = ""
    why: str = ""
    from_s: float = 0.0
    until_s: float = 0.0
    key_mode: int = 0o400
    same: bool = True


class Secret(msgspec.Struct, frozen=True):
    """A credential that an uplink names: was it found, and could we have seen it?"""

    owner: str
    name: str
    found: bool
    visible: bool


class Ntp(msgspec.Struct, frozen=True):
    """A time server's answer; `offset_s` is None when there was none, and `why` says why."""

    server: str
    offset_s: float | None
    why: str = ""


class Reached(msgspec.Struct, frozen=True, kw_only=True):
    """How far we came on the way to one receiver.

    Attributes:
        owner: the uplink.
        where: host and port.
        talk: what was to be said at the end.
        stage: `dns`, `tcp`, `tls`, `talk`: there it ended; `done`: answered.
        code, facts: why it ended, as a message.
        tls: the way is encrypted.
        named: by a name that has to be looked up.
        ms: from the first packet to the answer.
        status: HTTP status, or the reason code of the PUBACK.
        delivers: the running agent says that this uplink is acknowledged; None when it was not asked.
        problem: what the running agent says is wrong with it.
    """

    owner: str
    where: str
    talk: Talk
    stage: Literal["dns", "tcp", "tls", "talk", "done"]
    code: str = ""
    facts: dict[str, str] = {}
    tls: bool = False
    named: bool = True
    ms: float = 0.0
    status: int = 0
    delivers: bool | None = None
    problem: Cause | None = None


class Network(msgspec.Struct, frozen=True, kw_only=True):
    """All of it.

    Attributes:
        route: there is a way out of this machine.
        remote: a receiver is not this machine.
        links: by uplink.
        ntp: the time server's answer; None when none was asked.
    """

    route: bool
    remote: bool
    links: tuple[Reached, ...] = ()
    ntp: Ntp | None = None


class Updates(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about updates of the config.

    Attributes:
        root: file with the root of trust, and whether it is there.
        what, why: how the last poll ended; "" before the first.
        asked_s: since a poll last reached a trusted repository; None for never.
        left_s: until signatures expire; None while unknown.
        rolled_back: why the last release was given up; None when it was not.
    """

    root: str
    root_found: bool
    what: str = ""
    why: Cause | None = None
    asked_s: float | None = None
    left_s: float | None = None
    rolled_back: Cause | None = None


def identity(certificates: Iterable[Certificate], secrets: Iterable[Secret], now_s: float) -> Iterator[Item]:
    """Keys, certificates and credentials."""
    none = True
    for one in certificates:
        none = False
        yield from _certificate(one, now_s)
    for secret in secrets:
        none = False
        facts: dict[str, Any] = {"name": secret.name}
        if secret.found:
            yield good("E-IDENT-05", secret.owner, **facts)
        elif secret.visible:
            yield failed("E-IDENT-05", secret.owner, **facts)
        else:
            yield left_out("E-IDENT-05", "credential", secret.owner, **facts)
    if none:
        yield left_out("E-IDENT-01", "no-identity")


def network(seen: Network) -> Iterator[Item]:
    """The way out, the way to each receiver, and the time."""
    if seen.remote:
        yield good("E-NET-01") if seen.route else failed("E-NET-01")
    if not seen.links:
        yield left_out("E-NET-02", "no-uplinks")
    for link in seen.links:
        yield from _link(link)
    if seen.ntp is None:
        yield left_out("E-NET-08", "no-ntp")
    elif seen.ntp.offset_s is None:
        yield warned("E-NET-08", server=seen.ntp.server, why=seen.ntp.why)
    else:
        yield good("E-NET-08", server=seen.ntp.server)


def updates(seen: Updates | None) -> Iterator[Item]:
    """Would a signed config still reach this gateway?"""
    if seen is None:
        yield left_out("E-OTA-01", "no-updates")
        return
    yield (good if seen.root_found else failed)("E-OTA-01", file=seen.root)
    if not seen.what:
        yield warned("E-OTA-02", why="")
    elif seen.what == "refused":
        yield failed("E-OTA-02", cause=seen.why, why="")
    elif seen.what == "unavailable" or seen.asked_s is None or seen.asked_s > _POLL_DAYS * _DAY_S:
        yield warned("E-OTA-02", cause=seen.why, why="")
    else:
        yield good("E-OTA-02")
    if seen.left_s is None:
        yield left_out("E-OTA-03", "no-signatures")
    else:
        days = f"{seen.left_s / _DAY_S:.0f}"
        judge = failed if seen.left_s <= 0 else warned if seen.left_s < _STALE_DAYS * _DAY_S else good
        yield judge("E-OTA-03", days=days)
    yield warned("E-OTA-04", cause=seen.rolled_back) if seen.rolled_back else good("E-OTA-04")


def _certificate(one: Certificate, now_s: float) -> Iterator[Item]:
    facts: dict[str, Any] = {"file": one.file, "key": one.key_file or one.file, "why": one.why}
    if one.why == "denied":
        yield left_out("E-IDENT-01", "certificate-denied", one.owner, **facts)
        return
    if one.why:
        yield failed("E-IDENT-01", one.owner, **facts)
        return
    yield good("E-IDENT-01", one.owner, **facts)
    days = (one.until_s - now_s) / _DAY_S
    facts["days"] = f"{days:.0f}"
    if now_s < one.from_s:
        yield failed("E-IDENT-02", one.owner, said="E-IDENT-02-early", **facts)
    elif days <= 0:
        yield failed("E-IDENT-02", one.owner, **facts)
    elif days < _SOON_DAYS:
        yield warned("E-IDENT-02", one.owner, said="E-IDENT-02-soon", **facts)
    else:
        yield good("E-IDENT-02", one.owner, **facts)
    mode = f"{one.key_mode & 0o777:04o}"
    yield (failed if one.key_mode & _OTHERS else good)("E-IDENT-03", one.owner, key=facts["key"], mode=mode)
    yield (good if one.same else failed)("E-IDENT-04", one.owner, **facts)


_STAGES = (("dns", "E-NET-02"), ("tcp", "E-NET-03"), ("tls", "E-NET-04"))


def _link(link: Reached) -> Iterator[Item]:
    facts: dict[str, Any] = {"where": link.where, "ms": f"{link.ms:.0f}", "why": ""}
    for stage, code in _STAGES:
        if stage == "tls" and not link.tls:
            continue
        if link.stage == stage:
            yield _told(code, link)
            return
        if stage != "dns" or link.named:
            yield good(code, link.owner, **facts)
    if link.talk != "none":
        yield _mqtt(link, facts) if link.talk == "mqtt" else _ngsi(link, facts)
    if link.delivers is None:
        yield left_out("E-NET-07", "agent-not-asked", link.owner)
    elif link.delivers:
        yield good("E-NET-07", link.owner)
    else:
        yield failed("E-NET-07", link.owner, cause=link.problem, why="")


def _mqtt(link: Reached, facts: dict[str, Any]) -> Item:
    if link.stage != "done":
        return _told("E-NET-05", link, "E-NET-05-silent")
    facts = {**facts, "status": f"0x{link.status:02X}"}
    if link.status in (0, _NOBODY, _NOT_ALLOWED):  # the broker answered; our test topic matters to nobody
        return good("E-NET-05", link.owner, **facts)
    return warned("E-NET-05", link.owner, **facts)


def _ngsi(link: Reached, facts: dict[str, Any]) -> Item:
    if link.stage != "done":
        return _told("E-NET-06", link, "E-NET-06-silent")
    facts = {**facts, "status": str(link.status)}
    if link.status < _MULTIPLE or link.delivers:  # a token that may write need not be one that may read
        return good("E-NET-06", link.owner, **facts)
    if link.status in (_FORBIDDEN, _LATER) or link.status >= _SERVER:
        return warned("E-NET-06", link.owner, **facts)
    return failed("E-NET-06", link.owner, **facts)


def _told(code: str, link: Reached, said: str = "") -> Item:
    """A failure whose cause another room puts into words."""
    cause = link.code, {**link.facts, "uplink": link.owner}
    return failed(code, link.owner, said=said, cause=cause, where=link.where)
