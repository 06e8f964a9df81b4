"""Bytes of strangers: a request, or a refusal with a status; never anything else, never more than was allowed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.web.http import LARGEST_BODY, Request, Response, Unfit, head, packed

STATUSES = {400, 405, 411, 413, 431, 501, 505}
WORDS = st.sampled_from(
    [b"GET", b"POST", b"HEAD", b"/", b"/enter?t=1", b"//", b"HTTP/1.1", b"HTTP/1.0", b" ", b"\r\n", b"\n", b":", b"Host: a",
     b"Content-Length: 3", b"Content-Length: 99999999", b"Cookie: __Host-edgeagent=x; =;", b"Transfer-Encoding: chunked",
     b"\x00", b"%zz", b"?a&b=c&&", b"Origin: null", b"Connection: close", "あ".encode()]
)  # fmt: skip


def tried(make):
    """(what it made, None) or (None, the status of the refusal)."""
    try:
        return make(), None
    except Unfit as unfit:
        return None, unfit.status


@given(st.one_of(st.binary(max_size=300), st.lists(WORDS, max_size=25).map(b"".join)))
def test_whatever_comes_is_a_request_or_a_refusal(data):
    request, status = tried(lambda: head(data + b"\r\n\r\n"))
    assert (request is None) == (status in STATUSES)
    if request is None:
        return
    assert request.method in ("GET", "HEAD", "POST")
    assert request.path.startswith("/")
    assert request.headers["host"]
    assert 0 <= request.length <= LARGEST_BODY
    assert request.length == 0 or request.method == "POST"
    assert "\r" not in "".join(request.headers.values())


@given(st.binary(max_size=200), st.text(max_size=50))
def test_whatever_a_form_or_a_cookie_holds(body, cookie):
    request = Request(
        method="POST", path="/", query={}, headers={"content-type": "application/x-www-form-urlencoded", "cookie": cookie}, body=body
    )  # fmt: skip
    form, status = tried(request.form)
    assert status == 400 or all(isinstance(value, str) for value in form.values())
    assert isinstance(request.cookie("__Host-edgeagent"), str)


def test_a_query_is_read_and_a_response_is_whole():
    request = head(
        b"GET /camera?source=a%20b&t=7Q HTTP/1.1\r\nHost: 10.0.0.1:8088\r\nCookie: a=1; __Host-edgeagent=s3\r\n\r\n"
    )
    assert (request.path, request.query) == ("/camera", {"source": "a b", "t": "7Q"})
    assert request.cookie("__Host-edgeagent") == "s3"
    sent = packed(Response(body=b"abc", headers={"X-Left": "5"}))
    start, _, body = sent.partition(b"\r\n\r\n")
    assert start.startswith(b"HTTP/1.1 200 OK\r\n") and b"Content-Length: 3" in start and b"X-Left: 5" in start
    assert body == b"abc"
    assert packed(Response(body=b"abc"), body=False).endswith(b"\r\n\r\n")


@pytest.mark.parametrize("status", sorted(STATUSES | {403, 404, 409, 410, 415, 421}))
def test_every_refusal_has_its_phrase(status):
    assert packed(Response(status=status), last=True).startswith(f"HTTP/1.1 {status} ".encode())
