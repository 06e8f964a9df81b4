"""One poll: fetch, verify, merge, validate, store, and note in the record that it is to be tried.

Runs as a short-lived process.  Every step may be the last one: what was fetched stays fetched, a
slot is whole or absent, and only the record decides; polling again does the rest.  The record is the
request as well: the running agent sees `staged` and ends, so that it is started with it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from edgeagent import config as configs
from edgeagent import messages, shipped
from edgeagent.clock import Clock
from edgeagent.errors import ConfigError, EdgeAgentError, UpdateRefused, UpdateUnavailable
from edgeagent.security_log import SecurityLog
from edgeagent.update import boot, durable, layers, report, resolve, trial, validate
from edgeagent.update.layers import Layer
from edgeagent.update.origin import FolderOrigin, Origin, origin_of, usb_sticks
from edgeagent.update.report import PollNote
from edgeagent.update.resolve import Chosen
from edgeagent.update.section import UpdateSection
from edgeagent.update.slots import Slots, local_layer
from edgeagent.update.trial import Record, Release
from edgeagent.update.trust import Seen, Trust

__all__ = ["Agent", "NoAgent", "poll"]


class Agent:
    """What the poll needs of the running agent; this one knows nothing and nobody runs."""

    def unwell(self) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
        """(sources without a valid value, uplinks that are down); None when nobody answers."""
        return None


NoAgent = Agent()


class _Polling:
    """One poll of one gateway."""

    def __init__(self, config: Path, clock: Clock, check: Callable[[Path], list[ConfigError]], agent: Agent) -> None:
        self.config, self.clock, self.check, self.agent = config, clock, check, agent
        self.data = configs.read_toml(config)
        section = boot.section_of(self.data)
        if section is None:
            raise ConfigError("update.not-configured", path="update", file=str(config))
        self.section: UpdateSection = section
        self.folder = boot.folder_of(self.data)
        durable.folder(self.folder)
        self.slots = Slots(self.folder)
        self.log = SecurityLog(self.folder.parent, clock)
        self.note = report.read_note(self.folder) or PollNote(wall_ms=0, what="unavailable")

    def run(self, place: str) -> PollNote:
        wall_ms = self.clock.now().wall_ms
        self.note = msgspec.structs.replace(self.note, wall_ms=wall_ms, code="", facts={}, fetched=0, requests=0)
        try:
            what = self._from_anywhere(place)
            self.note = msgspec.structs.replace(self.note, what=what)
        except EdgeAgentError as error:
            facts = {name: str(value) for name, value in error.facts.items()}
            what = "unavailable" if isinstance(error, UpdateUnavailable) else "refused"
            self.note = msgspec.structs.replace(self.note, what=what, code=error.code, facts=facts)
            raise
        finally:
            with contextlib.suppress(OSError):
                report.write_note(self.folder, self.note)
        return self.note

    def _from_anywhere(self, place: str) -> str:
        """Ask the server; if it is away, a USB stick."""
        root = self._root()
        origins: list[Callable[[], Origin]] = [
            lambda: origin_of(place or self.section.url, clock=self.clock, ca=self.section.ca)
        ]
        if not place and self.section.usb:
            origins += [lambda stick=stick: FolderOrigin(stick) for stick in usb_sticks()]  # type: ignore[misc]
        away: UpdateUnavailable | None = None
        for make in origins:
            origin = make()
            try:
                return self._from(origin, root)
            except UpdateUnavailable as error:
                away = away or error
            except UpdateRefused as error:
                if error.code not in ("update.busy", "update.quarantined", "update.lower-sequence"):
                    self.log.note(
                        "update-untrusted" if _untrusted(error) else "config-refused", code=error.code, **error.facts
                    )
                raise
            finally:
                self.note = msgspec.structs.replace(
                    self.note, where=origin.where, fetched=origin.fetched, requests=origin.requests
                )
        assert away is not None
        raise away

    def _from(self, origin: Origin, root: bytes) -> str:
        trust = Trust(self.folder, origin, root, self.clock, built_s=shipped.built_s())
        seen = trust.refresh()
        chosen, published = self._layers(trust)
        merged = layers.merge([*published, local_layer(self.data, self.config)], self.section.unlocked)
        chosen += resolve.files_of(
            trust.find, merged.data, city=self.section.city, name=self.section.name, ring=self._ring(published)
        )
        release = Release(resolve.release_of(chosen), max((one.file.sequence for one in chosen), default=0))
        self._saw(seen, release)
        record = self.slots.record()
        if not chosen:
            raise UpdateRefused(
                "update.nothing-for-us", where=origin.where, city=self.section.city, name=self.section.name
            )
        if release.name == record.current.name and record.state in ("idle", "probation"):
            self._raise_sequence(record, release)
            return "current"
        if record.candidate is not None and release.name == record.candidate.name:
            return "in-trial" if record.state == "trial" else "staged"
        staged = trial.stage(record, release)  # refuses before anything large is fetched
        files = [(one, trust.fetch(one.file)) for one in chosen]
        self._validate(release, files)
        self._stage(staged, release, files)
        keep = {one.file.sha256 for one in chosen}
        trust.prune(keep)
        return "staged"

    def _layers(self, trust: Trust) -> tuple[list[Chosen], list[Layer]]:
        """The layers for this gateway; its own and the device layer say which groups and which ring."""
        section = self.section
        ring, groups = section.ring, section.groups
        if section.name:
            device = resolve.layers_of(trust.find, city=section.city, name=section.name, groups=(), ring=ring)
            for one in [one for one in device if one.layer == "device"]:
                said = self._parsed(trust, one).data.get("update", {})
                own = self.data.get("update", {})
                ring = said.get("ring", ring) if "ring" not in own else ring
                groups = tuple(said.get("groups", groups)) if "groups" not in own else groups
        chosen = resolve.layers_of(trust.find, city=section.city, name=section.name, groups=groups, ring=ring)
        return chosen, [self._parsed(trust, one) for one in chosen]

    def _ring(self, published: Sequence[Layer]) -> str:
        merged = layers.merge([*published, local_layer(self.data, self.config)], self.section.unlocked)
        found = merged.data.get("update", {}).get("ring", self.section.ring)
        return str(found)

    def _parsed(self, trust: Trust, one: Chosen) -> Layer:
        text = trust.fetch(one.file).read_bytes()
        return layers.parse(text, name=one.layer, path=one.path, sequence=one.file.sequence)

    def _saw(self, seen: Seen, release: Release) -> None:
        self.note = msgspec.structs.replace(
            self.note,
            versions=seen.versions,
            expires_s=seen.expires_s,
            first_to_expire=seen.first_to_expire,
            ok_wall_ms=self.clock.now().wall_ms,
            release=release.name,
            seen_sequence=release.sequence,
        )

    def _raise_sequence(self, record: Record, release: Release) -> None:
        """The same content under a higher number: going below it needs a still higher one."""
        if release.sequence > record.current.sequence:
            self.slots.write(msgspec.structs.replace(record, current=release))

    def _validate(self, release: Release, files: Sequence[tuple[Chosen, Path]]) -> None:
        """Refuse what cannot work, and remember that.

        Raises:
            UpdateRefused: it was put into quarantine.  UpdateUnavailable: not now.
        """
        validate.room(self.folder, sum(one.file.length for one, _ in files))
        try:
            manifest = self.slots.store(release.name, files)
        except OSError as error:
            raise UpdateUnavailable("update.disk", why=error.strerror or str(error)) from error
        slot = self.slots.slot(release.name)
        try:
            published = self.slots.layers(release.name)
            merged = layers.merge([*published, local_layer(self.data, self.config)], self.section.unlocked)
            candidate = self.folder / "candidate.toml"
            durable.write(candidate, layers.to_toml(merged).encode())
            _fits(boot.checked(self.check, candidate, slot), release)
            validate.ports(merged.data, self._running())
            new = {e.file for e in manifest.files if e.file.startswith("models/") and e.file.endswith(".onnx")}
            for file in sorted(new):
                validate.model(slot / file, _max_fps(merged.data))
        except UpdateRefused as error:
            facts = {name: str(value) for name, value in error.facts.items()}
            record = trial.abandon(self.slots.record(), error.code, facts, release, self.clock.now().wall_ms)
            self.slots.write(record)
            raise

    def _running(self) -> Mapping[str, Any]:
        for path in (self.folder / "running.toml", self.config):
            with contextlib.suppress(ConfigError):
                return configs.read_toml(path)
        return {}

    def _stage(self, staged: Record, release: Release, files: Sequence[tuple[Chosen, Path]]) -> None:
        unwell = self.agent.unwell()
        before = self.slots.record()
        failing, down = unwell if unwell is not None else (before.failing, before.down)
        staged = msgspec.structs.replace(staged, failing=failing, down=down)
        keep = [release.name, before.current.name, before.previous.name if before.previous else ""]
        try:
            self.slots.write(staged)
        except OSError as error:
            raise UpdateUnavailable("update.disk", why=error.strerror or str(error)) from error
        self.slots.prune([*keep, ""])
        self.log.note("config-staged", release=release.name[:12], sequence=release.sequence, files=len(files))

    def _root(self) -> bytes:
        file = Path(self.section.root)
        try:
            return file.read_bytes()
        except OSError as error:
            raise ConfigError("update.no-root", path="update.root", file=str(file), why=error.strerror or "") from error


def poll(
    config: Path,
    *,
    clock: Clock,
    check: Callable[[Path], list[ConfigError]],
    agent: Agent = NoAgent,
    place: str = "",
) -> PollNote:
    """Poll once.

    Args:
        config: the gateway's own file.
        clock: time and trust.
        check: the mistakes of a config file.
        agent: the running agent.
        place: a URL or folder instead of the configured one.

    Raises:
        ConfigError: the gateway's own file does not say where to poll.
        UpdateRefused: what is offered is not trusted, or does not fit.  UpdateUnavailable: later.
    """
    polling = _Polling(config, clock, check, agent)
    with durable.held(polling.folder / "lock") as alone:
        if not alone:
            raise UpdateUnavailable("update.busy")
        return polling.run(place)


def _untrusted(error: UpdateRefused) -> bool:
    return error.code in (
        "update.tampered",
        "update.not-signed",
        "update.older-than-seen",
        "update.expired",
        "update.bad-metadata",
    )


def _max_fps(data: Mapping[str, Any]) -> float:
    wanted = [s.get("max_fps", 10.0) for s in data.get("sources", []) if isinstance(s, Mapping) and "camera" in s]
    return max([float(fps) for fps in wanted if isinstance(fps, int | float)] or [1.0])


def _fits(problems: list[ConfigError], release: Release) -> None:
    if problems:
        why = messages.text(problems[0].code, problems[0].facts, messages.language())
        raise UpdateRefused("update.invalid", release=release.name[:12], why=str(why))
