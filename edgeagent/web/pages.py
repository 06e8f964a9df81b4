"""Request -> response: which page, which piece, which action, and who may ask for it.

    GET  /                    the page; without a session the field for the code
    POST /enter               the code, once; a session comes back as a cookie
    GET  /page.css, /page.js, /lines.js, /icon.svg
    GET  /part/now, /part/sending          pieces that the page replaces every few seconds
    GET  /camera?source=…     a camera with its counting lines
    GET  /camera/picture?source=…          the newest blurred picture
    POST /camera/look, /leave, /check, /save, /restart, /doctor, /close, /language

Reading needs the session.  Writing needs, besides it, an Origin that is this page and the word the page was
given (`X-Csrf`).  A Host that is none of our addresses is refused: somebody's name may point here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection

import msgspec

from edgeagent import messages
from edgeagent.clock import Clock
from edgeagent.daemon.health import Status
from edgeagent.errors import EdgeAgentError
from edgeagent.history import History
from edgeagent.web import frame, parts
from edgeagent.web.gate import Gate
from edgeagent.web.http import Request, Response, Unfit
from edgeagent.web.look import Look
from edgeagent.web.offers import Camera, Drawn, Offers

__all__ = ["COOKIE", "Pages"]

COOKIE = "__Host-edgeagent"
_HISTORY_S = 60.0
_ASSETS = {
    "/icon.svg": "image/svg+xml",
    "/page.css": "text/css; charset=utf-8",
    "/page.js": "text/javascript; charset=utf-8",
    "/lines.js": "text/javascript; charset=utf-8",
}


class _Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a writing request."""

    source: str = ""
    lines: tuple[Drawn, ...] = ()


