"""One Bluetooth radio that goes on listening, whatever happens to BlueZ.

What bleak and BlueZ do not do is done here: every call has a deadline, an adapter is chosen by
address, silence is suspected (a restarted bluetoothd leaves a scanner that hears nothing, without
an error), and each suspicion is answered one rung higher (`tag_ladder`).  When it is not certain that
the radio hears, it says so, so that nobody is reported as gone by a gateway that is deaf.
May import besides the words: bleak, dbus-fast through `bluez_watch`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Literal

from bleak import BleakScanner
from bleak.args.bluez import BlueZScannerArgs, OrPattern
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData

from edgeagent.backoff import delay_s
from edgeagent.clock import Clock
from edgeagent.errors import EdgeAgentError, SourceUnavailable
from edgeagent.sources.bleak_bus import connection
from edgeagent.sources.bluez_watch import Adapter, BluezWatch, KnownDevice
from edgeagent.sources.tag_ladder import Ladder, Rung
from edgeagent.sources.tag_trouble import FOREIGN, ours
from edgeagent.sources.usb_reset import reset_usb

__all__ = ["Ears", "Patience", "Radio", "Wanted"]

_log = logging.getLogger(__name__)
_NO_RSSI = -127  # bleak's "unknown": BlueZ clears RSSI when somebody stops a scan; nobody was heard then


@dataclass(frozen=True)
class Patience:
    """How long to wait for BlueZ, in seconds.

    Attributes:
        start_s: for everything up to a running scan.
        stop_s: for a scan to stop; short enough for a service that has 5 s to end.
        retry_s: before the second try after a failure; doubles up to `longest_s`.
        longest_s: between two tries, however long BlueZ is away.
        check_s: how often liveness is looked at.
        climb_s: of trouble before the adapter is switched off and on; see `Ladder`.
    """

    start_s: float = 10.0
    stop_s: float = 3.0
    retry_s: float = 0.5
    longest_s: float = 5.0
    check_s: float = 1.0
    climb_s: float = 1.5


@dataclass(frozen=True)
class Wanted:
    """Which radio, and how it is to listen.

    Attributes:
        address: of the adapter, in capitals; "" takes the one there is.
        mode: `passive` asks BlueZ to report matching frames and sends nothing; falls back to `active`.
        patterns: what matches, for `passive`.
        silence_s: allowed at every site.
        canary: a tag of our own should be heard.
    """

    address: str
    mode: Literal["active", "passive"] = "active"
    patterns: Sequence[OrPattern] = ()
    silence_s: float = 45.0
    canary: bool = False


class Ears:
    """What a radio reports to; a source overrides it."""

    def heard(self, radio: int, address: str, advertisement: AdvertisementData, now_s: float) -> None:
        """An advertisement of anybody; runs inside bleak's callback."""

    def known(self, devices: Sequence[KnownDevice]) -> None:
        """What BlueZ remembers from before the scan."""

    def problem(self, error: EdgeAgentError) -> None:
        """Something failed and is being dealt with."""

    def bug(self, error: Exception) -> None:
        """An exception inside `heard`; it did not reach bleak."""

    async def listening(self, radio: int, *, hears: bool) -> None:
        """Whether this radio can be believed to hear; told often, also unchanged."""


