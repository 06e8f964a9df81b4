"""People with watch tags who walk by a gateway, and strangers' devices: frames over time, with truth.

RSSI comes from the distance (log-distance path loss, exponent 2, -59 dBm at 1 m, fading of a few
dB), so presence rules meet what they meet in the street.  The same seed is the same walk.
Pure: nothing here waits or sends; `simulate.bluez.play` does.
"""

from __future__ import annotations

import heapq
import math
import random
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from edgeagent.wire.beacons import APPLE, BTHOME

__all__ = ["Frame", "Walk", "Walker", "crowd", "ibeacon"]

_CITY = uuid.UUID("7b44b47b-52a1-5381-90c2-f09b6838c5d4")  # proximity UUID that the simulated city gave its tags
_POWER_AT_1_M_DBM = -59
_FADING_DB = 2.5
_WEAKEST_DBM, _STRONGEST_DBM = -110, -30
_BUTTON = 0x3A
_FIND_MY_SEPARATED = b"\x12\x19\x00"  # then 22 bytes of key, 2 of status: what a lost finder tag sends
_IN_RANGE_M = 20.0  # -85 dBm, the presence rule's default for "here"


@dataclass(frozen=True)
class Frame:
    """One advertisement as BlueZ would report it."""

    at_s: float
    address: str
    rssi: int
    manufacturer_data: Mapping[int, bytes] = field(default_factory=dict)
    service_data: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Walker:
    """A person who comes along a straight road, passes the gateway and goes on.

    Attributes:
        tag: id as it stands on the allow-list.
        address: of the tag's radio.
        passes_s: when the person is nearest.
        nearest_m: how near that is.
        speed_m_s: walking speed; 0 stands at `nearest_m` all the time.
        interval_s: between two frames of the tag.
        sos_s: when the button is pressed (BTHome tags), or None.
        battery: 0..1.
    """

    tag: str
    address: str
    passes_s: float
    nearest_m: float = 3.0
    speed_m_s: float = 1.3
    interval_s: float = 1.0
    sos_s: float | None = None
    battery: float = 0.9

    def distance_m(self, at_s: float) -> float:
        """From the gateway, in metres."""
        return math.hypot(self.nearest_m, self.speed_m_s * (at_s - self.passes_s))

    def frames(self, seconds: float, luck: random.Random) -> Iterator[Frame]:
        """What the gateway's radio hears of this tag, oldest first."""
        at_s = luck.uniform(0, self.interval_s)
        while at_s < seconds:
            loss = 20 * math.log10(max(self.distance_m(at_s), 0.1))
            rssi = round(_POWER_AT_1_M_DBM - loss + luck.gauss(0, _FADING_DB))
            if rssi >= _WEAKEST_DBM:
                yield self._frame(at_s, min(rssi, _STRONGEST_DBM))
            at_s += self.interval_s * luck.uniform(0.9, 1.1)

    def _frame(self, at_s: float, rssi: int) -> Frame:
        scheme, _, rest = self.tag.partition(":")
        if scheme == "ibeacon":
            proximity, major, minor = rest.split(":")
            return Frame(at_s, self.address, rssi, {APPLE: ibeacon(uuid.UUID(proximity), int(major), int(minor))})
        presses = 0 if self.sos_s is None or at_s < self.sos_s else 1
        service = bytes((0x40, 0x00, 40 + presses, 0x01, round(self.battery * 100), _BUTTON, presses))
        return Frame(at_s, self.address, rssi, {}, {BTHOME: service})


@dataclass(frozen=True)
class Walk:
    """Walkers with tags on the allow-list, and strangers, for a while."""

    walkers: Sequence[Walker]
    strangers: int
    seconds: float
    seed: int

    @property
    def allow_list(self) -> list[str]:
        """Ids of the tags that the city gave out."""
        return [walker.tag for walker in self.walkers]

    def present(self, at_s: float, within_m: float = _IN_RANGE_M) -> frozenset[str]:
        """Truth: whose tags are within range at that time."""
        return frozenset(walker.tag for walker in self.walkers if walker.distance_m(at_s) <= within_m)

    def frames(self) -> Iterator[Frame]:
        """All that the radio hears, in order of time."""
        heard = [walker.frames(self.seconds, random.Random(f"{self.seed}/{walker.tag}")) for walker in self.walkers]  # noqa: S311  a simulation
        heard += [self._stranger(n) for n in range(self.strangers)]
        return heapq.merge(*heard, key=lambda frame: frame.at_s)

    def _stranger(self, number: int) -> Iterator[Frame]:
        """A phone or finder tag of somebody passing by: none of our business."""
        luck = random.Random(f"{self.seed}/stranger {number}")  # noqa: S311  a simulation
        address = "C0:" + luck.randbytes(5).hex(":").upper()
        body = _FIND_MY_SEPARATED + luck.randbytes(24) if number % 2 else ibeacon(uuid.UUID(int=number + 1), 1, number)
        at_s = luck.uniform(0, 2)
        while at_s < self.seconds:
            yield Frame(at_s, address, luck.randint(-95, -60), {APPLE: body})
            at_s += luck.uniform(1.8, 2.2)


def crowd(people: int, *, seconds: float, seed: int = 1) -> Walk:
    """A walk with two strangers for each person with a tag.

    The first person stands still all the time, the last one (of two or more) carries a BTHome tag
    and presses its button when nearest, the others pass one after the other.
    """
    walkers = []
    for number in range(people):
        passes_s = seconds * (number + 0.5) / people
        last = number == people - 1 and people > 1
        address = f"C0:DE:00:00:00:{number + 1:02X}"
        walkers.append(
            Walker(
                tag=f"bthome:{address.lower()}" if last else f"ibeacon:{_CITY}:1:{number + 1}",
                address=address,
                passes_s=passes_s,
                speed_m_s=0.0 if number == 0 else 1.3,
                sos_s=passes_s if last else None,
            )
        )
    return Walk(tuple(walkers), 2 * people, seconds, seed)


def ibeacon(proximity: uuid.UUID, major: int, minor: int, power_dbm: int = _POWER_AT_1_M_DBM) -> bytes:
    """Manufacturer data (after Apple's company id) of an iBeacon frame."""
    return (
        b"\x02\x15" + proximity.bytes + major.to_bytes(2, "big") + minor.to_bytes(2, "big") + bytes((power_dbm % 256,))
    )
