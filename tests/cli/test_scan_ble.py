"""scan ble as an installer meets it: a real D-Bus daemon, a virtual bluetoothd, the verb as a process."""

import asyncio
import contextlib
import json
import os
import sys
from pathlib import Path

import pytest

from edgeagent.install.tag_scan import read_walk_test
from edgeagent.simulate.bluez import VirtualBluez
from edgeagent.simulate.private_bus import ADDRESS_VARIABLE, private_bus
from edgeagent.sources.pseudonym import keyed_hash, list_key
from edgeagent.wire.beacons import APPLE, LINE

pytestmark = pytest.mark.tool("dbus-daemon")
ROOT = Path(__file__).resolve().parents[2]
KEY = b"0123456789abcdef"
NEAR = keyed_hash(list_key(KEY), "line:8adfaf4326").hex()


@pytest.fixture
async def street(monkeypatch):
    """One tag near, one far, one passer-by."""
    async with private_bus() as address:
        monkeypatch.setenv(ADDRESS_VARIABLE, address)
        bluez = VirtualBluez()
        await bluez.start()
        bluez.add_adapter("hci0", "B8:27:EB:00:00:01")

        async def play():
            while True:
                await bluez.advertise("C0:DE:00:00:00:01", -42, service_data={LINE: bytes.fromhex("028adfaf43267f01")})
                await bluez.advertise("C0:DE:00:00:00:02", -75, service_data={LINE: bytes.fromhex("0211111111117f01")})
                await bluez.advertise("C1:5A:00:00:00:03", -60, manufacturer_data={APPLE: b"\x12\x19" + bytes(25)})
                await asyncio.sleep(0.1)

        player = asyncio.create_task(play())
        yield bluez
        player.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await player
        await bluez.stop()


async def scan(*args):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "edgeagent", "scan", "ble", *map(str, args)),
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "40"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 90)
    assert b"Traceback" not in out + err, err.decode()
    assert b"C0:DE" not in out + err and b"8adfaf" not in out + err
    return process.returncode, out.decode(), err.decode()


def config_of(tmp_path, tags):
    (tmp_path / "tags-key").write_bytes(KEY)
    file = tmp_path / "config.toml"
    file.write_text(
        f'[gateway]\nid = "GW-1"\nstate_dir = "{tmp_path}"\n[[sources]]\nid = "square"\ndriver = "ble-tags"\n{tags}\n'
    )
    return file


async def test_tags_around_are_shown_by_hash_with_their_strength(tmp_path, street):
    config = config_of(tmp_path, f'tags = [{{ hash = "{NEAR}", alias = "T-1" }}]')
    code, out, _ = await scan("--config", config, "--seconds", 6, "--json")
    first, second = json.loads(out)["tags"]
    assert code == 0 and (first["hash"], first["alias"], first["listed"], first["rssi"]) == (NEAR, "T-1", True, -42)
    assert second["rssi"] == -75 and not second["listed"]


async def test_the_tag_that_is_held_is_enrolled_by_its_hash_alone(tmp_path, street):
    config = config_of(tmp_path, "enrolled = true")
    code, out, _ = await scan("--config", config, "--enrol", "--alias", "T-9", "--lang", "ja")
    assert code == 0 and NEAR[:8] in out and "登録しました" in out and "\a" in out
    assert (tmp_path / "tags-enrolled").read_text() == f"{NEAR} T-9\n"
    code, out, _ = await scan("--config", config, "--enrol", "--json")
    assert json.loads(out) == {"hash": NEAR, "alias": "", "new": False}


async def test_a_walk_beeps_and_leaves_a_note_for_the_report(tmp_path, street):
    code, out, err = await scan("--config", config_of(tmp_path, "enrolled = true"), "--walk", "--seconds", 12)
    assert code == 0 and "\a" in err and "dBm" in out
    told = read_walk_test(tmp_path)
    assert told.seconds >= 1 and told.here > 0 and told.weakest_dbm == -42
    assert "8adfaf" not in (tmp_path / "walk-test.json").read_text()


async def test_without_a_radio_or_a_config_it_says_what_to_do(tmp_path, street):
    street.remove_adapter("hci0")
    code, _, err = await scan("--config", config_of(tmp_path, "enrolled = true"), "--seconds", 2, "--lang", "ja")
    assert code == 3 and "アダプター" in err and "→" in err
    code, _, err = await scan("--enrol")
    assert code == 2 and "--config" in err
