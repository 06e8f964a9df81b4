"""Sightings of tags -> present, left, unknown; how many are here; SOS.

What comes in (see `sources.tag_windows`): Kind.TAG sightings with `rssi`, `frames`, `sos` and perhaps
`battery`, alarms of before a restart with `sos_told_s`, and Kind.CROWD readings with `listening`.
They end here; what goes out instead:

    Kind.TAG    <source>:<pseudonym>  `state` present | left | unknown, `battery`, `last_ago` (s since it was
                                      heard)                                        on change, heartbeat
    Kind.CROWD  <source>              `people`, `listening`                         on change, heartbeat
    Kind.ALERT  <source>:<pseudonym>  `active`, `sub_category` sos, `severity`, `level_name`   at once

A stay that ends is told as one passage: with `left` (or the `unknown` that closes a day) go `first_ago`
(s since it came), `frames` and `rssi` (the strongest, dBm).  No series of strengths leaves.

Radio flickers, people do not: RSSI is the median of five, then smoothed; a tag enters on several
frames above `enter_dbm`, and leaves when nothing stronger than `exit_margin_db` below that was
heard for `leave_s`, or for ten of its own intervals if it speaks seldom.  While the gateway is
deaf nobody leaves: everybody's state is unknown, and the number of people is missing, not zero.

At midnight UTC a tag's pseudonym changes, and on purpose nothing here links the new one to the
old.  The first sighting of a new `day` closes all old pseudonyms with state unknown and fact
`reason` = new-day: nobody has left.  For `leave_s` from then a tag is taken as present on its first
frame above the exit threshold, and `people` does not fall below the number of before.

Intervals come from `Moment.mono_ms` alone.  A restart forgets who was here and cannot say who left
meanwhile: a state that was not repeated for two heartbeats is to be read as unknown.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import msgspec

from edgeagent.errors import ConfigError
from edgeagent.reading import Kind, Moment, Quality, Quantity, Reading, ReadingClass, Unit

__all__ = ["Presence", "PresenceConfig"]

_MEDIAN_OF = 5
_SMOOTHING = 0.3  # weight of the newest median
_INTERVALS = 10  # a tag is silent when so many of its own intervals passed without a frame
_LONGEST_LEAVE_MS = 900_000
_MOST_TAGS = 2_000  # far above any allow-list one radio can hear; memory stays bounded without one
_LOUDEST_DBM, _WEAKEST_DBM = -20.0, -110.0


class PresenceConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`presence = { … }` of a tag source.

    Attributes:
        enter_dbm: smoothed RSSI from which a tag is here.
        enter_n: frames within `enter_within_s` that it takes.
        enter_within_s: longer for tags that speak seldom: 30 for one frame in 10 s.
        exit_margin_db: frames weaker than `enter_dbm` minus this do not count as being here.
        leave_s: silence after which a tag has left.
        heartbeat_s: state and number of people are repeated so often.
        battery_step: change of the battery (0..1) that is reported.
        sos_repeat_s: a press so soon after the last is the same call.
        sos_hold_s: an SOS that nobody pressed again is no longer active after so long.
    """

    enter_dbm: float = -85.0
    enter_n: int = 3
    enter_within_s: float = 10.0
    exit_margin_db: float = 6.0
    leave_s: float = 60.0
    heartbeat_s: float = 300.0
    battery_step: float = 0.05
    sos_repeat_s: float = 30.0
    sos_hold_s: float = 3600.0

    def problems(self) -> Iterable[ConfigError]:
        """Checks that types cannot express."""
        for name, least, most in (
            ("enter_dbm", _WEAKEST_DBM, _LOUDEST_DBM),
            ("enter_n", 1, 100),
            ("enter_within_s", 1, 3600),
            ("exit_margin_db", 0, 40),
            ("leave_s", 5, 86_400),
            ("heartbeat_s", 5, 86_400),
            ("battery_step", 0.01, 1),
            ("sos_repeat_s", 0, 3600),
            ("sos_hold_s", 1, 604_800),
        ):
            if not least <= getattr(self, name) <= most:
                got = getattr(self, name)
                yield ConfigError("tags.out-of-range", path=name, got=got, least=least, most=most)


