"""The status page: what is blind looks blind, and it speaks the reader's language."""

import msgspec
import pytest

from edgeagent.cli import show
from edgeagent.daemon.health import Problem, SourceStatus, Status, UplinkStatus
from edgeagent.ports import OutboxStats
from edgeagent.reading import Quantity, Unit

LEVEL = Quantity(1.234, Unit.METRE)
GONE = Quantity.missing(Unit.METRE)


def source(last, *, state="running", problem=None):
    return SourceStatus(
        id="miyagawa", driver="modbus-gauge", name="宮川橋", state=state, readings=3, age_s=65.0 if last else None, last=last,
        problems={"gauges.no-port": 2} if problem else {}, last_problem=problem, last_problem_age_s=1.0 if problem else None,
    )  # fmt: skip


def page(one):
    uplink = UplinkStatus(
        id="city", driver="ngsi-ld", state="ok", acknowledged=5, waiting=0, dead=0, oldest_s=0, last_ok_s=1, problems={}, last_problem=None,
        sent_bytes=6_000_000, bytes_per_reading=1200.0,
    )  # fmt: skip
    return show.status(
        msgspec.json.encode(
            Status(
                gateway="GW-1", version="0", pid=1, up_s=93784, clock="synced", queue=0, held_in_ram=0, dropped_from_ram=0,
                outbox=OutboxStats(7, 5, 2, 0, 0, 1.0, 4096, {}), outbox_problem=None, sources=[one], uplinks=[uplink],
            )
        )
    )  # fmt: skip


@pytest.mark.parametrize(
    ("one", "mark"),
    [
        (source({"level": LEVEL}), "✓"),
        (source({"level": GONE}), "✗"),
        (source({"level": GONE, "temperature": Quantity(20.0, Unit.CELSIUS)}), "✓"),
        (source({}), "✗"),
        (source({"level": LEVEL}, state="waiting"), "✗"),
    ],
)
def test_mark(one, mark, monkeypatch):
    monkeypatch.setenv("EDGEAGENT_LANG", "en")
    assert "sent 6.00 MB · 1200 B/reading" in page(one)
    assert f"  {mark} miyagawa 宮川橋" in page(one)


@pytest.mark.parametrize(("lang", "word"), [("ja", "シリアルポート"), ("en", "serial port")])
def test_a_problem_is_told_in_the_language_of_who_asks(lang, word, monkeypatch):
    monkeypatch.setenv("EDGEAGENT_LANG", lang)
    problem = Problem("gauges.no-port", {"port": "/dev/x", "present": "-"}, "text of the gateway's own language")
    text = page(source({}, problem=problem))
    assert word in text.lower() and "/dev/x" in text and "own language" not in text
