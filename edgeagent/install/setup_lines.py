"""Where to count: a line is proposed from the traffic, or across the lower middle, and held against the picture.

Watching is done by the verb `count lines` in a process of its own: OpenCV and the model stay out of this one.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from edgeagent.config import decode
from edgeagent.errors import ConfigError
from edgeagent.install.discover import Eye
from edgeagent.install.setup_devices import Pick
from edgeagent.install.setup_site import Site
from edgeagent.install.setup_talk import Question
from edgeagent.sources.camera_messages import without_password
from edgeagent.sources.traffic_camera import LineConfig

__all__ = ["lines"]

_HEIGHT, _MARGIN = 0.6, 0.04
_SPELLING = re.compile(r"(?P<id>[^\s:=,]+):(?P<at>-?[\d.]+(?:,-?[\d.]+){3}):(?P<forward>down|up|left|right)")
_SLACK_S = 90.0  # loading model and libraries on a Pi whose card is busy
_NAME = "line"


class _Watched(msgspec.Struct, frozen=True):
    """What `count lines --json` says: ways of vehicles seen, and a line that would count them."""

    ways: int = 0
    suggested: tuple[tuple[float, float], tuple[float, float], str] | None = None


def lines(site: Site, picks: Sequence[Pick]) -> None:
    """A counting line for every camera."""
    eyes = {pick.device.camera: pick.device for pick in picks if isinstance(pick.device, Eye)}
    cameras = [one for one in site.progress.sections if one.get("camera") in eyes]
    if not cameras:
        site.say("–", "setup.no-camera")
        return
    if "lines" not in site.progress.done:
        proposed = [_proposal(site, one, eyes[one["camera"]]) for one in cameras]
        sizes = [(eyes[one["camera"]].width, eyes[one["camera"]].height) for one in cameras]
        default = " ".join(_spell(one["id"], line) for one, line in zip(cameras, proposed, strict=True))
        ids = [one["id"] for one in cameras]
        answer = site.ask(Question("lines", default, lambda text: _parse(text, ids, sizes, proposed), {"n": len(ids)}))
        for one, line in zip(cameras, answer, strict=True):
            if line != one.get("lines", [None])[0]:
                one["lines"] = [line]
        site.progress.done.append("lines")
        site.save()
    for one in cameras:
        for line in one["lines"]:
            site.screen.row("✓", "setup.line", {"spelling": _spell(one["id"], line), "line": line["id"]})
    site.say("·", "setup.line-look", id=cameras[0]["id"])


def _proposal(site: Site, section: Mapping[str, Any], eye: Eye) -> dict[str, Any]:
    """The line of the answers or the old config, else one across the ways of vehicles, else one unseen."""
    if section.get("lines"):
        return dict(section["lines"][0])
    seconds = site.answers.discover.watch_s
    watched = site.run(_watch(site, eye, str(section.get("model", "vehicles")), seconds)) if seconds else _Watched()
    if watched.suggested is None:
        if seconds:
            site.say("·", "setup.line-unseen", id=section["id"], n=watched.ways, seconds=round(seconds))
        y = round(eye.height * _HEIGHT)
        left, right = round(eye.width * _MARGIN), round(eye.width * (1 - _MARGIN))
        return {"id": _NAME, "from": [left, y], "to": [right, y], "forward": "down"}
    site.say("✓", "setup.line-seen", id=section["id"], n=watched.ways, seconds=round(seconds))
    start, end, forward = watched.suggested
    return {"id": _NAME, "from": [round(x) for x in start], "to": [round(x) for x in end], "forward": forward}


async def _watch(site: Site, eye: Eye, model: str, seconds: float) -> _Watched:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "edgeagent", "count", "lines", eye.camera),
        *("--model", model, "--seconds", str(max(seconds, 1.0)), "--json"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    shown, began_s = without_password(eye.camera), site.clock.mono()
    answer = asyncio.create_task(process.communicate())
    try:
        while not answer.done() and (took_s := site.clock.mono() - began_s) < seconds + _SLACK_S:
            site.screen.progress(shown, min(took_s, seconds), seconds)
            await asyncio.wait({answer}, timeout=0.5)
        out = answer.result()[0] if answer.done() else b""
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        answer.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await answer
    try:
        return msgspec.json.decode((out.splitlines() or [b"{}"])[-1], type=_Watched)
    except msgspec.MsgspecError:  # no picture any more, or an error for machines: a line is proposed unseen
        return _Watched()


def _spell(camera: str, line: Mapping[str, Any]) -> str:
    (x1, y1), (x2, y2) = line["from"], line["to"]
    return f"{camera}:{x1:g},{y1:g},{x2:g},{y2:g}:{line.get('forward', 'down')}"


def _parse(
    text: str, cameras: Sequence[str], sizes: Sequence[tuple[int, int]], proposed: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """`road:40,216,600,216:down`, one for each camera that shall not have what is proposed."""
    made = list(proposed)
    for word in text.split():
        found = _SPELLING.fullmatch(word)
        if found is None:
            raise ConfigError("setup.bad-line", path="lines", got=word)
        if found["id"] not in cameras:
            raise ConfigError("config.not-a-choice", path="lines", got=found["id"], choices=", ".join(cameras), hint="")
        at = cameras.index(found["id"])
        try:
            x1, y1, x2, y2 = (float(one) for one in found["at"].split(","))
        except ValueError as error:
            raise ConfigError("setup.bad-line", path="lines", got=word) from error
        name = proposed[at]["id"]
        line = {"id": name, "from": [x1, y1], "to": [x2, y2], "forward": found["forward"]}
        line = made[at] if _spell("", line) == _spell("", made[at]) else line
        _check(line, sizes[at])
        made[at] = line
    return made


def _check(line: Mapping[str, Any], size: tuple[int, int]) -> None:
    """As the config and `count lines` would judge it, traffic apart.

    Raises:
        ConfigError: it can never count.
    """
    from edgeagent.vision.crossing import Line  # noqa: PLC0415  numpy
    from edgeagent.vision.line_check import check  # noqa: PLC0415

    made, problems = decode(LineConfig, line, "lines")
    if made is None:
        raise problems[0]
    findings = check(Line.towards(made.id, made.start, made.end, made.forward), size, ())
    if findings.faults:
        width, height = size
        raise ConfigError(f"setup.line-{findings.faults[0]}", path="lines", line=made.id, width=width, height=height)
