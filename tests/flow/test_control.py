"""The control socket against rude guests, and what systemd hears."""

import asyncio
import os
import signal
import socket
import stat
import subprocess
import sys

import msgspec
import pytest

from edgeagent.daemon import control, systemd
from edgeagent.errors import EdgeAgentError, OutboxUnavailable


class Answer(msgspec.Struct):
    n: int = 7


async def answer():
    return Answer()


async def test_a_question_is_answered_and_rude_guests_are_not(tmp_path):
    path = tmp_path / "c.sock"
    path.write_text("a file left behind by a killed daemon")
    async with control.serve(path, {"n": answer}):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert await asyncio.to_thread(control.ask, path, "n") == b'{"n":7}\n'
        assert b"unknown question" in await asyncio.to_thread(control.ask, path, "nonsense")
        for rude in (b"\xff\xfe\n", b"x" * 100_000, b""):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(rude)
            writer.write_eof()
            await asyncio.wait_for(reader.read(), 8)
            writer.close()
        assert await asyncio.to_thread(control.ask, path, "n") == b'{"n":7}\n'
    assert not path.exists()


async def test_why_there_is_no_answer_is_told(tmp_path):
    async def no(*words):
        raise OutboxUnavailable("outbox.no-such-day", day=words[0])

    async with control.serve(tmp_path / "c.sock", {"day": no}):
        with pytest.raises(EdgeAgentError) as caught:
            await asyncio.to_thread(control.ask, tmp_path / "c.sock", "day 2026-11-31")
    assert (caught.value.code, caught.value.facts) == ("outbox.no-such-day", {"day": "2026-11-31"})


def test_nobody_there_is_said(tmp_path):
    with pytest.raises(EdgeAgentError) as caught:
        control.ask(tmp_path / "none.sock", "n")
    assert caught.value.code == "daemon.not-running"


async def test_a_path_that_is_too_long_or_not_writable_is_said(tmp_path):
    for path, code in ((tmp_path / ("x" * 120), "daemon.socket-path"), (tmp_path / "no" / "c.sock", "daemon.socket")):
        with pytest.raises(EdgeAgentError) as caught:
            async with control.serve(path, {}):
                pass
        assert caught.value.code == code


def test_notify_without_systemd_is_nothing(monkeypatch, tmp_path):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert systemd.notify("READY=1") is False
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    assert systemd.notify("READY=1") is False
    monkeypatch.setenv("WATCHDOG_USEC", "60000000")
    assert systemd.watchdog_s() == 30.0


@pytest.mark.slow
def test_systemd_hears_ready_progress_and_stopping(tmp_path):
    """Through `edgeagent run`, which becomes the daemon under the same process id."""
    heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    heard.bind(str(tmp_path / "notify"))
    heard.settimeout(20)
    config = tmp_path / "c.toml"
    config.write_text(f'[gateway]\nid = "G"\nstate_dir = "{tmp_path}"\n[[sources]]\nid = "h"\ndriver = "host"\n')
    env = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "1000000"}
    daemon = subprocess.Popen(
        [sys.executable, "-m", "edgeagent", "run", "--config", config], env=env, stderr=subprocess.DEVNULL
    )
    try:
        assert heard.recv(100) == b"READY=1"
        assert [heard.recv(100), heard.recv(100)] == [b"WATCHDOG=1"] * 2
        daemon.send_signal(signal.SIGTERM)
        words = {heard.recv(100)}
        while b"STOPPING=1" not in words:
            words.add(heard.recv(100))
        assert daemon.wait(6) == 0
    finally:
        daemon.kill()
        daemon.wait()
        heard.close()
