"""The demo's last word: what the city received, held against what the virtual world really did.  Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

__all__ = ["Delivered", "Held", "Summary", "judge", "wrong_values"]

_LOOK_BACK_MS = 1500  # an answer is asked, sent and stamped within this time on a busy machine
_LOOK_AHEAD_MS = 250


@dataclass(frozen=True, slots=True)
class Held:
    """What a virtual gauge answered: which source reads it, when (UTC ms), the true level in metres."""

    source: str
    wall_ms: int
    level_m: float


@dataclass(frozen=True, slots=True)
class Delivered:
    """One instance as the city received it; `level_m` is None where it carried no level."""

    stream: str
    entity: str
    sequence: int
    wall_ms: int
    level_m: float | None


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """Last line of `edgeagent demo --json`.

    Attributes:
        readings: accepted by the outbox (fsynced).
        acknowledged: of these, known to the city.
        lost: accepted, neither at the city nor waiting in the outbox.
        waiting: still in the outbox at the end.
        wrong: levels at the city that no gauge held at that time.
        checked: levels that were held against the gauges.
        duplicates: instances the city got more than once.
        regressions: times an older value replaced a newer one as current.
        vehicles_counted, vehicles_truth, vehicles_edge: the camera against its scene.
        tags: True when tags were part of the run.
    """

    readings: int
    acknowledged: int
    lost: int
    waiting: int
    wrong: int
    checked: int
    duplicates: int
    regressions: int
    vehicles_counted: int
    vehicles_truth: int | None
    vehicles_edge: int
    tags: bool
    ok: bool


def wrong_values(delivered: Iterable[Delivered], held: Sequence[Held], tolerance_m: float) -> tuple[int, int]:
    """(wrong, checked): levels that lie outside everything their gauge held around that time.

    A gauge that is read as the median of several samples may fall between two answers, so the
    test is the range of the answers in the window, widened by the rounding of the wire.
    """
    by_source: dict[str, list[Held]] = {}
    for answer in held:
        by_source.setdefault(answer.source, []).append(answer)
    wrong = checked = 0
    for one in delivered:
        if one.level_m is None:
            continue
        checked += 1
        near = [
            h.level_m
            for h in by_source.get(one.entity, ())
            if one.wall_ms - _LOOK_BACK_MS <= h.wall_ms <= one.wall_ms + _LOOK_AHEAD_MS
        ]
        if not near or not min(near) - tolerance_m <= one.level_m <= max(near) + tolerance_m:
            wrong += 1
    return wrong, checked


def judge(
    *,
    accepted: int,
    waiting: int,
    delivered: Sequence[Delivered],
    held: Sequence[Held],
    tolerance_m: float,
    regressions: int,
    vehicles: tuple[int, int | None, int],
    tags: bool,
) -> Summary:
    """Count it all up."""
    seen = Counter((d.stream, d.sequence) for d in delivered)
    wrong, checked = wrong_values(delivered, held, tolerance_m)
    lost = max(0, accepted - waiting - len(seen))
    counted, truth, edge = vehicles
    return Summary(
        readings=accepted,
        acknowledged=len(seen),
        lost=lost,
        waiting=waiting,
        wrong=wrong,
        checked=checked,
        duplicates=sum(seen.values()) - len(seen),
        regressions=regressions,
        vehicles_counted=counted,
        vehicles_truth=truth,
        vehicles_edge=edge,
        tags=tags,
        ok=lost == 0 and wrong == 0 and regressions == 0 and checked > 0,
    )
