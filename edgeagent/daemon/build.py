"""Config -> sources, rules, outbox, uplinks, through the tables of the rooms."""

from __future__ import annotations

import base64
import logging
import os
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from edgeagent import __version__, calibrations, messages, rules, sources, uplinks
from edgeagent.clock import Clock
from edgeagent.config import Catalogue, Config, SourceSection, load, read_toml
from edgeagent.daemon import history
from edgeagent.daemon.budget import forecast, thrift, used
from edgeagent.daemon.control import Answers
from edgeagent.daemon.flow import Flow, SourceGroup
from edgeagent.daemon.health import (
    DeadLetters,
    Health,
    Privacy,
    Problem,
    Retried,
    SourceHealth,
    SourceStatus,
    Status,
    Taken,
    UplinkHealth,
    UplinkStatus,
    Waiting,
)
from edgeagent.daemon.opening import OpeningOutbox
from edgeagent.errors import ConfigError, EdgeAgentError
from edgeagent.history import History, Ring
from edgeagent.outbox.sqlite import OutboxConfig, SqliteOutbox
from edgeagent.ports import Rule, Site, SourceConfig, Surroundings, Uplink, UplinkStats
from edgeagent.reading import Moment, Reading
from edgeagent.rules.calibrate import CalibrateConfig
from edgeagent.rules.chain import Chain
from edgeagent.update.section import UpdateSection

__all__ = ["Agent", "build", "catalogue", "read_config"]

log = logging.getLogger("edgeagent")

_LETTERS = 50  # dead letters in one answer


def catalogue() -> Catalogue:
    """The section types of everything that is installed."""

    def source(name: str) -> tuple[Any, tuple[str, ...]]:
        found = sources.driver(name)
        return found.Config, found.rules

    return Catalogue(
        source=source,
        rule=lambda name: rules.rule(name).Config,
        uplink=lambda name: uplinks.driver(name).Config,
        outbox=OutboxConfig,
        update=UpdateSection,
    )


def read_config(path: Path) -> tuple[Config | None, list[ConfigError]]:
    """A config file, typed, or every mistake in it."""
    try:
        data = read_toml(path)
    except ConfigError as error:
        return None, [error]
    return load(data, catalogue())


@dataclass
class Agent:
    """Everything that runs, and what there is to know about it."""

    config: Config
    flow: Flow
    outbox: OpeningOutbox
    health: Health
    clock: Clock
    began: float
    rings: Mapping[str, Ring]

    @property
    def _caps(self) -> dict[str, int]:
        return {section.id: section.monthly_bytes for section in self.config.uplinks}

    def answers(self) -> Answers:
        """What the control socket can be asked."""
        return {
            "status": self.status,
            "outbox": self.outbox.stats,
            "plan": self.outbox.plan,
            "day": self.outbox.day,
            "waiting": self.waiting,
            "take-in": self.take_in,
            "dead": self.dead,
            "dead-retry": self.retry,
            "privacy": self.privacy,
            "history": self.history,
        }

    async def history(self, source: str = "") -> History:
        """The last day of every gauge, or of one."""
        return await history.answer(self.rings, self.clock, self.began, source)

    async def waiting(self, after: str = "0") -> Waiting:
        """Some rows owed to anybody, above id `after`; none when that was the last."""
        return Waiting(await self.outbox.waiting(int(after), _LETTERS))

    async def take_in(self, packed: str) -> Taken:
        """Readings of another store: base64 of MessagePack, which has no blank and no line end."""
        readings = msgspec.msgpack.decode(base64.b64decode(packed), type=list[Reading])
        return Taken(await self.outbox.take_in(readings))

    async def dead(self, after: str = "0") -> DeadLetters:
        """Some dead letters above number `after`; none when that was the last."""
        return DeadLetters(await self.outbox.dead_letters(int(after), _LETTERS))

    async def retry(self, *numbers: str) -> Retried:
        """Owe these dead letters to their uplinks again."""
        return Retried(await self.outbox.retry_dead(int(number) for number in numbers))

    async def privacy(self) -> Privacy:
        """What left in the last day, by field."""
        up_s = min(self.clock.mono() - self.began, 86_400.0)
        mono_ms, links = self.clock.now().mono_ms, self.health.uplinks.values()
        left = {u.id: u.disclosed.last_day(mono_ms) for u in links}
        return Privacy(round(up_s), left, {u.id: u.disclosed.raw for u in links})

    async def status(self) -> Status:
        """The answer to `edgeagent status`."""
        now = self.clock.now()
        stats = await self.outbox.stats()
        lang = self.config.gateway.lang
        return Status(
            gateway=self.config.gateway.id,
            version=__version__,
            pid=os.getpid(),
            up_s=round(self.clock.mono() - self.began, 1),
            clock=now.trust.value,
            queue=self.flow.queued,
            held_in_ram=self.health.held_in_ram,
            dropped_from_ram=self.health.dropped_from_ram,
            outbox=stats,
            outbox_problem=_say(self.health.outbox_problem, lang),
            sources=[_source_status(s, now.mono_ms, lang) for s in self.health.sources.values()],
            uplinks=[
                _uplink_status(u, stats.uplinks.get(u.id), self._caps.get(u.id, 0), now, lang)
                for u in self.health.uplinks.values()
            ],
        )


