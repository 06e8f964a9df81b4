"""A network that swallows packets: nobody says that the line is dead, no reset, no refusal.

Three network namespaces (`ip netns`, needs root): the box, the city, and a road between them, whose
routes turn into black holes and whose cable to the box is pulled.
"""

import contextlib
import os
import subprocess
import sys
import time

import msgspec
import pytest

from tests.conftest import IN_CI
from tests.faults.disk import ROOT
from tests.faults.far_end import Told
from tests.faults.pipe import Order, Said, give, started
from tests.faults.verdict import compare, rounds

pytestmark = [pytest.mark.slow, pytest.mark.tool("ip"), pytest.mark.tool("mosquitto")]
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
BOX, CITY = "10.78.1.2", "10.78.2.2"
NOTICED_S = 60.0  # keepalive and timeout are 5 s and 3 s; a busy machine may need longer


def ip(*words):
    done = subprocess.run(["ip", *words], env={"PATH": PATH}, capture_output=True, text=True)
    assert done.returncode == 0, (words, done.stderr)


class Road:
    """box - road - city."""

    def __init__(self):
        self.box, self.road, self.city = (f"ea{os.getpid()}-{name}" for name in ("box", "road", "city"))

    def build(self):
        for end, far, near, net in ((self.box, "b", "rb", "10.78.1"), (self.city, "c", "rc", "10.78.2")):
            ip("link", "add", near, "netns", self.road, "type", "veth", "peer", "name", far, "netns", end)
            ip("-n", self.road, "addr", "add", f"{net}.1/24", "dev", near)
            ip("-n", end, "addr", "add", f"{net}.2/24", "dev", far)
            for where, link in ((self.road, near), (end, far), (end, "lo")):
                ip("-n", where, "link", "set", "dev", link, "up")
            ip("-n", end, "route", "add", "default", "via", f"{net}.1")
        ip("netns", "exec", self.road, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")

    def black_hole(self):
        for end in (BOX, CITY):
            ip("-n", self.road, "route", "add", "blackhole", end)

    def fill_hole(self):
        for end in (BOX, CITY):
            ip("-n", self.road, "route", "del", "blackhole", end)

    def pull(self):
        ip("-n", self.road, "link", "set", "dev", "rb", "down")

    def plug(self):
        ip("-n", self.road, "link", "set", "dev", "rb", "up")


@pytest.fixture
def road():
    if os.geteuid() != 0:
        if IN_CI:
            pytest.fail("network namespaces need root")
        pytest.skip("network namespaces need root")
    made = Road()
    with contextlib.ExitStack() as stack:
        for name in (made.box, made.road, made.city):
            done = subprocess.run(["ip", "netns", "add", name], env={"PATH": PATH}, capture_output=True, text=True)
            if done.returncode:
                pytest.skip(f"this kernel allows no network namespaces: {done.stderr}")
            stack.callback(ip, "netns", "del", name)
        made.build()
        yield made


@contextlib.contextmanager
def far_end(road, kind, folder):
    """The receiver in its namespace: port, and a function that tells what arrived."""
    command = ["ip", "netns", "exec", road.city, sys.executable, "-m", "tests.faults.far_end", kind, CITY, str(folder)]
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "PATH": PATH}
    )

    def told():
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"told\n"
        return msgspec.json.decode((folder / "arrived").read_bytes(), type=Told)

    try:
        yield int(process.stdout.readline()), told
    finally:
        process.stdin.close()
        assert process.wait(30) == 0
        process.stdout.close()


def wait_for(true, seconds, what):
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < seconds, f"never: {what}"
        time.sleep(0.05)
    return time.monotonic() - began


def uplink(kind, port):
    common = {"id": "city", "backfill_bytes_per_s": 0, "timeout_s": 3.0}
    if kind == "http":
        return {**common, "driver": "ngsi-ld", "url": f"http://{CITY}:{port}", "history": "temporal"}
    return {**common, "driver": "iota-json", "host": CITY, "port": port, "apikey": "k", "tls": False, "keepalive_s": 5}


@pytest.mark.parametrize("kind", ["http", "mqtt"])
def test_a_line_that_dies_without_a_word_is_noticed_and_nothing_is_lost(tmp_path, road, kind):
    said, state = Said(tmp_path / "said"), tmp_path / "state"
    state.mkdir()
    noticed = []
    exec_in_box = ("ip", "netns", "exec", road.box)
    with far_end(road, kind, tmp_path) as (port, told):
        order = Order(str(state), str(said.path), uplink(kind, port))
        with started(*exec_in_box, env={**os.environ, "PATH": PATH}) as process:
            give(process, order)

            def is_(state):
                said.listen()
                return said.states[-1:] == [state]

            wait_for(lambda: is_("ok"), 60, "first delivery")
            for break_, mend in ((road.black_hole, road.fill_hole), (road.pull, road.plug)) * rounds(1, 10):
                break_()
                noticed.append(wait_for(lambda: is_("down"), NOTICED_S, "a dead line noticed"))
                enough = len(said.accepted) + 50
                wait_for(lambda n=enough: said.listen() or len(said.accepted) > n, 60, "readings accepted meanwhile")
                mend()
                wait_for(lambda: is_("ok"), 120, "delivering again")
        said.listen(ended=True)
        with started(*exec_in_box, env={**os.environ, "PATH": PATH}) as process:
            give(process, msgspec.structs.replace(order, rivers=()))
            wait_for(lambda: said.listen() or said.waiting == 0, 60, "empty")
        deadline = time.monotonic() + 10  # acknowledged by the broker; its subscriber may be behind
        while not (verdict := judged(said, found := told())).good and time.monotonic() < deadline:
            time.sleep(0.1)
    print(f"{verdict.accepted} accepted, {verdict.repeats} repeated; noticed after {[round(s, 1) for s in noticed]} s")
    assert verdict.good, verdict
    assert found.regressions == 0, "a request given up long ago arrived when the road was back"


def judged(said, found):
    return compare(said.accepted, found.arrived, found.current, said.perhaps)
