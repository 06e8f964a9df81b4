"""The power goes at every step on disk of a claim and of a renewal: the same command goes on and ends well."""

import itertools
import subprocess
import sys
import time

import pytest

from edgeagent.fleet import claim_code, enrol_desk
from edgeagent.install import enrol
from edgeagent.install.identity import Identity, read_card
from tests.install.enrolment import clock_at
from tests.update.killed import at_each_step


@pytest.fixture
def folder(tmp_path):
    """Of a server in a process of its own: a child that dies must not take its threads along."""
    at = tmp_path / "city"
    words = [sys.executable, "-m", "edgeagent", "fleet", "enrol-server", "--dir", str(at), "--port", "0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert "https://127.0.0.1:" in server.stdout.readline()
        yield at
        server.terminate()
        assert server.wait(30) == 0


def coded(folder, gateway):
    made = enrol_desk.new_code(folder, gateway, now_s=time.time(), valid_s=3600)
    return claim_code.parse(str(made))


def test_of_a_claim(folder, tmp_path):
    numbers, clock = itertools.count(), clock_at()
    at, now = [None, None], [None]

    def fresh():
        n = next(numbers)
        at[:] = tmp_path / f"box{n}", coded(folder, f"GW-{n}")
        now[0] = f"GW-{n}"

    def work():
        state, code = at
        done = enrol.claim(code, code.server, state_dir=state, clock=clock, root_file=state / "root.json")
        assert done.gateway == now[0]

    def check(_n):
        work()
        identity = Identity(at[0])
        assert read_card(identity.current).gateway == now[0]
        assert not identity.new.exists() and not identity.next_key.exists()
        fresh()

    fresh()
    assert at_each_step(work, check, every=2) > 15
    held = [one for one in enrol_desk.read(folder).issued.values() if one.state != "retired"]
    assert len({one.gateway for one in held}) == len(held), "one certificate for each"


def test_of_a_renewal(folder, tmp_path):
    state, clock = tmp_path / "box", clock_at()
    code = coded(folder, "GW-0147")
    enrol.claim(code, code.server, state_dir=state, clock=clock, root_file=state / "root.json")
    identity = Identity(state)

    def work():
        enrol.renew(state_dir=state, clock=clock, now=True)

    def check(_n):
        assert read_card(identity.current).gateway == "GW-0147", "there is always one that works"
        work()
        states = [one.state for one in enrol_desk.read(folder).issued.values() if one.state != "retired"]
        assert states == ["used"] and not identity.new.exists()

    assert at_each_step(work, check, every=2) > 10