class Pages:
    """One opening of the page.

    Args:
        gate: who may in.
        offers: what there is to show and do.
        look: the camera.
        clock: for what is not asked anew every time.
        hosts: what a browser may call us by, `192.168.1.20:8088`.
        lang: to begin with.
    """

    def __init__(
        self, gate: Gate, offers: Offers, look: Look, clock: Clock, *, hosts: Collection[str], lang: str
    ) -> None:
        self._clock, self._history_until_s = clock, float("-inf")
        self._day: History | None = None
        self._gate, self._offers, self._look, self._hosts, self._lang = gate, offers, look, hosts, lang
        self._busy = asyncio.Lock()  # one check-up, one saving at a time
        self._reads: dict[str, Callable[[Request], Awaitable[Response]]] = {
            "/": self._home,
            "/part/now": self._now,
            "/part/sending": self._sending,
            "/camera": self._camera,
            "/camera/picture": self._picture,
        }
        self._writes: dict[str, Callable[[_Asked], Awaitable[Response]]] = {
            "/camera/look": self._start,
            "/camera/leave": self._leave,
            "/camera/check": self._check,
            "/camera/save": self._save,
            "/restart": self._restart,
            "/doctor": self._doctor,
            "/close": self._close,
            "/language": self._language,
        }

    async def __call__(self, request: Request, address: str) -> Response:
        """The answer.

        Raises:
            Unfit: there is none.
        """
        if request.headers["host"] not in self._hosts:
            raise Unfit(421)
        if self._gate.closed:
            return self._stranger("closed", 410)
        if request.path in _ASSETS and request.method != "POST":
            return Response(body=frame.asset(request.path[1:]), kind=_ASSETS[request.path])
        if request.path == "/enter" and request.method == "POST":
            return self._enter(request, address)
        if not self._gate.admits(request.cookie(COOKIE)):
            if request.method == "POST" or request.path != "/":
                raise Unfit(403)
            lang = request.query.get("lang", self._lang)
            return Response(
                body=frame.entry(lang if lang in messages.LANGUAGES else self._lang, request.query.get("t", ""))
            )
        if request.method == "POST":
            return await self._write(request)
        read = self._reads.get(request.path)
        if read is None:
            raise Unfit(404)
        return await read(request)

    def _enter(self, request: Request, address: str) -> Response:
        self._own(request)
        form = request.form()
        if form.get("lang") in messages.LANGUAGES:
            self._lang = form["lang"]
        session, why = self._gate.enter(form.get("code", ""))
        if session is None:
            self._offers.note("page-refused", why=why, address=address)
            return self._stranger("closed" if self._gate.closed else str(why), 403)
        self._offers.note("page-entered", address=address)
        cookie = f"{COOKIE}={session}; Path=/; Secure; HttpOnly; SameSite=Strict"
        return Response(status=303, headers={"Location": "/", "Set-Cookie": cookie})

    async def _write(self, request: Request) -> Response:
        self._own(request)
        write = self._writes.get(request.path)
        if write is None:
            raise Unfit(404)
        if not self._gate.trusts(request.headers.get("x-csrf", "")):
            raise Unfit(403)
        if not request.headers.get("content-type", "").startswith("application/json"):
            raise Unfit(415)
        try:
            asked = msgspec.json.decode(request.body, type=_Asked)
        except msgspec.DecodeError as error:
            return self._said(EdgeAgentError("web.bad-lines", why=str(error)), 400)
        try:
            return await write(asked)
        except EdgeAgentError as error:
            return self._said(error, 409)

    def _own(self, request: Request) -> None:
        """A browser says where a writing request comes from; anywhere but here is refused."""
        if request.headers.get("origin") != f"https://{request.headers['host']}":
            raise Unfit(403)

    async def _home(self, request: Request) -> Response:  # noqa: ARG002
        now, sending = await asyncio.gather(self._now_html(), self._sending_html())
        body = frame.home(self._offers, self._lang, self._gate, now=now, sending=sending, cameras=await self._cameras())
        return Response(body=body)

    async def _now(self, request: Request) -> Response:  # noqa: ARG002
        return Response(body=(await self._now_html()).encode(), headers=self._left())

    async def _sending(self, request: Request) -> Response:  # noqa: ARG002
        return Response(body=(await self._sending_html()).encode(), headers=self._left())

    async def _camera(self, request: Request) -> Response:
        camera = await self._found(request.query.get("source", ""))
        return Response(body=frame.camera(self._offers, self._lang, self._gate, camera))

    async def _picture(self, request: Request) -> Response:
        try:
            picture = self._look.picture(request.query.get("source", ""))
        except EdgeAgentError as error:
            return self._said(error, 409)
        if picture is None:
            return Response(status=204)
        told = {"X-Size": f"{picture.size[0]}x{picture.size[1]}", "X-Seconds": f"{picture.seconds:.0f}"}
        return Response(body=picture.png, kind="image/png", headers={**told, "X-Vehicles": str(picture.vehicles)})

    async def _start(self, asked: _Asked) -> Response:
        await self._found(asked.source)
        await asyncio.to_thread(self._look.start, asked.source)
        return Response(status=204)

    async def _leave(self, asked: _Asked) -> Response:  # noqa: ARG002
        await asyncio.to_thread(self._look.stop)
        return Response(status=204)

    async def _check(self, asked: _Asked) -> Response:
        found = await asyncio.to_thread(self._look.check, asked.source, asked.lines)
        return Response(body=msgspec.json.encode(found), kind="application/json")

    async def _save(self, asked: _Asked) -> Response:
        await self._found(asked.source)
        for one in self._look.check(asked.source, asked.lines):
            if "outside" in one.faults:
                wide, high = self._look.size(asked.source)
                raise EdgeAgentError("camera.line-outside", line=one.id, width=wide, height=high)
        async with self._busy:
            await asyncio.to_thread(self._offers.save, asked.source, asked.lines)
        self._offers.note("local-config", source=asked.source, lines=len(asked.lines))
        return Response(status=204)

    async def _restart(self, asked: _Asked) -> Response:  # noqa: ARG002
        if self._offers.restart is None:
            raise Unfit(404)
        async with self._busy:
            await asyncio.to_thread(self._offers.restart)
        return Response(status=204)

    async def _doctor(self, asked: _Asked) -> Response:  # noqa: ARG002
        if self._busy.locked():
            raise Unfit(409)
        async with self._busy:
            found = await asyncio.to_thread(self._offers.doctor, self._lang)
        return Response(body=parts.checks(found, self._lang).encode())

    async def _close(self, asked: _Asked) -> Response:  # noqa: ARG002
        self._gate.shut()
        return Response(status=204)

    async def _language(self, asked: _Asked) -> Response:  # noqa: ARG002
        self._lang = "en" if self._lang == "ja" else "ja"
        return Response(status=204)

    async def _now_html(self) -> str:
        try:
            now = msgspec.json.decode(await self._ask("status"), type=Status)
        except msgspec.DecodeError as error:  # an agent of another version
            return parts.listed(self._offers.sources, self._lang, EdgeAgentError("web.other-agent", why=str(error)))
        except EdgeAgentError as error:
            return parts.listed(self._offers.sources, self._lang, error)
        return parts.status(now, await self._history(), self._lang, self._clock.now().wall_ms)

    async def _history(self) -> History | None:
        """The last day; asked for anew once a minute, which is what a point of it stands for."""
        now_s = self._clock.mono()
        if now_s >= self._history_until_s:
            try:
                self._day = msgspec.json.decode(await self._ask("history"), type=History)
            except (EdgeAgentError, msgspec.DecodeError):  # an agent of before this question
                self._day = None
            self._history_until_s = now_s + _HISTORY_S
        return self._day

    async def _sending_html(self) -> str:
        try:
            return parts.sending(msgspec.json.decode(await self._ask("status"), type=Status), self._lang)
        except (EdgeAgentError, msgspec.DecodeError):
            return parts.state("off", self._lang)

    async def _ask(self, question: str) -> bytes:
        return await asyncio.to_thread(self._offers.ask, question)

    async def _cameras(self) -> list[Camera]:
        return list(await asyncio.to_thread(self._offers.cameras))

    async def _found(self, source: str) -> Camera:
        for camera in await self._cameras():
            if camera.id == source:
                return camera
        raise Unfit(404)

    def _left(self) -> dict[str, str]:
        return {"X-Left": f"{self._gate.left_s:.0f}"}

    def _stranger(self, why: str, status: int) -> Response:
        return Response(status=status, body=frame.refused(self._lang, why, self._gate.tries_left))

    def _said(self, error: EdgeAgentError, status: int) -> Response:
        said = messages.text(error.code, error.facts, self._lang)
        body = msgspec.json.encode({"code": error.code, "what": said.what, "remedy": said.remedy})
        return Response(status=status, body=body, kind="application/json")
