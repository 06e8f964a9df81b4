"""The token endpoint of the embedded city: OAuth 2.0 client credentials, in memory."""

from __future__ import annotations

import base64
import binascii
import secrets
import urllib.parse

__all__ = ["CityTokens"]


class CityTokens:
    """Issues tokens to one client and knows which are good.

    Args:
        client: id and secret.
        lives_s: what it says about a token's life.
    """

    def __init__(self, client: tuple[str, str], *, lives_s: float = 3600.0) -> None:
        self._client = client
        self._good: set[str] = set()
        self.lives_s = lives_s
        self.issued = 0

    def issue(self, authorization: str, form: str) -> dict[str, object] | None:
        """The answer to a good request, None to a bad one."""
        kind, _, text = authorization.partition(" ")
        try:
            pair = base64.b64decode(text).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        told = (urllib.parse.unquote(pair[0]), urllib.parse.unquote(pair[2]))
        asked = urllib.parse.parse_qs(form).get("grant_type")
        if kind.lower() != "basic" or told != self._client or asked != ["client_credentials"]:
            return None
        token = secrets.token_urlsafe(12)
        self._good.add(token)
        self.issued += 1
        return {"access_token": token, "token_type": "bearer", "expires_in": self.lives_s}

    def good(self, authorization: str) -> bool:
        """Whether an Authorization header carries a token that is good."""
        kind, _, token = authorization.partition(" ")
        return kind.lower() == "bearer" and token in self._good

    def withdraw(self) -> None:
        """No token issued so far is good any longer."""
        self._good.clear()
