"""Looking through a camera while somebody asks for it: pictures in memory, newest only, gone with the looker.

A thread of its own, because a camera may hang in the middle of a read.  It ends when nobody asked for
a picture for a while: a phone that was put away must not keep a camera from the agent.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence

from edgeagent.clock import Clock
from edgeagent.errors import EdgeAgentError
from edgeagent.web.offers import Drawn, Found, Picture, Watcher

__all__ = ["PATIENCE_S", "Look"]

PATIENCE_S = 20.0


class Look:
    """One look at a time; another camera ends the one before.

    Args:
        watch: opens a camera by its id.
        clock: for the end.
    """

    def __init__(self, watch: Callable[[str], Watcher], clock: Clock) -> None:
        self._watch, self._clock = watch, clock
        self._run: _Run | None = None

    def start(self, source: str) -> None:
        """Open this camera; one that is open already stays."""
        if self._run is not None and self._run.source == source and self._run.thread.is_alive():
            self._run.asked_s = self._clock.mono()
            return
        self.stop()
        self._run = _Run(source, self._watch, self._clock)

    def picture(self, source: str) -> Picture | None:
        """The newest; None before the first, and when this camera is not looked through.

        Raises:
            EdgeAgentError: the camera gives none.
        """
        run = self._of(source)
        if run is None:
            return None
        run.asked_s = self._clock.mono()
        if run.trouble is not None:
            raise run.trouble
        return run.newest

    def check(self, source: str, lines: Sequence[Drawn]) -> list[Found]:
        """Hold lines against what was seen; nothing before there was a picture."""
        run = self._of(source)
        return [] if run is None or run.newest is None or run.watcher is None else run.watcher.check(lines)

    def size(self, source: str) -> tuple[int, int]:
        """Of the newest picture, in pixels; (0, 0) without one."""
        run = self._of(source)
        return (0, 0) if run is None or run.newest is None else run.newest.size

    def stop(self) -> None:
        """Close the camera and forget the picture."""
        if self._run is not None:
            self._run.ended.set()
            self._run.newest = None
            self._run.thread.join(2.0)  # one that hangs in the camera ends with the process
            self._run = None

    def _of(self, source: str) -> _Run | None:
        return self._run if self._run is not None and self._run.source == source else None


class _Run:
    def __init__(self, source: str, watch: Callable[[str], Watcher], clock: Clock) -> None:
        self.source, self._watch, self._clock = source, watch, clock
        self.newest: Picture | None = None
        self.watcher: Watcher | None = None
        self.trouble: EdgeAgentError | None = None
        self.ended = threading.Event()
        self.asked_s = clock.mono()
        self.thread = threading.Thread(target=self._go, name=f"look {source}", daemon=True)
        self.thread.start()

    def _go(self) -> None:
        try:
            self.watcher = self._watch(self.source)
            with contextlib.closing(self.watcher.pictures()) as pictures:
                for picture in pictures:
                    if self._clock.mono() - self.asked_s > PATIENCE_S:
                        self.ended.set()
                    if self.ended.is_set():
                        break
                    self.newest = picture
        except EdgeAgentError as error:
            self.trouble = error
        except Exception as error:  # noqa: BLE001  a camera library's surprise is this look's end only
            self.trouble = EdgeAgentError("web.broken", kind=type(error).__name__)
        if self.ended.is_set():
            self.newest = None
