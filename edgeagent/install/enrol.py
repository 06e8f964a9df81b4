"""Getting and renewing the gateway's certificate: EST (RFC 7030) as a client, one durable step after another.

A claim: make a key; meet the server (by the pin in the code, a file, or the system's authorities); compare
clocks; pin the root of trust for updates; exchange the code; prove the certificate by using it.  Every step
that matters is on disk before the next begins and may be done again: after a power cut the same words on
the command line go on where it stopped, with the same key, and the server gives the same certificate for it.

A renewal does the same with the present certificate instead of a code.  The new key takes the place of the
old one only when the server has accepted a connection made with it.

May be asked of a server that is not ours: only `whoami` and `root.json` are our own, and 404 is fine there.
"""

from __future__ import annotations

import base64
import email.utils
import hashlib
import http.client
import ssl
import urllib.parse
from collections.abc import Callable
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509.oid import NameOID
from tuf.api.exceptions import UnsignedMetadataError
from tuf.api.metadata import Metadata, Root
from tuf.api.serialization import DeserializationError

from edgeagent import messages
from edgeagent.clock import Clock
from edgeagent.errors import ConfigError, EdgeAgentError, Refused, UplinkUnavailable
from edgeagent.fleet import claim_code
from edgeagent.fleet.claim_code import ClaimCode
from edgeagent.install.identity import Card, Identity, Server, as_owner, day, read_card
from edgeagent.reading import TimeTrust
from edgeagent.security_log import SecurityLog
from edgeagent.uplinks.http import Answer, Door, Endpoint
from edgeagent.uplinks.meter import Meter
from edgeagent.uplinks.trouble import unreachable

__all__ = ["Claimed", "Step", "claim", "renew"]

_EST, _OURS = "/.well-known/est/", "/.well-known/edgeagent/"
_TIMEOUT_S = 30.0
_CLOCK_APART_S = 600.0
_LONGEST_FACT, _LARGEST = 120, 262_144
_OK, _NOT_FOUND, _ACCEPTED = 200, 404, 202
_OWN = {"uplinks.tls-own-expired": "claim.identity-expired"}
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


class _EstServer:
    """The other end.

    Args:
        url: base address.
        clock, state_dir: of this gateway.
        trust: PEM file of its authorities; "" for the system's.
        cert: PEM file with key and certificate to come with; "" for none.
    """

    def __init__(self, url: str, clock: Clock, state_dir: Path, *, trust: str, cert: str = "") -> None:
        door = Door(url=url.rstrip("/"), ca=trust, cert=cert, timeout_s=_TIMEOUT_S)
        self._clock = clock
        self._end = Endpoint(door, clock, state_dir, Meter())
        self.where = self._end.where

    def meet(self) -> list[x509.Certificate]:
        """The authorities it signs with; its clock is compared with ours.

        Raises:
            Refused: the clocks are apart, or it is not trusted.  UplinkUnavailable: it does not answer.
        """
        answer = self._ask("GET", _EST + "cacerts")
        compare_clocks(answer.headers.get("date", ""), self._clock)
        return _certificates(self._fine(answer))

    def root(self) -> bytes:
        """The TUF root it gives; b"" for none."""
        answer = self._ask("GET", _OURS + "root.json")
        return b"" if answer.status == _NOT_FOUND else self._fine(answer)

    def sign(self, request: bytes, code: ClaimCode | None) -> x509.Certificate:
        """A certificate for a PKCS#10, against a code or the certificate we came with."""
        headers = {"Content-Type": "application/pkcs10", "Content-Transfer-Encoding": "base64"}
        if code is not None:
            pair = base64.b64encode(f"{code.locator}:{code.secret}".encode()).decode()
            headers["Authorization"] = f"Basic {pair}"
        path = _EST + ("simpleenroll" if code is not None else "simplereenroll")
        answer = self._ask("POST", path, headers, base64.encodebytes(request))
        if answer.status == _ACCEPTED:  # RFC 7030 4.2.3: a person has to approve
            raise UplinkUnavailable("claim.wait", where=self.where)
        return _certificates(self._fine(answer))[0]

    def accepts_us(self) -> None:
        """Come with the certificate, once; a server that is not ours says 404 after it has let us in."""
        answer = self._ask("GET", _OURS + "whoami")
        if answer.status != _NOT_FOUND:
            self._fine(answer)

    def close(self) -> None:
        """Let go."""
        self._end.close()

    def _ask(self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b"") -> Answer:
        sent = {"User-Agent": "edgeagent", **(headers or {})}
        try:
            return self._end.get(path, sent) if method == "GET" else self._end.post(path, sent, body)
        except UplinkUnavailable as error:
            raise _our_error(error, self.where, self._clock) from error

    def _fine(self, answer: Answer) -> bytes:
        if answer.status == _OK:
            return answer.body
        try:
            said = msgspec.json.decode(answer.body, type=_Refusal)
        except (msgspec.DecodeError, UnicodeDecodeError):
            said = _Refusal()
        name = said.code.removeprefix("claim.")
        if said.code.startswith("claim.") and name in messages.catalogue("claim", "en"):
            raise Refused(said.code, **{"where": self.where, **{k: _tame(v) for k, v in said.facts.items()}})
        if answer.status == http.client.UNAUTHORIZED:
            raise Refused("claim.wrong-code", where=self.where)
        raise UplinkUnavailable("claim.http", where=self.where, status=answer.status)


