"""A picture that somebody asked for, so that it can be aimed by: coarse, private, and gone again.

It is made coarse before it is written (`annotate.coarse`), only its owner may read it, and it is
erased when the one who asked is done, at the latest after 15 minutes: by a child process that
outlives us, so that neither `kill -9` nor a crash leaves it behind.
May import: errors.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from edgeagent.errors import ConfigError

__all__ = ["MOST_S", "AimPicture", "aim_picture"]

MOST_S = 900.0

# Waits for our end (its stdin closes) or for the time to be up, whichever is first.
_ERASER = """
import os, select, signal, sys
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
select.select([0], [], [], float(sys.argv[1]))
for name in sys.argv[2:]:
    try:
        os.unlink(name)
    except OSError:
        pass
"""


class AimPicture:
    """Where the picture lies while it lives."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.half = path.with_name(f".{path.name}.new")

    def show(self, png: bytes) -> None:
        """Replace the picture.

        Raises:
            ConfigError: `camera.no-sheet`: it cannot be written there.
        """
        try:
            handle = os.open(self.half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(png)
            self.half.replace(self.path)
        except OSError as error:
            raise ConfigError("camera.no-sheet", file=str(self.path)) from error


@contextlib.contextmanager
def aim_picture(path: Path, *, most_s: float = MOST_S) -> Iterator[AimPicture]:
    """A picture file for as long as the block runs, and never for longer than `most_s` seconds."""
    picture = AimPicture(path.absolute())
    names = [str(picture.path), str(picture.half)]
    with subprocess.Popen(  # noqa: S603  our own interpreter and our own text
        [sys.executable, "-I", "-S", "-c", _ERASER, str(most_s), *names], stdin=subprocess.PIPE, start_new_session=True
    ) as eraser:
        try:
            yield picture
        finally:
            assert eraser.stdin is not None
            eraser.stdin.close()
            eraser.wait()
