"""Which SOS was told last, on disk: so that no restart tells it again, and none loses one.

A press is noted here after its alarm is durable in the outbox.  BlueZ goes on showing the last frame of a
tag after we were restarted: what is noted here is old news, anything else is a press that nobody was told.
With it stands the counter of an encrypted tag, so that frames recorded earlier cannot be played again.

`<state_dir>/tags-told-<source>.json`; tags are named by the keyed hash of the allow-list, by the pseudonym
that was sent, and by their alias: never by an id or an address.  May import besides the words: nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import msgspec

from edgeagent.sources.small_file import write_durably

__all__ = ["Told", "ToldPresses"]

_log = logging.getLogger(__name__)


class Told(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is remembered of one tag.

    Attributes:
        said: digest of the bytes that said so, 16 hex digits; "" while it never pressed.
        packet: number of that packet, if it numbers them.
        counter: highest counter of its encrypted frames; -1 for none.
        entity: the name under which the alarm left.
        facts: `day` and `alias` of that alarm.
        wall_ms: when, UTC epoch milliseconds.
    """

    said: str = ""
    packet: int | None = None
    counter: int = -1
    entity: str = ""
    facts: dict[str, str] = {}
    wall_ms: int = 0


class ToldPresses:
    """The file of one source.

    Args:
        state_dir: where it lies.
        source: id of the source.
    """

    def __init__(self, state_dir: Path, source: str) -> None:
        self._file = state_dir / f"tags-told-{source}.json"
        self._told: dict[str, Told] = {}

    def read(self) -> Mapping[str, Told]:
        """What is known, by keyed hash; nothing where the file is missing or damaged."""
        try:
            self._told = msgspec.json.decode(self._file.read_bytes(), type=dict[str, Told])
        except FileNotFoundError:
            pass
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            _log.warning("%s is unreadable: an SOS that was told before may be told once more", self._file)
        return self._told

    def write(self, news: Mapping[str, Told]) -> None:
        """Note what is new; blocks until it is on the disk.

        Raises:
            OSError: not written; it is tried again with the next news.
        """
        self._told = {**self._told, **news}
        write_durably(self._file, msgspec.json.encode(self._told))
