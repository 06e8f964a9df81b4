"""From publish to applied with a nudge, and back from a config that kills the agent: the real agent, restarted as by systemd."""

import tempfile
import time
from pathlib import Path

from edgeagent.clock import SystemClock
from edgeagent.fleet.status import Broker, Listener
from tests.bench.figures import say
from tests.update.gateway import CITY, Field
from tests.update.rig import Unit, cli, until
from tests.uplinks.mosquitto import Mosquitto


def update_nudge():
    """Seconds from `publish` to "the new config runs" and to "it is kept" (window 1 s), spread of a nudge as shipped."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        broker = Mosquitto(folder).start()
        field = Field(folder, window_s=1, update=f'mqtt = {{ host = "127.0.0.1", port = {broker.port}, tls = false }}')
        field.clock.wall_ms = SystemClock().now().wall_ms
        with Unit(field), Listener(Broker(host="127.0.0.1", port=broker.port, tls=False)) as fleet:
            until(lambda: "GW-1" in fleet.states, "it reports")
            began = time.monotonic()
            field.city()
            fleet.nudge()
            until(lambda: fleet.states["GW-1"].applied == 1, "applied", 180)
            say("update_publish_to_applied", time.monotonic() - began, "s", 1)
            until(lambda: fleet.states["GW-1"].state == "probation", "kept", 180)
            say("update_publish_to_kept", time.monotonic() - began, "s", 1)
        broker.close()


def update_rollback():
    """Seconds from staging a release that kills the agent to the old config running again (RestartSec 0.1 s here, 5 s in the unit)."""
    with tempfile.TemporaryDirectory() as place:
        field = Field(Path(place), window_s=600)
        field.clock.wall_ms = SystemClock().now().wall_ms
        field.city(CITY.format(out=field.out))
        with Unit(field) as unit:
            unit.answers()
            began = time.monotonic()
            cli("update", "poll", "--config", field.config)
            for left in (2, 1, 0):
                until(lambda left=left: field.record.boots_left == left and field.record.state == "trial", "a start")
                unit.kill()
            until(lambda: field.record.state == "idle", "back")
            unit.answers()
            say("update_rollback", time.monotonic() - began, "s", 1)
