"""Judgements about what the box is there for: devices, the store, and what a power cut left.  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from edgeagent.install.doctor_item import Cause, Item, failed, good, left_out, warned
from edgeagent.reading import Quantity, Unit
from edgeagent.words import quantity, span

__all__ = ["WANTED", "Before", "Device", "Now", "Store", "buffer", "cycle", "devices"]

WANTED = 3  # reads of each device
_SPREAD_M = 0.05  # a gauge over quiet water stays within that; waves, foam and a loose mount do not
_OFTEN = 20  # one error in so many readings is a matter of the line
_FEW_ERRORS = 3
_OUTAGE_H = 72.0
_OLD_S = 900.0
_FIRST = ("level", "distance", "rain", "count", "people", "cpu_temperature")


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen of one source.

    Attributes:
        id, name, driver: of its section.
        place: port, address or camera; "" for none.
        lasting: its port has a name that stays after the next boot.
        holder: who else has the port open.
        console: the login console uses the port.
        by_agent: the running agent was asked; nothing was opened.
        reads: usable readings, quantities by name, oldest first.
        wanted: as many reads as there was time for.
        problem: why there are too few.
        well: the agent says a valid value came lately.
        age_s: of the agent's last reading.
        readings, errors: of the agent since its start; errors by code.
    """

    id: str
    name: str = ""
    driver: str
    place: str = ""
    lasting: bool = True
    holder: str = ""
    console: bool = False
    by_agent: bool = False
    reads: tuple[Mapping[str, Quantity], ...] = ()
    wanted: int = WANTED
    problem: Cause | None = None
    well: bool = True
    age_s: float | None = None
    readings: int = 0
    errors: Mapping[str, int] = {}


class Store(msgspec.Struct, frozen=True, kw_only=True):
    """What the store tells.

    Attributes:
        problem: why it cannot be used.
        accepted, waiting, lost, thinned, dead: readings.
        oldest_s: age of the oldest that waits.
        hours: an outage is survived for so long; None while nothing was measured.
    """

    problem: Cause | None = None
    accepted: int = 0
    waiting: int = 0
    lost: int = 0
    thinned: int = 0
    dead: int = 0
    oldest_s: float = 0.0
    hours: float | None = None


class Before(msgspec.Struct, frozen=True, kw_only=True):
    """What was noted before the power was cut.

    Attributes:
        boot_id: of that boot.
        wall_ms: when it was noted, UTC epoch milliseconds.
        sources: ids of those that were well.
        accepted, lost: of the store.
    """

    boot_id: str
    wall_ms: int
    sources: tuple[str, ...] = ()
    accepted: int = 0
    lost: int = 0


class Now(msgspec.Struct, frozen=True, kw_only=True):
    """The same after it; `sources` is None when no agent answers."""

    boot_id: str
    wall_ms: int
    sources: tuple[str, ...] | None
    accepted: int = 0
    lost: int = 0


def devices(seen: Iterable[Device]) -> Iterator[Item]:
    """Each source: its port, three reads, their spread, its errors."""
    none = True
    for one in seen:
        none = False
        yield from _port(one)
        yield from _reads(one)
        if one.by_agent:
            yield _errors(one)
    if none:
        yield left_out("E-DEVICE-01", "no-sources")


def buffer(seen: Store | None) -> Iterator[Item]:
    """Does the store work, and how long would it last?"""
    if seen is None:
        yield left_out("E-BUFFER-01", "no-store")
        return
    if seen.problem is not None:
        yield failed("E-BUFFER-01", cause=seen.problem)
        return
    yield good("E-BUFFER-01", accepted=seen.accepted, waiting=seen.waiting)
    yield (warned if seen.lost else good)("E-BUFFER-02", n=seen.lost)
    yield (warned if seen.dead else good)("E-BUFFER-03", n=seen.dead)
    if seen.hours is None:
        yield left_out("E-BUFFER-04", "no-pace")
    else:
        yield (warned if seen.hours < _OUTAGE_H else good)("E-BUFFER-04", hours=span(seen.hours * 3600))
    facts: dict[str, Any] = {"n": seen.waiting, "age": span(seen.oldest_s)}
    yield (warned if seen.waiting and seen.oldest_s > _OLD_S else good)("E-BUFFER-05", **facts)


