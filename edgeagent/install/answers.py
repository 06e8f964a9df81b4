"""`setup --answers site.toml`: the config with holes, and what only a person knows.

What stands in it is the config's own vocabulary; what is missing (ports, units, speeds, lines) is found on site.
Beside it: who installs, the claim code, what the staff gauge shows, where to look.

    lang = "ja"
    installer = "佐藤"
    claim = "https://enrol.city.example:8443/#6MEB-…"
    [gateway]
    name = "宮川橋"
    [[sources]]
    id = "miyagawa"
    driver = "modbus-gauge"
    staff_m = 1.42
    [[uplinks]]
    id = "city"
    driver = "ngsi-ld"
    url = "https://city.example/"
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from edgeagent import profiles
from edgeagent.config import Config, decode, read_toml
from edgeagent.errors import ConfigError
from edgeagent.install.discover import Discover

__all__ = ["STAFF", "Answers", "Load", "defaults_of", "read"]

STAFF = "staff_m"
_GAUGES = ("modbus-gauge", "serial-gauge")
_A_LINE = {"id": "line", "from": [0, 100], "to": [100, 100], "forward": "down"}

Load = Callable[[Mapping[str, Any]], tuple[Config | None, list[ConfigError]]]
"""A parsed config file -> typed, or every mistake in it."""


class Answers(msgspec.Struct, frozen=True, kw_only=True):
    """The file.

    Attributes:
        lang: of screens and of the config.
        installer: who hands the site over; stands on the report.
        claim: one-time code, or the link with it.
        server, ca: of the enrolment server, where the code says neither.
        gateway, sources, uplinks, outbox, update: sections of the config; sources may lack what is found on
            site, and know `staff_m`: what the staff gauge shows, metres above gauge zero.
        discover: where to look.
    """

    lang: Literal["ja", "en"] | None = None
    installer: str = ""
    claim: str = ""
    server: str = ""
    ca: str = ""
    gateway: dict[str, Any] = {}
    sources: list[dict[str, Any]] = []
    uplinks: list[dict[str, Any]] = []
    outbox: dict[str, Any] = {}
    update: dict[str, Any] = {}
    discover: Discover = Discover()


def read(file: Path, load: Load) -> tuple[Answers | None, list[ConfigError]]:
    """The file, or every mistake in it, each with its place.

    Args:
        file: TOML.
        load: judges a config.
    """
    try:
        data = read_toml(file)
    except ConfigError as error:
        return None, [error]
    made, problems = decode(Answers, data, "")
    if made is None:
        return None, problems
    problems += _staff_problems(made.sources)
    whole: dict[str, Any] = {"gateway": {"id": "GW-0", **made.gateway}}
    whole["sources"] = [_filled({k: v for k, v in one.items() if k != STAFF}) for one in made.sources]
    whole["uplinks"] = made.uplinks
    whole |= {name: section for name in ("outbox", "update") if (section := getattr(made, name))}
    problems += load(whole)[1]
    return (None if problems else made), problems


def defaults_of(driver: str) -> dict[str, Any]:
    """What a section of this driver has where nobody says otherwise."""
    return {"enrolled": True} if driver == "ble-tags" else {}


def _staff_problems(sources: list[dict[str, Any]]) -> Iterator[ConfigError]:
    for index, one in enumerate(sources):
        staff = one.get(STAFF, 0.0)
        if isinstance(staff, bool) or not isinstance(staff, int | float):
            path = f"sources[{index}].{STAFF}"
            yield ConfigError("config.wrong-type", path=path, expected="metres", got=repr(staff))


def _filled(source: dict[str, Any]) -> dict[str, Any]:
    """With something in every hole, so that what is there can be judged."""
    driver = str(source.get("driver"))
    made = dict(source)
    if driver in _GAUGES:
        if "host" not in made:
            made.setdefault("port", "/dev/serial/by-id/x")
        made.setdefault("profile", next(_profiles(modbus=driver == "modbus-gauge"), ""))
    if driver == "traffic-camera":
        made.setdefault("camera", "/dev/v4l/by-id/x")
        made.setdefault("lines", [_A_LINE])
    if driver == "ble-tags" and "tags" not in made:
        made = {**defaults_of(driver), **made}
    return made


def _profiles(*, modbus: bool) -> Iterator[str]:
    for name in profiles.names():
        profile, _ = profiles.load(name)
        if profile is not None and (profile.link.transport == "modbus" if modbus else profile.lines is not None):
            yield name
