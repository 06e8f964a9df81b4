"""Figures of the update path: polls over HTTP on loopback, a fleet in one process, from publish to applied."""

import functools
import http.server
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from edgeagent.clock import SystemClock
from edgeagent.fleet.books import Gateway
from edgeagent.fleet.repository import Repository
from edgeagent.update import resolve
from edgeagent.update.origin import WebOrigin
from edgeagent.update.trust import Trust
from tests.bench.figures import say

GATEWAYS = int(os.environ.get("EDGEAGENT_GATEWAYS", "1000"))
GROUPS = 20
PER_CITY = 200


class _Quiet(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass


def _served(folder):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_port}"


def _repository(folder, gateways):
    """Cities of 200 gateways, and (city, name) of each gateway."""
    clock = SystemClock()
    repo = Repository(folder / "repo", lambda: clock.now().wall_ms / 1000, lambda _: "bench")
    repo.init()
    repo.put("vendor/agent.toml", b"[outbox]\nmax_bytes = 1000000000\n")
    names = []
    for n in range(gateways):
        city = f"city{n // PER_CITY}"
        if n % PER_CITY == 0:
            repo.add_city(city)
            repo.put(f"{city}/city.toml", b'[[sources]]\nid = "box"\nevery_s = 60\n')
            for g in range(GROUPS):
                repo.put(
                    f"{city}/group/g{g}.toml",
                    b'[[sources]]\nid = "gauge"\nevery_s = 10\n' + b"# what the group says\n" * 60,
                )
        name = repo.add_gateway(f"GW-{n:04}", Gateway(city=city)) if n == 0 else f"{n:032x}"
        names.append((city, name))
        repo.put(f"{city}/dev/{name}.toml", f'[gateway]\nname = "{n}"\n'.encode() + b"# what the gateway says\n" * 60)
    repo.publish()
    return repo, names


def _poll(folder, url, root, clock, city, name):  # noqa: PLR0917  one call
    origin = WebOrigin(url, clock=clock)
    trust = Trust(folder, origin, root, clock)
    trust.refresh()
    chosen = resolve.layers_of(trust.find, city=city, name=name, groups=("g1",), ring="all")
    for one in chosen:
        trust.fetch(one.file)
    return origin


def update_poll():
    """A no-change poll and a config update in one process per poll, as the timer starts them."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        repo, names = _repository(folder, 200)
        server, url = _served(repo.public)
        root = folder / "root.json"
        root.write_bytes((repo.public / "metadata/1.root.json").read_bytes())
        config = folder / "config.toml"
        config.write_text(
            f'[gateway]\nid = "GW-0000"\nstate_dir = "{folder}/state"\n[update]\nurl = "{url}"\ncity = "{names[0][0]}"\n'
            f'name = "{names[0][1]}"\ngroups = ["g1"]\nroot = "{root}"\nusb = false\n[[sources]]\nid = "box"\ndriver = "host"\n'
            '[[sources]]\nid = "gauge"\ndriver = "host"\n'
        )
        command = [sys.executable, "-m", "edgeagent", "update", "poll", "--config", str(config), "--json"]

        def once():
            began = time.perf_counter()
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            return (time.perf_counter() - began) * 1000, json.loads(done.stdout)

        once()
        walls, notes = zip(*(once() for _ in range(5)), strict=True)
        say("update_poll_wall", statistics.median(walls), "ms", 5)
        say("update_poll_bytes", notes[-1]["fetched"], "B", 5)
        say("update_poll_requests", notes[-1]["requests"], "", 5)
        say("update_poll_rss", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024, "MB", 6)
        repo.put(
            "/".join((names[0][0], "dev", names[0][1] + ".toml")),
            b'[gateway]\nname = "new"\n' + b"# what the gateway says\n" * 60,
        )
        repo.publish(at_once=True)
        say("update_config_bytes", once()[1]["fetched"], "B", 1)
        server.shutdown()


def update_fleet():
    """So many gateways, one after the other in one process: first contact, nothing new, one city layer changed."""
    with tempfile.TemporaryDirectory() as place:
        folder, clock = Path(place), SystemClock()
        repo, names = _repository(folder, GATEWAYS)
        server, url = _served(repo.public)
        root = (repo.public / "metadata/1.root.json").read_bytes()
        for step in ("first", "unchanged", "changed"):
            if step == "changed":
                repo.put("city0/city.toml", b'[[sources]]\nid = "box"\nevery_s = 30\n')
                repo.publish(at_once=True)
            began, fetched, requests = time.perf_counter(), 0, 0
            for n, (city, name) in enumerate(names):
                origin = _poll(folder / "boxes" / str(n), url, root, clock, city, name)
                fetched, requests = fetched + origin.fetched, requests + origin.requests
            took = time.perf_counter() - began
            say(f"update_fleet_{step}_bytes_each", fetched / len(names), "B", len(names))
            say(f"update_fleet_{step}_requests_each", requests / len(names), "", len(names))
            say(f"update_fleet_{step}_per_s", len(names) / took, "gateways/s", len(names))
        server.shutdown()


def exposure():
    """`systemd-analyze security` of the daemon's unit."""
    unit = Path(__file__).resolve().parents[2] / "systemd" / "edgeagent.service"
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)], capture_output=True, text=True
    )
    words = done.stdout.rsplit("service:", 1)[-1].split()
    say("exposure", float(words[0]), "", 1)
