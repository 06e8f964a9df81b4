"""A site on the desk: the wizard's own steps with canned devices, and a person who answers from a list."""

import contextlib

import msgspec

from edgeagent.config import load
from edgeagent.daemon.build import catalogue
from edgeagent.errors import EdgeAgentError
from edgeagent.install import setup, setup_assign, setup_devices, setup_lines, setup_proof, setup_state
from edgeagent.install.answers import Answers
from edgeagent.install.discover import Blank, Discover, Eye, Found, Gauge, Radio
from edgeagent.install.doctor import World
from edgeagent.install.doctor_item import good
from edgeagent.install.report import Made
from edgeagent.install.report_facts import Box, Check, Facts, Gateway
from edgeagent.install.setup_service import Service
from edgeagent.install.setup_site import Site
from edgeagent.install.setup_state import Progress
from edgeagent.reading import Quantity, Unit
from tests.fakes import FakeClock, water

RADAR = Gauge(
    driver="modbus-gauge",
    port="/dev/serial/by-id/usb-FTDI_A5",
    baud=19200,
    frame="8E1",
    unit=7,
    profiles=("geolux-lx80-modbus",),
    values={"level": 1.42},
)
SONAR = Gauge(
    driver="serial-gauge",
    port="/dev/serial/by-path/pci-usb-0:1.2",
    baud=9600,
    frame="8N1",
    profiles=("maxbotix-hrxl-wr",),
    values={"distance": 3.2},
)
EYE = Eye(camera="/dev/v4l/by-id/usb-046d_C270", card="C270", width=640, height=480, fps=15.0)
RADIO = Radio(tags=4, strongest=-58.0)
SILENT = Blank(place="/dev/ttyUSB9", code="setup.port-silent", facts={"port": "/dev/ttyUSB9"})
ALL = Found(gauges=(RADAR, SONAR), eyes=(EYE,), radio=RADIO, blanks=(SILENT,))
NO_FACTS = Facts(
    **dict.fromkeys(("lang", "made_at", "clock", "site", "installer", "package_sha256", "config_file"), ""),
    **dict.fromkeys(("config_sha256", "running_sha256", "certificate_sha256"), ""),
    **dict.fromkeys(("models", "devices", "hydrographs", "counting", "doctor"), ()),
    gateway=Gateway(id="", name="", longitude=None, latitude=None),
    box=Box(model="", serial="", system="", kernel=""),
    versions={},
    walk=None,
)
KEYS = ("language", "name", "installer", "city", "claim", "devices", "gauges", "lines")


class Killed(BaseException):
    """The power went."""


class Person:
    """A screen with somebody before it.

    Args:
        says: question -> what is typed, one after the other; Enter for what is not there.

    Attributes:
        asked: keys of the questions, in order.
        said: (mark, code, facts) of everything that was shown.
        refused: codes of the answers that were no good.
    """

    def __init__(self, says=None, *, asks=True):
        self.asks = asks
        self._says = {
            key: [text] if isinstance(text, (str, BaseException)) else list(text) for key, text in (says or {}).items()
        }
        self.asked, self.said, self.refused, self.steps, self.langs, self.defaults = [], [], [], [], [], {}

    def use(self, lang):
        self.langs.append(lang)

    def step(self, name, number, of):
        self.steps.append((name, number, of))

    def say(self, mark, code, facts):
        self.said.append((mark, code, facts))

    row = say

    def progress(self, what, done, of):
        pass

    def ask(self, question):
        self.defaults[question.key] = question.default
        if not self.asks:
            return question.default
        self.asked.append(question.key)
        texts = self._says.get(question.key)
        text = texts.pop(0) if texts else ""
        if isinstance(text, BaseException):
            raise text
        return text or question.default

    def wrong(self, error):
        self.refused.append(error.code)

    def codes(self):
        return [code for _, code, _ in self.said]


