"""A site from nothing: how much is asked, how many commands it takes, how long the machine works."""

import asyncio
import json
import subprocess
import tempfile
import tomllib
from pathlib import Path

from edgeagent.simulate.road import render_clip
from tests.bench.figures import say
from tests.install.setup_rig import KEYS
from tests.install.site import COMMAND, open_site


def setup():
    """One command with answers; all ports, cameras and tags are looked for, every check is made, the report signed."""
    with tempfile.TemporaryDirectory(prefix="edgeagent-bench-") as name:
        folder = Path(name)
        render_clip(folder / "road.mp4", 20, fps=5, size=(320, 180))
        asyncio.run(_one_command(folder))


async def _one_command(folder):
    async with open_site(folder, folder / "road.mp4") as site:
        answers = site.answers(site.enrolment.code()).partition("bauds =")[0]  # nothing narrowed: as on a real site
        (folder / "site.toml").write_text(answers)
        words = [*COMMAND, "setup", "--answers", folder / "site.toml", "--yes", "--json", *site.options()]
        done = await asyncio.to_thread(
            lambda: subprocess.run([*map(str, words)], env=site.env, capture_output=True, text=True)
        )
        told = json.loads(done.stdout.splitlines()[-1])
        assert told["ok"] and told["report"]["signed"], told
        assert len(tomllib.loads(site.config.read_text())["sources"]) == 5
        say("setup_seconds", told["seconds"], "s", 1)
        say("setup_commands", 1, "commands", 1)
        say("setup_questions", len(KEYS), "questions at most", 1)
