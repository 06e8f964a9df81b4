"""Bytes -> a request, a response -> bytes: as much of HTTP/1.1 (RFC 9112) as one page needs.  Pure.

What is not understood is refused with a status and never guessed at: no chunked bodies, no folded
headers, no second Host, Origin, Cookie or Content-Length, no target that is not a plain path.
"""

from __future__ import annotations

import re
import urllib.parse
from http import HTTPStatus

import msgspec

__all__ = ["LARGEST_BODY", "LARGEST_HEAD", "Request", "Response", "Unfit", "head", "packed"]

LARGEST_HEAD, LARGEST_BODY = 8_192, 16_384
_TARGET = re.compile(r"/[A-Za-z0-9/._~%?=&+-]{0,500}")
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VALUE = re.compile(r"[\t -~\x80-\xff]*")
_ONCE = ("host", "origin", "cookie", "content-length", "content-type", "x-csrf")
_FIELDS = 40
# Nothing from anywhere else, nothing in line, no frame around it, nothing kept.
_ALWAYS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # `no-referrer` would take the Origin from our own forms
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Unfit(Exception):
    """A request that is not answered but refused; `status` says with what."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A request, its headers by lower-case name.

    Attributes:
        length: of the body that follows the head.
        last: the client wants no other on this connection.
    """

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    length: int = 0
    last: bool = False
    body: bytes = b""

    def cookie(self, name: str) -> str:
        """One cookie's value; "" without it."""
        pairs = (pair.strip().partition("=") for pair in self.headers.get("cookie", "").split(";"))
        return next((value for key, _, value in pairs if key == name), "")

    def form(self) -> dict[str, str]:
        """The fields of a form.

        Raises:
            Unfit: it is none.
        """
        if not self.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            raise Unfit(415)
        try:
            return dict(urllib.parse.parse_qsl(self.body.decode("ascii"), max_num_fields=10))
        except ValueError as error:
            raise Unfit(400) from error


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent back."""

    status: int = 200
    body: bytes = b""
    kind: str = "text/html; charset=utf-8"
    headers: dict[str, str] = {}


def head(text: bytes) -> Request:
    """The part of a request before its body, up to and with the empty line.

    Raises:
        Unfit: with 400, 405, 411, 413, 414, 431, 501 or 505.
    """
    lines = text.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/"):  # noqa: PLR2004  method, target, version
        raise Unfit(400)
    method, target, version = words
    if version not in ("HTTP/1.1", "HTTP/1.0"):
        raise Unfit(505)
    if not _TARGET.fullmatch(target):
        raise Unfit(400)
    if method not in ("GET", "HEAD", "POST"):
        raise Unfit(405)
    fields = _fields(lines[1:])
    if "transfer-encoding" in fields or "expect" in fields:
        raise Unfit(501)
    if not fields.get("host"):
        raise Unfit(400)
    path, _, query = target.partition("?")
    try:
        asked = dict(urllib.parse.parse_qsl(query, max_num_fields=10))
    except ValueError as error:
        raise Unfit(400) from error
    return Request(
        method=method,
        path=path,
        query=asked,
        headers=fields,
        length=_length(method, fields.get("content-length")),
        last=version == "HTTP/1.0" or fields.get("connection", "").lower() == "close",
    )


def packed(response: Response, *, body: bool = True, last: bool = False) -> bytes:
    """The bytes of a response.

    Args:
        response: what to say.
        body: false for the answer to HEAD.
        last: the connection is closed after it.
    """
    phrase = HTTPStatus(response.status).phrase
    fields = {
        "Content-Type": response.kind,
        "Content-Length": str(len(response.body)),
        **_ALWAYS,
        **response.headers,
        "Connection": "close" if last else "keep-alive",
    }
    lines = [f"HTTP/1.1 {response.status} {phrase}", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1") + (response.body if body else b"")


def _fields(lines: list[str]) -> dict[str, str]:
    if len(lines) > _FIELDS:
        raise Unfit(431)
    fields: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        name, value = name.lower(), value.strip(" \t")
        if not colon or not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise Unfit(400)
        if name in fields and name in _ONCE:
            raise Unfit(400)
        fields[name] = value
    return fields


def _length(method: str, told: str | None) -> int:
    if told is None:
        if method == "POST":
            raise Unfit(411)
        return 0
    if not told.isascii() or not told.isdigit() or len(told) > 9:  # noqa: PLR2004  more digits are too many bytes
        raise Unfit(400)
    if int(told) > LARGEST_BODY or (method != "POST" and int(told)):
        raise Unfit(413)
    return int(told)
