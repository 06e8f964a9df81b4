"""Listens for the watch tags of an allow-list and says who was heard, under day names.

One source may have several radios: what they hear is merged by tag (`tag_windows`), and the source
listens as long as one of them does.  Each radio heals itself (`tag_radio`).

Privacy: the allow-list is asked inside the callback, before anything else.  A device that is not
on it is forgotten there: no log line, no counter, no address.  A tag on it leaves this file as a
pseudonym of the day (`pseudonym`), never as its id or address.

Readings: the sightings of `tag_windows`; Kind.CROWD, entity `<source id>`: `listening`; and once at the start
Kind.TAG with `sos_told_s`, for alarms that were told before it and may still stand.
May import besides the words: wire; bleak.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Hashable, Iterator, Mapping, Sequence

from bleak.backends.scanner import AdvertisementData

from edgeagent.errors import EdgeAgentError, FrameError, SourceUnavailable
from edgeagent.ports import Emit, Surroundings
from edgeagent.reading import Kind, Quantity, Reading, ReadingClass, Unit
from edgeagent.sources.allow_list import AllowList
from edgeagent.sources.bluez_watch import KnownDevice
from edgeagent.sources.enrolled_tags import read_enrolled
from edgeagent.sources.pseudonym import Names, list_key
from edgeagent.sources.tag_patterns import or_patterns
from edgeagent.sources.tag_radio import Ears, Patience, Radio, Wanted
from edgeagent.sources.tag_windows import TagWindows
from edgeagent.sources.tags_config import BleTagsConfig, TagConfig, listed, profiles_of
from edgeagent.sources.tags_key import read_key, read_tag_keys
from edgeagent.sources.told_presses import Told, ToldPresses
from edgeagent.wire.beacons import Malformed, Sighting, decode
from edgeagent.wire.tag_profiles import decoder

__all__ = ["BleTags", "BleTagsConfig", "Patience", "TagConfig"]

_COUNTERS_S = 600.0
_STANDS_MS = 90_000_000  # 25 h: an alarm told longer ago is over, whatever `sos_hold_s` says
_CANARY_SILENT_S = 120.0


class BleTags(Ears):
    """The radios of one section and the tags they may know."""

    Config = BleTagsConfig
    rules: tuple[str, ...] = ("presence",)

    def __init__(self, config: BleTagsConfig, around: Surroundings, *, patience: Patience | None = None) -> None:
        self._config, self._around, self._clock = config, around, around.clock
        self._patience = patience or Patience()
        self._wake, self._unsafe = asyncio.Event(), asyncio.Event()
        self._fault: Exception | None = None
        self._hears: dict[int, bool] = {}
        self._said: bool | None = None
        self._emit: Emit | None = None
        self._profiles = profiles_of(config)
        self._decoders = tuple(decoder(profile.layout) for profile in self._profiles)
        self._malformed: dict[str, int] = {}
        self._windows: TagWindows | None = None
        self._canary_said = False

    @staticmethod
    def group(config: BleTagsConfig) -> Hashable:
        """Every section has radios of its own."""
        return config.id

    @classmethod
    def make(cls, configs: Sequence[BleTagsConfig], around: Surroundings) -> BleTags:
        """The listener of one section."""
        return cls(configs[0], around)

    async def run(self, emit: Emit) -> None:
        """Listen until cancelled."""
        # bleak writes every D-Bus signal, with the addresses of passers-by, to its debug log
        logging.getLogger("bleak").setLevel(logging.WARNING)
        config, state_dir, self._emit = self._config, self._around.state_dir, emit
        key = read_key(config.key, state_dir)
        enrolled = read_enrolled(state_dir) if config.enrolled else {}
        lines = listed(config, key, enrolled, read_tag_keys(config.tag_keys, state_dir))
        told = ToldPresses(state_dir, config.id)
        before = await asyncio.to_thread(told.read)
        names = Names(key, self._around.site.gateway)
        windows = TagWindows(config.id, AllowList(list_key(key), lines), every_s=config.every_s, told=before)
        self._windows, self._fault = windows, None
        await emit(*self._still_standing(before))
        radios = self._radios()
        self._hears = dict.fromkeys(range(len(radios)), False)
        tasks = [asyncio.create_task(radio.run(), name=f"{config.id} radio") for radio in radios]
        tasks.append(asyncio.create_task(self._keep(told, windows), name=f"{config.id} told"))
        try:
            await self._pass_on(emit, windows, names, tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._windows = None

    def _radios(self) -> list[Radio]:
        config, patterns = self._config, or_patterns(self._profiles)
        return [
            Radio(
                number,
                config.id,
                Wanted(address, config.mode, patterns, config.silence_s, canary=bool(config.canary)),
                self,
                clock=self._clock,
                patience=self._patience,
            )
            for number, address in enumerate(config.adapters)
        ]

    async def _pass_on(
        self, emit: Emit, windows: TagWindows, names: Names, tasks: Sequence[asyncio.Task[None]]
    ) -> None:
        """What was heard leaves, until something of ours breaks."""
        began_s = self._clock.mono()
        while True:
            with contextlib.suppress(TimeoutError):
                # not wait_for: before Python 3.12 it can swallow a cancellation that comes with the event
                async with asyncio.timeout(self._patience.check_s):
                    await self._wake.wait()
            self._wake.clear()
            for task in tasks:
                if task.done():
                    task.result()
            if self._fault is not None:
                fault, self._fault = self._fault, None
                for radio in self._hears:
                    await self.listening(radio, hears=False)
                raise fault
            due = windows.due(self._clock.mono(), self._clock.now(), names)
            if due:
                await emit(*due)
            if any(reading.cls is ReadingClass.ALARM for reading in due):
                self._unsafe.set()
            self._tell_refused(windows)
            self._tell_canary(windows, began_s)

    def _still_standing(self, told: Mapping[str, Told]) -> Iterator[Reading]:
        """Alarms from before this start, so that the presence rule can end them in time."""
        now = self._clock.now()
        for one in told.values():
            ago_ms = max(now.wall_ms - one.wall_ms, 0)
            if one.entity and ago_ms < _STANDS_MS:
                quantities = {"sos_told_s": Quantity(ago_ms / 1000, Unit.SECOND)}
                source = self._config.id
                yield Reading(
                    source=source, kind=Kind.TAG, entity=one.entity, at=now, quantities=quantities, facts=one.facts
                )

    async def _keep(self, told: ToldPresses, windows: TagWindows) -> None:
        """Presses are noted once their alarm is durable; counters of encrypted tags now and then."""
        assert self._emit is not None
        pending: dict[str, Told] = {}
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_COUNTERS_S):
                        await self._unsafe.wait()
                self._unsafe.clear()
                pending |= windows.news()
                await self._emit.kept()
                await self._note(told, {**windows.counters(), **pending})
                pending.clear()
        finally:
            # a press whose alarm may not be durable is told again by the next start, rather than never
            counters = {} if pending or windows.news() else windows.counters()
            if counters:
                with contextlib.suppress(OSError):
                    told.write(counters)

    async def _note(self, told: ToldPresses, news: Mapping[str, Told]) -> None:
        if not news:
            return
        try:
            await asyncio.to_thread(told.write, news)
        except OSError as error:
            why = error.strerror or str(error)
            self.problem(SourceUnavailable("tags.told-unwritable", source=self._config.id, why=why))

    def _tell_refused(self, windows: TagWindows) -> None:
        """Frames that were dropped, counted by kind: never by sender."""
        for format_, frames in self._malformed.items():
            self.problem(FrameError("tags.malformed", source=self._config.id, format=format_, frames=frames))
        self._malformed.clear()
        for code, frames in windows.refused.items():
            self.problem(FrameError(code, source=self._config.id, frames=frames))
        windows.refused.clear()

    def _tell_canary(self, windows: TagWindows, began_s: float) -> None:
        """Others are heard and the canary is not: its battery is empty, the radio is fine."""
        if not self._config.canary or not self._said:
            return
        silent_s = self._clock.mono() - (windows.canary_s if windows.canary_s is not None else began_s)
        if silent_s > _CANARY_SILENT_S and not self._canary_said:
            self.problem(SourceUnavailable("tags.canary-silent", source=self._config.id, seconds=round(silent_s)))
        self._canary_said = silent_s > _CANARY_SILENT_S

    # Ears: what the radios report

    def heard(self, radio: int, address: str, advertisement: AdvertisementData, now_s: float) -> None:
        """An advertisement of anybody; strangers are forgotten when this returns."""
        windows, manufacturer, service = self._windows, advertisement.manufacturer_data, advertisement.service_data
        if windows is None:
            return
        sighting = windows.repeats(address, manufacturer, service)
        if sighting is None:
            found = decode(manufacturer, service, address=address, profiles=self._decoders)
            if isinstance(found, Malformed):
                self._malformed[found.format] = self._malformed.get(found.format, 0) + 1
            if not isinstance(found, Sighting):
                return
            sighting = found
        pressed = windows.note(sighting, advertisement.rssi, now_s, self._clock.now, address=address, radio=radio)
        windows.learn(address, manufacturer, service, sighting)
        if pressed:
            self._wake.set()

    def known(self, devices: Sequence[KnownDevice]) -> None:
        """What BlueZ already knew is no news where it was told before."""
        for device in devices:
            found = decode(
                device.manufacturer_data, device.service_data, address=device.address, profiles=self._decoders
            )
            if isinstance(found, Sighting) and self._windows is not None:
                self._windows.remember(found, self._clock.mono(), address=device.address)

    def problem(self, error: EdgeAgentError) -> None:
        """Counted by the supervisor; the first of a kind is a line in the log."""
        if self._emit is not None:
            self._emit.problem(self._config.id, error)

    def bug(self, error: Exception) -> None:
        """Raised in `run` instead, where the supervisor restarts the source."""
        self._fault = error
        self._wake.set()

    async def listening(self, radio: int, *, hears: bool) -> None:
        """The source listens while one of its radios does; said when that changed."""
        self._hears[radio] = hears
        listening = any(self._hears.values())
        if listening == self._said or self._emit is None:
            return
        self._said = listening
        source = self._config.id
        heard, at = {"listening": Quantity(listening)}, self._clock.now()
        await self._emit(
            Reading(source=source, kind=Kind.CROWD, entity=source, at=at, quantities=heard, cls=ReadingClass.LIVE)
        )
