"""Devices -> sections of the config: what each is called, and what the staff gauge beside it shows.

A gauge that measures a distance (or a pressure) gets its height from the staff gauge: height = staff + distance, which
is nearer to the truth than a tape on a ladder.  A gauge that gives a level is compared with the staff gauge as
`edgeagent calibrate` does it.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from edgeagent import profiles
from edgeagent.errors import ConfigError, EdgeAgentError, SourceUnavailable
from edgeagent.install import calibrate, look
from edgeagent.install.answers import STAFF, defaults_of
from edgeagent.install.discover import Eye, Gauge
from edgeagent.install.identity import as_owner
from edgeagent.install.setup_devices import Pick
from edgeagent.install.setup_site import Site
from edgeagent.install.setup_talk import Question
from edgeagent.reading import Quality, Reading
from edgeagent.sources.camera_messages import without_password

__all__ = ["assign"]

_PATIENCE_S = 20.0
_DEFAULT_EVERY_S = 10.0
_TOKEN = re.compile(r"(?:(?P<id>[A-Za-z0-9][A-Za-z0-9._-]{0,63})=)?(?P<height>h)?(?P<number>-?\d+(?:\.\d+)?)")
_BARE = re.compile(r"(?!h?\d)[A-Za-z][A-Za-z0-9._-]{0,63}")  # h4.O is a slip of the finger, no id
_HEIGHTS = {"distance": "mount_height_m", "pressure": "sensor_height_m"}
_IDS = {"modbus-gauge": "gauge", "serial-gauge": "gauge", "traffic-camera": "road", "ble-tags": "tags"}


class _Said(NamedTuple):
    """What was typed about one gauge; "" and None where nothing was."""

    id: str
    staff_m: float | None
    height_m: float | None


def assign(site: Site, picks: Sequence[Pick]) -> None:
    """Sections for all of them; written down, so that no gauge is asked twice."""
    if "assign" in site.progress.done:
        for one in site.progress.sections:
            _tell(site, one)
        return
    sections, notes = _sections(picks), dict[str, str]()
    staff_m: dict[str, float] = {}
    gauges = [(pick, one) for pick, one in zip(picks, sections, strict=True) if isinstance(pick.device, Gauge)]
    if gauges:
        default = " ".join(_default(pick, one) for pick, one in gauges)
        said = site.ask(Question("gauges", default, lambda text: _parse(text, sections), {"n": len(gauges)}))
        for (_, one), words in zip(gauges, said, strict=True):
            one["id"] = words.id or one["id"]
        with site.quiet_ports():
            for (pick, one), words in zip(gauges, said, strict=True):
                assert isinstance(pick.device, Gauge)
                found = site.remark("found", setting=f"{pick.device.baud} {pick.device.frame}")
                notes[one["id"]] = "; ".join(filter(None, (found, _measure(site, one, words))))
                if words.staff_m is not None:
                    staff_m[one["id"]] = words.staff_m
    for one in sections:
        _tell(site, one)
    progress = site.progress
    progress.sections, progress.notes, progress.staff_m = sections, notes, staff_m
    progress.done.append("assign")
    site.save()


def _tell(site: Site, section: Mapping[str, Any]) -> None:
    place = next(
        (str(section[key]) for key in ("port", "camera", "host", "chip") if section.get(key)), section["driver"]
    )
    site.screen.row("✓", "setup.assigned", {"id": section["id"], "place": without_password(place)})


def _sections(picks: Sequence[Pick]) -> list[dict[str, Any]]:
    taken = {str(pick.wish["id"]) for pick in picks if "id" in pick.wish}
    made = []
    for pick in picks:
        one: dict[str, Any] = {"id": str(pick.wish.get("id", "")) or _fresh(_IDS.get(pick.driver, "source"), taken)}
        taken.add(one["id"])
        one |= {"name": pick.wish["name"]} if pick.wish.get("name") else {}
        one["driver"] = pick.driver
        if isinstance(pick.device, Gauge):
            one |= _line(pick.device, str(pick.wish.get("profile", "")))
        elif isinstance(pick.device, Eye):
            one["camera"] = pick.device.camera
        one |= {k: v for k, v in pick.wish.items() if k not in (STAFF, "id", "name", "driver")}
        if pick.driver == "ble-tags" and not one.get("tags"):
            one |= {k: v for k, v in defaults_of(pick.driver).items() if k not in one}
        made.append(one)
    return made


def _line(gauge: Gauge, wanted: str) -> dict[str, Any]:
    """Port, profile, and what of the line's setting differs from the profile's."""
    name = wanted or (gauge.profiles[0] if gauge.profiles else "")
    one: dict[str, Any] = {"port": gauge.port, "profile": name}
    if gauge.unit:
        one["unit"] = gauge.unit
    profile, _ = profiles.load(name)
    if profile is None or profile.link.baud != gauge.baud:
        one["baud"] = gauge.baud
    if profile is None or profile.link.frame != gauge.frame:
        one["frame"] = gauge.frame
    if profile is not None and profile.link.min_poll_s > _DEFAULT_EVERY_S:
        one["every_s"] = profile.link.min_poll_s
    return one


def _fresh(name: str, taken: set[str]) -> str:
    number = 1
    while (made := name if number == 1 else f"{name}-{number}") in taken:
        number += 1
    return made


def _kind(section: Mapping[str, Any]) -> str:
    profile, _ = profiles.load(str(section.get("profile", "")))
    return profile.kind if profile is not None else ""


def _default(pick: Pick, section: Mapping[str, Any]) -> str:
    staff = pick.wish.get(STAFF)
    return f"{section['id']}={'-' if staff is None else f'{staff:g}'}"


def _parse(text: str, sections: Sequence[Mapping[str, Any]]) -> list[_Said]:
    """`miyagawa=1.42 h7.42 -`: one word per gauge, in the order shown; those that are left out say nothing."""
    gauges = [one for one in sections if one["driver"] in ("modbus-gauge", "serial-gauge") and "port" in one]
    words = text.replace(",", " ").split()
    if len(words) > len(gauges):
        raise ConfigError("setup.too-many", path="gauges", got=len(words), n=len(gauges))
    said = [_word(word, _kind(one)) for word, one in zip(words, gauges, strict=False)]
    said += [_Said("", None, None)] * (len(gauges) - len(said))
    ids = [str(one["id"]) for one in sections if one not in gauges]
    for words_of, one in zip(said, gauges, strict=True):
        name = words_of.id or str(one["id"])
        if name in ids:
            raise ConfigError("config.duplicate-id", path="gauges", id=name)
        ids.append(name)
    return said


def _word(word: str, kind: str) -> _Said:
    name, _, rest = word.rpartition("=")
    found = _TOKEN.fullmatch(word)
    if word == "-" or (rest == "-" and _BARE.fullmatch(name)):
        return _Said(name, None, None)
    if found is not None:
        value = float(found["number"])
        if found["height"] and kind not in _HEIGHTS:
            raise ConfigError("setup.no-height", path="gauges", got=word)
        return _Said(found["id"] or "", *((None, value) if found["height"] else (value, None)))
    if _BARE.fullmatch(word):
        return _Said(word, None, None)
    raise ConfigError("setup.bad-gauge", path="gauges", got=word)


def _measure(site: Site, section: dict[str, Any], said: _Said) -> str:
    """Read the gauge, set its height by the staff gauge, and say what it says; what goes into the note."""
    name = _HEIGHTS.get(_kind(section), "")
    calibration = dict(section.get("calibrate", {}))
    derive = bool(name) and said.staff_m is not None and name not in calibration
    if name and said.height_m is not None:
        calibration[name] = said.height_m
    probe = {**section, "calibrate": {**calibration, **({name: 0.0} if derive else {})}}
    if not probe["calibrate"]:
        del probe["calibrate"]
    note = ""
    try:
        reading = site.run(_read(site, probe))
        level = reading.quantities.get("level")
        if derive and level is not None and isinstance(level.value, int | float) and said.staff_m is not None:
            calibration[name] = round(said.staff_m - float(level.value), 3)
            note = site.remark("staff", name=name, staff=f"{said.staff_m:g}")
            site.screen.row(
                "✓", "setup.height", {"id": section["id"], "height": calibration[name], "staff": said.staff_m}
            )
        elif said.staff_m is not None:
            with as_owner(site.state_dir):
                entry = calibrate.compare(site.state_dir, section["id"], said.staff_m, reading, site.clock.now())
            site.screen.row(
                "✓", "setup.compared", {"id": section["id"], "staff": said.staff_m, "added": f"{entry.added_m:+.3f}"}
            )
    except ConfigError as error:  # no drift but a wrong unit, staff or profile
        site.trouble("warning", error, "!")
    except SourceUnavailable as error:
        site.trouble("device", error)
    if name and name not in calibration:
        site.warn("setup.no-level", id=section["id"])
    if calibration:
        section["calibrate"] = calibration
    return note


async def _read(site: Site, section: Mapping[str, Any]) -> Reading:
    """A reading whose main quantity is good; the last one there was otherwise."""
    config, problems = site.load({"gateway": {"id": "GW-0", "state_dir": str(site.state_dir)}, "sources": [section]})
    if config is None:
        raise problems[0]
    last: Reading | None = None
    trouble: EdgeAgentError | None = None
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_PATIENCE_S):
            async with contextlib.aclosing(look.look(config.sources[0], Path(site.state_dir), site.clock)) as readings:
                async for one in readings:
                    if isinstance(one, EdgeAgentError):
                        trouble = one
                        continue
                    last = one
                    if any(q.quality is Quality.GOOD for q in one.quantities.values()):
                        return one
    if last is None:
        raise (
            trouble
            if isinstance(trouble, SourceUnavailable)
            else SourceUnavailable("install.no-answer", source=section["id"], seconds=round(_PATIENCE_S))
        )
    return last
