"""The page really served over TLS on loopback, with offers that are values, and a phone that speaks plain HTTPS to it."""

import asyncio
import contextlib
import hashlib
import http.client
import json
import re
import socket
import ssl
import threading

import msgspec

from edgeagent.daemon.health import SourceStatus, Status, UplinkStatus
from edgeagent.errors import EdgeAgentError
from edgeagent.history import History, Level, Trace
from edgeagent.ports import OutboxStats
from edgeagent.reading import Quantity, Unit
from edgeagent.web import addresses, certificate
from edgeagent.web.gate import Gate
from edgeagent.web.offers import Camera, Check, Drawn, Found, Listed, Offers, Picture
from edgeagent.web.pages import COOKIE
from edgeagent.web.run import serve
from tests.fakes import FakeClock
from tests.web.test_hydrograph import NOW, every

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c6360606000000004000"
    "1f61738550000000049454e44ae426082"
)
LINE = Drawn(id="up-down", start=(40.0, 300.0), end=(600.0, 300.0), forward="down")


def source(key="miyagawa", driver="modbus-gauge", name="宮川橋", **more):
    given = {
        "state": "running", "readings": 5, "age_s": 3.0, "problems": {}, "last_problem": None,
        "last_problem_age_s": None, "last": {"level": Quantity(1.23, Unit.METRE)}, **more,
    }  # fmt: skip
    return SourceStatus(id=key, driver=driver, name=name, **given)


def uplink(**more):
    given = {
        "id": "nagano", "driver": "ngsi-ld", "state": "ok", "acknowledged": 120, "waiting": 0, "dead": 0, "oldest_s": 0.0,
        "last_ok_s": 4.0, "problems": {}, "last_problem": None, **more,
    }  # fmt: skip
    return UplinkStatus(**given)


def status(*sources, uplinks=(), clock="synced", **box):
    stats = {
        "accepted": 130,
        "acknowledged": 120,
        "waiting": 10,
        "thinned": 0,
        "lost": 0,
        "oldest_s": 12.0,
        "bytes": 4096,
    }
    known = {f.name for f in msgspec.structs.fields(OutboxStats)}
    return Status(
        gateway="GW-0147", version="1", pid=1, up_s=10.0, clock=clock, queue=0, held_in_ram=0, dropped_from_ram=0,
        outbox=msgspec.convert({k: v for k, v in {**stats, "uplinks": {}, **box}.items() if k in known}, OutboxStats),
        outbox_problem=None, sources=list(sources), uplinks=list(uplinks),
    )  # fmt: skip


LEVELS = [Level("standby", 1.0), Level("caution", 1.5), Level("evacuate", 2.1), Level("danger", 2.6)]


def history(points=None):
    trace = Trace(source="miyagawa", name="宮川橋", levels=LEVELS, points=every(1) if points is None else points)
    return History(now_ms=NOW, since_ms=NOW - 86_400_000, clock="synced", traces=[trace])


class Road:
    """A camera that shows one picture over and over."""

    def __init__(self, trouble=None, size=(640, 360)):
        self.trouble, self.size, self.open, self.ended = trouble, size, False, threading.Event()

    def pictures(self):
        self.open = True
        try:
            if self.trouble:
                raise self.trouble
            number = 0
            while not self.ended.wait(0.02):
                number += 1
                yield Picture(PNG, self.size, float(number), number)
        finally:
            self.open = False

    def check(self, lines):
        faults = {one.id: ("outside",) if min(one.start[0], one.end[0]) > self.size[0] else () for one in lines}
        return [Found(id=one.id, forward=4, backward=2, beside=1, faults=faults[one.id]) for one in lines]


