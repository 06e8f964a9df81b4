"""What was answered and found becomes the config; the agent is started with it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

from edgeagent import messages
from edgeagent.errors import EdgeAgentError
from edgeagent.install import setup_box, setup_city, setup_config
from edgeagent.install.setup_devices import Pick
from edgeagent.install.setup_site import Site

__all__ = ["start", "write"]

_WELL_S, _LOOK_S = 90.0, 2.0


def write(site: Site, picks: Sequence[Pick]) -> None:
    """One valid config file, and the one before it kept.

    Raises:
        ConfigError: something in the answers does not fit together, or the file cannot be written.
    """
    new = _new(site)
    config = setup_config.merged(site.old, new, gone=_unwanted(site, picks))
    if setup_box.was_made_up(site) and setup_box.typed_id(site):  # it has a name now: what waited for that may go
        for one in config["uplinks"]:
            one.pop("enabled", None)
    made, problems = site.load(config)
    if made is None:
        wrong = messages.text(problems[0].code, problems[0].facts, site.lang).what
        config = setup_config.merged({}, new)
        made, problems = site.load(config)
        if made is None:
            raise problems[0]
        site.warn("setup.old-invalid", why=wrong)
    now_ms = site.clock.now().wall_ms
    day = time.strftime("%Y-%m-%d %H:%M %Z", time.localtime(now_ms / 1000))
    head = [site.remark("head", day=day, installer=site.progress.answers.get("installer", "-"))]
    notes = dict(site.progress.notes)
    if not setup_box.typed_id(site):
        notes |= {one["id"]: site.remark("off") for one in _off(new)}
    backup = setup_config.install(site.file, setup_config.render(config, head, notes), now_ms)
    site.progress.config_sha256 = setup_config.sha256_of(site.file)
    site.save()
    site.say("✓", "setup.written", file=site.file, sources=len(made.sources), uplinks=len(made.uplinks))
    if backup is not None:
        site.say("!" if site.old_broken else "·", "setup.backup", file=backup)
    ours = {one["id"] for one in new["sources"]}
    kept = [one.config.id for one in made.sources if one.config.id not in ours and one.config.driver != "host"]
    if kept:
        site.say("·", "setup.kept", ids=", ".join(kept))
    site.told |= {"config": str(site.file), "backup": str(backup) if backup else ""}
    site.told["sources"] = [one.config.id for one in made.sources]
    site.told["enrol"] = any(one.get("enrolled") for one in config["sources"])


def start(site: Site) -> None:
    """Enable the unit where systemd runs, and wait until everything that is configured reads well."""
    if not site.service.there:
        site.say("–", "setup.no-systemd", file=site.file)
        return
    try:
        site.service.enable()
    except EdgeAgentError as error:
        site.trouble("warning", error)
        return
    site.say("✓", "setup.started")
    site.run(_until_well(site))


async def _until_well(site: Site) -> None:
    """The first readings take their time: a camera loads its model, a gauge its period."""
    world, left_s = site.world(site.file), _WELL_S
    while left_s > 0:
        site.screen.progress("edgeagent", _WELL_S - left_s, _WELL_S)
        try:
            if all(one.readings for one in world.agent().sources):
                return
        except EdgeAgentError:  # it is still starting
            pass
        await asyncio.sleep(_LOOK_S)
        left_s -= _LOOK_S


def _new(site: Site) -> dict[str, Any]:
    """What this run knows, in the config's words."""
    answers, answered = site.answers, site.progress.answers
    gateway: dict[str, Any] = {"id": setup_box.gateway_id(site)}
    name = answered.get("name", "-")
    gateway |= {"name": name} if name != "-" else {}
    gateway |= {"lang": site.lang, "state_dir": str(site.state_dir)}
    gateway |= {key: value for key, value in answers.gateway.items() if key not in gateway}
    taken = {str(one.get("id")) for one in site.progress.sections}
    declared = [one for one in answers.sources if one.get("id") in taken or one.get("driver") == "host"]
    hosts = [dict(one) for one in declared if one.get("driver") == "host" and one.get("id") not in taken]
    uplinks = [dict(one) for one in answers.uplinks]
    if not uplinks:
        uplinks = [_as_before(site, one) for one in setup_city.receivers(answered.get("city", "-"))]
    new = {"gateway": gateway, "sources": [*site.progress.sections, *hosts], "uplinks": uplinks}
    if not answers.uplinks:
        _secure(site, uplinks)
    if not setup_box.typed_id(site):
        for one in _off(new):
            one["enabled"] = False
    return new | {key: section for key in ("outbox", "update") if (section := getattr(answers, key))}


def _as_before(site: Site, typed: dict[str, Any]) -> dict[str, Any]:
    """An address that the config already knows keeps its name and what was set for it."""
    key = "url" if "url" in typed else "host"
    for old in site.old.get("uplinks", []):
        if isinstance(old, dict) and old.get("driver") == typed["driver"] and old.get(key) == typed[key]:
            keep = {name: value for name, value in old.items() if name != "enabled" or not setup_box.was_made_up(site)}
            return {**typed, **keep}
    return typed


def _secure(site: Site, uplinks: Sequence[dict[str, Any]]) -> None:
    """Come with the identity where there is one, or will be; typed addresses carry no other proof."""
    named_by_hand = not site.progress.gateway and setup_box.typed_id(site)
    for one in uplinks:
        where = setup_city.host_of(one)
        if where is not None and where[2] and not named_by_hand:
            one["cert"] = "identity"


def _off(new: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Receivers that would hear from a gateway whose name was made up; those that want the identity wait anyway."""
    return [one for one in new["uplinks"] if one.get("cert") != "identity" and setup_city.host_of(one) is not None]


def _unwanted(site: Site, picks: Sequence[Pick]) -> list[dict[str, Any]]:
    """Places that were found and not chosen."""
    found, chosen = site.progress.found, [pick.device for pick in picks]
    if found is None:
        return []
    gauges = [{"port": one.port, "unit": one.unit or None} for one in found.gauges if one not in chosen]
    eyes = [{"camera": one.camera} for one in found.eyes if one not in chosen]
    return [*gauges, *eyes]
