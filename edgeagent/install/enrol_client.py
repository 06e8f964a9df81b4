"""The enrolment server as a client sees it: EST (RFC 7030) over TLS, and what a failed connection means for a claim.

May be a server that is not ours: only `whoami` and `root.json` are our own, and 404 is fine there.
"""

from __future__ import annotations

import base64
import email.utils
import http.client
import ssl
import urllib.parse
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs7

from edgeagent import messages
from edgeagent.clock import Clock
from edgeagent.errors import EdgeAgentError, Refused, UplinkUnavailable
from edgeagent.fleet.claim_code import ClaimCode
from edgeagent.reading import TimeTrust
from edgeagent.uplinks.http import Answer, Door, Endpoint
from edgeagent.uplinks.meter import Meter
from edgeagent.uplinks.trouble import unreachable

__all__ = ["CLOCK_APART_S", "EstServer", "ask_unproven", "compare_clocks", "moment"]

CLOCK_APART_S = 600.0
_EST, _OURS = "/.well-known/est/", "/.well-known/edgeagent/"
_TIMEOUT_S = 30.0
_LONGEST_FACT, _LARGEST = 120, 262_144
_OK, _NOT_FOUND, _ACCEPTED = 200, 404, 202
_OWN = {"uplinks.tls-own-expired": "claim.identity-expired"}


class EstServer:
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


def ask_unproven(url: str) -> tuple[list[x509.Certificate], str]:
    """The authorities that an unproven server names, and its clock; to be believed for a fingerprint alone.

    Raises:
        UplinkUnavailable: it does not answer.  Refused: with no certificates.
    """
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
    if abs(theirs_s - ours_s) > CLOCK_APART_S:
        raise Refused("claim.clock-wrong", ours=moment(ours_s), theirs=moment(theirs_s))


def _certificates(body: bytes) -> list[x509.Certificate]:
    try:
        found = pkcs7.load_der_pkcs7_certificates(base64.b64decode(b"".join(body.split()), validate=True))
    except ValueError as error:
        raise Refused("claim.bad-certificate", why="PKCS#7") from error
    if not found:
        raise Refused("claim.bad-certificate", why="PKCS#7")
    return found


def _our_error(error: UplinkUnavailable, where: str, clock: Clock) -> EdgeAgentError:
    """What a connection failed of, in the words of a claim."""
    unsure = clock.now().trust is not TimeTrust.SYNCED
    ours = moment(clock.now().wall_ms / 1000)
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


def moment(at_s: float) -> str:
    """A time as HTTP says it, for a person who compares two clocks."""
    return email.utils.formatdate(at_s, usegmt=True)


def _tame(text: str) -> str:
    """A server's words, fit for a terminal."""
    return "".join(sign for sign in text if sign.isprintable())[:_LONGEST_FACT]