class Radio:
    """A scanner that is replaced until cancelled.

    Args:
        number: of the radio within its source, from 0.
        source: id of the source, for messages.
        wanted: which radio.
        ears: who is told.
        clock: for intervals.
        patience: deadlines.
    """

    def __init__(
        self, number: int, source: str, wanted: Wanted, ears: Ears, *, clock: Clock, patience: Patience | None = None
    ) -> None:
        self._number, self._source, self._wanted, self._ears, self._clock = number, source, wanted, ears, clock
        self._patience = patience or Patience()
        self.ladder = Ladder(floor_s=wanted.silence_s, canary=wanted.canary, pace_s=self._patience.climb_s)
        self._mode = wanted.mode
        self._adapter: Adapter | None = None
        self._left_over = False  # BlueZ may still hold a discovery of ours

    async def run(self) -> None:
        """Listen until cancelled; whatever fails is reported and healed."""
        rung: Rung | None = None
        while True:
            try:
                async with self._scanner(rung) as watch:
                    rung = await self._listen(watch)
            except SourceUnavailable as trouble:
                self._ears.problem(trouble)
                await self._ears.listening(self._number, hears=False)
                self._left_over = self._left_over or (trouble.code == "tags.busy" and self.ladder.climbed > 0)
                rung = self.ladder.failed(self._clock.mono(), hung=trouble.code == "tags.hung")
                if trouble.code == "tags.no-passive":
                    self._mode = "active"
                await asyncio.sleep(
                    delay_s(self.ladder.climbed, first_s=self._patience.retry_s, most_s=self._patience.longest_s)
                )

    async def _listen(self, watch: BluezWatch) -> Rung:
        """Until the scanner has to be replaced because nobody is heard."""
        ladder, number = self.ladder, self._number
        ladder.started(self._clock.mono())
        bus = connection.count
        if ladder.trusted:
            await self._ears.listening(number, hears=True)
        while True:
            await asyncio.sleep(self._patience.check_s)
            if watch.lost or connection.count != bus:
                raise SourceUnavailable("tags.lost", source=self._source)
            if ladder.hears:
                await self._ears.listening(number, hears=True)
            now_s = self._clock.mono()
            if ladder.silent(now_s):
                seconds = round(ladder.bound_s)
                rung = ladder.fell_silent(now_s)
                self._ears.problem(SourceUnavailable("tags.silent", source=self._source, seconds=seconds))
                if ladder.deaf:
                    await self._ears.listening(number, hears=False)
                if self._mode == "passive" and not ladder.hears:  # registration can fail without an error
                    self._mode = "active"
                    self._ears.problem(SourceUnavailable("tags.passive-deaf", source=self._source))
                return rung

    @contextlib.asynccontextmanager
    async def _scanner(self, rung: Rung | None) -> AsyncIterator[BluezWatch]:
        """A fresh scanner on the wanted adapter, and the watch over its daemon."""
        watch = BluezWatch()
        scanner: BleakScanner | None = None
        doing = "GetManagedObjects"
        try:
            try:
                async with asyncio.timeout(self._patience.start_s):
                    if self._left_over:
                        self._left_over = False
                        await connection.drop()
                    await watch.open()
                    if rung is not None and rung is not Rung.SCANNER:
                        await self._heal(rung, watch)
                    adapters, known = await watch.look()
                    adapter = self._adapter = await self._choose(adapters, watch)
                    self._ears.known(known)
                    scanner = self._make(adapter)
                    doing = "RegisterMonitor" if self._mode == "passive" else "StartDiscovery"
                    await watch.watch(adapter)
                    await scanner.start()
            except FOREIGN as error:
                trouble = ours(error, self._source, doing, self._patience.start_s)
                if self._mode == "passive" and trouble.code == "tags.scan-failed":
                    why = trouble.facts.get("why", "")
                    raise SourceUnavailable("tags.no-passive", source=self._source, why=why) from error
                raise trouble from error
            yield watch
        finally:
            if scanner is not None:
                try:
                    async with asyncio.timeout(self._patience.stop_s):
                        await scanner.stop()
                except FOREIGN:  # the next scanner is a new one, on a new connection if the daemon still lives
                    self._left_over = not watch.lost
            watch.close()

    async def _heal(self, rung: Rung, watch: BluezWatch) -> None:
        """One rung of the ladder; what cannot be done is said, and the next scanner tries anyway."""
        _log.warning("%s: radio %d: %s", self._source, self._number, rung.name.lower())
        adapter = self._adapter
        try:
            async with asyncio.timeout(self._patience.start_s / 2):
                if rung is Rung.BLUETOOTHD:
                    await watch.restart_bluetoothd()
                elif adapter is not None and rung is Rung.POWER:
                    await watch.power_cycle(adapter)
                elif adapter is not None:
                    await asyncio.to_thread(reset_usb, adapter.name, self._source)
        except SourceUnavailable as error:  # of the USB device
            self._ears.problem(error)
            await self._heal(self.ladder.skip(), watch)
        except FOREIGN as error:
            told = ours(error, self._source, rung.name.lower(), self._patience.start_s / 2)
            why = str(told.facts.get("why", told))
            self._ears.problem(
                SourceUnavailable("tags.not-healed", source=self._source, rung=rung.name.lower(), why=why)
            )

    async def _choose(self, adapters: Sequence[Adapter], watch: BluezWatch) -> Adapter:
        wanted = self._wanted.address
        found = [adapter for adapter in adapters if wanted in ("", adapter.address)]
        if not found:
            code = "tags.adapter-missing" if wanted else "tags.no-adapter"
            present = ", ".join(adapter.address for adapter in adapters) or "-"
            raise SourceUnavailable(code, source=self._source, adapter=wanted, present=present)
        powered = [adapter for adapter in found if adapter.powered]
        if not powered:
            with contextlib.suppress(*FOREIGN):  # blocked by rfkill, or not permitted: it stays off, and is said
                await watch.power(found[0], on=True)
            raise SourceUnavailable("tags.powered-off", source=self._source, adapter=found[0].address)
        if len(powered) > 1:  # by address it is at least the same one after every start
            _log.warning("%s: %d adapters and none configured, using %s", self._source, len(powered), powered[0])
        return powered[0]

    def _make(self, adapter: Adapter) -> BleakScanner:
        # DuplicateData: without it BlueZ is silent about a tag that stands still and repeats itself
        arguments: BlueZScannerArgs = {"adapter": adapter.name, "filters": {"DuplicateData": True, "Transport": "le"}}
        if self._mode == "passive":
            arguments = {"adapter": adapter.name, "or_patterns": list(self._wanted.patterns)}
        return BleakScanner(self._on_advertisement, scanning_mode=self._mode, bluez=arguments)

    def _on_advertisement(self, device: BLEDevice, advertisement: AdvertisementData) -> None:
        """Called by bleak for every device around."""
        try:
            if advertisement.rssi == _NO_RSSI:
                return
            now_s = self._clock.mono()
            self.ladder.heard(now_s)
            self._ears.heard(self._number, device.address, advertisement, now_s)
        # An exception here would silence every other scanner of the process, and bleak would only log it.
        except Exception as error:  # noqa: BLE001
            self._ears.bug(error)
