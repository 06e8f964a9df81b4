"""`edgeagent report`: what the installer hands over, as one page and one JSON document, signed by this gateway.

Everything is looked at once more while it is made: every check of `doctor`, every device, every camera.  What
cannot be had is said to be missing.  Nothing of it leaves the box by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import platform
from collections.abc import Mapping
from pathlib import Path

import msgspec

from edgeagent import __version__
from edgeagent.clock import Clock
from edgeagent.config import Config, SourceSection
from edgeagent.daemon import asking
from edgeagent.errors import ConfigError, EdgeAgentError
from edgeagent.history import History, Trace
from edgeagent.install import doctor, look, report_gather, report_seal, serial_ports
from edgeagent.install.doctor_item import Item
from edgeagent.install.doctor_world import world as world_of
from edgeagent.install.identity import Identity, as_owner
from edgeagent.install.report_facts import Check, Counting, Curve, Facts, Gateway, Why
from edgeagent.install.report_page import drawing_size, page
from edgeagent.install.report_picture import picture
from edgeagent.install.tag_scan import read_walk_test
from edgeagent.reading import Reading
from edgeagent.update import durable
from edgeagent.web.hydrograph import svg

__all__ = ["Made", "make"]

_CAMERA = "traffic-camera"
_READS, _PATIENCE_S = 3, 20.0


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """What was made.

    Attributes:
        html, json: files.
        signed: with this gateway's key.
        why: not signed because of that; None when it is.
        sha256: of the report, hex; what its QR code says.
        facts: what it says.
    """

    html: Path
    json: Path
    signed: bool
    why: Why | None
    sha256: str
    facts: Facts


async def make(
    config: Path,
    *,
    site: str,
    installer: str,
    staff_m: Mapping[str, float],
    lang: str,
    out: Path | None = None,
    serials: Mapping[str, str] | None = None,
    world: doctor.World | None = None,
) -> Made:
    """Look at everything, and write `<gateway>_<date>.html` and `.json`.

    Args:
        config: the config file.
        site: what people call the place.
        installer: who hands it over.
        staff_m: what the staff gauge shows, metres above gauge zero, by source.
        lang: `ja` or `en`.
        out: folder; None for `report/` in the state directory.
        serials: of devices, by source, where they were read off a name plate.
        world: what doctor looks at; None for what belongs to the config.

    Raises:
        ConfigError: the config cannot be used, `report.no-source`: a reading for a source that is not there,
            `report.cannot-write`.
    """
    world = world or world_of(config)
    if world.config is None or world.state_dir is None:
        raise next(iter(world.problems), ConfigError("config.no-file", file=str(config)))
    known = [s.config.id for s in world.config.sources if s.config.enabled]
    for source in (*staff_m, *(serials or {})):
        if source not in known:
            raise ConfigError("report.no-source", path="--staff", got=source, choices=", ".join(known) or "-")
    checks = [_check(item, lang) async for item in doctor.examine(world)]
    counting, pictures = await _counting(world)
    curves, drawings = await _hydrographs(world, lang, len(counting))
    levels = {} if world.heard else await _levels(world.config, staff_m, world.state_dir, world.clock)
    signer, why = _signer(world.state_dir)
    now = world.clock.now()
    facts = Facts(
        lang=lang,
        made_at=dt.datetime.fromtimestamp(now.wall_ms // 1000, dt.UTC).isoformat(),
        clock=now.trust.value,
        site=site,
        installer=installer,
        gateway=_gateway(world.config),
        box=report_gather.box(world.root),
        versions={"edgeagent": __version__, "python": platform.python_version()},
        package_sha256=await asyncio.to_thread(report_gather.package_sha256),
        config_file=str(config),
        config_sha256=report_gather.sha256_of(config),
        running_sha256=report_gather.sha256_of(world.state_dir / "update" / "running.toml"),
        certificate_sha256=signer.sha256 if signer else "",
        models=report_gather.models(world.config),
        devices=report_gather.measured(
            world.config, world.devices, serial_ports.ports(), staff_m=staff_m, levels_m=levels, serials=serials or {}
        ),
        hydrographs=curves,
        counting=counting,
        walk=read_walk_test(world.state_dir),
        doctor=tuple(checks),
    )
    report = msgspec.to_builtins(facts)
    sha256 = report_seal.digest(report)
    shown = page(facts, sha256, drawings, pictures, signed=signer is not None)
    document = report_seal.signed(report, shown, signer)
    folder = out or world.state_dir / "report"
    name = f"{world.config.gateway.id}_{dt.datetime.fromisoformat(facts.made_at):%Y%m%dT%H%MZ}"
    files = {"html": report_seal.with_document(shown, document), "json": document + b"\n"}
    html, json = _write(folder, world.state_dir, name, files)
    return Made(html=html, json=json, signed=signer is not None, why=why, sha256=sha256, facts=facts)


def _check(item: Item, lang: str) -> Check:
    said = item.text(lang)
    return Check(code=item.code, state=item.state.value, about=item.about, text=said.what, remedy=said.remedy)


async def _counting(world: doctor.World) -> tuple[tuple[Counting, ...], dict[str, bytes]]:
    """A picture of every camera, one after another: a model takes memory."""
    assert world.config is not None
    found: list[Counting] = []
    pictures: dict[str, bytes] = {}
    for section in world.config.sources:
        if section.config.driver == _CAMERA and section.config.enabled:
            told, png = await asyncio.to_thread(picture, section.config, world.clock)
            found.append(told)
            pictures |= {told.source: png} if png else {}
    return tuple(found), pictures


async def _hydrographs(world: doctor.World, lang: str, beside: int) -> tuple[tuple[Curve, ...], dict[str, str]]:
    """What the running agent remembers of each level; without one there is nothing to draw.

    Args:
        world: of the site.
        lang: of the words in the drawing.
        beside: figures that stand on the page besides these.
    """
    assert world.config is not None
    gauges = [s.config.id for s in world.config.sources if s.config.enabled and s.config.driver in look.GAUGES]
    try:
        answer = await asyncio.to_thread(asking.ask, world.file, "history")
        history = msgspec.json.decode(answer, type=History)
    except (EdgeAgentError, msgspec.DecodeError) as error:
        why = Why.of(error) if isinstance(error, EdgeAgentError) else Why("report.no-history")
        return tuple(Curve(source=one, why=why) for one in gauges), {}
    traces = {trace.source: trace for trace in history.traces}
    curves = tuple(_curve(one, traces.get(one)) for one in gauges)
    width, height = drawing_size(len(curves) + beside)
    drawn = {
        c.source: svg(traces[c.source], history, lang=lang, width=width, height=height) for c in curves if c.points
    }
    return curves, drawn


def _curve(source: str, trace: Trace | None) -> Curve:
    there = [p for p in trace.points if p.low_m is not None and p.high_m is not None] if trace else []
    if not there:
        return Curve(source=source, why=Why("report.no-history"))
    return Curve(
        source=source,
        points=len(there),
        from_ms=there[0].at_ms,
        to_ms=there[-1].at_ms,
        low_m=min(p.low_m for p in there if p.low_m is not None),
        high_m=max(p.high_m for p in there if p.high_m is not None),
    )


async def _levels(config: Config, wanted: Mapping[str, float], state_dir: Path, clock: Clock) -> dict[str, list[float]]:
    """Calibrated levels of the gauges that are compared, where no agent runs that could tell them."""
    gauges = [s for s in config.sources if s.config.id in wanted and s.config.driver in look.GAUGES]
    return {s.config.id: await _levels_of(s, state_dir, clock) for s in gauges}


async def _levels_of(section: SourceSection, state_dir: Path, clock: Clock) -> list[float]:
    found: list[float] = []
    complaints = 0
    with contextlib.suppress(TimeoutError, EdgeAgentError):
        async with asyncio.timeout(_PATIENCE_S), contextlib.aclosing(look.look(section, state_dir, clock)) as seen:
            async for one in seen:
                level = one.quantities.get("level") if isinstance(one, Reading) else None
                if level is not None and level.usable and isinstance(level.value, int | float):
                    found.append(float(level.value))
                complaints += isinstance(one, EdgeAgentError)
                if len(found) == _READS or complaints > _READS:
                    break
    return found


def _signer(state_dir: Path) -> tuple[report_seal.Signer | None, Why | None]:
    try:
        return report_seal.signer(Identity(state_dir).current), None
    except EdgeAgentError as error:
        return None, Why.of(error)


def _gateway(config: Config) -> Gateway:
    longitude, latitude = config.gateway.location or (None, None)
    return Gateway(id=config.gateway.id, name=config.gateway.name, longitude=longitude, latitude=latitude)


def _write(folder: Path, state_dir: Path, name: str, files: Mapping[str, bytes]) -> list[Path]:
    """Both files; those in the state directory belong to its owner."""
    owner = as_owner(state_dir) if folder.is_relative_to(state_dir) else contextlib.nullcontext()
    made = [folder / f"{name}.{kind}" for kind in files]
    try:
        with owner:
            folder.mkdir(mode=0o700, exist_ok=True)
            for file, data in zip(made, files.values(), strict=True):
                durable.write(file, data)
    except OSError as error:
        why = error.strerror or str(error)
        raise ConfigError("report.cannot-write", path="--out", file=error.filename or folder, why=why) from error
    return made
