"""Who takes part in a rollout: rings and a signed percentage, decided on the gateway.  Pure.

A published file `city.toml` may have a candidate beside it, `city.toml.next`, whose signed
`rings = {"canary": 100, "early": 20, "all": 0}` says which share of each ring takes it.  A gateway's
place in a ring is a hash of its name and the release: stable while the share grows, another draw
for the next release.  May import: nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

__all__ = ["CANDIDATE", "place", "takes_part"]

CANDIDATE = ".next"
_STEPS = 10_000


def place(name: str, release: str) -> float:
    """Where a gateway stands in a release's queue: 0 (first) to below 100."""
    digest = hashlib.sha256(f"{name}\n{release}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % _STEPS * 100 / _STEPS


def takes_part(name: str, ring: str, custom: Mapping[str, object]) -> bool:
    """Whether this gateway takes a candidate.

    Args:
        name: the gateway's name in the repository.
        ring: its ring.
        custom: what was signed with the file: `release` and `rings`; anything else is a no.
    """
    release, rings = custom.get("release"), custom.get("rings")
    if not isinstance(release, str) or not isinstance(rings, Mapping):
        return False
    share = rings.get(ring, 0)
    if isinstance(share, bool) or not isinstance(share, int | float):
        return False
    return place(name, release) < share
