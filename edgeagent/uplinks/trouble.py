"""What went wrong on the way to a receiver: foreign exceptions -> our codes.

Libraries wrap each other (urllib3 wraps ssl wraps the socket), so the whole chain is looked at
and the most telling member speaks.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

from edgeagent.errors import UplinkUnavailable

__all__ = ["certificate_alert", "unreachable"]

# X509_V_ERR_* of OpenSSL's x509_vfy.h
_NOT_YET_VALID, _EXPIRED = 9, 10
_WRONG_NAME = frozenset({62, 64})
_OUR_CERTIFICATE = {
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "uplinks.tls-own-expired",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "uplinks.tls-own-wanted",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "uplinks.tls-own-wanted",
    "TLSV1_ALERT_UNKNOWN_CA": "uplinks.tls-own-refused",
    "SSLV3_ALERT_BAD_CERTIFICATE": "uplinks.tls-own-refused",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": "uplinks.tls-own-refused",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "uplinks.tls-own-refused",
}


def unreachable(error: BaseException, *, where: str, timeout_s: float) -> UplinkUnavailable:
    """Our error for a foreign one.

    Args:
        error: what a socket, ssl or a library raised.
        where: host and port, for the message.
        timeout_s: the limit in force, for the message.
    """
    chain = list(_chain(error))
    for judge in (_tls, _refusal, _silence, _route):
        for found in chain:
            code, why = judge(found)
            if code:
                return UplinkUnavailable(code, where=where, why=why, timeout_s=timeout_s)
    return UplinkUnavailable("uplinks.cut", where=where, why=str(error), timeout_s=timeout_s)


def certificate_alert(text: str) -> str:
    """The code for a TLS alert about our certificate that a library only logged; "" for other texts.

    In TLS 1.3 such an alert comes after the handshake, with the first read.
    """
    return next((code for alert, code in _OUR_CERTIFICATE.items() if alert in text), "")


def _tls(found: BaseException) -> tuple[str, str]:
    if isinstance(found, ssl.SSLCertVerificationError):
        return _distrust(found), found.verify_message
    if isinstance(found, ssl.SSLError) and not isinstance(found, TimeoutError | ssl.SSLEOFError):
        return _OUR_CERTIFICATE.get(found.reason or "", "uplinks.tls-failed"), found.reason or str(found)
    return "", ""


def _refusal(found: BaseException) -> tuple[str, str]:
    if isinstance(found, socket.gaierror):
        return "uplinks.no-such-host", found.strerror or str(found)
    if isinstance(found, ConnectionRefusedError):
        return "uplinks.connection-refused", ""
    if isinstance(found, ConnectionError | ssl.SSLEOFError | EOFError):
        return "uplinks.cut", str(found)
    return "", ""


def _silence(found: BaseException) -> tuple[str, str]:
    late = isinstance(found, TimeoutError) or "Timeout" in type(found).__name__
    return ("uplinks.timeout", "") if late else ("", "")


def _route(found: BaseException) -> tuple[str, str]:
    return ("uplinks.no-route", found.strerror or "") if isinstance(found, OSError) and found.errno else ("", "")


def _distrust(error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code == _EXPIRED:
        return "uplinks.tls-expired"
    if error.verify_code == _NOT_YET_VALID:
        return "uplinks.tls-not-yet-valid"
    if error.verify_code in _WRONG_NAME:
        return "uplinks.tls-wrong-name"
    return "uplinks.tls-untrusted"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, its causes, and the errors libraries carry as `reason` or arguments."""
    waiting, seen = [error], set[int]()
    while waiting:
        found = waiting.pop(0)
        if id(found) in seen:
            continue
        seen.add(id(found))
        yield found
        more = (found.__cause__, found.__context__, getattr(found, "reason", None), *found.args)
        waiting += [m for m in more if isinstance(m, BaseException)]
