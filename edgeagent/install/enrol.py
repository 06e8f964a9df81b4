"""Getting and renewing the gateway's certificate: EST (RFC 7030) as a client, one durable step after another.

A claim: make a key; meet the server (by the pin in the code, a file, or the system's authorities); compare
clocks; pin the root of trust for updates; exchange the code; prove the certificate by using it.  Every step
that matters is on disk before the next begins and may be done again: after a power cut the same words on
the command line go on where it stopped, with the same key, and the server gives the same certificate for it.

A renewal does the same with the present certificate instead of a code.  The new key takes the place of the
old one only when the server has accepted a connection made with it.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from edgeagent.clock import Clock
from edgeagent.errors import ConfigError, Refused
from edgeagent.fleet import claim_code
from edgeagent.fleet.claim_code import ClaimCode
from edgeagent.install.enrol_client import EstServer, ask_unproven, compare_clocks
from edgeagent.install.enrol_papers import pem_of, pin_root, prove_fits, read_next_key, request_for
from edgeagent.install.identity import Card, Identity, Server, as_owner, day, read_card
from edgeagent.security_log import SecurityLog

__all__ = ["Claimed", "Step", "claim", "compare_clocks", "renew"]

Step = Callable[[str, str], None]  # name of a step that is done, and what came of it


class Claimed(msgspec.Struct, frozen=True):
    """What a claim or renewal came to.

    Attributes:
        gateway: whose certificate it is.
        card: of the certificate.
        server: where it came from.
        what: `claimed`, `already` with this very code, `renewed`, `not-due`.
    """

    gateway: str
    card: Card
    server: Server
    what: str


def claim(
    code: ClaimCode,
    url: str,
    *,
    state_dir: Path,
    clock: Clock,
    gateway: str = "",
    ca: Path | None = None,
    root_file: Path,
    replace: bool = False,
    step: Step = lambda _name, _what: None,
) -> Claimed:
    """Get an identity for a code.

    Args:
        code: as parsed.
        url: `https://…` of the enrolment server.
        state_dir: of this gateway.
        clock: its clock.
        gateway: the id its config says; "" when there is none yet.
        ca: PEM file of the authority that vouches for the server, instead of the code's pin.
        root_file: where the root of trust for updates belongs.
        replace: although there is a good identity; it stays until the new one has proven itself.
        step: told after each step.

    Raises:
        ConfigError: the address is no good.  Refused: the server or this gateway says no, and why.
        UplinkUnavailable: the server is away; the same call goes on later.  EdgeAgentError: the card.
    """
    _check_url(url)
    log = SecurityLog(state_dir, clock)
    identity = Identity(state_dir)
    with identity.held() as alone:
        if not alone:
            raise Refused("claim.busy")
        held, told = read_card(identity.current), identity.server
        if held is not None and held.ends_s > clock.now().wall_ms / 1000:
            if told is not None and told.locator == code.locator and not identity.new.exists():
                return Claimed(held.gateway, held, told, "already")
            if not replace:
                raise Refused("claim.already", gateway=held.gateway)
        try:
            if identity.new.exists() and (told is None or told.locator != code.locator):
                identity.drop_new()  # of another attempt, with another code
            _key(identity, step)
            if not identity.new.exists():
                _exchange(identity, code, url, clock=clock, gateway=gateway, ca=ca, root_file=root_file, step=step)
            return _prove(identity, clock, step, log, "claimed")
        except Refused as error:
            with as_owner(state_dir):
                log.note("claim-refused", code=error.code)
            raise


def renew(*, state_dir: Path, clock: Clock, now: bool = False, step: Step = lambda _name, _what: None) -> Claimed:
    """Renew the certificate when two thirds of its life are over, or finish what a power cut stopped.

    Args:
        state_dir: of this gateway.
        clock: its clock.
        now: whether or not it is due.
        step: told after each step.

    Raises:
        As `claim`; Refused `claim.not-claimed` where there is nothing to renew.
    """
    log = SecurityLog(state_dir, clock)
    identity = Identity(state_dir)
    with identity.held() as alone:
        if not alone:
            raise Refused("claim.busy")
        server, card = identity.server, read_card(identity.current)
        if server is None or (card is None and not identity.new.exists()):
            raise Refused("claim.not-claimed")
        what = "claimed" if card is None else "renewed"
        try:
            if card is not None and not identity.new.exists():
                if not now and clock.now().wall_ms / 1000 < card.renew_s:
                    return Claimed(card.gateway, card, server, "not-due")
                _key(identity, step)
                _again(identity, card, server, clock, step)
            return _prove(identity, clock, step, log, what)
        except Refused as error:
            with as_owner(state_dir):
                log.note("claim-refused", code=error.code)
            raise


def _key(identity: Identity, step: Step) -> None:
    """A key made here, kept until it has a certificate."""
    if identity.new.exists():
        return
    if not identity.next_key.exists():
        made = ec.generate_private_key(ec.SECP256R1())
        identity.put_next_key(
            made.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
    step("key", "ECDSA P-256")


def _exchange(
    identity: Identity,
    code: ClaimCode,
    url: str,
    *,
    clock: Clock,
    gateway: str,
    ca: Path | None,
    root_file: Path,
    step: Step,
) -> None:
    """Meet the server and give it the code for a certificate."""
    trust = _trust(code, url, ca, clock)
    told = Server(url.rstrip("/"), locator=code.locator)
    identity.put_server(told, trust)
    server = EstServer(url, clock, identity.folder.parent, trust=str(identity.trust) if trust else "")
    try:
        authorities = server.meet()
        step("server", server.where)
        root = server.root()
        sha256 = pin_root(identity, root, root_file)
        if root:
            told = msgspec.structs.replace(told, root_sha256=sha256, root_file=str(root_file))
            identity.put_server(told, trust)
            step("root", sha256)
        private = read_next_key(identity)
        made = server.sign(request_for(private, gateway), code)
        prove_fits(made, private, authorities, gateway, clock)
        identity.put_new(pem_of(private, made))
        step("certificate", day(made.not_valid_after_utc.timestamp()))
    finally:
        server.close()


def _again(identity: Identity, card: Card, told: Server, clock: Clock, step: Step) -> None:
    """A certificate for the next key, by the present one."""
    if card.ends_s <= clock.now().wall_ms / 1000:
        raise Refused("claim.identity-expired", when=day(card.ends_s))
    server = EstServer(told.url, clock, identity.folder.parent, trust=_trust_file(identity), cert=str(identity.current))
    try:
        authorities = server.meet()
        private = read_next_key(identity)
        made = server.sign(request_for(private, card.gateway), None)
        prove_fits(made, private, authorities, card.gateway, clock)
        identity.put_new(pem_of(private, made))
        step("certificate", day(made.not_valid_after_utc.timestamp()))
    finally:
        server.close()


def _prove(identity: Identity, clock: Clock, step: Step, log: SecurityLog, what: str) -> Claimed:
    """Use the new certificate; what was accepted takes the old one's place."""
    told, card = identity.server, read_card(identity.new)
    assert told is not None and card is not None
    server = EstServer(told.url, clock, identity.folder.parent, trust=_trust_file(identity), cert=str(identity.new))
    try:
        server.accepts_us()
    except Refused as error:
        if error.code.startswith("claim.identity"):  # the certificate is at fault, not the clock or the line
            identity.drop_new()
        raise
    finally:
        server.close()
    identity.accept_new()
    step("proven", card.gateway)
    with as_owner(identity.folder.parent):
        log.note("claim", gateway=card.gateway, what=what, server=server.where, certificate=card.sha256)
    return Claimed(card.gateway, card, told, what)


