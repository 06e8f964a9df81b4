"""A page with the picture somebody asked for: on this machine only, from memory, for as long as they look.

Its address has a secret in it, so that other people with an account on the box do not see it either.
May import: nothing of ours.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

__all__ = ["AimPage", "aim_page"]

_HTML = b"""<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="1">
<title>edgeagent</title><body style="margin:0;background:#222"><img src="picture.png" style="width:100%">"""


class AimPage:
    """What the page shows now.

    Attributes:
        url: where it is.
    """

    def __init__(self) -> None:
        self._png = b""
        secret = secrets.token_urlsafe(12)
        page = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == f"/{secret}/":
                    self._send(_HTML, "text/html")
                elif self.path == f"/{secret}/picture.png" and page._png:
                    self._send(page._png, "image/png")
                else:
                    self.send_error(404)

            def _send(self, body: bytes, kind: str) -> None:
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Cache-Control", "no-store")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Nobody's address is kept."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/{secret}/"

    def show(self, png: bytes) -> None:
        """Replace the picture."""
        self._png = png


@contextlib.contextmanager
def aim_page() -> Iterator[AimPage]:
    """A page for as long as the block runs."""
    page = AimPage()
    thread = threading.Thread(target=page.server.serve_forever, name="page", daemon=True)
    thread.start()
    try:
        yield page
    finally:
        page.server.shutdown()
        page.server.server_close()
        thread.join()
