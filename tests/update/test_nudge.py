"""A nudge over a real broker starts the poll; the state comes back, retained, and the maintainer's table shows it."""

import subprocess
import sys

import pytest

from edgeagent.clock import SystemClock
from edgeagent.fleet.status import Broker, Listener, rows
from edgeagent.update.report import Reported
from tests.update.gateway import CITY, Field
from tests.update.rig import Unit, cli, until
from tests.uplinks.mosquitto import Mosquitto


@pytest.mark.slow
@pytest.mark.tool("mosquitto")
def test_published_nudged_applied_and_seen(tmp_path):
    broker = Mosquitto(tmp_path).start()
    try:
        mqtt = f'mqtt = {{ host = "127.0.0.1", port = {broker.port}, tls = false, spread_s = 0.5 }}'
        field = Field(tmp_path, window_s=1, update=mqtt)
        field.clock.wall_ms = SystemClock().now().wall_ms
        field.city()
        with Unit(field) as unit, Listener(Broker(host="127.0.0.1", port=broker.port, tls=False)) as fleet:
            until(lambda: "GW-1" in fleet.states, "the state is reported")
            assert fleet.states["GW-1"].applied == 0
            fleet.nudge()
            until(lambda: fleet.states["GW-1"].applied == 1, "applied")
            until(lambda: fleet.states["GW-1"].state == "probation", "kept")
            said = fleet.states["GW-1"]
            assert (said.desired, said.reason, said.ring) == (1, "", "all") and said.root == 1
            assert said.release == field.record.current.name and not said.failing

            # a release that does not fit: the reason arrives
            field.city(CITY.format(out=field.out) + '[[sources]]\nid = "x"\ndriver = "no-such"\n')
            broker_words = ("--mqtt", f"127.0.0.1:{broker.port}", "--plain", "--repo", field.folder / "repo")
            poll = ("-m", "edgeagent", "update", "poll", "--config", str(field.config))
            until(lambda: subprocess.run([sys.executable, *poll], capture_output=True).returncode == 5, "it is refused")
            until(lambda: fleet.states["GW-1"].reason == "update.invalid", "refusal is reported")
            table = cli("fleet", "status", *broker_words)
            assert "✗ GW-1" in table and "no-such" in table
            assert cli("fleet", "status", *broker_words, "--json")["gateways"][0]["mark"] == "failing"
            assert "Traceback" not in unit.log()
        late = Listener(Broker(host="127.0.0.1", port=broker.port, tls=False))
        with late:  # retained: who comes later sees it too
            late.settle()
            assert late.states["GW-1"].reason == "update.invalid"
    finally:
        broker.close()


def said(gateway, **more):
    return Reported(
        **(
            {
                "gateway": gateway,
                "version": "1",
                "state": "idle",
                "desired": 3,
                "applied": 3,
                "release": "r",
                "wall_ms": 10**9,
            }
            | more
        )
    )


def test_the_table_puts_who_needs_somebody_first():
    states = {
        "well": said("well"),
        "lag": said("lag", applied=2),
        "try": said("try", state="trial"),
        "bad": said("bad", failing=("cam",)),
        "why": said("why", reason="update.expired"),
        "old": said("old", stale=True),
        "gone": said("gone", wall_ms=0),
    }
    found = [(row.gateway, row.mark) for row in rows(states, 10**9 + 1000, known=["never", "well"])]
    assert found == [
        ("bad", "failing"),
        ("old", "failing"),
        ("why", "failing"),
        ("gone", "quiet"),
        ("never", "quiet"),
        ("lag", "behind"),
        ("try", "trial"),
        ("well", "ok"),
    ]
