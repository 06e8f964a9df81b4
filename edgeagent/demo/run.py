"""The demo: the real daemon in a process of its own, in a virtual world, for about a minute."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
from rich.console import Console
from rich.live import Live

from edgeagent import messages
from edgeagent.clock import SystemClock
from edgeagent.daemon import control
from edgeagent.daemon.health import Status
from edgeagent.demo import received
from edgeagent.demo.verdict import Summary, judge
from edgeagent.demo.view import Scene, draw, line
from edgeagent.demo.world import World, look_at, open_world, render
from edgeagent.errors import EdgeAgentError
from edgeagent.outbox.sqlite import OutboxConfig, SqliteOutbox

__all__ = ["run"]

CUT_S = 15.0
REFRESH_S = 0.25
PLAIN_EVERY_S = 5.0  # without a terminal: one line so often
CAMERA_START_S = 8.0  # the worker loads its model; the clip must end before the demo does
LONGEST_S = 300.0
TOLERANCE_M = 0.0011  # a millimetre on the wire, rounded twice
NOTES = {
    "render": {"ja": "道路の映像を作成中…", "en": "rendering the road scene…"},
    "start": {"ja": "エージェントを起動中…", "en": "starting the agent…"},
    "no-tags": {"ja": "タグなしで続けます", "en": "going on without tags"},
    "ending": {"ja": "終了処理中…", "en": "ending…"},
}


async def run(*, seconds: float, video: Path | None, lang: str, console: Console) -> Summary:
    """Run it all and judge it.

    Args:
        seconds: how long; a video that is longer extends it, up to 5 minutes.
        video: a clip instead of the rendered scene; `<clip>.json` beside it is its truth.
        lang: ja or en.
        console: where the picture goes.

    Raises:
        EdgeAgentError: the video cannot be opened, or the agent did not start.
    """
    with tempfile.TemporaryDirectory(prefix="edgeagent-demo-") as name:
        folder = Path(name)
        if not console.is_terminal:
            console.print(NOTES["render" if video is None else "start"][lang])
        with console.status(NOTES["render" if video is None else "start"][lang]):
            clip = await (look_at(video.resolve()) if video else render(folder / "road.mp4", clip_s(seconds)))
        seconds = min(max(seconds, clip.seconds + CAMERA_START_S if video else 0.0), LONGEST_S)
        async with open_world(folder, clip, seconds) as world:
            if world.no_tags:
                said = messages.text(world.no_tags.code, world.no_tags.facts, lang)
                console.print(f"! {said} {NOTES['no-tags'][lang]}")
            return await _play(world, folder, seconds, lang, console)


def clip_s(seconds: float) -> float:
    """Length of the rendered clip, so that the camera has seen it all before the demo ends."""
    return max(6.0, seconds - CAMERA_START_S - 4.0)


async def _play(world: World, folder: Path, seconds: float, lang: str, console: Console) -> Summary:
    state = folder / "state"
    state.mkdir()
    config = folder / "config.toml"
    config.write_text(world.config(state, lang), encoding="utf-8")
    scene = Scene(lang, total_s=seconds, note=NOTES["start"][lang])
    async with _agent(config, folder / "agent.log", world.environment) as agent:
        await _watch(scene, world, agent, state, console)
        scene.note = NOTES["ending"][lang]
        agent.send_signal(signal.SIGTERM)
        await asyncio.wait_for(agent.wait(), 15)
    return await _judge(world, state)


@contextlib.asynccontextmanager
async def _agent(config: Path, log: Path, environment: dict[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    command = (sys.executable, "-m", "edgeagent", "run", "--config", str(config))
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=out, stderr=out, env=environment
        )
    try:
        yield process
        if process.returncode:
            tail = log.read_text(errors="replace").strip().splitlines()[-3:]
            raise EdgeAgentError("demo.agent-ended", status=process.returncode, why=" / ".join(tail))
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _watch(scene: Scene, world: World, agent: asyncio.subprocess.Process, state: Path, console: Console) -> None:
    """Show what happens until the time is over; in the middle the uplink is cut."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, stop.set)
    cut_s = min(CUT_S, scene.total_s / 4)
    cut_from = (scene.total_s - cut_s) / 2
    began, said_at = time.monotonic(), -PLAIN_EVERY_S
    with contextlib.ExitStack() as stack:
        live = stack.enter_context(Live(console=console, auto_refresh=False)) if console.is_terminal else None
        while not stop.is_set() and agent.returncode is None:
            scene.elapsed_s = time.monotonic() - began
            if scene.elapsed_s >= scene.total_s:
                break
            cut = cut_from <= scene.elapsed_s < cut_from + cut_s
            if cut != scene.cut:
                (world.city.cut if cut else world.city.mend)()
                scene.cut = cut
            await _look(scene, world, state)
            if live:
                live.update(draw(scene, console.width), refresh=True)
            elif scene.elapsed_s - said_at >= PLAIN_EVERY_S:
                said_at = scene.elapsed_s
                console.print(line(scene), highlight=False)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), REFRESH_S)
    loop.remove_signal_handler(signal.SIGINT)
    if scene.cut:
        world.city.mend()


async def _look(scene: Scene, world: World, state: Path) -> None:
    with contextlib.suppress(EdgeAgentError):  # it is still starting
        answer = await asyncio.to_thread(control.ask, control.socket_path(state), "status", timeout_s=2.0)
        scene.status = msgspec.json.decode(answer, type=Status)
        scene.note = ""
        scene.waiting.append(scene.status.outbox.waiting)
        del scene.waiting[:-1000]
    scene.city = received.newest(world.city)


async def _judge(world: World, state: Path) -> Summary:
    outbox = SqliteOutbox(state / "outbox.db", SystemClock(), OutboxConfig(), ["city"])
    try:
        stats = await outbox.stats()
    finally:
        await outbox.close()
    return judge(
        accepted=stats.accepted,
        waiting=stats.waiting,
        delivered=received.delivered(world.city),
        held=world.held(),
        tolerance_m=TOLERANCE_M,
        regressions=received.regressions(world.city),
        vehicles=(received.vehicles(world.city), world.clip.truth, world.clip.edge),
        tags=bool(world.tags),
    )
