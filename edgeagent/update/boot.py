"""Before the agent starts: which release runs, as a file it can be started with.

Called by `edgeagent run` in the process that then becomes the daemon, so nothing can come between
the record ("this start counts") and the start.  Whatever is wrong with updates, there is always
the gateway's own file: it may lack what the city says, but it measures.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from edgeagent import config as configs
from edgeagent import messages
from edgeagent.clock import Clock
from edgeagent.config import GatewayConfig, decode
from edgeagent.errors import ConfigError, EdgeAgentError, UpdateRefused
from edgeagent.reading import Moment
from edgeagent.update import durable, layers, trial
from edgeagent.update.section import UpdateSection
from edgeagent.update.slots import Slots, local_layer
from edgeagent.update.trial import Release

__all__ = ["CONFIG_ENV", "FOLDER_ENV", "SLOT_ENV", "Plan", "checked", "folder_of", "note_end", "plan", "section_of"]

FOLDER_ENV = "EDGEAGENT_UPDATE"  # the update folder, for the daemon
CONFIG_ENV = "EDGEAGENT_CONFIG"  # the gateway's own file, whatever the daemon was started with
SLOT_ENV = "EDGEAGENT_SLOT"  # a release's models and profiles, for the daemon and its workers
_ENDED = "ended"  # written by the unit's ExecStopPost: systemd's $SERVICE_RESULT


class Plan(msgspec.Struct, frozen=True):
    """What to start.

    Attributes:
        config: the file.
        environment: what to add to the environment.
        release: "" for the gateway's own file alone.
        why_not: what was wrong with releases that were not taken.
    """

    config: Path
    environment: dict[str, str]
    release: str
    why_not: tuple[tuple[str, dict[str, object]], ...] = ()


Check = Callable[[Path], list[ConfigError]]


def section_of(data: Mapping[str, Any]) -> UpdateSection | None:
    """The `[update]` section of a gateway's own file; None where there is none.

    Raises:
        ConfigError: the first mistake in it.
    """
    if "update" not in data:
        return None
    made, problems = decode(UpdateSection, data["update"], "update")
    if made is None:
        raise problems[0]
    return made


def folder_of(data: Mapping[str, Any]) -> Path:
    """The update folder that a gateway's own file means.

    Raises:
        ConfigError: the first mistake in `[gateway]`.
    """
    gateway, problems = decode(GatewayConfig, data.get("gateway", {}), "gateway")
    if gateway is None:
        raise problems[0]
    return Path(gateway.state_dir) / "update"


def plan(config: Path, clock: Clock, check: Check) -> Plan:
    """Decide what to start, and write down that it is being started.

    Args:
        config: the gateway's own file.
        clock: for the record.
        check: the mistakes of a config file.

    Raises:
        ConfigError: the gateway's own file cannot be read.
    """
    data = configs.read_toml(config)
    own = Plan(config, {}, "")
    try:
        section = section_of(data)
        folder = folder_of(data)
    except ConfigError:
        return own  # the check of the file itself says it better
    if section is None:
        return own
    slots, now = Slots(folder), clock.now()
    why_not: list[tuple[str, dict[str, object]]] = []
    try:
        record = _started(slots, now)
        tried: set[Release] = set()
        while record.runs.name and record.runs not in tried:
            tried.add(record.runs)
            release = record.runs.name
            try:
                merged = write_merged(slots, release, data, config, section)
                problems = checked(check, merged, slots.slot(release))
                if not problems:
                    return Plan(merged, _environment(config, folder, slots.slot(release)), release, tuple(why_not))
                error: EdgeAgentError = UpdateRefused(
                    "update.invalid", release=release[:12], why=str(_text(problems[0]))
                )
            except (UpdateRefused, OSError) as damaged:
                error = (
                    damaged if isinstance(damaged, UpdateRefused) else UpdateRefused("update.disk", why=str(damaged))
                )
            why_not.append((error.code, error.facts))
            facts = {name: str(value) for name, value in error.facts.items()}
            record = trial.roll_back(record, error.code, facts, now.wall_ms)
            slots.write(record)
    except OSError as error:  # no record can be written: no trial, no update, but measuring
        why_not.append(("update.disk", {"why": error.strerror or str(error)}))
    return msgspec.structs.replace(own, environment=_environment(config, folder, None), why_not=tuple(why_not))


def write_merged(slots: Slots, release: str, data: Mapping[str, Any], config: Path, section: UpdateSection) -> Path:
    """The release merged with the gateway's own file, as a file.

    Raises:
        UpdateRefused: the slot is damaged.  OSError: it cannot be written.
    """
    merged = layers.merge([*slots.layers(release), local_layer(data, config)], section.unlocked)
    path = slots.folder / "running.toml"
    text = layers.to_toml(merged).encode()
    with contextlib.suppress(OSError):
        if path.read_bytes() == text:
            return path
    durable.write(path, text)
    return path


def note_end(folder: Path) -> None:
    """The agent ends because it was asked to: the next start is not a crash."""
    slots = Slots(folder)
    with contextlib.suppress(OSError):
        slots.write(trial.stopped(slots.record()))


def _text(error: ConfigError) -> messages.Text:
    return messages.text(error.code, error.facts, messages.language())


def _started(slots: Slots, now: Moment) -> trial.Record:
    ended = slots.folder / _ENDED
    by_watchdog = False
    with contextlib.suppress(OSError):
        by_watchdog = ended.read_text(encoding="ascii", errors="replace").strip() == "watchdog"
        ended.unlink()
    before = slots.record()
    end = before.ended(now.boot_id, by_watchdog=by_watchdog)
    record = trial.start(before, boot_id=now.boot_id, end=end, wall_ms=now.wall_ms)
    slots.write(record)
    return record


def checked(check: Check, path: Path, slot: Path) -> list[ConfigError]:
    """The check, looking for models and profiles in the slot first."""
    before = os.environ.get(SLOT_ENV)
    os.environ[SLOT_ENV] = str(slot)
    try:
        return check(path)
    finally:
        if before is None:
            del os.environ[SLOT_ENV]
        else:
            os.environ[SLOT_ENV] = before


def _environment(config: Path, folder: Path, slot: Path | None) -> dict[str, str]:
    found = {CONFIG_ENV: str(config.absolute()), FOLDER_ENV: str(folder)}
    if slot is not None:
        found[SLOT_ENV] = str(slot)
    return found
