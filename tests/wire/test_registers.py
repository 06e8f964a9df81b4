"""Words -> numbers."""

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.wire.registers import ORDERS, Register, Scale, Value, blocks, decode, number


def words(raw: bytes, order: str) -> list[int]:
    """Written down the way the order's name says, independently of the decoder."""
    places = {letter: raw[i] for i, letter in enumerate("ABCD")}
    data = bytes(places[letter] for letter in order)
    return list(struct.unpack(">HH", data))


@given(st.floats(width=32), st.sampled_from(ORDERS))
def test_floats_in_every_order(value, order):
    found = number("f32", order, words(struct.pack(">f", value), order))
    assert found == value or (math.isnan(found) and math.isnan(value))


@given(st.integers(0, 2**32 - 1), st.sampled_from(ORDERS))
def test_long_integers_in_every_order(value, order):
    assert number("u32", order, words(struct.pack(">I", value), order)) == value
    signed = value - 2**32 if value >= 2**31 else value
    assert number("i32", order, words(struct.pack(">i", signed), order)) == signed


@given(st.integers(0, 0xFFFF))
def test_short_integers(value):
    assert number("u16", "ABCD", [value]) == value
    assert number("i16", "CDAB", [value]) == struct.unpack(">h", struct.pack(">H", value))[0]
    assert number("u16", "BADC", [int.from_bytes(value.to_bytes(2, "big"), "little")]) == value


@pytest.mark.parametrize("true", [2.345, 2.5, 0.75, 1.0, 12.34, 29.999])
def test_swapped_words_do_not_look_like_a_level(true):
    # the usual mix-up; swapped bytes can look right (0.75 becomes 2.98), which no rule can see
    level = Register("level", 3, 0, "f32", "CDAB", Scale(sane=(0.0, 30.0)))
    assert decode(level, words(struct.pack(">f", true), "ABCD")).reason in (
        "word-order",
        "out-of-range",
        "not-a-number",
    )


def test_a_float_zero_is_zero():
    assert decode(Register("level", 3, 0, "f32", scale=Scale(sane=(0.0, 30.0))), [0, 0]) == Value(0.0)


VALUES = [
    (Scale(0.001, sane=(0, 30)), 1234, Value(1.234)),
    (Scale(0.001, sane=(0, 30)), 30_001, Value(None, "out-of-range")),
    (Scale(0.001, sentinels={5000: "no-target"}), 5000, Value(None, "no-target")),
    (Scale(0.1, offset=-20), 300, Value(10.0)),
    (Scale(), math.nan, Value(None, "not-a-number")),
    (Scale(), -math.inf, Value(None, "not-a-number")),
    (Scale(0.001), 0, Value(0.0)),
    (Scale(0.001), 4_567, Value(4.567)),
]


@pytest.mark.parametrize(("scale", "raw", "expected"), VALUES)
def test_scale(scale, raw, expected):
    assert scale.apply(raw) == expected


@given(st.floats(allow_nan=True, allow_infinity=True), st.floats(-5, 5), st.floats(0, 5))
def test_a_number_is_sane_or_there_is_none(raw, low, span):
    value, reason = Scale(sane=(low, low + span)).apply(raw)
    assert (value is None) == bool(reason)
    assert value is None or low <= value <= low + span


def names(made):
    return [(b.function, b.address, b.words, [r.name for _, r in b.registers]) for b in made]


def test_only_neighbours_share_a_question():
    registers = [
        Register("level", 3, 0x20),
        Register("mean", 3, 0x21),
        Register("temperature", 3, 0x1A, "i16"),
        Register("rain", 4, 0x22, "f32"),
        Register("more", 4, 0x24, "u32"),
    ]
    assert names(blocks(registers)) == [
        (3, 0x20, 2, ["level", "mean"]),
        (3, 0x1A, 1, ["temperature"]),
        (4, 0x22, 4, ["rain", "more"]),
    ]


def test_no_question_is_longer_than_the_protocol_allows():
    made = blocks([Register(f"r{i}", 3, 2 * i, "u32") for i in range(100)])
    assert [b.words for b in made] == [124, 76]
    assert sum(len(b.registers) for b in made) == 100


@given(st.lists(st.integers(0, 60), unique=True, min_size=1))
def test_every_register_is_asked_for_once(addresses):
    made = blocks([Register(f"r{a}", 3, a) for a in addresses])
    asked = [b.address + offset for b in made for offset, _ in b.registers]
    assert sorted(asked) == sorted(addresses)
    assert made[0].address <= addresses[0] < made[0].address + made[0].words
