"""One named thread for the blocking work of one uplink.

A daemon thread, not an executor's: a request that hangs until its timeout must not hold up the
end of the process, for whatever was not acknowledged is still in the outbox.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import queue
import threading
from collections.abc import Callable
from typing import TypeVar

__all__ = ["NamedThread"]

T = TypeVar("T")


class NamedThread:
    """Runs jobs one after the other.

    Args:
        name: shown in process listings and stack dumps, e.g. `uplink-nagano`.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    async def run(self, job: Callable[[], T]) -> T:
        """Run a job in the thread and return (or raise) what it returns (or raises)."""
        future: concurrent.futures.Future[T] = concurrent.futures.Future()

        def work() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = job()
            except BaseException as error:  # noqa: BLE001  carried to the caller, who sees it raised
                future.set_exception(error)
            else:
                future.set_result(result)

        if self._thread is None:
            self._thread = threading.Thread(target=self._main, name=self._name, daemon=True)
            self._thread.start()
        self._jobs.put(work)
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Let the thread end after the jobs it already has."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread = None

    def _main(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
