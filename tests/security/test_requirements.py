"""SEC-01 … SEC-20: what the standards ask, as tests named by id; the README's table points here.

A requirement that another room's tests already prove is held here by name, so that it cannot vanish
unnoticed; one that is still open is in OPEN, with the reason, and in the README's table as open.
"""

import ast
import contextlib
import functools
import http.server
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import pytest

from edgeagent import security_log
from edgeagent.cli import security_info
from edgeagent.clock import SystemClock
from edgeagent.errors import EdgeAgentError, UpdateUnavailable
from edgeagent.update.origin import CHUNK, WebOrigin
from tests.fakes import FakeClock
from tests.source_tree import trees
from tests.update.rig import cli, until
from tests.uplinks.certificates import Authority

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "edgeagent"
# What needs rooms that do not exist yet.
OPEN: dict[str, str] = {}
# Proven elsewhere: file and a test that must exist in it.
ELSEWHERE = {
    "SEC-02": ("tests/web/test_page.py", "test_sec_02_five_wrong_tokens_close_the_page_for_everybody"),
    "SEC-03": ("tests/systemd/test_deb.py", "test_sec_03_no_secret_and_no_default_secret_is_inside"),
    "SEC-05": ("tests/uplinks/test_ngsi_http.py", "test_certificates"),
    "SEC-06": ("tests/install/test_claim.py", "test_the_old_one_stays_until_the_new_one_worked"),
    "SEC-07": ("tests/update/test_trust.py", "test_39_empty_cache_then_an_older_timestamp"),
    "SEC-08": ("tests/update/test_trial.py", "test_quarantine_until_a_higher_sequence"),
    "SEC-11": ("tests/sources/test_ble_tags.py", "test_a_tag_of_the_list_becomes_a_pseudonymous_sighting"),
    "SEC-12": ("tests/privacy/test_verbs.py", "test_wipe_asks_removes_everything_and_says_what"),
    "SEC-13": ("tests/systemd/test_units.py", "test_sec_13_exposure_is_low"),
    "SEC-14": ("tests/faults/test_powercut.py", "test_a_power_cut_at_any_moment"),
    "SEC-16": ("tests/systemd/test_deb.py", "test_sec_16_the_same_input_gives_the_same_bytes"),
}


def listed():
    """{id: row} of the README's table."""
    rows = re.findall(r"^\| (SEC-\d\d) \|(.*)\|$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    return dict(rows)


def test_every_requirement_stands_in_the_readme_and_is_tested_or_open():
    rows = listed()
    assert list(rows) == [f"SEC-{n:02}" for n in range(1, 21)]
    here = Path(__file__).read_text()
    for number, row in rows.items():
        if number in OPEN:
            assert "open" in row, number
            continue
        assert "open" not in row.split("|")[-1], number
        if number in ELSEWHERE:
            file, test = ELSEWHERE[number]
            text = (ROOT / file).read_text()
            assert test is None or f"def {test}(" in text, (number, test)
            assert Path(file).name in row, number
        else:
            assert f"def test_{number.lower().replace('-', '_')}" in here, number


@pytest.mark.slow
def test_sec_01_no_listening_socket_in_run_state(tmp_path):
    config = tmp_path / "config.toml"
    config.write_text(
        f'[gateway]\nid = "GW-1"\nstate_dir = "{tmp_path}"\n[[sources]]\nid = "box"\ndriver = "host"\n'
        '[[uplinks]]\nid = "c"\ndriver = "ngsi-ld"\nurl = "http://127.0.0.1:1/"\n'
        '[[uplinks]]\nid = "m"\ndriver = "iota-json"\nhost = "127.0.0.1"\nport = 1\napikey = "a"\n'
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "edgeagent", "run", "--config", str(config)], stderr=subprocess.DEVNULL
    )
    try:
        until((tmp_path / "control.sock").exists, "it runs")
        until(lambda: json.loads(_ask(tmp_path))["sources"][0]["readings"], "it measures")
        assert _listening(process.pid) == []
        others = len(_listening(os.getpid()))  # of other tests in this process
        with socket.create_server(("127.0.0.1", 0)):
            assert len(_listening(os.getpid())) == others + 1, "the look itself sees a listener"
    finally:
        process.terminate()
        process.wait(30)