def build(config: Config, clock: Clock) -> Agent:
    """Make all parts; opens no device and no connection yet."""
    gateway = config.gateway
    state_dir = Path(gateway.state_dir)
    configured = [s for s in config.sources if s.config.enabled]
    site = Site(
        gateway=gateway.id,
        location=gateway.location,
        locations={s.config.id: s.config.location for s in configured if s.config.location},
        names={s.config.id: s.config.name for s in configured if s.config.name},
    )
    rings = history.rings(config)
    chains = {
        s.config.id: _chain(s.config, _calibrated(s, state_dir, gateway.lang), rings.get(s.config.id))
        for s in configured
    }
    around = Surroundings(clock=clock, site=site, state_dir=state_dir, pace=lambda source: chains[source].pace)
    links = [u for u in config.uplinks if u.enabled]
    health = Health(
        sources={s.config.id: SourceHealth(s.config.id, s.config.driver, s.config.name) for s in configured},
        uplinks={u.id: UplinkHealth(u.id, u.driver) for u in links},
    )
    store = config.outbox
    assert isinstance(store, OutboxConfig), "the catalogue gave the type"
    outbox = OpeningOutbox(
        lambda: SqliteOutbox(state_dir / "outbox.db", clock, store, [u.id for u in links]), gateway.lang
    )
    flow = Flow(
        groups=_groups(config, around),
        chains=chains,
        outbox=outbox,
        uplinks={u.id: _uplink(u.driver, u, around) for u in links},
        sections={u.id: u for u in links},
        health=health,
        clock=clock,
        lang=gateway.lang,
        state_dir=state_dir,
    )
    return Agent(config, flow, outbox, health, clock, clock.mono(), rings)


def _groups(config: Config, around: Surroundings) -> list[SourceGroup]:
    grouped: dict[tuple[str, Hashable], list[Any]] = {}
    for section in config.sources:
        one = section.config
        if one.enabled:
            grouped.setdefault((one.driver, sources.driver(one.driver).group(one)), []).append(one)
    return [
        SourceGroup(tuple(c.id for c in configs), partial(sources.driver(name).make, tuple(configs), around))
        for (name, _), configs in grouped.items()
    ]


def _calibrated(section: SourceSection, state_dir: Path, lang: str) -> Mapping[str, Any]:
    """The rule sections, with what the staff gauge taught; without it a level is suspect, not gone."""
    if "calibrate" not in sources.driver(section.config.driver).rules:
        return section.rules
    configured = section.rules.get("calibrate")
    configured = configured if isinstance(configured, CalibrateConfig) else None
    try:
        made = calibrations.applied(configured, state_dir, section.config.id)
    except ConfigError as error:
        log.error("%s", messages.text(error.code, error.facts, lang))  # noqa: TRY400  no traceback
        made = msgspec.structs.replace(configured or CalibrateConfig(), doubt="calibration-lost")
    return section.rules if made is None else {**section.rules, "calibrate": made}


def _chain(source: SourceConfig, sections: Mapping[str, Any], ring: Ring | None) -> Chain:
    made: list[tuple[str, Rule]] = []
    for name in sources.driver(source.driver).rules:
        kind = rules.rule(name)
        section = sections.get(name)
        if section is None and kind.always:
            section = kind.Config()
        if section is not None:
            made.append((name, kind(section, source.id)))
    return Chain(history.among(made, ring))


def _uplink(name: str, config: Any, around: Surroundings) -> Callable[[], Uplink]:  # noqa: ANN401  the driver's own Config
    return lambda: uplinks.driver(name).make(config, around)


def _source_status(seen: SourceHealth, now_ms: int, lang: str) -> SourceStatus:
    last = seen.last
    return SourceStatus(
        id=seen.id,
        driver=seen.driver,
        name=seen.name,
        state="running" if seen.running else "waiting",
        readings=seen.readings,
        age_s=None if last is None else round((now_ms - last.at.mono_ms) / 1000, 1),
        last={} if last is None else last.quantities,
        problems=dict(seen.problems),
        last_problem=_say(seen.last_problem, lang),
        last_problem_age_s=None
        if seen.last_problem_at is None
        else round((now_ms - seen.last_problem_at.mono_ms) / 1000, 1),
        well=seen.well(now_ms),
        healed=seen.healed,
    )


def _uplink_status(seen: UplinkHealth, stats: UplinkStats | None, cap: int, now: Moment, lang: str) -> UplinkStatus:
    sent = used(stats, now) if stats else 0
    return UplinkStatus(
        month_bytes=sent,
        monthly_bytes=cap,
        forecast_bytes=forecast(sent, now),
        thrift=thrift(cap, sent, now).name.lower(),
        id=seen.id,
        driver=seen.driver,
        state=seen.state,
        acknowledged=stats.acknowledged if stats else 0,
        filtered=seen.filtered,
        sent_bytes=seen.sent_bytes,
        bytes_per_reading=round(seen.sent_bytes / seen.delivered_readings, 1) if seen.delivered_readings else None,
        waiting=stats.waiting if stats else 0,
        dead=stats.dead if stats else 0,
        oldest_s=stats.oldest_s if stats else 0.0,
        last_ok_s=None if seen.last_ok_mono_ms is None else round((now.mono_ms - seen.last_ok_mono_ms) / 1000, 1),
        problems=dict(seen.problems),
        last_problem=_say(seen.last_problem, lang) if seen.state == "down" else None,
        well=seen.state != "down" and seen.well(stats.waiting if stats else 0),
    )


def _say(error: EdgeAgentError | None, lang: str) -> Problem | None:
    if error is None:
        return None
    facts = {name: str(value) for name, value in error.facts.items()}
    return Problem(error.code, facts, str(messages.text(error.code, facts, lang)))
