"""What one sees, at a desk and on a phone."""

import pytest
from rich.cells import cell_len
from rich.console import Console

from edgeagent.daemon.health import SourceStatus, Status, UplinkStatus
from edgeagent.demo.verdict import judge
from edgeagent.demo.view import CityView, Scene, draw, line, verdict
from edgeagent.ports import OutboxStats
from edgeagent.reading import Quality, Quantity, Unit


def scene(lang="en", *, cut=False):
    source = SourceStatus(
        id="miyagawa",
        driver="modbus-gauge",
        name="宮川橋",
        state="running",
        readings=7,
        age_s=1.0,
        last={"level": Quantity(1.234, Unit.METRE), "rain": Quantity(None, Unit.MILLIMETRE, Quality.MISSING)},
        problems={"gauges.timeout": 2},
        last_problem=None,
        last_problem_age_s=None,
    )
    uplink = UplinkStatus(
        id="city",
        driver="ngsi-ld",
        state="ok",
        acknowledged=5,
        waiting=2,
        dead=0,
        oldest_s=1,
        last_ok_s=1,
        problems={},
        last_problem=None,
    )
    outbox = OutboxStats(7, 5, 2, 0, 0, 1.0, 4096, {})
    status = Status(
        gateway="GW-1", version="0", pid=1, up_s=1, clock="synced", queue=0, held_in_ram=0, dropped_from_ram=0,
        outbox=outbox, outbox_problem=None, sources=[source], uplinks=[uplink],
    )  # fmt: skip
    return Scene(
        lang,
        12.0,
        60.0,
        "",
        cut=cut,
        status=status,
        city=[CityView("WaterObserved miyagawa", "1.23 m", 2.0, 9)],
        waiting=[0, 1, 2],
    )


def shown(thing, width):
    console = Console(width=width, record=True, force_terminal=False, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    try:
        console.print(thing)
        return console.export_text()
    finally:
        console.file.close()


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("lang", ["en", "ja"])
def test_fits_the_screen_and_tells_what_matters(width, lang):
    text = shown(draw(scene(lang), width), width)
    assert "宮川橋" in text and "level 1.23 m" in text and "rain (missing)" in text
    assert "1.23 m" in text and "! 2" in text
    assert {"en": "what the city knows", "ja": "都市OSが知っていること"}[lang] in text
    assert max(cell_len(row) for row in text.splitlines()) <= width


def test_a_cut_line_is_said_in_words_not_only_in_colour():
    assert "uplink is cut" in shown(draw(scene(cut=True), 80), 80)
    assert "回線切断中" in line(scene("ja", cut=True)) and "2" in line(scene("ja", cut=True))


def test_verdict_table():
    told = judge(
        accepted=3,
        waiting=0,
        delivered=[],
        held=[],
        tolerance_m=0.001,
        regressions=0,
        vehicles=(3, None, 0),
        tags=False,
    )
    text = shown(verdict(told, "en"), 80)
    assert "lost" in text and "3 / ?" in text and "dbus-daemon" in text and "see the figures" in text