@dataclass
class _Tag:
    """What is known of one pseudonym; `state` is empty until it has entered."""

    entity: str
    day: str
    state: str = ""
    rssi: deque[float] = field(default_factory=lambda: deque(maxlen=_MEDIAN_OF))
    smooth_dbm: float | None = None
    recent: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=64))  # (mono_ms, frames)
    heard_ms: int = 0  # last frame that counts as being here
    frame_ms: int | None = None  # last frame of any strength; None after deafness
    last_ms: int = 0  # the same, also after deafness
    interval_ms: float = 0.0
    battery: float | None = None
    said_battery: float | None = None
    said_ms: int = 0
    first_ms: int = 0  # of the stay
    frames: int = 0
    strongest_dbm: float = _WEAKEST_DBM


class Presence:
    """The rule for one tag source."""

    Config = PresenceConfig
    always = True

    def __init__(self, config: PresenceConfig, source: str) -> None:
        self._config, self._source = config, source
        self._exit_dbm = config.enter_dbm - config.exit_margin_db
        self._tags: dict[str, _Tag] = {}
        self._calls: dict[
            str, tuple[int, dict[str, str]]
        ] = {}  # active SOS by entity: mono_ms of the last press, facts
        self._listening: bool | None = None
        self._day = ""
        self._new_day_until_ms = -1
        self._people_before = 0
        self._said_people: tuple[object, ...] | None = None
        self._said_people_ms = 0

    def feed(self, reading: Reading) -> Iterable[Reading]:
        """Sightings and `listening` are consumed, everything else passes."""
        if reading.kind is Kind.TAG and "sos_told_s" in reading.quantities:
            self._recall(reading)
            return ()
        if reading.kind is Kind.TAG and "rssi" in reading.quantities:
            return [*self._sighting(reading), *self._people(reading.at)]
        if reading.kind is Kind.CROWD and "listening" in reading.quantities:
            return [*self._hearing(reading), *self._people(reading.at)]
        return (reading,)

    def tick(self, now: Moment) -> Iterable[Reading]:
        """Who left, what is due again."""
        out: list[Reading] = []
        for tag in list(self._tags.values()):
            out += self._overdue(tag, now)
        for entity, (called_ms, facts) in list(self._calls.items()):
            if now.mono_ms - called_ms > self._config.sos_hold_s * 1000:
                del self._calls[entity]
                out.append(self._alert(entity, now, facts, active=False))
        out += self._people(now)
        return out

    def _sighting(self, reading: Reading) -> Iterator[Reading]:
        day = reading.facts.get("day", "")
        if day != self._day:
            yield from self._new_day(day, reading.at)
        quantities = reading.quantities
        if "sos" in quantities and quantities["sos"].value is True:
            yield from self._call(reading)
        tag = self._tags.get(reading.entity)
        if tag is None:
            if len(self._tags) >= _MOST_TAGS:
                return
            tag = self._tags[reading.entity] = _Tag(reading.entity, day)
        if "battery" in quantities and quantities["battery"].usable:
            tag.battery = float(quantities["battery"].value or 0.0)
        frames = quantities["frames"].value if "frames" in quantities else 1
        rssi = quantities["rssi"]
        if rssi.usable:
            self._hear(tag, float(rssi.value or 0.0), int(frames or 1), reading.at.mono_ms)
        yield from self._judge(tag, reading.at)

    def _hear(self, tag: _Tag, rssi_dbm: float, frames: int, mono_ms: int) -> None:
        """Smooth the strength, learn the interval, count recent frames."""
        tag.rssi.append(rssi_dbm)
        median = sorted(tag.rssi)[(len(tag.rssi) - 1) // 2]  # `statistics` would cost a megabyte
        tag.smooth_dbm = median if tag.smooth_dbm is None else tag.smooth_dbm + _SMOOTHING * (median - tag.smooth_dbm)
        if tag.frame_ms is not None:
            gap_ms = (mono_ms - tag.frame_ms) / max(frames, 1)
            if 0 < gap_ms < self._config.leave_s * 1000:  # a longer one is an absence, not an interval
                tag.interval_ms += (gap_ms - tag.interval_ms) * (_SMOOTHING if tag.interval_ms else 1.0)
        tag.frame_ms = tag.last_ms = mono_ms
        tag.first_ms = tag.first_ms or mono_ms
        tag.frames += frames
        tag.strongest_dbm = max(tag.strongest_dbm, rssi_dbm)
        tag.recent.append((mono_ms, frames))
        oldest_ms = mono_ms - self._config.enter_within_s * 1000
        while tag.recent[0][0] < oldest_ms:
            tag.recent.popleft()
        if tag.smooth_dbm >= self._exit_dbm:
            tag.heard_ms = mono_ms

    def _judge(self, tag: _Tag, now: Moment) -> Iterator[Reading]:
        """Does this sighting change the tag's state?"""
        smooth_dbm = tag.smooth_dbm if tag.smooth_dbm is not None else _WEAKEST_DBM
        if tag.state == "present":
            changed = tag.battery is not None and (
                tag.said_battery is None or abs(tag.battery - tag.said_battery) >= self._config.battery_step - 1e-9
            )
            if changed:
                yield self._state(tag, now, ReadingClass.ROUTINE)
            return
        known = tag.state == "unknown" or now.mono_ms <= self._new_day_until_ms
        frames = sum(count for _, count in tag.recent)
        strong = smooth_dbm >= self._config.enter_dbm and frames >= self._config.enter_n
        if strong or (known and smooth_dbm >= self._exit_dbm):
            tag.state = "present"
            yield self._state(tag, now, ReadingClass.LIVE)

    def _overdue(self, tag: _Tag, now: Moment) -> Iterator[Reading]:
        """Left after silence; a heartbeat while here; forgotten when it never came in."""
        patience_ms = max(self._config.leave_s * 1000, min(_INTERVALS * tag.interval_ms, _LONGEST_LEAVE_MS))
        silent_ms = now.mono_ms - (tag.heard_ms or tag.frame_ms or now.mono_ms)
        if not tag.state:
            if silent_ms > self._config.leave_s * 1000:
                del self._tags[tag.entity]
        elif self._listening is False:
            if now.mono_ms - tag.said_ms >= self._config.heartbeat_s * 1000:
                yield self._state(tag, now, ReadingClass.ROUTINE)
        elif silent_ms > patience_ms:
            tag.state = "left"
            del self._tags[tag.entity]
            yield self._state(tag, now, ReadingClass.LIVE, ended=True)
        elif now.mono_ms - tag.said_ms >= self._config.heartbeat_s * 1000:
            yield self._state(tag, now, ReadingClass.ROUTINE)

    def _hearing(self, reading: Reading) -> Iterator[Reading]:
        """The gateway can hear, or cannot, from now on."""
        listening = reading.quantities["listening"].value is True
        if listening == self._listening:
            return
        self._listening = listening
        now = reading.at
        for tag in self._tags.values():
            if listening:
                tag.heard_ms = now.mono_ms  # the time of deafness is not the tag's silence
                tag.frame_ms = None  # nor is it its interval
            elif tag.state == "present":
                tag.state = "unknown"
                yield self._state(tag, now, ReadingClass.LIVE, reason="deaf")

    def _new_day(self, day: str, now: Moment) -> Iterator[Reading]:
        """Pseudonyms of another day will not be heard again; that is not leaving."""
        here = [tag for tag in self._tags.values() if tag.state]
        if here:
            self._people_before = sum(tag.state == "present" for tag in here)
            self._new_day_until_ms = now.mono_ms + int(self._config.leave_s * 1000)
        for tag in sorted(here, key=lambda tag: tag.entity):  # in no order that would tell who is who
            tag.state = "unknown"
            yield self._state(tag, now, ReadingClass.LIVE, reason="new-day", ended=True)
        self._tags.clear()
        self._day = day

    def _call(self, reading: Reading) -> Iterator[Reading]:
        """SOS: whatever the strength, the state and the window."""
        last, now_ms = self._calls.get(reading.entity), reading.at.mono_ms
        if last is not None and now_ms - last[0] < self._config.sos_repeat_s * 1000:
            return
        if last is None and len(self._calls) >= _MOST_TAGS:
            del self._calls[next(iter(self._calls))]
        facts = {name: reading.facts[name] for name in reading.facts if name in ("day", "alias")}
        self._calls[reading.entity] = (now_ms, facts)
        yield self._alert(reading.entity, reading.at, facts, active=True)

    def _recall(self, reading: Reading) -> None:
        """An alarm that was told before a restart ends when it would have ended without one."""
        ago = reading.quantities["sos_told_s"].value
        if reading.entity not in self._calls and isinstance(ago, int | float):
            self._calls[reading.entity] = (reading.at.mono_ms - round(ago * 1000), dict(reading.facts))

    def _people(self, now: Moment) -> Iterator[Reading]:
        """The number of tags present, when it changed or is due again."""
        if self._listening is None:
            return  # the source has not said yet whether it hears at all
        here = sum(tag.state == "present" for tag in self._tags.values())
        unsure = any(tag.state == "unknown" for tag in self._tags.values())
        if now.mono_ms <= self._new_day_until_ms and self._people_before > here:
            here, unsure = self._people_before, True
        quality = Quality.SUSPECT if unsure else Quality.GOOD
        people = Quantity(here, quality=quality) if self._listening else Quantity(None, quality=Quality.MISSING)
        changed = (people.value, people.quality) != self._said_people
        if not changed and now.mono_ms - self._said_people_ms < self._config.heartbeat_s * 1000:
            return
        self._said_people, self._said_people_ms = (people.value, people.quality), now.mono_ms
        quantities = {"people": people, "listening": Quantity(self._listening)}
        cls = ReadingClass.LIVE if changed else ReadingClass.ROUTINE
        facts = {} if self._listening else {"reason:people": "deaf"}
        yield self._made(Kind.CROWD, self._source, now, quantities, cls=cls, facts=facts)

    def _state(self, tag: _Tag, now: Moment, cls: ReadingClass, reason: str = "", *, ended: bool = False) -> Reading:
        tag.said_ms, tag.said_battery = now.mono_ms, tag.battery
        quantities = {"state": Quantity(tag.state), "last_ago": _seconds(now.mono_ms - (tag.last_ms or now.mono_ms))}
        if ended:
            quantities["first_ago"] = _seconds(now.mono_ms - (tag.first_ms or now.mono_ms))
            quantities["frames"] = Quantity(tag.frames)
            quantities["rssi"] = Quantity(tag.strongest_dbm, Unit.DECIBEL)
        if tag.battery is not None:
            quantities["battery"] = Quantity(tag.battery)
        facts = {"day": tag.day} | ({"reason": reason} if reason else {})
        return self._made(Kind.TAG, tag.entity, now, quantities, cls=cls, facts=facts)

    def _alert(self, entity: str, now: Moment, facts: dict[str, str], *, active: bool) -> Reading:
        quantities = {
            "active": Quantity(active),
            "sub_category": Quantity("sos"),
            "severity": Quantity("critical" if active else "informational"),
            "level_name": Quantity("sos"),
        }
        return self._made(Kind.ALERT, entity, now, quantities, cls=ReadingClass.ALARM, facts=facts)

    def _made(
        self,
        kind: Kind,
        entity: str,
        at: Moment,
        quantities: dict[str, Quantity],
        *,
        cls: ReadingClass,
        facts: dict[str, str],
    ) -> Reading:
        who = self._source
        return Reading(source=who, kind=kind, entity=entity, at=at, quantities=quantities, cls=cls, facts=facts)


def _seconds(ms: int) -> Quantity:
    return Quantity(round(ms / 1000, 1), Unit.SECOND)
