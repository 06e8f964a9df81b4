"""Listen for an installer: a radio, a survey, and what is stored of it.

It listens as the daemon does (`sources.tag_radio`), beside it if it runs, for ten minutes at most.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
from bleak.backends.scanner import AdvertisementData

from edgeagent.clock import Clock, SystemClock
from edgeagent.errors import ConfigError, EdgeAgentError
from edgeagent.install.tag_survey import Survey, WalkTest
from edgeagent.sources.allow_list import AllowList, Listed
from edgeagent.sources.enrolled_tags import read_enrolled
from edgeagent.sources.pseudonym import list_key
from edgeagent.sources.small_file import write_durably
from edgeagent.sources.tag_radio import Ears, Radio, Wanted
from edgeagent.sources.tags_config import BleTagsConfig, listed, profiles_of
from edgeagent.sources.tags_key import read_key
from edgeagent.wire.beacons import Sighting, decode
from edgeagent.wire.tag_profiles import decoder

__all__ = ["LONGEST_S", "Listener", "listening", "read_walk_test", "write_walk_test"]

LONGEST_S = 600.0
_WALK_TEST = "walk-test.json"


class Listener(Ears):
    """What the radio hears, and whether there is trouble.

    Attributes:
        survey: the tags around.
        trouble: the newest error of the radio; None while it hears.
    """

    def __init__(self, section: BleTagsConfig, survey: Survey) -> None:
        self.survey = survey
        self.trouble: EdgeAgentError | None = None
        self._fault: Exception | None = None
        self._decoders = tuple(decoder(profile.layout) for profile in profiles_of(section))

    def heard(self, radio: int, address: str, advertisement: AdvertisementData, now_s: float) -> None:
        """Anybody's advertisement: counted; a tag's: noted."""
        del radio
        self.survey.anybody += 1
        found = decode(
            advertisement.manufacturer_data, advertisement.service_data, address=address, profiles=self._decoders
        )
        if isinstance(found, Sighting):
            self.survey.note(found, advertisement.rssi, now_s)

    def problem(self, error: EdgeAgentError) -> None:
        """Shown until the radio hears again."""
        self.trouble = error

    def bug(self, error: Exception) -> None:
        """Raised by `check`."""
        self._fault = error

    async def listening(self, radio: int, *, hears: bool) -> None:
        """The trouble is over."""
        del radio
        if hears:
            self.trouble = None

    def check(self) -> None:
        """Raise what went wrong in the callback."""
        if self._fault is not None:
            raise self._fault


@contextlib.asynccontextmanager
async def listening(
    section: BleTagsConfig | None, state_dir: Path | None, *, adapter: str = "", clock: Clock | None = None
) -> AsyncIterator[Listener]:
    """A radio that listens while the context is open.

    Args:
        section: of the config, for its key, list, profiles and adapter; None for a bare look around.
        state_dir: where its key lies; None makes one up, whose hashes mean nothing tomorrow.
        adapter: address; "" takes the section's first.
        clock: for intervals.

    Raises:
        SourceUnavailable: the key cannot be read.
    """
    section = section or BleTagsConfig(id="scan", driver="ble-tags", enrolled=True)
    key = secrets.token_bytes(32) if state_dir is None else read_key(section.key, state_dir)
    lines: list[Listed] = [] if state_dir is None else listed(section, key, read_enrolled(state_dir), {})
    ears = Listener(section, Survey(list_key(key), AllowList(list_key(key), lines)))
    wanted = Wanted((adapter or section.adapters[0]).upper())
    task = asyncio.create_task(Radio(0, section.id, wanted, ears, clock=clock or SystemClock()).run())
    try:
        yield ears
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def write_walk_test(state_dir: Path, result: WalkTest) -> None:
    """Keep the newest walk test for the report.

    Raises:
        ConfigError: `tags.cannot-write`.
    """
    try:
        write_durably(state_dir / _WALK_TEST, msgspec.json.encode(result))
    except OSError as error:
        why = error.strerror or str(error)
        raise ConfigError("tags.cannot-write", path=state_dir / _WALK_TEST, why=why) from error


def read_walk_test(state_dir: Path) -> WalkTest | None:
    """The newest walk test, for the coverage note of the site report; None when there is none."""
    try:
        return msgspec.json.decode((state_dir / _WALK_TEST).read_bytes(), type=WalkTest)
    except (OSError, msgspec.MsgspecError):
        return None
