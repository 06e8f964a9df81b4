"""What was heard of the tags of an allow-list, gathered into one sighting per tag and window.

Advertisements come several times a second, on one radio or on several; a sighting leaves at most every
`every_s` seconds and tag, at once when a button was pressed.  Here it is also decided whether a press is a
new one, and whether an encrypted frame is believed.
Pure: frames, times and names are handed in.  May import besides the words: wire.

A sighting is a Reading of Kind.TAG, entity `<source id>:<pseudonym>`: `rssi` (dBm, median of the
window on the radio that hears it best), `frames` (heard in the window), `sos` (a new press), `battery`
(0..1, if the tag says it); facts: `day` (UTC date of the pseudonym), and `alias` with an SOS.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgeagent.reading import Kind, Moment, Quantity, Reading, ReadingClass, Unit
from edgeagent.sources.allow_list import AllowList, Listed
from edgeagent.sources.told_presses import Told
from edgeagent.wire.beacons import Sighting, bthome_fields
from edgeagent.wire.bthome_cipher import open_sealed

if TYPE_CHECKING:
    from edgeagent.sources.pseudonym import Names

__all__ = ["TagWindows"]

_REPEAT_S = 30.0  # an unnumbered press that is heard again sooner is the same press
_JOIN_S = 30.0  # a frame without an id belongs to who had its address so short a time ago
_FRESH_COUNTER = 100  # a counter below starts anew (a changed battery) ...
_FRESH_AFTER_S = 300.0  # ... in a tag that was silent for so long
_ACTIVE_MS = 3_600_000  # an alarm so young still stands; to tell it twice helps nobody
_RSSI_KEPT = 16


@dataclass
class _Tag:
    """A tag of the allow-list: what it said last, and the frames of the open window."""

    id: str
    listed: Listed
    battery: float | None = None
    payload: bytes | None = None
    said: str = ""  # digest of the payload that was told before we were started
    was_pressed: bool = False
    packet: int | None = None
    counter: int = -1
    sealed: bytes = b""
    opened: Sighting | None = None
    address: str = ""
    said_so: tuple[Mapping[int, bytes], Mapping[str, bytes], Sighting] | None = None  # the last frame, decoded
    heard_s: float = float("-inf")
    due_s: float = float("-inf")
    frames: int = 0
    pressed: bool = False
    rssi: dict[int, list[int]] = field(default_factory=dict)


class TagWindows:
    """Memory for the tags of one source; bounded by the allow-list.

    Args:
        source: id of the source.
        allowed: the allow-list.
        every_s: length of a window in seconds.
        told: presses that were told before, by keyed hash.

    Attributes:
        refused: encrypted frames that were not believed since the last look, by message code.
        canary_s: when the canary was heard last (mono), or None.
    """

    def __init__(self, source: str, allowed: AllowList, *, every_s: float, told: Mapping[str, Told] = {}) -> None:
        self._source, self._allowed, self._every_s = source, allowed, every_s
        self._told = dict(told)
        self._tags: dict[str, _Tag] = {}
        self._open: dict[str, _Tag] = {}
        self._by_address: dict[str, _Tag] = {}
        self._news: dict[str, Told] = {}
        self.refused: Counter[str] = Counter()
        self.canary_s: float | None = None

    def remember(self, sighting: Sighting, mono_s: float, *, address: str = "") -> None:
        """Take note of what BlueZ still shows from before we listened.

        Only what was told is old news; a press that nobody was told stays one.
        """
        tag = self._find(sighting, address, mono_s)
        if tag is None or tag.payload is not None:
            return
        plain = self._believed(tag, sighting, address, mono_s)
        if plain is not None and plain.payload and (not plain.pressed or _digest(plain.payload) == tag.said):
            tag.payload, tag.packet, tag.was_pressed = plain.payload, plain.packet, plain.pressed
            tag.heard_s = mono_s

    def repeats(
        self, address: str, manufacturer_data: Mapping[int, bytes], service_data: Mapping[str, bytes]
    ) -> Sighting | None:
        """What a tag of ours said last, when this is the same once more: most frames are."""
        tag = self._by_address.get(address)
        if tag is None or tag.said_so is None:
            return None
        manufacturer, service, sighting = tag.said_so
        return sighting if manufacturer == manufacturer_data and service == service_data else None

    def learn(
        self,
        address: str,
        manufacturer_data: Mapping[int, bytes],
        service_data: Mapping[str, bytes],
        sighting: Sighting,
    ) -> None:
        """Remember that for `repeats`, if it is a tag of ours."""
        tag = self._by_address.get(address)
        if tag is not None:
            tag.said_so = (manufacturer_data, service_data, sighting)

    def note(
        self,
        sighting: Sighting,
        rssi: int,
        mono_s: float,
        now: Callable[[], Moment],
        *,
        address: str = "",
        radio: int = 0,
    ) -> bool:
        """A frame was heard.

        Args:
            sighting: its fields.
            rssi: dBm.
            mono_s: when.
            now: the present moment, asked when a button is pressed.
            address: of the sender.
            radio: which of the source's radios heard it.

        Returns:
            Whether a press waits, which `due` gives at once.
        """
        tag = self._find(sighting, address, mono_s)
        if tag is None:
            return False
        plain = self._believed(tag, sighting, address, mono_s)
        if plain is None:
            return False
        if tag.listed.canary:
            self.canary_s = mono_s
            return False
        if _is_new_press(tag, plain, mono_s) and not self._goes_on(tag, plain, now()):
            tag.pressed = True
        if plain.payload:
            tag.payload, tag.packet, tag.was_pressed = plain.payload, plain.packet, plain.pressed
        if plain.battery is not None:
            tag.battery = plain.battery
        tag.heard_s = mono_s
        tag.frames += 1
        strengths = tag.rssi.get(radio)
        if strengths is None:
            strengths = tag.rssi[radio] = []
        if len(strengths) < _RSSI_KEPT:
            strengths.append(rssi)
        self._open[tag.id] = tag
        return tag.pressed

    def due(self, mono_s: float, now: Moment, names: Names) -> Sequence[Reading]:
        """Close the windows that are due: presses first.

        Args:
            mono_s: the present, on the clock of `note`.
            now: the same moment; a sighting bears the time of its last frame.
            names: of the gateway's tags.
        """
        due = [tag for tag in self._open.values() if tag.pressed or mono_s >= tag.due_s]
        due.sort(key=lambda tag: not tag.pressed)
        return [self._close(tag, mono_s, now, names) for tag in due]

    def news(self) -> Mapping[str, Told]:
        """Presses that `due` gave since the last call, to be noted once they are safe."""
        news, self._news = self._news, {}
        return news

    def counters(self) -> Mapping[str, Told]:
        """What is to be noted of every encrypted tag, now and then and at the end."""
        sealed = [tag for tag in self._tags.values() if tag.counter >= 0]
        return {tag.listed.hash: self._note_of(tag) for tag in sealed}

    def _find(self, sighting: Sighting, address: str, mono_s: float) -> _Tag | None:
        for identity in sighting.ids:
            listed = self._allowed.find(identity)
            if listed is not None:
                tag = self._tags.get(identity) or self._meet(identity, listed)
                if address and address != tag.address:
                    self._by_address.pop(tag.address, None)
                    tag.address = address
                    self._by_address[address] = tag
                return tag
        if not sighting.ids:
            joined = self._by_address.get(address)
            if joined is not None and mono_s - joined.heard_s <= _JOIN_S:
                return joined
        return None

    def _meet(self, identity: str, listed: Listed) -> _Tag:
        told = self._told.get(listed.hash, Told())
        tag = _Tag(identity, listed, said=told.said, packet=told.packet, counter=told.counter)
        self._tags[identity] = tag
        return tag

    def _believed(self, tag: _Tag, sighting: Sighting, address: str, mono_s: float) -> Sighting | None:
        """The plain fields; None for a frame that is not proven to come from the tag now."""
        if not sighting.sealed:
            if tag.listed.key and sighting.payload:  # or anybody could call for help in its name
                self.refused["tags.unsealed"] += 1
                return None
            return sighting
        if not tag.listed.key:
            if tag.id.startswith("bthome:"):
                self.refused["tags.no-tag-key"] += 1
            return Sighting(sighting.ids)  # that it is here is known; what it says is not
        if sighting.sealed == tag.sealed:
            return tag.opened
        opened = open_sealed(sighting.sealed, address, tag.listed.key)
        if opened is None:
            self.refused["tags.bad-check"] += 1
            return None
        anew = opened.counter < _FRESH_COUNTER and mono_s - tag.heard_s > _FRESH_AFTER_S
        if opened.counter <= tag.counter and not anew:
            # after a restart BlueZ still shows the frame that was told: it is here, and says nothing new
            if opened.counter == tag.counter and not tag.sealed:
                tag.sealed, tag.opened = sighting.sealed, Sighting(sighting.ids)
                return tag.opened
            self.refused["tags.replayed"] += 1
            return None
        tag.counter, tag.sealed = opened.counter, sighting.sealed
        tag.opened = bthome_fields(sighting.ids, opened.objects, sighting.sealed)
        return tag.opened

    def _close(self, tag: _Tag, mono_s: float, now: Moment, names: Names) -> Reading:
        """The open window as a reading; a new window begins."""
        ago_ms = round((mono_s - tag.heard_s) * 1000)
        at = Moment(now.wall_ms - ago_ms, now.mono_ms - ago_ms, now.boot_id, now.trust)
        today = names.of_day(at.wall_ms)
        quantities = {
            "rssi": Quantity(max(_median(strengths) for strengths in tag.rssi.values()), Unit.DECIBEL),
            "frames": Quantity(tag.frames),
            "sos": Quantity(tag.pressed),
        }
        if tag.battery is not None:
            quantities["battery"] = Quantity(tag.battery)
        facts = {"day": today.day}
        if tag.pressed:
            facts["alias"] = tag.listed.alias or names.alias(tag.id, at.wall_ms)
        entity = f"{self._source}:{today.pseudonym(tag.id)}"
        reading = Reading(
            source=self._source,
            kind=Kind.TAG,
            entity=entity,
            at=at,
            quantities=quantities,
            cls=ReadingClass.ALARM if tag.pressed else ReadingClass.LIVE,
            facts=facts,
        )
        if tag.pressed:
            tag.said = _digest(tag.payload or b"")
            told = Told(tag.said, tag.packet, tag.counter, entity, facts, at.wall_ms)
            self._told[tag.listed.hash] = self._news[tag.listed.hash] = told
        tag.frames, tag.pressed, tag.rssi, tag.due_s = 0, False, {}, mono_s + self._every_s
        del self._open[tag.id]
        return reading

    def _goes_on(self, tag: _Tag, plain: Sighting, now: Moment) -> bool:
        """The first frame since our start says, without a number, what was told within the last hour."""
        if tag.payload is not None or plain.packet is not None or _digest(plain.payload) != tag.said:
            return False
        return now.wall_ms - self._told[tag.listed.hash].wall_ms < _ACTIVE_MS  # a clock that was set back: too

    def _note_of(self, tag: _Tag) -> Told:
        before = self._told.get(tag.listed.hash, Told())
        return Told(tag.said, before.packet, tag.counter, before.entity, before.facts, before.wall_ms)


def _is_new_press(tag: _Tag, plain: Sighting, mono_s: float) -> bool:
    """Whether a frame with a pressed button is a press that was not reported yet.

    BlueZ shows the last known service data with every frame of the device, so a press is new when
    its packet number is; without a number, when the button was up before, or after a pause.
    """
    if not plain.pressed:
        return False
    if plain.packet is not None and tag.packet is not None:
        return plain.packet != tag.packet
    return not tag.was_pressed or mono_s - tag.heard_s > _REPEAT_S


def _digest(payload: bytes) -> str:
    return hashlib.sha256(payload).hexdigest()[:16]


def _median(strengths: list[int]) -> int:
    return sorted(strengths)[len(strengths) // 2]
