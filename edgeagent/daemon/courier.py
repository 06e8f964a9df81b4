"""Lease -> deliver -> settle for one uplink, at its own pace; one dead city never delays another."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Callable

import msgspec

from edgeagent import messages
from edgeagent.backoff import spread_s
from edgeagent.clock import Clock
from edgeagent.daemon.budget import Thrift, thrift, used
from edgeagent.daemon.health import UplinkHealth, named
from edgeagent.daemon.pace import Pace
from edgeagent.daemon.refusal import Refusal
from edgeagent.errors import EdgeAgentError, OutboxUnavailable, UplinkRefused, UplinkUnavailable
from edgeagent.ports import Batch, Delivery, Outbox, Uplink, UplinkConfig

__all__ = ["Courier"]

log = logging.getLogger("edgeagent")

AWAY_MOST_S = 4.0  # the first value after an outage must be there within 5 s
REFUSED_MOST_S = 120.0  # a city that says no to us is not asked every few seconds
LAST_WORDS_S = 1.2  # a delivery in flight may finish at shutdown, so that it is not sent twice
LOOK_AGAIN_S = 60.0  # what a month's data volume allows changes with time
NOTHING = Delivery(accepted=frozenset())
THRIFT = {
    Thrift.NO_BACKLOG: "uplinks.budget-no-backlog",
    Thrift.SPARSELY: "uplinks.budget-sparsely",
    Thrift.BARELY: "uplinks.budget-used-up",
}


class Courier:
    """Runs one uplink for ever."""

    def __init__(
        self,
        make: Callable[[], Uplink],
        section: UplinkConfig,
        *,
        outbox: Outbox,
        health: UplinkHealth,
        clock: Clock,
        luck: Callable[[], float],
        lang: str = "en",
        refusal: Refusal | None = None,
    ) -> None:
        self._refusal = refusal
        self._make, self._section, self._outbox, self._health = make, section, outbox, health
        self._clock, self._luck, self._lang = clock, luck, lang
        self._pace = Pace(section.backfill_bytes_per_s)
        self._backfill_failures = 0
        self._backfill_from_s = 0.0
        self._live_at_s = -math.inf
        self._thrift = Thrift.FREELY

    async def run(self) -> None:
        """Until cancelled.

        Raises:
            EdgeAgentError: the uplink cannot be made (its certificate is missing, say).
        """
        uplink = self._make()
        try:
            while True:
                await self._next(uplink)
        finally:
            await uplink.close()

    async def _next(self, uplink: Uplink) -> None:
        batch = await self._lease()
        batch = await self._pass_over(batch)
        if not batch.rows:
            return
        work = asyncio.create_task(self._deliver(uplink, batch), name=f"deliver {self._health.id}")
        try:
            pause_s = await asyncio.shield(work)
        except asyncio.CancelledError:
            await asyncio.wait([work], timeout=LAST_WORDS_S)
            work.cancel()
            raise
        if pause_s > 0:
            await asyncio.sleep(pause_s)

    async def _lease(self) -> Batch:
        """What goes next; the backlog, and newest values, only when their turn has come."""
        while True:
            await self._be_thrifty()
            now_s = self._clock.mono()
            live_s = max(self._live_at_s + self._thrift.pause_s - now_s, 0.0)
            backfill_s = max(self._pace.wait_s(now_s), self._backfill_from_s - now_s, live_s)
            if self._thrift:
                backfill_s = LOOK_AGAIN_S
            if backfill_s <= 0.0:
                return await self._outbox.lease(self._health.id, self._pace.rows, together=True)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(live_s or backfill_s, LOOK_AGAIN_S)):
                    return await self._outbox.lease(
                        self._health.id, self._pace.rows, backfill=False, live=live_s <= 0.0
                    )

    async def _be_thrifty(self) -> None:
        """Ask how much of the month's data volume is left."""
        cap = self._section.monthly_bytes
        if not cap:
            return
        stats = (await self._outbox.stats()).uplinks.get(self._health.id)
        now = self._clock.now()
        before, self._thrift = self._thrift, thrift(cap, used(stats, now) if stats else 0, now)
        if self._thrift > before:
            log.warning("%s: %s", self._health.id, messages.text(THRIFT[self._thrift], {"most": cap}, self._lang))

    async def _pass_over(self, batch: Batch) -> Batch:
        """Settle what the config keeps from this receiver; the outbox counts it as acknowledged."""
        foreign = [row for row in batch.rows if not self._section.wants(row.reading)]
        if not foreign:
            return batch
        self._health.filtered += len(foreign)
        ids = frozenset(row.id for row in foreign)
        await self._settle(msgspec.structs.replace(batch, rows=tuple(foreign)), Delivery(ids))
        return msgspec.structs.replace(batch, rows=tuple(row for row in batch.rows if row.id not in ids))

    async def _deliver(self, uplink: Uplink, batch: Batch) -> float:
        """Deliver and settle one batch; returns the pause before the next, in seconds."""
        began_s = self._clock.mono()
        self._health.busy_since_mono_ms = round(began_s * 1000)
        try:
            delivery = await uplink.deliver(batch.rows, behind=not batch.whole)
        except UplinkUnavailable as error:
            self._charge(batch, error.bytes_sent)
            await self._settle(batch, Delivery(frozenset(), bytes_sent=error.bytes_sent))
            await self._tell_refusal(batch, error)
            return self._later(error, batch)
        except Exception:
            await self._settle(batch, NOTHING)  # a bug must not keep the rows on lease
            raise
        finally:
            self._health.busy_since_mono_ms = None
        self._charge(batch, delivery.bytes_sent)
        if batch.lane == "live":
            self._live_at_s = self._clock.mono()
        self._pace.took(len(batch.rows), self._clock.mono() - began_s)
        await self._settle(batch, delivery)
        for row, reason in delivery.rejected.items():
            log.warning("%s: reading %d went to the dead letters: %s", self._health.id, row, reason)
        settled = len(delivery.accepted) + len(delivery.rejected)
        if settled:
            if self._health.state == "down":
                level = logging.DEBUG if self._backfill_failures else logging.INFO
                log.log(level, "%s: delivering again", self._health.id)
            now = self._clock.now()
            self._health.delivered(now, len(delivery.accepted))
            self._health.disclosed.note((r.reading for r in batch.rows if r.id in delivery.accepted), now.mono_ms)
            await self._tell_refusal(batch, None)
        if settled and delivery.error is None:
            if batch.lane == "backfill":
                self._backfill_failures = 0
            return delivery.retry_after_s or 0.0  # all of it, or as much as was good to do at once
        why = delivery.error or UplinkUnavailable("daemon.kept", uplink=self._health.id, kept=len(batch.rows))
        why.retry_after_s = why.retry_after_s or delivery.retry_after_s
        return self._later(why, batch, answers=bool(settled))

    async def _tell_refusal(self, batch: Batch, error: UplinkUnavailable | None) -> None:
        """Let the other receivers know that this one says no, or takes readings again."""
        if self._refusal is None or batch.lane == "backfill":
            return
        if error is None or isinstance(error, UplinkRefused):
            await self._refusal.tell(refused=error is not None)

    def _later(self, error: UplinkUnavailable, batch: Batch, *, answers: bool = False) -> float:
        """Count a failure; returns how long to wait, in seconds.

        What a receiver asks for comes first, and the jitter on top: all gateways were told the same.
        A receiver that does not take the backlog (its history endpoint may be missing) still gets
        live values at once.
        """
        self._pace.failed()
        if batch.lane == "backfill" and error.code in self._health.problems:
            self._health.failed(error)  # live values come and go between; no line in the log each time
        else:
            self.say(error)
        most_s = REFUSED_MOST_S if isinstance(error, UplinkRefused) and not answers else AWAY_MOST_S
        asked_s = error.retry_after_s or 0.0
        if batch.lane != "backfill":
            return asked_s + spread_s(self._health.failures, most_s=most_s, luck=self._luck())
        self._backfill_failures += 1
        pause_s = asked_s + spread_s(self._backfill_failures, most_s=most_s, luck=self._luck())
        self._backfill_from_s = self._clock.mono() + pause_s
        return 0.0

    def _charge(self, batch: Batch, sent: int) -> None:
        self._health.sent_bytes += sent
        if batch.lane == "backfill":
            self._pace.spent(sent)

    async def _settle(self, batch: Batch, delivery: Delivery) -> None:
        """The outbox remembers what it cannot write yet, so there is nothing to repeat here."""
        try:
            await self._outbox.settle(batch, delivery)
        except OutboxUnavailable as error:
            log.error("%s", messages.text(error.code, error.facts, self._lang))  # noqa: TRY400  no traceback

    def say(self, error: EdgeAgentError) -> None:
        """Count a failure; the first of its kind in a row is a line in the log."""
        if self._health.state != "down" or error.code not in self._health.problems:
            log.warning("%s", named(self._health.id, error, self._lang))
        self._health.failed(error)
