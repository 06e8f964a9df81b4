"""A gateway's files for tests: its own config, a repository it polls, and what `edgeagent run` would start."""

from pathlib import Path

from edgeagent.config import read_toml
from edgeagent.daemon.build import read_config
from edgeagent.fleet.books import Gateway
from edgeagent.fleet.repository import Repository
from edgeagent.update import boot
from edgeagent.update.slots import Slots
from tests.fakes import FakeClock

OWN = """[gateway]
id = "GW-1"
state_dir = "{state}"
[update]
url = "{url}"
city = "nagano"
name = "{name}"
root = "{root}"
window_s = {window_s}
usb = false
{update}
[[sources]]
id = "box"
driver = "host"
every_s = 1
{own}
"""
CITY = """[[sources]]
id = "box"
every_s = 1.5
[[uplinks]]
id = "out"
driver = "jsonl"
path = "{out}"
"""


class Field:
    """A maintainer and one gateway."""

    def __init__(self, folder: Path, *, window_s=3, own="", update="", url=""):
        self.folder = folder
        self.clock = FakeClock()
        self.repo = Repository(folder / "repo", lambda: self.clock.wall_ms / 1000, lambda _: "tanuki")
        self.repo.init()
        self.repo.add_city("nagano")
        self.name = self.repo.add_gateway("GW-1", Gateway(city="nagano"))
        self.state, self.config, self.out = folder / "state", folder / "config.toml", folder / "out.jsonl"
        self.state.mkdir()
        root = folder / "root.json"
        root.write_bytes((self.repo.public / "metadata" / "1.root.json").read_bytes())
        self.own = OWN.format(
            state=self.state,
            url=url or self.repo.public,
            name=self.name,
            root=root,
            window_s=window_s,
            own=own,
            update=update,
        )
        self.config.write_text(self.own)

    @property
    def slots(self):
        return Slots(self.state / "update")

    @property
    def record(self):
        return self.slots.record()

    def city(self, text=None, **how):
        """Publish the city layer."""
        self.repo.put("nagano/city.toml", (text if text is not None else CITY.format(out=self.out)).encode())
        return self.repo.publish(**({"at_once": True} | how))

    def boot(self):
        return boot.plan(self.config, self.clock, lambda path: read_config(path)[1])

    def value(self, source, key):
        """What a planned start would have as a value."""
        data = read_toml(self.boot().config)
        boot.note_end(self.slots.folder)
        return next(s for s in data["sources"] if s["id"] == source).get(key)
