"""The agent's unit under systemd: stopped while its ports are looked at, started when the config is written."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from edgeagent.errors import EdgeAgentError

__all__ = ["Service"]

_UNIT = "edgeagent.service"
_LIMIT_S = 150.0  # its own TimeoutStartSec is 120


class Service:
    """The unit of this machine.

    Args:
        root: where /run is; elsewhere in tests.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root

    @property
    def there(self) -> bool:
        """Systemd runs, and knows the unit."""
        return (self._root / "run/systemd/system").is_dir() and self._ask("cat", _UNIT)[0] == 0

    @property
    def active(self) -> bool:
        """It runs now."""
        return self.there and self._ask("is-active", "--quiet", _UNIT)[0] == 0

    @contextlib.contextmanager
    def paused(self) -> Iterator[bool]:
        """Stop it while the context is open, where it runs; yields whether it did."""
        was = self.active
        if was:
            self._do("stop", _UNIT)
        try:
            yield was
        finally:
            if was:
                self._do("start", _UNIT)

    def enable(self) -> None:
        """Start it, now and after every power cut; one that runs already is started anew.

        Raises:
            EdgeAgentError: `setup.unit-failed`, with systemd's words.
        """
        restart = self.active
        self._do("enable", _UNIT)
        self._do("restart" if restart else "start", _UNIT)

    def _do(self, *words: str) -> None:
        status, said = self._ask(*words)
        if status:
            raise EdgeAgentError("setup.unit-failed", command=f"systemctl {' '.join(words)}", why=said or status)

    def _ask(self, *words: str) -> tuple[int, str]:
        try:
            done = subprocess.run(  # noqa: S603  fixed words
                ["systemctl", "--no-ask-password", *words],  # noqa: S607  found by PATH on purpose
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_LIMIT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return 1, str(error)
        return done.returncode, " ".join(done.stderr.split())[-200:]