def cycle(before: Before | None, now: Now) -> Iterator[Item]:
    """After the plug was pulled: did everything come back by itself?"""
    if before is None:
        yield failed("E-CYCLE-01")
        return
    if before.boot_id == now.boot_id:
        yield failed("E-CYCLE-01", said="E-CYCLE-01-same-boot")
        return
    yield good("E-CYCLE-01")
    yield (failed if now.wall_ms < before.wall_ms else good)(
        "E-CYCLE-02", hours=f"{(before.wall_ms - now.wall_ms) / 3_600_000:.1f}"
    )
    if now.sources is None:
        yield failed("E-CYCLE-03")
        yield left_out("E-CYCLE-04", "no-agent")
        yield left_out("E-CYCLE-05", "no-agent")
        return
    yield good("E-CYCLE-03")
    away = [one for one in before.sources if one not in now.sources]
    yield failed("E-CYCLE-04", sources=", ".join(away)) if away else good("E-CYCLE-04", n=len(before.sources))
    gone = max(before.accepted - now.accepted, now.lost - before.lost, 0)
    yield (failed if gone else good)("E-CYCLE-05", n=gone, accepted=now.accepted)


def _port(one: Device) -> Iterator[Item]:
    if not one.lasting:
        yield warned("E-DEVICE-05", one.id, port=one.place)
    if one.console:
        yield failed("E-DEVICE-06", one.id, port=one.place)
    if one.holder and not one.by_agent:
        yield failed("E-DEVICE-07", one.id, port=one.place, holder=one.holder)


def _reads(one: Device) -> Iterator[Item]:
    facts: dict[str, Any] = {"id": one.id, "name": one.name or one.id, "place": one.place or one.driver}
    if one.by_agent and not one.well:
        age = "-" if one.age_s is None else span(one.age_s)
        yield failed("E-DEVICE-02", one.id, cause=one.problem, why="", age=age, n=len(one.reads), **facts)
        return
    if not one.reads:
        yield failed("E-DEVICE-01", one.id, cause=one.problem, why="", **facts)
        return
    if len(one.reads) < one.wanted:
        yield failed("E-DEVICE-02", one.id, cause=one.problem, why="", age="-", n=len(one.reads), **facts)
        return
    name, shown = _headline(one.reads[-1])
    yield good("E-DEVICE-02", one.id, n=len(one.reads), value=shown, **facts)
    values = _metres(name, one.reads)
    if len(values) > 1:
        spread = max(values) - min(values)
        judge = warned if spread > _SPREAD_M else good
        yield judge("E-DEVICE-03", one.id, spread=f"{spread:.3f}", n=len(values), **facts)


def _errors(one: Device) -> Item:
    number = sum(one.errors.values())
    if number < _FEW_ERRORS or number * _OFTEN <= one.readings:
        return good("E-DEVICE-04", one.id, n=number, of=one.readings)
    worst = max(one.errors, key=lambda code: one.errors[code])
    late = "-late" if worst.endswith(("timeout", "late", "not-in-step")) else ""
    return warned("E-DEVICE-04", one.id, said=f"E-DEVICE-04{late}", n=number, of=one.readings, worst=worst)


def _headline(read: Mapping[str, Quantity]) -> tuple[str, str]:
    usable = [name for name, value in read.items() if value.usable]
    name = next((n for n in _FIRST if n in usable), usable[0] if usable else "")
    return name, quantity(name, read[name]) if name else "-"


def _metres(name: str, reads: Sequence[Mapping[str, Quantity]]) -> list[float]:
    found = [read[name] for read in reads if name in read and read[name].usable]
    return [float(q.value) for q in found if isinstance(q.value, int | float) and q.unit is Unit.METRE]