class _Refusal(msgspec.Struct, frozen=True):
    code: str = ""
    facts: dict[str, str] = {}


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


def compare_clocks(date: str, clock: Clock) -> None:
    """Ours and the server's must be near each other, or certificates mean nothing.

    Raises:
        Refused: `claim.clock-wrong`.
    """
    try:
        theirs_s = email.utils.parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError, OverflowError):
        return
    ours_s = clock.now().wall_ms / 1000
    if abs(theirs_s - ours_s) > _CLOCK_APART_S:
        raise Refused("claim.clock-wrong", ours=_moment(ours_s), theirs=_moment(theirs_s))


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
    server = _EstServer(url, clock, identity.folder.parent, trust=str(identity.trust) if trust else "")
    try:
        authorities = server.meet()
        step("server", server.where)
        root = server.root()
        sha256 = _pin_root(identity, root, root_file)
        if root:
            told = msgspec.structs.replace(told, root_sha256=sha256, root_file=str(root_file))
            identity.put_server(told, trust)
            step("root", sha256)
        private = _read_key(identity)
        made = server.sign(_request(private, gateway), code)
        _check(made, private, authorities, gateway, clock)
        identity.put_new(_pem(private, made))
        step("certificate", day(made.not_valid_after_utc.timestamp()))
    finally:
        server.close()


def _again(identity: Identity, card: Card, told: Server, clock: Clock, step: Step) -> None:
    """A certificate for the next key, by the present one."""
    if card.ends_s <= clock.now().wall_ms / 1000:
        raise Refused("claim.identity-expired", when=day(card.ends_s))
    server = _EstServer(
        told.url, clock, identity.folder.parent, trust=_trust_file(identity), cert=str(identity.current)
    )
    try:
        authorities = server.meet()
        private = _read_key(identity)
        made = server.sign(_request(private, card.gateway), None)
        _check(made, private, authorities, card.gateway, clock)
        identity.put_new(_pem(private, made))
        step("certificate", day(made.not_valid_after_utc.timestamp()))
    finally:
        server.close()


def _prove(identity: Identity, clock: Clock, step: Step, log: SecurityLog, what: str) -> Claimed:
    """Use the new certificate; what was accepted takes the old one's place."""
    told, card = identity.server, read_card(identity.new)
    assert told is not None and card is not None
    server = _EstServer(told.url, clock, identity.folder.parent, trust=_trust_file(identity), cert=str(identity.new))
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
    offered, date = _ask_unproven(url)
    for one in offered:
        der = one.public_bytes(serialization.Encoding.DER)
        if claim_code.pin_of(der) == code.pin:
            compare_clocks(date, clock)
            return one.public_bytes(serialization.Encoding.PEM)
    raise Refused("claim.wrong-pin", where=where)


def _ask_unproven(url: str) -> tuple[list[x509.Certificate], str]:
    split = urllib.parse.urlsplit(url)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    line = http.client.HTTPSConnection(split.hostname or "", split.port or 443, timeout=_TIMEOUT_S, context=context)
    try:
        line.request("GET", split.path.rstrip("/") + _EST + "cacerts", headers={"User-Agent": "edgeagent"})
        answer = line.getresponse()
        body = answer.read(_LARGEST)
        if answer.status != _OK:
            raise UplinkUnavailable("claim.http", where=split.netloc, status=answer.status)
        return _certificates(body), answer.headers.get("Date", "")
    except (OSError, http.client.HTTPException) as error:
        raise _said(unreachable(error, where=split.netloc, timeout_s=_TIMEOUT_S), split.netloc) from error
    finally:
        line.close()


