"""A whole site on virtual wires, and the city behind it: nothing of it is known to the box that is set up.

A radar at a speed and unit nobody wrote down, an ultrasonic gauge that talks by itself, people with tags on a
virtual BlueZ, a road before the camera; an enrolment server, a broker that wants the gateway's certificate, and a
receiver of NGSI.
"""

import contextlib
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

from edgeagent.simulate.ascii_gauge import AsciiGauge
from edgeagent.simulate.city import City as Receiver
from edgeagent.simulate.modbus_slave import ModbusSlave
from edgeagent.simulate.private_bus import ADDRESS_VARIABLE, bluetoothd, private_bus
from edgeagent.simulate.tags import crowd
from tests.install.enrolment import City
from tests.uplinks.certificates import Authority
from tests.uplinks.mosquitto import Agent, Mosquitto

UNIT, BAUD, LEVEL_M = 7, 19200, 1.42
DISTANCE_M, STAFF_M = 3.20, 0.80
PEOPLE, SEED = 3, 1
# no time server answers here, and nobody waits for one; a camera is read in windows of 1 s instead of 5
CLI = (
    "from edgeagent.install import doctor_probe_city as city, doctor_probe_devices as devices;"
    "city.time_servers = lambda root: ['127.0.0.1']; devices._CAMERA_WINDOW_S = 1.0;"
    "from edgeagent.cli import main; main()"
)
COMMAND = (sys.executable, "-c", CLI)
ENV = {k: v for k, v in os.environ.items() if k not in ("EDGEAGENT_LANG", "LC_ALL", "LANG", "COLUMNS")}


@dataclass
class Site:
    """Where everything is.

    Attributes:
        folder: of this site.
        clip: what the camera sees.
        receiver: of NGSI-LD.
        enrolment: the city's server.
        broker: that wants the gateway's certificate.
        agent: hears what the broker hands on.
        ca: who vouches for the broker.
        env: of the programs that run on the box.
    """

    folder: Path
    clip: Path
    receiver: Receiver
    enrolment: City
    broker: Mosquitto
    agent: Agent
    ca: str
    env: dict = field(default_factory=lambda: dict(ENV))

    def __post_init__(self):
        self.radar, self.sonar = self.folder / "ttyRS485", self.folder / "ttyULTRASONIC"
        self.config, self.state = self.folder / "etc/config.toml", self.folder / "state"

    def options(self):
        return ("--config", self.config, "--state-dir", self.state, "--root", self.folder / "etc/root.json")

    def answers(self, claim):
        """What a maintainer gives the installer along: nothing that could be found on site."""
        tags = ", ".join(f'{{ id = "{one}" }}' for one in crowd(PEOPLE, seconds=60, seed=SEED).allow_list)
        return f"""
lang = "ja"
installer = "佐藤"
claim = "{claim}"
[gateway]
name = "宮川橋 水位計"
location = [138.25, 36.65]
[[sources]]
id = "miyagawa"
name = "宮川橋"
driver = "modbus-gauge"
every_s = 1
staff_m = {LEVEL_M + 0.03}
alarm = {{ levels_m = {{ standby = 1.0, caution = 1.5, evacuate = 2.1, danger = 2.6 }} }}
[[sources]]
id = "akutagawa"
driver = "serial-gauge"
every_s = 1
staff_m = {STAFF_M}
[[sources]]
id = "route140"
driver = "traffic-camera"
window_s = 2
[[sources]]
id = "tags"
driver = "ble-tags"
tags = [ {tags} ]
[[uplinks]]
id = "nagano"
driver = "ngsi-ld"
url = "{self.receiver.url}"
tenant = "nagano"
history = "temporal"
[[uplinks]]
id = "prefecture"
driver = "iota-json"
host = "localhost"
port = {self.broker.port}
apikey = "river"
ca = "{self.ca}"
cert = "identity"
[discover]
ports = ["{self.radar}", "{self.sonar}"]
cameras = ["{self.clip}"]
bauds = [9600, {BAUD}]
frames = ["8N1"]
units = [1, {UNIT}]
tags_s = 3
watch_s = 4
"""


@contextlib.asynccontextmanager
async def open_site(folder, clip):
    """Start everything; all of it ends with the context."""
    async with contextlib.AsyncExitStack() as stack:
        receiver = Receiver()
        receiver.start()
        stack.callback(receiver.stop)
        enrolment = stack.enter_context(City(folder / "city"))
        authority = Authority(folder)
        broker = Mosquitto(folder, tls=(enrolment.authority.file, authority.issue("server"))).start()
        stack.callback(broker.close)
        agent = Agent(broker.plain_port)
        stack.callback(agent.close)
        site = Site(folder, clip, receiver, enrolment, broker, agent, authority.ca)
        mm = round(LEVEL_M * 1000)
        radar = {UNIT: lambda address, count: [mm] if (address, count) == (0x20, 1) else None}
        stack.enter_context(ModbusSlave(radar, path=site.radar, baud=BAUD))
        stack.enter_context(AsciiGauge(lambda _: DISTANCE_M, path=site.sonar, baud=9600))
        address = await stack.enter_async_context(private_bus())
        await stack.enter_async_context(
            bluetoothd(address, "--people", str(PEOPLE), "--seconds", "600", "--seed", str(SEED))
        )
        site.env[ADDRESS_VARIABLE] = address
        yield site
