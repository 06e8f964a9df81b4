"""Find what is plugged in, and let a person say what of it belongs to the site."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from edgeagent.errors import ConfigError, EdgeAgentError, SourceUnavailable
from edgeagent.install import camera_scan, discover, discover_twins, serial_ports
from edgeagent.install.discover import Blank, Eye, Found, Gauge, Radio
from edgeagent.install.setup_site import Site
from edgeagent.install.setup_talk import Question
from edgeagent.sources.camera_messages import without_password

__all__ = ["Pick", "devices"]

_PATIENCE_S = 120.0
_PLACE = ("port", "host", "tcp_port", "unit", "baud", "frame", "camera")
Device = Gauge | Eye | Radio


@dataclass(frozen=True)
class Pick:
    """A device of the site.

    Attributes:
        device: that was found; None for one that the answers describe whole (Modbus TCP, an input pin).
        wish: what the answers, or the config there is, say about it.
    """

    device: Device | None
    wish: Mapping[str, Any]

    @property
    def driver(self) -> str:
        """That reads it."""
        match self.device:
            case Gauge():
                return self.device.driver
            case Eye():
                return "traffic-camera"
            case Radio():
                return "ble-tags"
            case None:
                return str(self.wish["driver"])


@dataclass(frozen=True)
class _Choice:
    """An answer taken apart."""

    numbers: Sequence[int] = ()
    urls: Sequence[str] = ()
    again: bool = False
    unplug: bool = False


@dataclass
class _Match:
    """Which wish of the answers each device fits, and the wishes nothing fits."""

    wishes: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    missing: list[Mapping[str, Any]] = field(default_factory=list)
    whole: list[Mapping[str, Any]] = field(default_factory=list)


def devices(site: Site) -> list[Pick]:
    """Look, show, ask; every device the person wants, in the order shown."""
    found = site.progress.found if site.progress.boot_id == site.clock.now().boot_id else None
    while True:
        if found is None:
            found = _look(site)
        listed: list[Device] = [*found.gauges, *found.eyes, *([found.radio] if found.radio else [])]
        match = _match(site.answers.sources, listed)
        _show(site, listed, found.blanks)
        numbers = sorted(match.wishes) if site.answers.sources else [n for n, one in enumerate(listed) if _usual(one)]
        default = " ".join(str(n + 1) for n in numbers) or ("r" if site.screen.asks and not match.whole else "-")
        choice = site.ask(Question("devices", default, lambda text: _choice(text, listed), {"n": len(listed)}))  # noqa: B023  called at once
        if not (choice.again or choice.unplug or choice.urls):
            break
        site.forget("devices")
        if choice.unplug:
            _unplug(site, found.gauges)
        found = None if choice.again else _with(site, found, choice.urls)
    _report_missing(site, match, listed, choice.numbers)
    picks = [Pick(listed[n], match.wishes.get(n) or _of_old(site, listed[n])) for n in choice.numbers]
    if not picks and not match.whole:
        site.trouble("device", SourceUnavailable("setup.no-device"))
    return [*picks, *(Pick(None, one) for one in match.whole)]


def _look(site: Site) -> Found:
    wish = site.answers.discover
    with contextlib.ExitStack() as stack:
        if not wish.ports and stack.enter_context(site.service.paused()):
            site.say("·", "setup.paused")
        found = site.run(discover.everything(wish, clock=site.clock, progress=site.screen.progress))
    names = {one.name: one.card for one in camera_scan.cameras()}
    eyes = tuple(msgspec.structs.replace(one, card=names.get(one.camera, "")) for one in found.eyes)
    found = msgspec.structs.replace(found, eyes=eyes)
    site.progress.found, site.progress.boot_id = found, site.clock.now().boot_id
    site.save()
    return found


def _show(site: Site, listed: Sequence[Device], blanks: Sequence[Blank]) -> None:
    """What there is, numbered; what was looked at in vain, and why."""
    site.say("✓" if listed else "!", "setup.found", n=len(listed))
    twins = {port.name for group in serial_ports.twins(serial_ports.ports()) for port in group}
    for number, one in enumerate(listed, 1):
        match one:
            case Gauge():
                facts = {"n": number, "port": one.port, "baud": one.baud, "frame": one.frame, "unit": one.unit}
                facts |= {"profile": one.profiles[0] if one.profiles else "?", "values": _values(one.values)}
                code = "setup.row-gauge" if one.unit else "setup.row-talker"
                site.screen.row("✓" if one.profiles else "!", code, facts)
                if len(one.profiles) > 1:
                    site.screen.row("!", "setup.row-others", {"others": ", ".join(one.profiles[1:])})
                if one.port in twins:
                    site.screen.row("!", "setup.row-twin", {"port": one.port})
            case Eye():
                facts = {
                    "n": number,
                    "camera": without_password(one.camera),
                    "card": f" {one.card}" if one.card else "",
                }
                facts |= {"width": one.width, "height": one.height, "fps": f"{one.fps:g}"}
                site.screen.row("✓", "setup.row-camera", facts)
            case Radio():
                strongest = "-" if one.strongest is None else f"{one.strongest:.0f}"
                site.screen.row("✓", "setup.row-tags", {"n": number, "tags": one.tags, "strongest": strongest})
    for blank in blanks:
        site.say("–", blank.code, **blank.facts)


def _usual(one: Device) -> bool:
    """Whether it belongs to the site where nobody says otherwise."""
    if isinstance(one, Gauge):
        return bool(one.profiles)
    return isinstance(one, Eye) or one.tags > 0


def _choice(text: str, listed: Sequence[Device]) -> _Choice:
    numbers: list[int] = []
    urls: list[str] = []
    for word in text.replace(",", " ").split():
        if word in ("r", "u"):
            return _Choice(again=word == "r", unplug=word == "u")
        if "://" in word:
            problem = camera_scan.address_problem(word, "devices")
            if problem is not None:
                raise problem
            urls.append(word)
        elif word.isdigit() and 1 <= int(word) <= len(listed):
            numbers += [int(word) - 1] if int(word) - 1 not in numbers else []
        elif word != "-":
            raise ConfigError("setup.bad-device", path="devices", got=word, n=len(listed))
    return _Choice(tuple(numbers), tuple(urls))


def _with(site: Site, found: Found, urls: Sequence[str]) -> Found:
    """One more camera, where its address shows something."""
    for url in urls:
        seen = site.run(discover.eye(url, site.screen.progress))
        if isinstance(seen, Eye):
            found = msgspec.structs.replace(found, eyes=(*found.eyes, seen))
        else:
            site.screen.wrong(EdgeAgentError(seen.code, **seen.facts))
    site.progress.found = found
    site.save()
    return found


def _unplug(site: Site, gauges: Sequence[Gauge]) -> None:
    """Which of two adapters that look alike is this one?"""
    ports = serial_ports.ports()

    def tell(code: str, facts: dict[str, object]) -> None:
        site.screen.say("·", code, facts)

    try:
        one = site.run(discover_twins.identify(ports, tell, timeout_s=_PATIENCE_S))
    except SourceUnavailable as error:
        site.screen.wrong(error)
        return
    numbers = [str(n) for n, gauge in enumerate(gauges, 1) if gauge.port == one.was]
    site.say("✓", "setup.it-was", n=", ".join(numbers) or "-", name=one.name)


def _match(sources: Sequence[Mapping[str, Any]], listed: Sequence[Device]) -> _Match:
    """Give each section of the answers its device: who says most about it chooses first."""
    match = _Match()
    for wish in sorted(sources, key=lambda one: -sum(key in one for key in (*_PLACE, "profile"))):
        fitting = [n for n, one in enumerate(listed) if n not in match.wishes and _fits(one, wish)]
        if fitting:
            match.wishes[fitting[0]] = wish
        elif _is_whole(wish):
            match.whole.append(wish)
        else:
            match.missing.append(wish)
    return match


def _fits(one: Device, wish: Mapping[str, Any]) -> bool:
    if isinstance(one, Gauge):
        if wish.get("driver") != one.driver or "host" in wish:
            return False
        if any(key in wish and wish[key] != getattr(one, key) for key in ("port", "unit", "baud", "frame")):
            return False
        # a profile that was not recognised is taken where the place is named: the person knows better
        profile = wish.get("profile")
        return not profile or profile in one.profiles or "port" in wish or "unit" in wish
    if isinstance(one, Eye):
        return wish.get("driver") == "traffic-camera" and wish.get("camera", one.camera) == one.camera
    return wish.get("driver") == "ble-tags"


def _is_whole(wish: Mapping[str, Any]) -> bool:
    """Whether it names a device that cannot be looked for."""
    return "host" in wish or wish.get("driver") in ("pulse-gauge", "sdi12-gauge", "host")


def _report_missing(site: Site, match: _Match, listed: Sequence[Device], chosen: Sequence[int]) -> None:
    for wish in match.missing:
        facts = {"id": wish.get("id", "?"), "driver": wish.get("driver", "?")}
        site.trouble("device", SourceUnavailable("setup.missing-device", **facts))
    if site.answers.sources:
        for n, one in enumerate(listed):
            if n not in chosen and _usual(one):
                site.say("·", "setup.left-out", n=n + 1)


def _of_old(site: Site, one: Device) -> Mapping[str, Any]:
    """What the config that is there already says about this device."""
    for old in site.old.get("sources", []):
        if isinstance(old, dict) and _same_place(old, one):
            return {key: value for key, value in old.items() if key not in _PLACE}
    return {}


def _same_place(old: Mapping[str, Any], one: Device) -> bool:
    if isinstance(one, Gauge):
        return old.get("port") == one.port and (not one.unit or old.get("unit", one.unit) == one.unit)
    if isinstance(one, Eye):
        return old.get("camera") == one.camera
    return old.get("driver") == "ble-tags"


def _values(values: Mapping[str, float]) -> str:
    """Of the main quantity first; metres where it is a length."""
    names = [name for name in ("level", "distance") if name in values] or list(values)[:1]
    return (
        " ".join(
            f"{name} {values[name]:.3f} m" if name in ("level", "distance") else f"{name} {values[name]:g}"
            for name in names
        )
        or "-"
    )
