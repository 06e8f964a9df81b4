"""Tried as a new user would: from nothing to a site that delivers, by one command and by hand in a terminal."""

import asyncio
import json
import time
import tomllib
from pathlib import Path

import pytest

from edgeagent.simulate.road import render_clip
from tests.install.setup_rig import KEYS
from tests.install.site import COMMAND, LEVEL_M, STAFF_M, UNIT, open_site
from tests.install.terminal import Terminal

pytestmark = [pytest.mark.slow, pytest.mark.tool("mosquitto"), pytest.mark.tool("dbus-daemon")]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "road.mp4"
    render_clip(path, 20, fps=5, size=(320, 180))
    return path


async def run(site, *words, ends=(0,)):
    """One command as the box's user types it; the last line of stdout as JSON."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *map(str, words),
        cwd=ROOT,
        env=site.env,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 240)
    assert b"Traceback" not in out + err, err.decode()
    assert process.returncode in ends, (process.returncode, out.decode()[-3000:], err.decode())
    return json.loads(out.splitlines()[-1])


async def until(met, within_s=120.0):
    deadline = time.monotonic() + within_s
    while not met():
        assert time.monotonic() < deadline, "never so"
        await asyncio.sleep(0.1)


async def test_one_command_and_the_site_delivers(tmp_path, clip):
    async with open_site(tmp_path, clip) as site:
        (tmp_path / "site.toml").write_text(site.answers(site.enrolment.code()))
        told = await run(
            site, "setup", "--answers", tmp_path / "site.toml", "--yes", "--json", *site.options(), ends=(0, 6)
        )
        assert told["ok"] and told["gateway"] == "GW-0147" and told["claimed"] and told["questions"] == 0
        assert told["sources"] == ["miyagawa", "akutagawa", "route140", "tags", "box"] and told["doctor"]["failed"] == 0
        assert {one["kind"] for one in told["problems"]} <= {"warning"}, told["problems"]
        made = {one["id"]: one for one in tomllib.loads(site.config.read_text())["sources"]}
        assert (made["miyagawa"]["unit"], made["miyagawa"]["baud"]) == (UNIT, 19200), "found by asking"
        assert made["akutagawa"]["profile"] == "maxbotix-hrxl-wr", "found by listening"
        assert made["route140"]["lines"]
        await check_report(site, told)
        await check_delivery(site)


async def check_report(site, told):
    """Signed by this gateway, vouched for by the city, and it says what was measured."""
    assert told["report"]["signed"]
    for file in (told["report"]["html"], told["report"]["json"]):
        found = await run(site, "report", "verify", file, "--ca", site.enrolment.authority.file, "--json")
        assert found["gateway"] == "GW-0147" and found["vouched"]
    devices = {one["id"]: one for one in found["report"]["devices"]}
    assert found["report"]["installer"] == "佐藤"
    assert devices["miyagawa"]["level_m"] == pytest.approx(LEVEL_M + 0.03, abs=0.002) and devices["miyagawa"]["agrees"]
    assert devices["akutagawa"]["level_m"] == pytest.approx(STAFF_M, abs=0.002) and devices["akutagawa"]["agrees"]


async def check_delivery(site):
    """The agent runs with it as it is, and everything arrives at both receivers."""
    daemon = await asyncio.create_subprocess_exec(
        *COMMAND, "run", "--config", str(site.config), cwd=ROOT, env=site.env, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        wanted = {("WaterObserved", "miyagawa"), ("WaterObserved", "akutagawa"), ("CrowdFlowObserved", "tags")}
        wanted |= {("TrafficFlowObserved", "route140")}

        def there():
            return {(i.type, i.entity.split(":", 4)[-1]) for i in site.receiver.history()}

        await until(lambda: wanted <= there() and site.agent.measures)
    finally:
        daemon.terminate()
        await asyncio.wait_for(daemon.wait(), 30)
    levels = {
        i.entity.split(":")[-1]: i.values["waterLevel"]
        for i in site.receiver.history()
        if i.type == "WaterObserved" and i.values.get("waterLevel") is not None
    }
    assert levels["miyagawa"] == pytest.approx(LEVEL_M + 0.03) and levels["akutagawa"] == pytest.approx(STAFF_M)
    assert all(i.entity.split(":")[3] == "GW-0147" for i in site.receiver.history())


async def test_by_hand_in_a_terminal_with_ctrl_c_and_kill_in_between(tmp_path, clip):
    """40 columns, Japanese; the installer is interrupted twice and answers eight questions in all."""
    async with open_site(tmp_path, clip) as site:
        code = site.enrolment.code()
        (tmp_path / "short.toml").write_text("[discover]\nunits = [1, 7]\ntags_s = 1\nwatch_s = 4\n")  # speeds: all
        words = ("setup", "--lang", "ja", "--port", site.radar, "--port", site.sonar, "--camera", site.clip)
        args = (*COMMAND, *words, "--answers", tmp_path / "short.toml", *site.options())
        shown = []

        def start():
            return Terminal(args, columns=40, cwd=ROOT, env={**site.env, "TERM": "xterm"})

        def first():
            with start() as terminal:
                terminal.answer("言語", "")
                terminal.answer("この場所の名前は?", "宮川橋 水位計")
                terminal.answer("設置者のお名前", "佐藤")
                terminal.key("送信先は?", b"\x03")
                assert terminal.end(interrupted=True) == 130
                assert "失われません" in terminal.text.replace("\n    ", "") and "sudo edgeagent setup" in terminal.text
                shown.append(terminal)

        def second():
            with start() as terminal:
                terminal.expect("再開します")
                terminal.answer("送信先は?", f"{site.receiver.url} nagano")
                terminal.answer("登録コード", str(code._replace(secret="0000000")))
                terminal.expect("✗")
                terminal.answer("登録コード", str(code))
                terminal.expect("使うのは?", "] > ")
                terminal.kill()
                terminal.end()
                shown.append(terminal)

        def third():
            with start() as terminal:
                terminal.expect("再開します", "GW-0147")
                terminal.answer("使うのは?", "1 2 3")
                terminal.answer("量水標は今", f"miyagawa={LEVEL_M} akutagawa={STAFF_M}")
                terminal.answer("どこで数えますか?", "")
                assert terminal.end() == 6
                assert "報告書" in terminal.text and "質問 3" in terminal.text
                shown.append(terminal)

        for part in (first, second, third):
            await asyncio.to_thread(part)
        assert [line for terminal in shown for line in terminal.too_wide()] == []
        assert sum(terminal.text.count("] > ") for terminal in shown) == len(KEYS) + 3, "one twice, two interrupted"
        assert (await run(site, "check", "--config", site.config, "--json"))["ok"]
        made = tomllib.loads(site.config.read_text())
        assert [one["id"] for one in made["sources"]] == ["miyagawa", "akutagawa", "road", "box"]
        assert made["gateway"]["id"] == "GW-0147" and made["sources"][1]["calibrate"] == {"mount_height_m": 4.0}
        (report,) = (site.state / "report").glob("*.html")
        await run(site, "report", "verify", report, "--ca", site.enrolment.authority.file, "--json")
