"""Lease -> deliver -> settle for one uplink, at its own pace; one dead city never delays another."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from edgeagent import messages
from edgeagent.backoff import delay_s
from edgeagent.clock import Clock
from edgeagent.daemon.health import UplinkHealth, named
from edgeagent.errors import EdgeAgentError, OutboxUnavailable, UplinkRefused, UplinkUnavailable
from edgeagent.ports import Batch, Delivery, Outbox, Uplink

__all__ = ["Courier"]

log = logging.getLogger("edgeagent")

BATCH = 500  # readings leased at a time
AWAY_MOST_S = 4.0  # with jitter at most 5.2 s: the first value after an outage must not wait longer
REFUSED_MOST_S = 120.0  # a city that says no to us is not asked every few seconds
LAST_WORDS_S = 1.2  # a delivery in flight may finish at shutdown, so that it is not sent twice
NOTHING = Delivery(accepted=frozenset())


class Courier:
    """Runs one uplink for ever."""

    def __init__(
        self,
        make: Callable[[], Uplink],
        *,
        outbox: Outbox,
        health: UplinkHealth,
        clock: Clock,
        luck: Callable[[], float],
        lang: str = "en",
    ) -> None:
        self._make, self._outbox, self._health = make, outbox, health
        self._clock, self._luck, self._lang = clock, luck, lang

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
        batch = await self._outbox.lease(self._health.id, BATCH)
        work = asyncio.create_task(self._deliver(uplink, batch), name=f"deliver {self._health.id}")
        try:
            pause_s = await asyncio.shield(work)
        except asyncio.CancelledError:
            await asyncio.wait([work], timeout=LAST_WORDS_S)
            work.cancel()
            raise
        if pause_s > 0:
            await asyncio.sleep(pause_s)

    async def _deliver(self, uplink: Uplink, batch: Batch) -> float:
        """Deliver and settle one batch; returns the pause before the next, in seconds."""
        try:
            delivery = await uplink.deliver(batch.rows)
        except UplinkUnavailable as error:
            await self._settle(batch, NOTHING)
            self.say(error)
            most_s = REFUSED_MOST_S if isinstance(error, UplinkRefused) else AWAY_MOST_S
            return max(delay_s(self._health.failures, most_s=most_s, luck=self._luck()), error.retry_after_s or 0.0)
        except Exception:
            await self._settle(batch, NOTHING)  # a bug must not keep the rows on lease
            raise
        await self._settle(batch, delivery)
        for row, reason in delivery.rejected.items():
            log.warning("%s: reading %d went to the dead letters: %s", self._health.id, row, reason)
        settled = len(delivery.accepted) + len(delivery.rejected)
        if settled:
            if self._health.state == "down":
                log.info("%s: delivering again", self._health.id)
            self._health.delivered(self._clock.now())
        if settled and delivery.error is None:
            return delivery.retry_after_s or 0.0  # all of it, or as much as was good to do at once
        self.say(delivery.error or UplinkUnavailable("daemon.kept", uplink=self._health.id, kept=len(batch.rows)))
        pause_s = delay_s(self._health.failures, most_s=AWAY_MOST_S, luck=self._luck())
        return max(pause_s, delivery.retry_after_s or 0.0)

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
