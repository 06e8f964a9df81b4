"""Rings and shares."""

import pytest

from edgeagent.update.rings import place, takes_part

NAMES = [f"{n:032x}" for n in range(4000)]


def share(ring, rings, release="r1"):
    return sum(takes_part(n, ring, {"release": release, "rings": rings}) for n in NAMES) / len(NAMES)


@pytest.mark.parametrize("percent", [0, 1, 20, 50, 100])
def test_the_share_is_what_was_signed(percent):
    assert share("early", {"early": percent}) == pytest.approx(percent / 100, abs=0.02)
    assert share("all", {"early": percent}) == 0


def test_who_is_in_stays_in_while_the_share_grows_and_the_next_release_draws_anew():
    def at(percent, release="r1"):
        return {n for n in NAMES if takes_part(n, "all", {"release": release, "rings": {"all": percent}})}

    assert at(5) < at(20) < at(60) < at(100) == set(NAMES)
    both = at(20) & at(20, "r2")
    assert len(both) / len(NAMES) == pytest.approx(0.04, abs=0.015)
    assert all(0 <= place(n, "r") < 100 for n in NAMES)


@pytest.mark.parametrize(
    "custom",
    [
        {},
        {"release": "r"},
        {"rings": {"all": 100}},
        {"release": 3, "rings": {"all": 100}},
        {"release": "r", "rings": []},
        {"release": "r", "rings": {"all": True}},
        {"release": "r", "rings": {"all": "100"}},
    ],
)
def test_anything_unclear_is_a_no(custom):
    assert not takes_part("x", "all", custom)
