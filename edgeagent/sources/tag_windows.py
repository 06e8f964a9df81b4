"""What was heard of the tags of an allow-list, gathered into one sighting per tag and window.

Advertisements come several times a second; a sighting leaves at most every `every_s` seconds and
tag, at once when a button was pressed.  Here it is also decided whether a press is a new one.
Pure: frames, times and names are handed in.  May import besides the words: wire.

A sighting is a Reading of Kind.TAG, entity `<source id>:<pseudonym>`: `rssi` (dBm, median of the
window), `frames` (heard in the window), `sos` (a new press), `battery` (0..1, if the tag says it);
facts: `day` (UTC date of the pseudonym), and `alias` with an SOS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from edgeagent.reading import Kind, Moment, Quantity, Reading, ReadingClass, Unit
from edgeagent.sources.pseudonym import DayNames
from edgeagent.wire.beacons import Sighting

__all__ = ["TagWindows"]

_REPEAT_S = 30.0  # an unnumbered press that is heard again sooner is the same press
_RSSI_KEPT = 16


@dataclass
class _Tag:
    """A tag of the allow-list: what it said last, and the frames of the open window."""

    id: str
    alias: str
    battery: float | None = None
    payload: bytes | None = None
    packet: int | None = None
    heard_s: float = float("-inf")
    due_s: float = float("-inf")
    at: Moment | None = None
    frames: int = 0
    pressed: bool = False
    rssi: list[int] = field(default_factory=list)


class TagWindows:
    """Memory for the tags of one source; bounded by the allow-list.

    Args:
        source: id of the source.
        aliases: the allow-list: tag id as `beacons.normal_id` spells it -> alias (may be empty).
        every_s: length of a window in seconds.
    """

    def __init__(self, source: str, aliases: Mapping[str, str], *, every_s: float) -> None:
        self._source, self._every_s = source, every_s
        self._tags = {tag: _Tag(tag, alias) for tag, alias in aliases.items()}
        self._open: dict[str, _Tag] = {}

    def remember(self, sighting: Sighting, mono_s: float) -> None:
        """Take note of something that was said before we listened, and is therefore no news."""
        tag = self._find(sighting)
        if tag is not None and tag.payload is None:
            tag.payload, tag.packet, tag.heard_s = sighting.payload, sighting.packet, mono_s

    def note(self, sighting: Sighting, rssi: int, mono_s: float, now: Callable[[], Moment]) -> bool:
        """A frame was heard.

        Returns:
            Whether `due` has something to give right now.
        """
        tag = self._find(sighting)
        if tag is None:
            return False
        tag.pressed = tag.pressed or _is_new_press(tag, sighting, mono_s)
        if sighting.payload:
            tag.payload, tag.packet = sighting.payload, sighting.packet
        if sighting.battery is not None:
            tag.battery = sighting.battery
        tag.heard_s, tag.at = mono_s, now()
        tag.frames += 1
        if len(tag.rssi) < _RSSI_KEPT:
            tag.rssi.append(rssi)
        self._open[tag.id] = tag
        return tag.pressed or mono_s >= tag.due_s

    def due(self, mono_s: float, names: Callable[[], DayNames]) -> Sequence[Reading]:
        """Close the windows that are due: presses first."""
        due = [tag for tag in self._open.values() if tag.pressed or mono_s >= tag.due_s]
        if not due:
            return ()
        due.sort(key=lambda tag: not tag.pressed)
        today = names()
        return [self._close(tag, mono_s, today) for tag in due]

    def _find(self, sighting: Sighting) -> _Tag | None:
        for identity in sighting.ids:
            tag = self._tags.get(identity)
            if tag is not None:
                return tag
        return None

    def _close(self, tag: _Tag, mono_s: float, today: DayNames) -> Reading:
        """The open window as a reading; a new window begins."""
        assert tag.at is not None  # set with the first frame of the window
        quantities = {
            "rssi": Quantity(sorted(tag.rssi)[len(tag.rssi) // 2], Unit.DECIBEL),
            "frames": Quantity(tag.frames),
            "sos": Quantity(tag.pressed),
        }
        if tag.battery is not None:
            quantities["battery"] = Quantity(tag.battery)
        facts = {"day": today.day}
        if tag.pressed and tag.alias:
            facts["alias"] = tag.alias
        reading = Reading(
            source=self._source,
            kind=Kind.TAG,
            entity=f"{self._source}:{today.pseudonym(tag.id)}",
            at=tag.at,
            quantities=quantities,
            cls=ReadingClass.ALARM if tag.pressed else ReadingClass.LIVE,
            facts=facts,
        )
        tag.frames, tag.pressed, tag.rssi, tag.due_s = 0, False, [], mono_s + self._every_s
        del self._open[tag.id]
        return reading


def _is_new_press(tag: _Tag, sighting: Sighting, mono_s: float) -> bool:
    """Whether a frame with a pressed button is a press that was not reported yet.

    BlueZ shows the last known service data with every frame of the device, so a press is new when
    its packet number is; without a number, when its bytes are, or after a pause.
    """
    if not sighting.pressed:
        return False
    if sighting.packet is not None and tag.packet is not None:
        return sighting.packet != tag.packet
    return sighting.payload != tag.payload or mono_s - tag.heard_s > _REPEAT_S
