"""An SOS through the whole agent, which is killed and started again while the tag goes on calling."""

import asyncio
import json

import pytest

from edgeagent.simulate.bluez import VirtualBluez
from edgeagent.simulate.private_bus import ADDRESS_VARIABLE, private_bus
from edgeagent.wire.beacons import BTHOME
from tests.privacy.test_strangers import BUTTON, BUTTON_MAC, agent, until

pytestmark = [pytest.mark.slow, pytest.mark.tool("dbus-daemon")]


async def test_kill_9_neither_repeats_nor_loses_an_sos(tmp_path, monkeypatch):
    state, sent = tmp_path / "state", tmp_path / "sent.jsonl"
    state.mkdir()
    config = tmp_path / "config.toml"
    config.write_text(
        f'[gateway]\nid = "GW-1"\nstate_dir = "{state}"\n[[sources]]\nid = "square"\ndriver = "ble-tags"\n'
        f'tags = [{{ id = "{BUTTON}", alias = "T-8" }}]\npresence = {{ sos_repeat_s = 0 }}\n'
        f'[[uplinks]]\nid = "file"\ndriver = "jsonl"\npath = "{sent}"\n'
    )

    def calls():
        """Alarms that stand, by their number: delivery is at least once."""
        lines = sent.read_text().splitlines() if sent.exists() else []
        found = [json.loads(line) for line in lines if line.endswith("}") and '"sos"' in line]
        return {one["sequence"] for one in found if one["quantities"]["active"]["value"] is True}

    told = state / "tags-told-square.json"
    async with private_bus() as bus:
        monkeypatch.setenv(ADDRESS_VARIABLE, bus)
        bluez = VirtualBluez()
        await bluez.start()
        bluez.add_adapter("hci0", "B8:27:EB:00:00:01")
        packet = 7

        async def call():
            while True:
                press = bytes((0x40, 0x00, packet, 0x01, 0x55, 0x3A, 0x01))
                await bluez.advertise(BUTTON_MAC, -60, service_data={BTHOME: press})
                await asyncio.sleep(0.1)

        calling = asyncio.create_task(call())
        for life in (1, 2, 3):
            packet = 7 if life < 3 else 8  # the third life meets a new press, made while nobody listened
            async with agent(config, tmp_path / "log") as process:
                await until(bluez.discovering)
                await until(lambda wanted=1 if life < 3 else 2: len(calls()) == wanted)
                await until(lambda packet=packet: told.exists() and f'"packet":{packet}' in told.read_text())
                await asyncio.sleep(1.0)
                if life < 3:
                    process.kill()
                    await process.wait()
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)
        await bluez.stop()
    assert len(calls()) == 2
