"""The kept corpus once more, and a short run of Hypothesis; the long run is coverage-guided (guided.py)."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.faults.verdict import rounds
from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"


@pytest.mark.parametrize("name", TARGETS)
def test_what_was_once_found(name):
    kept = sorted((CORPUS / name).iterdir())
    assert kept, "a corpus per parser"
    for file in kept:
        TARGETS[name](file.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_any_bytes(name):
    @settings(max_examples=rounds(100, 20_000))
    @given(st.binary(max_size=300))
    def run(data):
        TARGETS[name](data)

    run()


def test_a_target_can_fail(monkeypatch):
    """An answer that is believed without its CRC is seen."""
    monkeypatch.setattr("edgeagent.wire.rtu.crc16", lambda _: 0)
    with pytest.raises(AssertionError):
        TARGETS["rtu"](b"\x1f" + bytes.fromhex("0103040001000200ff"))
