"""Bytes -> lines -> quantities."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.wire.gauge_lines import CHECKSUMS, FrameFormat, LineFormat, Lines, read_line
from edgeagent.wire.registers import Scale, Value

MAXBOTIX = LineFormat(
    re.compile(rb"R(?P<distance>\d{4})"),
    "none",
    {"distance": Scale(0.001, sane=(0.3, 10.0), sentinels={5000: "no-target", 300: "blind-zone"})},
)


def test_the_first_partial_line_is_dropped():
    lines = Lines(b"\r")
    assert lines.feed(b"234\rR1500\rR16") == [b"R1500"]
    assert lines.feed(b"00\r") == [b"R1600"]
    assert lines.dropped == {"partial": 1}


def test_a_reopened_port_starts_with_a_partial_line_again():
    lines = Lines(b"\r")
    lines.feed(b"R1500\rR1")
    lines.restart()
    assert lines.feed(b"9\rR1600\r") == [b"R1600"]


@given(st.lists(st.integers(0, 9999), min_size=1, max_size=30), st.lists(st.integers(0, 180), max_size=8))
def test_slicing_changes_nothing(values, cuts):
    stream = b"x\r" + b"".join(b"R%04d\r" % v for v in values)
    cuts = sorted(min(c, len(stream)) for c in cuts)
    lines = Lines(b"\r")
    found = [w for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True) for w in lines.feed(stream[a:b])]
    assert found == [b"R%04d" % v for v in values]


@given(st.lists(st.binary(max_size=400), max_size=20))
def test_memory_is_bounded(chunks):
    lines = Lines(b"\r")
    for chunk in chunks:
        lines.feed(chunk)
        assert len(lines.pending) <= 256


@given(st.binary(max_size=12))
def test_only_whole_lines_are_read(line):
    said = read_line(MAXBOTIX, line)
    assert isinstance(said, str) or re.fullmatch(rb"R[0-9]{4}", line)


LINES = [
    (b"R1234", {"distance": Value(1.234)}),
    (b"R5000", {"distance": Value(None, "no-target")}),
    (b"R0300", {"distance": Value(None, "blind-zone")}),
    (b"R0000", {"distance": Value(None, "out-of-range")}),
    (b"R123", "no-match"),
    (b"R12345", "no-match"),
    (b"\xf2\x11", "no-match"),
]


@pytest.mark.parametrize(("line", "expected"), LINES)
def test_maxbotix(line, expected):
    assert read_line(MAXBOTIX, line) == expected


SR50 = LineFormat(  # Campbell SR50A manual 3.8: the example line and its checksum are printed there
    re.compile(rb"(?P<body>\d+;(?P<distance>\d+);\d+;\d+;)(?P<checksum>[0-9A-F]{2})"),
    "twos8",
    {"distance": Scale(0.001)},
)
NMEA = LineFormat(
    re.compile(rb"\$(?P<body>[^*]*,(?P<level>\d+))\*(?P<checksum>[0-9A-F]{2})"), "xor8", {"level": Scale()}
)


def test_checksums():
    body = b"33;1838;194;11011;"
    assert read_line(SR50, body + b"%02X" % (-sum(body) & 0xFF)) == {"distance": Value(1.838)}
    assert read_line(SR50, body + b"00") == "checksum"
    assert read_line(NMEA, b"$LV,7*%02X" % (0x4C ^ 0x56 ^ 0x2C ^ 0x37)) == {"level": Value(7.0)}
    assert read_line(NMEA, b"$LV,8*%02X" % (0x4C ^ 0x56 ^ 0x2C ^ 0x37)) == "checksum"


def test_a_number_that_is_none():
    form = LineFormat(
        re.compile(rb"(?P<level>\S+)( (?P<temperature>\S+))?"), "none", {"level": Scale(), "temperature": Scale()}
    )
    assert read_line(form, b"--.--") == {"level": Value(None, "not-a-number"), "temperature": Value(None, "empty")}


DYP = FrameFormat(b"\xff", 4, "sum8", {"distance": (1, "u16")}, {"distance": Scale(0.001)})


def test_a_frame_is_found_wherever_it_begins():
    frames = DYP.cutter()
    assert frames.feed(bytes.fromhex("a1a7ff07")) == []
    assert frames.feed(bytes.fromhex("a1a7ff07a1a7")) == [bytes.fromhex("ff07a1a7")] * 2
    assert DYP.read(bytes.fromhex("ff07a1a7")) == {"distance": Value(1.953)}
    assert DYP.read(bytes.fromhex("ff07a1a8")) == "checksum" == DYP.read(b"\xff")


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5))
def test_frames_in_any_slices_are_the_same_and_prove_themselves(heard, cuts):
    heard += bytes.fromhex("ff07a1a7")
    cuts = sorted(min(c, len(heard)) for c in cuts)
    frames, whole = DYP.cutter(), DYP.cutter()
    made = [f for a, b in zip([0, *cuts], [*cuts, len(heard)], strict=True) for f in frames.feed(heard[a:b])]
    assert made == whole.feed(heard) and len(frames.pending) < 4
    assert all(f[0] == 0xFF and sum(f[:3]) & 0xFF == f[3] for f in made)


def test_the_sr50a_counts_what_frames_its_line_too():
    assert CHECKSUMS["sr50a"](b"33;1838;194;11011;") == 0x2C, "the manual's own example"
