"""Listens for the watch tags of an allow-list and says who was heard, under day names.

What bleak and BlueZ do not do is done here: every call has a deadline, an adapter is chosen by
address, silence is suspected (a restarted bluetoothd leaves a scanner that hears nothing, without
an error), each suspicion gets a fresh scanner, and when listening is not certain the readings say
so (`listening` false), so that nobody is reported as gone by a gateway that is deaf.

Privacy: the allow-list is asked inside the callback, before anything else.  A device that is not
on it is forgotten there: no log line, no counter, no address.  A tag on it leaves this file as a
pseudonym of the day (`pseudonym`), never as its id or address.

Readings: the sightings of `tag_windows`, and Kind.CROWD, entity `<source id>`: `listening`.
May import besides the words: wire; bleak, dbus-fast.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator, Hashable, Iterable, Sequence
from dataclasses import dataclass

import msgspec
from bleak import BleakScanner
from bleak.args.bluez import BlueZScannerArgs
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData

from edgeagent.backoff import delay_s
from edgeagent.errors import ConfigError, SourceUnavailable
from edgeagent.ports import Emit, SourceConfig, Surroundings
from edgeagent.reading import Kind, Quantity, Reading, ReadingClass
from edgeagent.sources.bluez_watch import Adapter, BluezWatch, KnownDevice
from edgeagent.sources.pseudonym import DayNames, day_key, day_of
from edgeagent.sources.tag_trouble import FOREIGN, ours
from edgeagent.sources.tag_windows import TagWindows
from edgeagent.sources.tags_key import read_key
from edgeagent.wire.beacons import decode, normal_id

__all__ = ["BleTags", "BleTagsConfig", "Patience", "TagConfig"]

_log = logging.getLogger(__name__)
_NO_RSSI = -127  # bleak's "unknown": BlueZ clears RSSI when somebody stops a scan; nobody was heard then
_SILENT_SCANNERS = 3  # so many fresh scanners without one advertisement of anybody: call it deaf
_TRIES = 3
_LONGEST_SILENCE_S = 600.0
_ADDRESS = re.compile(r"(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}")


class TagConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A tag of the allow-list.

    Attributes:
        id: `ibeacon:<uuid>:<major>:<minor>` or `bthome:<address>`.
        alias: the city's own name for it; leaves the box with an SOS only.
    """

    id: str
    alias: str = ""


class BleTagsConfig(SourceConfig, frozen=True, kw_only=True):
    """`driver = "ble-tags"`.

    Attributes:
        adapter: address of the radio; empty takes the one there is.
        tags: the allow-list.
        key: name of the secret that pseudonyms are made with: a systemd credential, else a file in
            the state directory, made at the first start.
        every_s: at most one sighting per tag in so many seconds (an SOS leaves at once).
        silence_s: without any advertisement of anybody for so long, a fresh scanner is started;
            shorter than the presence rule's `leave_s`, or a deaf gateway reports people as gone.
    """

    tags: tuple[TagConfig, ...]
    adapter: str = ""
    key: str = "tags-key"
    every_s: float = 2.0
    silence_s: float = 45.0

    def problems(self) -> Iterable[ConfigError]:
        """Checks that types cannot express."""
        if self.adapter.lower().startswith("hci"):
            yield ConfigError("tags.adapter-by-number", path="adapter", got=self.adapter)
        elif self.adapter and not _ADDRESS.fullmatch(self.adapter):
            yield ConfigError("tags.bad-adapter", path="adapter", got=self.adapter)
        if not self.tags:
            yield ConfigError("tags.no-tags", path="tags")
        seen: set[str] = set()
        for index, tag in enumerate(self.tags):
            normal = normal_id(tag.id)
            if normal is None:
                yield ConfigError("tags.bad-tag", path=f"tags[{index}].id", got=tag.id)
            elif normal in seen:
                yield ConfigError("tags.same-tag", path=f"tags[{index}].id", got=tag.id)
            else:
                seen.add(normal)
        if not self.key or "/" in self.key or self.key.startswith("."):
            yield ConfigError("tags.bad-key-name", path="key", got=self.key)
        for name, value, least, most in (("every_s", self.every_s, 0.1, 60), ("silence_s", self.silence_s, 5, 3600)):
            if not least <= value <= most:
                yield ConfigError("tags.bad-interval", path=name, got=value, least=least, most=most)