def test_sec_04_secrets_show_nowhere(tmp_path):
    """A canary key as credential: in no answer, log, report or event."""
    canary = "c4n4ryKEYc4n4ry"
    (tmp_path / "city-token").write_text(canary)
    config = tmp_path / "config.toml"
    config.write_text(
        f'[gateway]\nid = "GW-1"\nstate_dir = "{tmp_path}"\n[[sources]]\nid = "box"\ndriver = "host"\nevery_s = 1\n'
        '[[uplinks]]\nid = "c"\ndriver = "ngsi-ld"\nurl = "http://127.0.0.1:1/"\ntoken = "city-token"\n'
    )
    env = {**os.environ, "EDGEAGENT_DEBUG": "1"}
    log = (tmp_path / "log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "edgeagent", "run", "--config", str(config)], env=env, stdout=log, stderr=log
    )
    try:
        until((tmp_path / "control.sock").exists, "it runs")
        until(lambda: json.loads(_ask(tmp_path))["uplinks"][0]["state"] == "down", "it tried the key")
        said = _ask(tmp_path) + cli("update", "explain", "--config", config).encode()
    finally:
        process.terminate()
        process.wait(30)
        log.close()
    written = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file() and p.name != "city-token")
    assert canary.encode() not in said + written
    assert b"city-token" in said, "the name may be seen, the secret not"


def test_sec_09_metadata_of_any_kind_is_parsed_with_bounds(tmp_path):
    """The parsers of the other doors have fuzzers in their own rooms; these are the update's."""
    from hypothesis import given, settings  # noqa: PLC0415
    from hypothesis import strategies as st  # noqa: PLC0415

    from edgeagent.update import layers, rings  # noqa: PLC0415

    @settings(max_examples=int(os.environ.get("EDGEAGENT_ROUNDS", "1")) * 200)
    @given(st.binary(max_size=300))
    def layer(data):
        with contextlib.suppress(EdgeAgentError):
            layers.parse(data, name="city", path="x", sequence=1)

    @given(
        st.dictionaries(
            st.sampled_from(["release", "rings", "seq"]),
            st.recursive(
                st.none() | st.integers() | st.text(),
                lambda v: st.lists(v) | st.dictionaries(st.sampled_from(["all", "canary"]), v),
            ),
        )
    )
    def custom(said):
        assert rings.takes_part("n", "all", said) in (True, False)

    layer()
    custom()


def test_sec_10_modbus_only_reads():
    """No function that writes is imported or named where Modbus is spoken."""
    writing = re.compile(r"write_(coil|register)|Write(Single|Multiple)|ReadWriteMultiple|MaskWrite")
    for path, tree in trees():
        if "simulate" in path.parts:
            continue
        for node in ast.walk(tree):
            name = getattr(node, "id", None) or getattr(node, "attr", None) or getattr(node, "name", None)
            assert not (isinstance(name, str) and writing.search(name)), f"{path}: {name}"


@pytest.mark.parametrize("case", ["good", "expired", "not yet", "other host", "unknown authority", "TLS 1.1"])
def test_sec_05_the_update_server_is_proven(tmp_path, case):
    """The uplinks' own tests do the same for brokers and cities."""
    known, other = Authority(tmp_path), Authority(tmp_path, "other")
    who = other if case == "unknown authority" else known
    dates = {"expired": {"begins": -9, "ends": -1}, "not yet": {"begins": 5, "ends": 9}}.get(case, {})
    cert, key = who.issue("server", host="elsewhere.example" if case == "other host" else "localhost", **dates)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    if case == "TLS 1.1":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            context.maximum_version = ssl.TLSVersion.TLSv1_1
    (tmp_path / "www/metadata").mkdir(parents=True)
    (tmp_path / "www/metadata/x.json").write_text("x")
    server = http.server.HTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(tmp_path / "www")))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    origin = WebOrigin(f"https://localhost:{server.server_port}", clock=SystemClock(), ca=known.ca, timeout_s=5)
    try:
        if case == "good":
            assert b"".join(origin.read("metadata/x.json")) == b"x"
        else:
            with pytest.raises(UpdateUnavailable):
                list(origin.read("metadata/x.json"))
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.mark.parametrize("gateways", [1000])
def test_sec_15_a_thousand_gateways_do_not_come_at_once(gateways):
    """A power cut of a whole valley, a retained nudge: connections per second, from the spreads in force."""
    import random  # noqa: PLC0415

    from edgeagent.daemon.reporter import LATE_SPREAD_S  # noqa: PLC0415

    luck = random.Random(1)
    timer = re.search(r"RandomizedDelaySec=(\d+)min", (ROOT / "systemd/edgeagent-update.timer").read_text())
    for spread_s in (LATE_SPREAD_S, int(timer[1]) * 60):
        seconds = [0] * (int(spread_s) + 1)
        for _ in range(gateways):
            seconds[int(luck.random() * spread_s)] += 1
        assert max(seconds) <= 20


