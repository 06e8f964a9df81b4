"""bleak's one D-Bus connection, and how to get rid of it.

BlueZ keeps a discovery session per client connection.  After a StopDiscovery that failed or was never
answered, that session is left over, and every StartDiscovery of the same connection is "in progress" for
ever; bleak has one connection per event loop and keeps it for life.  Closing it makes BlueZ end the session;
bleak opens another by itself.  All scanners of the process lose theirs with it, so they watch `count`.
May import: nothing of ours; bleak.
"""

from __future__ import annotations

from bleak.backends.bluezdbus.manager import get_global_bluez_manager

__all__ = ["Connection", "connection"]


class Connection:
    """How often it was dropped.

    Attributes:
        count: a scanner that was started under another count hears nothing any more.
    """

    def __init__(self) -> None:
        self.count = 0

    async def drop(self) -> None:
        """Close it.  Raises what connecting raises, if there was none."""
        self.count += 1
        manager = await get_global_bluez_manager()
        bus = manager._bus  # noqa: SLF001  bleak offers no other way
        if bus is not None:
            bus.disconnect()


connection = Connection()