class World:
    """What the offers do, and what was done with them."""

    def __init__(self):
        self.status, self.history = status(source(), uplinks=[uplink()]), history()
        self.lines, self.saved, self.notes, self.restarts = (LINE,), [], [], 0
        self.road = Road()
        self.trouble = None

    def ask(self, question):
        if self.status is None:
            raise EdgeAgentError("daemon.not-running", path="x")
        return msgspec.json.encode(self.status if question == "status" else self.history)

    def save(self, name, lines):
        if self.trouble:
            raise self.trouble
        self.saved.append((name, tuple(lines)))
        self.lines = tuple(lines)

    def restart(self):
        self.restarts += 1

    def note(self, event, **facts):
        self.notes.append((event, facts))

    def offers(self, **more):
        given = {
            "gateway": "GW-0147", "name": "宮川橋", "ask": self.ask,
            "sources": [Listed(id="miyagawa", name="宮川橋", driver="modbus-gauge")],
            "cameras": lambda: [Camera(id="route140", name="国道140号", lines=self.lines)],
            "watch": lambda _: self.road, "save": self.save, "restart": self.restart, "note": self.note,
            "doctor": lambda lang: [
                Check(code="E-POWER-02", state="warning", text="電圧低下" if lang == "ja" else "undervoltage", remedy="5.1 V / 3 A"),
                Check(code="E-CLOCK-01", state="ok", text="<b>", remedy=""),
            ],
        }  # fmt: skip
        return Offers(**{**given, **more})


class Opened:
    """One opening of the page, on loopback."""

    def __init__(self, world, clock, lang, limits, offers):
        self.world, self.clock = world, clock
        self.gate = Gate(clock)
        self.listener = addresses.listen(["127.0.0.1"], 0)[0]
        self.port = self.listener.getsockname()[1]
        self.tls = certificate.make(["127.0.0.1"], "GW-0147", 1_795_000_000)
        self.ended = None
        self._loop = asyncio.new_event_loop()
        self._task = None
        offered = offers or world.offers()

        def run():
            asyncio.set_event_loop(self._loop)
            self._task = self._loop.create_task(
                serve([self.listener], self.tls, self.gate, offered, clock=clock, lang=lang, limits=limits)
            )
            with contextlib.suppress(asyncio.CancelledError):
                self.ended = self._loop.run_until_complete(self._task)

        self.thread = threading.Thread(target=run)
        self.thread.start()

    def close(self):
        self.gate.shut()
        self.world.road.ended.set()
        self.thread.join(20)
        assert not self.thread.is_alive()
        self._loop.close()

    def listening(self):
        with socket.socket() as probe:
            probe.settimeout(5)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@contextlib.contextmanager
def opened(world=None, *, clock=None, lang="ja", limits=None, offers=None):
    page = Opened(world or World(), clock or FakeClock(), lang, limits, offers)
    try:
        yield page
    finally:
        page.close()


class Phone:
    """A browser as far as headers go: its own origin, its cookies."""

    def __init__(self, page):
        self.page, self.cookie, self.csrf = page, "", ""
        self.host = f"127.0.0.1:{page.port}"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.context = context

    def ask(self, method, path, body=None, **headers):
        link = http.client.HTTPSConnection("127.0.0.1", self.page.port, context=self.context, timeout=30)
        with contextlib.closing(link):
            link.connect()
            der = link.sock.getpeercert(binary_form=True)
            self.fingerprint = hashlib.sha256(der).digest().hex(":").upper()
            sent = {"Host": self.host, **({"Cookie": f"{COOKIE}={self.cookie}"} if self.cookie else {}), **headers}
            link.request(method, path, body=body, headers=sent)
            answer = link.getresponse()
            answer.text = answer.read().decode("utf-8", "replace")
            return answer

    def get(self, path, **headers):
        return self.ask("GET", path, **headers)

    def enter(self, code, **headers):
        sent = {"Origin": f"https://{self.host}", "Content-Type": "application/x-www-form-urlencoded", **headers}
        answer = self.ask("POST", "/enter", body=f"code={code}&lang=ja", **sent)
        found = re.match(rf"{COOKIE}=([^;]+);", answer.headers.get("Set-Cookie", ""))
        if found:
            self.cookie = found[1]
            self.csrf = re.search(r'name="csrf" content="([^"]+)"', self.get("/").text)[1]
        return answer

    def write(self, path, asked=None, **headers):
        sent = {"Origin": f"https://{self.host}", "Content-Type": "application/json", "X-Csrf": self.csrf, **headers}
        sent = {name: value for name, value in sent.items() if value is not None}
        return self.ask("POST", path, body=json.dumps(asked or {}), **sent)


def lines(*given):
    return msgspec.to_builtins(list(given or (LINE,)))
