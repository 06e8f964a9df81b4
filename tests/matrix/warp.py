"""An event loop whose time jumps to the next thing that is due: hours of polling in seconds.

Everything runs as it does in the field, the waiting left out; nothing here depends on how busy the
machine is.
"""

import asyncio
import selectors

from edgeagent.reading import Moment, TimeTrust


class _NeverWaiting(selectors.SelectSelector):
    """Looks at the sockets that are there, and tells the loop how long it would have slept."""

    def __init__(self):
        super().__init__()
        self.slept = 0.0

    def select(self, timeout=None):
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "nothing is due and nobody is asked: a deadlock"
            self.slept += timeout
        return ready


class WarpLoop(asyncio.SelectorEventLoop):
    """`loop.time()` moves only by what was waited for."""

    def __init__(self):
        self._selector_of_ours = _NeverWaiting()
        super().__init__(self._selector_of_ours)

    def time(self):
        return 1000.0 + self._selector_of_ours.slept


class LoopClock:
    """The agent's clock, on the time of such a loop."""

    def __init__(self, loop, wall_ms=1_795_000_000_000, trust=TimeTrust.SYNCED):
        self._loop, self._wall_ms, self.trust = loop, wall_ms, trust

    def mono(self):
        return self._loop.time()

    def now(self):
        mono_ms = int(self._loop.time() * 1000)
        return Moment(self._wall_ms + mono_ms, mono_ms, "b00700000001", self.trust)


def run(make):
    """Run `await make(clock)` in warped time and return what it returns."""
    loop = WarpLoop()
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(make(LoopClock(loop)))
    finally:
        pending = asyncio.all_tasks(loop)
        for task in pending:
            task.cancel()
        if pending:
            loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
        asyncio.set_event_loop(None)
        loop.close()