@dataclass(frozen=True)
class Patience:
    """How long to wait for BlueZ, in seconds.

    Attributes:
        start_s: for everything up to a running scan.
        stop_s: for a scan to stop; short enough for a service that has 5 s to end.
        retry_s: first delay after BlueZ said "in progress" or "not ready".
        check_s: how often liveness is looked at.
    """

    start_s: float = 15.0
    stop_s: float = 3.0
    retry_s: float = 1.0
    check_s: float = 1.0


class BleTags:
    """One radio and the tags it may know."""

    Config = BleTagsConfig
    rules: tuple[str, ...] = ("presence",)

    def __init__(self, config: BleTagsConfig, around: Surroundings, *, patience: Patience | None = None) -> None:
        self._config, self._around, self._clock = config, around, around.clock
        self._patience = patience or Patience()
        aliases = {normal_id(tag.id) or tag.id: tag.alias for tag in config.tags}
        self._tags = TagWindows(config.id, aliases, every_s=config.every_s)
        self._wake = asyncio.Event()
        self._fault: Exception | None = None
        self._listening: bool | None = None
        self._silent_scanners = 0
        self._advert_s = 0.0

    @staticmethod
    def group(config: BleTagsConfig) -> Hashable:
        """Every section has a scanner of its own."""
        return config.id

    @classmethod
    def make(cls, configs: Sequence[BleTagsConfig], around: Surroundings) -> BleTags:
        """The listener of one section."""
        return cls(configs[0], around)

    async def run(self, emit: Emit) -> None:
        """Listen until cancelled."""
        # bleak writes every D-Bus signal, with the addresses of passers-by, to its debug log
        logging.getLogger("bleak").setLevel(logging.WARNING)
        key = read_key(self._config.key, self._around.state_dir)
        try:
            while True:
                async with self._scanner(emit) as watch:
                    await self._listen(emit, watch, key)
        except SourceUnavailable:
            await self._say(emit, listening=False)
            raise

    async def _listen(self, emit: Emit, watch: BluezWatch, key: bytes) -> None:
        """Pass sightings on until a fresh scanner is due."""
        silence_s = min(self._config.silence_s * 2**self._silent_scanners, _LONGEST_SILENCE_S)
        started_s = self._advert_s = self._clock.mono()  # each scanner starts with a clean record
        if self._silent_scanners < _SILENT_SCANNERS:
            await self._say(emit, listening=True)
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._patience.check_s)
            self._wake.clear()
            if self._fault is not None:
                fault, self._fault = self._fault, None
                raise fault
            if watch.lost:
                raise SourceUnavailable("tags.lost", source=self._config.id)
            if self._advert_s > started_s:
                self._silent_scanners = 0
                await self._say(emit, listening=True)
            due = self._tags.due(self._clock.mono(), lambda: self._names_of_today(key))
            if due:
                await emit(*due)
            if self._clock.mono() - self._advert_s > silence_s:
                self._silent_scanners += 1
                trouble = SourceUnavailable("tags.silent", source=self._config.id, seconds=round(silence_s))
                emit.problem(self._config.id, trouble)
                # A scanner that fell silent may be deaf.  One that never heard anybody is either
                # at a quiet place or deaf too; that is told only after a few of them.
                if self._advert_s > started_s or self._silent_scanners >= _SILENT_SCANNERS:
                    await self._say(emit, listening=False)
                return

    @contextlib.asynccontextmanager
    async def _scanner(self, emit: Emit) -> AsyncIterator[BluezWatch]:
        """A fresh scanner on the configured adapter, and the watch over its daemon."""
        watch = BluezWatch()
        scanner: BleakScanner | None = None
        doing = "GetManagedObjects"
        try:
            try:
                async with asyncio.timeout(self._patience.start_s):
                    await watch.open()
                    adapters, known = await watch.look()
                    adapter = self._choose(adapters)
                    self._remember(known)
                    scanner = BleakScanner(self._on_advertisement, bluez=_arguments(adapter))
                    doing = "StartDiscovery"
                    await self._start(scanner, adapter, watch, emit)
                    await watch.watch(adapter)
            except FOREIGN as error:
                raise ours(error, self._config.id, doing, self._patience.start_s) from error
            yield watch
        finally:
            if scanner is not None:
                # whatever a dying daemon answers here, the next scanner is a new one
                with contextlib.suppress(*FOREIGN):
                    await asyncio.wait_for(scanner.stop(), self._patience.stop_s)
            watch.close()

    async def _start(self, scanner: BleakScanner, adapter: Adapter, watch: BluezWatch, emit: Emit) -> None:
        """Start, with patience for a BlueZ that is still busy stopping or waking up.

        A discovery that is "in progress" for good is stuck in the kernel; power frees it.
        """
        failures = 0
        while True:
            try:
                return await scanner.start()
            except FOREIGN as error:
                trouble = ours(error, self._config.id, "StartDiscovery", self._patience.start_s)
                failures += 1
                if trouble.code not in ("tags.busy", "tags.not-ready") or failures > _TRIES:
                    raise trouble from error
                emit.problem(self._config.id, trouble)
            if failures == _TRIES:
                _log.warning("%s: %s stays busy, switching it off and on", self._config.id, adapter.address)
                with contextlib.suppress(*FOREIGN):  # not permitted: the next try fails and says why
                    await watch.power_cycle(adapter)
            await asyncio.sleep(delay_s(failures, first_s=self._patience.retry_s))

    def _choose(self, adapters: Sequence[Adapter]) -> Adapter:
        wanted = self._config.adapter.upper()
        found = [adapter for adapter in adapters if wanted in ("", adapter.address)]
        if not found:
            code = "tags.adapter-missing" if wanted else "tags.no-adapter"
            present = ", ".join(adapter.address for adapter in adapters) or "-"
            raise SourceUnavailable(code, source=self._config.id, adapter=wanted, present=present)
        powered = [adapter for adapter in found if adapter.powered]
        if not powered:
            raise SourceUnavailable("tags.powered-off", source=self._config.id, adapter=found[0].address)
        if len(powered) > 1:  # by address it is at least the same one after every start
            _log.warning("%s: %d adapters and none configured, using %s", self._config.id, len(powered), powered[0])
        return powered[0]

    def _remember(self, devices: Iterable[KnownDevice]) -> None:
        """What BlueZ already knew is no news: a press in its memory was reported before a restart."""
        for device in devices:
            sighting = decode(device.manufacturer_data, device.service_data, address=device.address)
            if sighting is not None:
                self._tags.remember(sighting, self._clock.mono())

    def _names_of_today(self, key: bytes) -> DayNames:
        day = day_of(self._clock.now().wall_ms)
        return DayNames(day, day_key(key, day, self._around.site.gateway))

    def _on_advertisement(self, device: BLEDevice, heard: AdvertisementData) -> None:
        """Called by bleak for every device around."""
        try:
            if heard.rssi == _NO_RSSI:
                return
            mono_s = self._advert_s = self._clock.mono()
            sighting = decode(heard.manufacturer_data, heard.service_data, address=device.address)
            if sighting is not None and self._tags.note(sighting, heard.rssi, mono_s, self._clock.now):
                self._wake.set()
        # An exception here would silence every other scanner of the process, and bleak would only
        # log it.  It is raised in `_listen` instead, and the source is restarted.
        except Exception as error:  # noqa: BLE001
            self._fault = error
            self._wake.set()

    async def _say(self, emit: Emit, *, listening: bool) -> None:
        """Report whether this gateway can hear, when that changed."""
        if listening == self._listening:
            return
        self._listening = listening
        source = self._config.id
        heard = {"listening": Quantity(listening)}
        at = self._clock.now()
        await emit(
            Reading(source=source, kind=Kind.CROWD, entity=source, at=at, quantities=heard, cls=ReadingClass.LIVE)
        )


def _arguments(adapter: Adapter) -> BlueZScannerArgs:
    # DuplicateData: without it BlueZ is silent about a tag that stands still and repeats itself
    return {"adapter": adapter.name, "filters": {"DuplicateData": True, "Transport": "le"}}
