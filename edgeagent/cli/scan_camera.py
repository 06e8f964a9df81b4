"""scan camera: devices with their lasting names, streams by address; what really comes out of each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from edgeagent import messages
from edgeagent.cli.columns import coloured, columns, tell, wrap
from edgeagent.cli.options import JsonOption, LangOption

if TYPE_CHECKING:
    from edgeagent.errors import EdgeAgentError
    from edgeagent.install.camera_scan import Camera, Shown

__all__ = ["camera", "lines_of"]

_NOTHING, _STOPPED = 3, 6


def camera(
    url: Annotated[
        list[str] | None, typer.Option("--url", "-u", help="rtsp://…, http://… (MJPEG) or a file; repeat. 映像の URL。")
    ] = None,
    seconds: Annotated[float, typer.Option("--seconds", min=0.1, max=60, help="Watch so long. 映像を見る秒数。")] = 2,
    timeout: Annotated[float, typer.Option("--timeout", min=1, max=120, help="Give up after. 待つ秒数。")] = 25,
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    """List cameras by lasting name, or try a stream; no picture is kept. カメラの一覧、映像 URL の確認。"""
    from edgeagent.install import camera_scan

    for index, one in enumerate(url or ()):
        problem = camera_scan.address_problem(one, f"--url[{index}]")
        if problem is not None:
            raise problem
    found = [camera_scan.Camera(name=one, device="") for one in url] if url else camera_scan.cameras()
    told, stopped = _look(found, seconds, timeout, as_json=as_json)
    if as_json:
        print(json.dumps({"cameras": [_document(*pair) for pair in told], "stopped": stopped}, ensure_ascii=False))
    elif not found:
        tell("\n".join(_note("scan.no-cameras", {}, "")))
    if stopped:
        raise typer.Exit(_STOPPED)
    works = [one for one, seen in told if isinstance(seen, camera_scan.Shown)]
    raise typer.Exit(0 if works and (not url or len(works) == len(url)) else _NOTHING)


def _look(
    found: Sequence[Camera], seconds: float, limit_s: float, *, as_json: bool
) -> tuple[list[tuple[Camera, Shown | EdgeAgentError]], bool]:
    """One after the other, told as they come; and whether Ctrl-C ended it."""
    import asyncio

    from edgeagent.cli.scan_progress import ProgressLine
    from edgeagent.errors import SourceUnavailable
    from edgeagent.install import camera_scan

    told: list[tuple[Camera, Shown | EdgeAgentError]] = []
    with ProgressLine(wanted=not as_json) as line:

        async def scan() -> None:
            for one in found:
                try:
                    seen: Shown | EdgeAgentError = await camera_scan.look(
                        one.name, seconds=seconds, limit_s=limit_s, progress=line.show
                    )
                except SourceUnavailable as error:
                    seen = error
                told.append((one, seen))
                line.clear()
                if not as_json:
                    tell("\n".join(lines_of(one, seen)))

        try:
            asyncio.run(scan())
        except KeyboardInterrupt:
            return told, True
    return told, False


def lines_of(one: Camera, seen: Shown | EdgeAgentError) -> Sequence[str]:
    """One camera as a person reads it, 40 columns or more."""
    from edgeagent.install.camera_scan import Shown
    from edgeagent.sources.camera_messages import without_password

    lines = [without_password(one.name)]
    if one.device:
        lines += wrap(f"{one.card or '?'}  {one.driver}  ({one.device})", columns(), "    ", "    ")
    if isinstance(seen, Shown):
        lines.append(f"    {coloured('✓')} {seen.width}x{seen.height}  {seen.fps:g} fps")
    else:
        said = messages.text(seen.code, seen.facts, messages.language())
        lines += wrap(said.what, columns(), f"    {coloured('✗')} ", "      ")
        lines += wrap(said.remedy, columns(), "      → ", "        ")
    for note in one.notes:
        lines += _note(note, {"device": one.device}, "    ")
    return lines


def _note(code: str, facts: dict[str, object], indent: str) -> list[str]:
    said = messages.text(code, facts, messages.language())
    lines = wrap(said.what, columns(), f"{indent}{coloured('!')} ", f"{indent}  ")
    return lines + wrap(said.remedy, columns(), f"{indent}  → ", f"{indent}    ")


def _document(one: Camera, seen: Shown | EdgeAgentError) -> dict[str, object]:
    import msgspec

    from edgeagent.install.camera_scan import Shown
    from edgeagent.sources.camera_messages import without_password

    about = {**msgspec.to_builtins(one), "name": without_password(one.name)}
    if isinstance(seen, Shown):
        return {**about, "ok": True, **msgspec.to_builtins(seen)}
    said = str(messages.text(seen.code, seen.facts, messages.language()))
    return {**about, "ok": False, "code": seen.code, "message": said}
