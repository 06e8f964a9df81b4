"""OAuth 2.0 client credentials (RFC 6749, 4.4): a token for a secret, renewed before it expires.

Keyrock and most API gateways before a city's broker speak it.  The secret goes in the
Authorization header (2.3.1, which servers must support), never in the address.
"""

from __future__ import annotations

import base64
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from edgeagent.clock import Clock
from edgeagent.errors import UplinkRefused, UplinkUnavailable

__all__ = ["TokenSource", "Tokens"]

_OK, _BAD, _UNAUTHORIZED = 200, 400, 401
_UNSAID_S = 300.0  # for servers that do not say how long a token lives
_EARLY_S = 30.0  # a request under way must not arrive with a token that has just expired

Post = Callable[[str, Mapping[str, str], bytes], tuple[int, bytes]]


class TokenSource(msgspec.Struct, frozen=True, kw_only=True):
    """Where tokens come from.

    Attributes:
        url: of the token endpoint.
        client_id: who asks.
        scope: what for; "" for whatever the server gives.
    """

    url: str
    client_id: str
    scope: str = ""


class Tokens:
    """The token in use.

    Args:
        source: where to ask.
        clock: for its age.
        post: (url, headers, body) -> status and body; raises UplinkUnavailable.
    """

    def __init__(self, source: TokenSource, clock: Clock, post: Post) -> None:
        self._source, self._clock, self._post = source, clock, post
        self._token = ""
        self._until_s = 0.0

    def token(self, secret: str) -> str:
        """A token that still lives.

        Raises:
            UplinkUnavailable: there is none to be had now (UplinkRefused: the server says no).
        """
        if not self._token or self._clock.mono() >= self._until_s:
            self._token, lives_s = self._fetch(secret)
            self._until_s = self._clock.mono() + max(lives_s - _EARLY_S, lives_s / 2)
        return self._token

    def forget(self) -> None:
        """The receiver did not like it."""
        self._token = ""

    def _fetch(self, secret: str) -> tuple[str, float]:
        source = self._source
        form = {"grant_type": "client_credentials"} | ({"scope": source.scope} if source.scope else {})
        pair = f"{urllib.parse.quote(source.client_id, safe='')}:{urllib.parse.quote(secret, safe='')}"
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
            "Authorization": "Basic " + base64.b64encode(pair.encode()).decode(),
        }
        where = urllib.parse.urlsplit(source.url).netloc.rpartition("@")[2]
        status, body = self._post(source.url, headers, urllib.parse.urlencode(form).encode())
        found = _object(body)
        if status in (_BAD, _UNAUTHORIZED):
            why = str(found.get("error_description") or found.get("error") or f"HTTP {status}")
            raise UplinkRefused("uplinks.token-refused", where=where, why=why[:200])
        token, lives_s = found.get("access_token"), found.get("expires_in", _UNSAID_S)
        if status != _OK or not isinstance(token, str) or not token or not (token.isascii() and token.isprintable()):
            raise UplinkUnavailable("uplinks.no-token", where=where, why=f"HTTP {status}")
        try:
            return token, max(float(lives_s), 1.0)
        except (TypeError, ValueError):
            return token, _UNSAID_S


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return found if isinstance(found, dict) else {}
