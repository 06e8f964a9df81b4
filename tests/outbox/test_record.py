from zlib import crc32

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.outbox.record import FORMAT, RecordDamaged, RecordUnknown, pack, unpack
from edgeagent.reading import Kind, Moment, Quality, Quantity, Reading, ReadingClass, TimeTrust, Unit
from tests.fakes import water

value = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=20)
quantity = st.builds(Quantity, value, st.sampled_from(Unit), st.sampled_from(Quality))
moment = st.builds(
    Moment,
    st.integers(0, 2**45),
    st.integers(0, 2**45),
    st.text("0123456789abcdef", min_size=12, max_size=12),
    st.sampled_from(TimeTrust),
)
reading = st.builds(
    Reading,
    source=st.text(max_size=10),
    kind=st.sampled_from(Kind),
    entity=st.text(max_size=10),
    at=moment,
    quantities=st.dictionaries(st.text(max_size=10), quantity, max_size=4),
    cls=st.sampled_from(ReadingClass),
    span_ms=st.integers(0, 2**40),
    facts=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
    sequence=st.integers(0, 2**60),
)


@given(reading)
def test_what_goes_in_comes_out(one):
    again = unpack(pack(one))
    assert again == one
    assert [type(q.value) for q in again.quantities.values()] == [type(q.value) for q in one.quantities.values()]


def test_another_version_is_kept_not_guessed():
    body = b"whatever comes after us"
    with pytest.raises(RecordUnknown) as told:
        unpack(bytes([FORMAT + 1]) + crc32(body, FORMAT + 1).to_bytes(4, "big") + body)
    assert told.value.facts == {"version": FORMAT + 1, "known": FORMAT}


@given(st.data())
def test_no_flipped_bit_passes(data):
    record = bytearray(pack(water()))
    record[data.draw(st.integers(1, len(record) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(RecordDamaged):
        unpack(bytes(record))


@given(st.integers(0, 255))
def test_a_flipped_version_is_seen_through(version):
    assert unpack(bytes([version]) + pack(water())[1:]) == water()


@pytest.mark.parametrize("length", [0, 1, 4, 5, 30])
def test_a_cut_record_is_damaged(length):
    with pytest.raises(RecordDamaged):
        unpack(pack(water())[:length])


def test_a_sound_checksum_over_something_else_is_damaged():
    class Other(msgspec.Struct, array_like=True):
        source: int

    with pytest.raises(RecordDamaged):
        unpack(pack(Other(5)))


def test_a_field_added_later_with_a_default_reads_both_ways():
    class Later(Reading, frozen=True, array_like=True, kw_only=True):
        uncertainty_mm: int = 0

    old, new = water(), Later(**msgspec.structs.asdict(water()), uncertainty_mm=3)
    assert unpack(pack(new)) == old
    body = pack(old)[5:]
    assert msgspec.msgpack.decode(body, type=Later).uncertainty_mm == 0