class Desk:
    """A folder in which the wizard is started, again and again.

    Attributes:
        found: what is plugged in.
        looks: how often it was looked for.
        clock: of all runs.
    """

    def __init__(self, folder, monkeypatch, found=ALL):
        self.folder, self.found, self.looks, self.reads = folder, found, 0, 0
        self.file, self.state, self.clock = folder / "etc/config.toml", folder / "state", FakeClock()
        self.items, self.distance, self.report = [good("E-POWER-01")], 3.2, None
        (folder / "root/etc").mkdir(parents=True, exist_ok=True)
        (folder / "root/etc/machine-id").write_text("3d1219aa\n")
        (folder / "root/proc/net").mkdir(parents=True, exist_ok=True)
        (folder / "root/proc/net/route").write_text("Iface\nppp0 00000000 0 0 0 0 0 00000000\n")

        async def everything(wish, *, clock, progress):
            self.looks += 1
            return self.found

        async def examine(world):
            for item in self.items:
                yield item

        async def read(site, section):
            self.reads += 1
            made = water(1.42, source=section["id"])
            if section["profile"] == "maxbotix-hrxl-wr":
                height = section.get("calibrate", {}).get("mount_height_m")
                level = {} if height is None else {"level": Quantity(height - self.distance, Unit.METRE)}
                made = water(source=section["id"])
                made.quantities.clear()
                made.quantities.update({"distance": Quantity(self.distance, Unit.METRE), **level})
            return made

        async def watch(site, eye, model, seconds):
            return setup_lines._Watched()

        async def ntp(server, **_):
            from edgeagent.install.doctor_city import Ntp  # noqa: PLC0415

            return Ntp(server, 0.03)

        monkeypatch.setattr(setup_devices.discover, "everything", everything)

        async def make(config, *, world, lang, **facts):
            self.reported = facts
            if isinstance(self.report, Exception):
                raise self.report
            texts = [(one, one.text(lang)) async for one in examine(world)]
            checks = tuple(
                Check(code=one.code, state=one.state.value, about=one.about, text=said.what, remedy=said.remedy)
                for one, said in texts
            )
            paths = {"html": config.with_suffix(".html"), "json": config.with_suffix(".json")}
            facts = msgspec.structs.replace(NO_FACTS, doctor=checks)
            return Made(**paths, signed=True, why=None, sha256="ab", facts=facts)

        monkeypatch.setattr(setup_proof.doctor, "examine", examine)
        monkeypatch.setattr(setup_proof.report, "make", make)
        monkeypatch.setattr(setup_assign, "_read", read)
        monkeypatch.setattr(setup_lines, "_watch", watch)
        monkeypatch.setattr(setup.setup_box.doctor_probe_city, "ntp", ntp)

    def site(self, person, answers=None, *, progress=None):
        from edgeagent.config import read_toml  # noqa: PLC0415

        def judge(data):
            return load(data, catalogue())

        def nobody():
            raise EdgeAgentError("daemon.not-running")

        def world(file):
            return World(file, None, [], self.state, self.clock, nobody, lambda _: b"", root=self.folder / "root")

        return Site(
            file=self.file,
            state_dir=self.state,
            root_file=self.folder / "etc/root.json",
            answers=answers or Answers(lang="en", discover=Discover(watch_s=0)),
            screen=person,
            clock=self.clock,
            progress=progress or setup_state.load(self.state) or Progress(),
            service=Service(self.folder / "root"),
            load=judge,
            world=world,
            root=self.folder / "root",
            old=read_toml(self.file) if self.file.exists() else {},
        )

    def run(self, person=None, answers=None):
        """One start; the site and the exit code."""
        site = self.site(person or Person(), answers)
        return site, setup.run(site)

    def config(self):
        import tomllib  # noqa: PLC0415

        return tomllib.loads(self.file.read_text())

    def source(self, name):
        return next(one for one in self.config()["sources"] if one["id"] == name)


@contextlib.contextmanager
def dies_at(monkeypatch, owner, name, nth):
    """The nth call of a function is the last thing that happens; yields a list with an entry per call."""
    calls, whole = [], getattr(owner, name)

    def dying(*args, **more):
        calls.append(name)
        if len(calls) == nth:
            raise Killed
        return whole(*args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, dying)
        yield calls
