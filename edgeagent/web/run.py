"""One opening of the page, from the first listening socket to the last: nothing listens before or after."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Sequence

from edgeagent.clock import Clock
from edgeagent.web.addresses import url
from edgeagent.web.certificate import Tls
from edgeagent.web.door import Door, Limits
from edgeagent.web.gate import Closed, Gate
from edgeagent.web.look import Look
from edgeagent.web.offers import Offers
from edgeagent.web.pages import Pages

__all__ = ["serve"]

_LOOK_S = 0.1
_LAST_WORDS = 10  # looks: whoever typed the last wrong code is told


async def serve(
    listeners: Sequence[socket.socket],
    tls: Tls,
    gate: Gate,
    offers: Offers,
    *,
    clock: Clock,
    lang: str,
    limits: Limits | None = None,
) -> Closed:
    """Serve until the gate is closed.

    Returns:
        Why it was closed.
    """
    look = Look(offers.watch, clock)
    hosts = {url(one).removeprefix("https://") for one in listeners}
    door = Door(listeners, tls.context, Pages(gate, offers, look, clock, hosts=hosts, lang=lang), limits)
    serving = asyncio.create_task(door.run())
    try:
        while gate.closed is None:
            await asyncio.wait([serving], timeout=_LOOK_S)
            if serving.done():
                serving.result()
        for _ in range(_LAST_WORDS):
            if door.answering:
                await asyncio.sleep(_LOOK_S)
        return gate.closed
    finally:
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving
        for one in listeners:
            one.close()
        look.stop()