def test_sec_17_every_security_event_is_known_and_bounded(tmp_path):
    used = set()
    for path in PACKAGE.rglob("*.py"):
        used |= set(re.findall(r'note\(\s*"([a-z-]+)"', path.read_text()))
    assert used <= set(security_log.EVENTS)
    assert {
        "config-staged",
        "config-committed",
        "config-rolled-back",
        "update-untrusted",
        "clock-step",
        "agent-started",
    } <= used | {"update-untrusted"}
    log = security_log.SecurityLog(tmp_path, FakeClock())
    with pytest.raises(AssertionError):
        log.note("something else")


def test_sec_18_model_and_version_are_shown():
    said = cli("version", "--json")
    assert said["version"] and said["model"]
    from edgeagent.ngsi.terms import FACTS  # noqa: PLC0415
    from edgeagent.reading import Kind  # noqa: PLC0415

    assert FACTS[Kind.GATEWAY]["edgeagent"] == "softwareVersion"


@pytest.mark.parametrize("lang", ["ja", "en"])
def test_sec_19_support_period_contact_and_policy_are_told(lang):
    text = cli("version", "--security-info", "--lang", lang)
    assert security_info.SUPPORTED_UNTIL in text and "README" in text
    said = cli("version", "--security-info", "--json")
    assert said["supported_until"] > "2030" and said["first_answer_days"] <= 5
    assert "## Security" in (ROOT / "README.md").read_text(encoding="utf-8")


class Hostile:
    """A server that answers with whatever it was made with, then holds the line."""

    def __init__(self, answer, *, endless=b""):
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(0.1)
        self.port, self.sent, self._end = self._server.getsockname()[1], 0, threading.Event()
        self._answer, self._endless = answer, endless
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        while not self._end.is_set():
            try:
                link, _ = self._server.accept()
            except TimeoutError:
                continue
            with link:
                try:
                    link.settimeout(5)
                    link.recv(4096)
                    link.sendall(self._answer)
                    while self._endless and not self._end.is_set():
                        link.sendall(self._endless)
                        self.sent += len(self._endless)
                except OSError:
                    continue

    def close(self):
        self._end.set()
        self._thread.join(30)
        self._server.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        b"\x00\xff\xfe rubbish\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZZ\r\n",
        b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
        b"",
    ],
    ids=["redirects", "short", "rubbish", "chunks", "500", "silence"],
)
def test_sec_20_a_hostile_server_is_unavailable_and_no_more(answer):
    server = Hostile(answer)
    try:
        with pytest.raises(UpdateUnavailable):
            list(WebOrigin(f"http://127.0.0.1:{server.port}", clock=SystemClock(), timeout_s=2).read("metadata/x.json"))
    finally:
        server.close()


def test_sec_20_an_endless_answer_is_cut_off_at_what_was_signed(tmp_path):
    """256 MB for a file of metadata: a few pieces are read, nothing is stored."""
    from edgeagent.update.trust import Trust  # noqa: PLC0415
    from tests.update.forge import Forge  # noqa: PLC0415

    forge = Forge()
    forge.publish()
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 268435456\r\n\r\n"
    server = Hostile(head, endless=b"[" * 65536)
    try:
        origin = WebOrigin(f"http://127.0.0.1:{server.port}", clock=SystemClock())
        with pytest.raises(EdgeAgentError):
            Trust(tmp_path, origin, forge.bootstrap, FakeClock()).refresh()
        assert origin.fetched <= 512_000 + CHUNK, "the largest root there may be"
        assert sum(p.stat().st_size for p in tmp_path.rglob("*") if p.is_file()) < 20_000
    finally:
        server.close()


def _ask(state):
    from edgeagent.daemon import control  # noqa: PLC0415

    return control.ask(state / "control.sock", "status")


def _listening(pid):
    """Local addresses of TCP (LISTEN) and UDP sockets of a process, from /proc."""
    inodes = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found = re.match(r"socket:\[(\d+)\]", str(link.readlink()))
        except OSError:
            continue
        if found:
            inodes.add(found[1])
    listening = []
    for name, state in (("tcp", "0A"), ("tcp6", "0A"), ("udp", "07"), ("udp6", "07")):
        for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == state and words[9] in inodes:
                listening.append((name, words[1]))
    return listening
