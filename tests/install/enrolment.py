"""A city with an enrolment server, and a box that claims its identity from it."""

import threading
import time
from pathlib import Path

from edgeagent.fleet import claim_code, enrol_desk
from edgeagent.fleet.enrol_ca import Authority
from edgeagent.fleet.enrol_desk import Desk
from edgeagent.fleet.enrol_server import EnrolServer
from edgeagent.install import enrol
from edgeagent.install.identity import Identity, read_card
from tests.fakes import FakeClock


def clock_at(shift_s=0.0):
    """A clock that stands so far from the real one, with which TLS judges."""
    return FakeClock(wall_ms=int((time.time() + shift_s) * 1000))


def nobody(key):
    raise AssertionError(f"asked for the passphrase of {key}")


class City:
    """The server, in a thread of this process.

    Attributes:
        asked: paths and bodies of what was posted to it.
    """

    def __init__(self, folder, *, shift_s=0.0, days=365, root=None, names=("127.0.0.1", "localhost"), began_s=None):
        self.folder, self.clock = folder, clock_at(shift_s)
        self.authority = Authority(folder, time.time() + (shift_s if began_s is None else began_s), "", nobody)
        self.desk = Desk(folder, self.authority, self.clock, days=days)
        self.asked = []
        self._arguments = {"desk": self.desk, "authority": self.authority, "clock": self.clock, "root": root}
        self._names, self._port = names, 0
        self.start()
        self.desk.called(self.url)

    def start(self):
        self.server = EnrolServer(("127.0.0.1", self._port), self._names, **self._arguments)
        self._port = self.server.port
        enrolling, asked = self.desk.enrol, self.asked
        self.server.desk.enrol = lambda *words: (asked.append(words), enrolling(*words))[1]
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def url(self):
        return f"https://127.0.0.1:{self._port}"

    def code(self, gateway="GW-0147", *, valid_s=3600.0, replace=False):
        now_s = self.clock.now().wall_ms / 1000
        text = str(enrol_desk.new_code(self.folder, gateway, now_s=now_s, valid_s=valid_s, replace=replace))
        return claim_code.parse(text)

    def states(self):
        return sorted(one.state for one in enrol_desk.read(self.folder).issued.values())


class Box:
    """A gateway's state directory."""

    def __init__(self, folder, *, shift_s=0.0):
        self.state, self.clock, self.root = folder / "state", clock_at(shift_s), folder / "etc" / "root.json"
        self.identity, self.steps = Identity(self.state), []

    def claim(self, code, **more):
        facts = {"state_dir": self.state, "clock": self.clock, "root_file": self.root, "step": self._step}
        return enrol.claim(code, more.pop("url", code.server), **{**facts, **more})

    def renew(self, **more):
        return enrol.renew(state_dir=self.state, clock=self.clock, step=self._step, **more)

    def _step(self, name, what):
        self.steps.append(name)

    @property
    def card(self):
        return read_card(self.identity.current)

    def files(self):
        return sorted(p.name for p in Path(self.identity.folder).iterdir())