def _trust(code: ClaimCode, url: str, ca: Path | None, clock: Clock) -> bytes:
    """PEM of the authority the server must be vouched for by; b"" for the system's.

    The pin is compared before anything secret is sent (RFC 7030, 4.1.1): what an unproven connection
    brought is believed for its fingerprint alone.
    """
    if ca is not None:
        try:
            return ca.read_bytes()
        except OSError as error:
            raise ConfigError("config.unreadable", path="--ca", file=str(ca), why=error.strerror or "") from error
    if not code.pin:
        return b""
    where = urllib.parse.urlsplit(url).netloc
    offered, date = ask_unproven(url)
    for one in offered:
        der = one.public_bytes(serialization.Encoding.DER)
        if claim_code.pin_of(der) == code.pin:
            compare_clocks(date, clock)
            return one.public_bytes(serialization.Encoding.PEM)
    raise Refused("claim.wrong-pin", where=where)


def _trust_file(identity: Identity) -> str:
    return str(identity.trust) if identity.trust.exists() else ""


def _check_url(url: str) -> None:
    split = urllib.parse.urlsplit(url)
    try:
        fits = split.scheme == "https" and bool(split.hostname) and (split.port or 443) > 0
    except ValueError:
        fits = False
    if not fits or split.query or split.username:
        raise ConfigError("claim.bad-url", path="--server", got=url)