def _pin_root(identity: Identity, root: bytes, file: Path) -> str:
    """Install the root of trust, unless another is there already; SHA-256 of the file."""
    if not root:
        return ""
    try:
        made = Metadata[Root].from_bytes(root)
        made.verify_delegate("root", made)
    except (DeserializationError, UnsignedMetadataError, ValueError, AttributeError) as error:
        raise Refused("claim.bad-root", why=str(error).splitlines()[0]) from error
    try:
        there = file.read_bytes()
    except FileNotFoundError:
        identity.put_beside(file, root)
    except OSError as error:
        raise EdgeAgentError("claim.cannot-write", file=file, why=error.strerror or "") from error
    else:
        if there != root:
            raise Refused("claim.root-differs", file=file, sha256=hashlib.sha256(root).hexdigest()[:16])
    return hashlib.sha256(root).hexdigest()


def _request(private: ec.EllipticCurvePrivateKey, gateway: str) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, gateway)] if gateway else [])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(private, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.DER)


def _check(
    made: x509.Certificate,
    private: ec.EllipticCurvePrivateKey,
    authorities: list[x509.Certificate],
    gateway: str,
    clock: Clock,
) -> None:
    """The certificate is for our key, from the authority, for this moment, and names a gateway."""
    names = made.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    name = str(names[0].value) if names else ""
    why = ""
    if made.public_key() != private.public_key():
        why = "key"
    elif not any(_issued_by(made, one) for one in authorities):
        why = "issuer"
    elif not name or not name.isprintable() or (gateway and name != gateway):
        why = "name"
    if why:
        raise Refused("claim.bad-certificate", why=why)
    now_s = clock.now().wall_ms / 1000
    begins_s, ends_s = made.not_valid_before_utc.timestamp(), made.not_valid_after_utc.timestamp()
    if not begins_s - _CLOCK_APART_S <= now_s < ends_s:
        raise Refused("claim.clock-wrong", ours=_moment(now_s), theirs=_moment(begins_s))


def _issued_by(made: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        made.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _read_key(identity: Identity) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(identity.next_key.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        why = str(error).splitlines()[0]
        raise EdgeAgentError("claim.identity-broken", file=identity.next_key, why=why) from error
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def _pem(private: ec.EllipticCurvePrivateKey, made: x509.Certificate) -> bytes:
    key = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return key + made.public_bytes(serialization.Encoding.PEM)


def _trust_file(identity: Identity) -> str:
    return str(identity.trust) if identity.trust.exists() else ""


def _certificates(body: bytes) -> list[x509.Certificate]:
    try:
        found = pkcs7.load_der_pkcs7_certificates(base64.b64decode(b"".join(body.split()), validate=True))
    except ValueError as error:
        raise Refused("claim.bad-certificate", why="PKCS#7") from error
    if not found:
        raise Refused("claim.bad-certificate", why="PKCS#7")
    return found


def _check_url(url: str) -> None:
    split = urllib.parse.urlsplit(url)
    try:
        fits = split.scheme == "https" and bool(split.hostname) and (split.port or 443) > 0
    except ValueError:
        fits = False
    if not fits or split.query or split.username:
        raise ConfigError("claim.bad-url", path="--server", got=url)


def _our_error(error: UplinkUnavailable, where: str, clock: Clock) -> EdgeAgentError:
    """What a connection failed of, in the words of a claim."""
    unsure = clock.now().trust is not TimeTrust.SYNCED
    ours = _moment(clock.now().wall_ms / 1000)
    if error.code == "uplinks.tls-not-yet-valid" or (error.code == "uplinks.tls-expired" and unsure):
        return Refused("claim.clock-wrong", ours=ours, theirs=where)
    if error.code == "uplinks.tls-expired":
        return Refused("claim.server-expired", where=where, ours=ours)
    if error.code == "uplinks.tls-untrusted":
        return Refused("claim.not-trusted", where=where, why=error.facts.get("why", ""))
    if error.code == "uplinks.tls-wrong-name":
        return Refused("claim.wrong-name", where=where)
    if error.code.startswith("uplinks.tls-own"):
        return Refused(_OWN.get(error.code, "claim.identity-refused"), where=where, when="?")
    if error.code == "uplinks.tls-file":
        return EdgeAgentError("claim.identity-broken", file=error.facts.get("file"), why=error.facts.get("why"))
    return _said(error, where)


def _said(error: UplinkUnavailable, where: str) -> UplinkUnavailable:
    text = messages.text(error.code, {**error.facts, "uplink": where}, messages.language())
    return UplinkUnavailable("claim.unreachable", where=where, why=text.what.removeprefix(f"{where}: "))


def _moment(at_s: float) -> str:
    return email.utils.formatdate(at_s, usegmt=True)


def _tame(text: str) -> str:
    """A server's words, fit for a terminal."""
    return "".join(sign for sign in text if sign.isprintable())[:_LONGEST_FACT]
