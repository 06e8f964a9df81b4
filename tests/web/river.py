"""What browsers are shown: a flood, a doubtful gauge, tags, a simulated road; nothing of it was ever filmed."""

import functools
import math
import random

import cv2

from edgeagent.history import History, Level, Trace
from edgeagent.reading import Quality, Quantity, Unit
from edgeagent.simulate.road import DEMO_SEED, RoadScene
from edgeagent.sources.annotate import coarse
from edgeagent.web.offers import Camera, Check, Drawn, Found, Listed, Picture
from tests.web.rig import Road, World, source, status, uplink
from tests.web.test_hydrograph import NOW, at, every

LEVELS = [Level("standby", 1.0), Level("caution", 1.5), Level("evacuate", 2.1), Level("danger", 2.6)]
LINES = (
    Drawn(id="up-down", start=(40.0, 250.0), end=(600.0, 250.0), forward="down"),
    Drawn(id="side", start=(300.0, 80.0), end=(420.0, 150.0), forward="right"),
)


def flood():
    """A day that ends above "evacuate", with a gap, refused readings and doubtful ones."""
    luck, points = random.Random(1), []
    for ago in range(1440, -1, -1):
        share = (1440 - ago) / 1440
        metres = 0.42 + 1.95 / (1 + math.exp(-(share - 0.8) * 22)) + luck.gauss(0, 0.006)
        if 900 < ago < 980:
            continue
        if ago in (411, 1300):
            points.append(at(ago, None, quality=Quality.FAIL, failed=1))
        else:
            quality = Quality.SUSPECT if 300 < ago < 312 else Quality.GOOD
            points.append(at(ago, metres, low=metres - 0.02, high=metres + 0.02, quality=quality))
    return points


@functools.cache
def road():
    """A PNG."""
    frame = next(iter(RoadScene(DEMO_SEED, size=(640, 360)).frames(1)))
    return cv2.imencode(".png", coarse(frame.image))[1].tobytes()


class SimulatedRoad(Road):
    """A camera before a rendered road: one picture, blurred as the real one is."""

    def pictures(self):
        for picture in super().pictures():
            yield Picture(road(), (640, 360), picture.seconds, 9)

    def check(self, lines):
        """The first line counts, any other has nobody on it."""
        return [
            Found(id=one.id, forward=0 if n else 7, backward=0 if n else 4, beside=0 if n else 1, faults=("nobody",) if n else ())
            for n, one in enumerate(lines)
        ]  # fmt: skip


class River(World):
    """A site in a flood."""

    def __init__(self):
        super().__init__()
        self.lines, self.road = LINES, SimulatedRoad()
        level = {
            "level": Quantity(2.36, Unit.METRE),
            "rate": Quantity(0.31, Unit.METRE_PER_HOUR),
            "alarm_level": Quantity("evacuate"),
        }
        self.status = status(
            source(last=level, age_s=4.0),
            source("susobana", name="裾花川", age_s=9.0, last={"level": Quantity(0.41, Unit.METRE, Quality.SUSPECT)}),
            source("tags", "ble-tags", "見守りタグ", last={"people": Quantity(3), "listening": Quantity(True)}, age_s=18.0),
            source("route140", "traffic-camera", "国道140号", last={"count": Quantity(11), "count_forward": Quantity(7), "count_backward": Quantity(4)}, age_s=21.0),
            source("gone", name="芥川", last={"level": Quantity.missing(Unit.METRE)}, age_s=905.0, well=False),
            uplinks=[uplink(acknowledged=20_431), uplink(id="prefecture", driver="iota-json", state="down", waiting=77, well=False, last_ok_s=1930.0)],
            acknowledged=20_431, waiting=77, oldest_s=1930.0,
        )  # fmt: skip
        calm = [p for p in every(10, 1440, 9, 0.41) if p]
        calm[-1] = at(9, 0.41, quality=Quality.SUSPECT)
        self.history = History(
            now_ms=NOW, since_ms=NOW - 86_400_000, clock="synced",
            traces=[
                Trace(source="miyagawa", name="宮川橋", levels=LEVELS, points=flood()),
                Trace(source="susobana", name="裾花川", levels=LEVELS[:2], points=calm),
            ],
        )  # fmt: skip

    def offers(self, **more):
        checks = [
            Check(code="E-POWER-02", state="warning", text="起動後に電源電圧の不足がありました。SD カードを傷めます。", remedy="電源またはケーブルを替えてください。"),
            Check(code="E-NET-04", state="failed", text="届いていません。", remedy="回線を確かめてください。", about="prefecture"),
            Check(code="E-CLOCK-01", state="ok", text="時計は正常です。", remedy=""),
        ]  # fmt: skip
        listed = [Listed(id="miyagawa", name="宮川橋", driver="modbus-gauge")]
        given = {
            "cameras": lambda: [Camera(id="route140", name="国道140号", lines=self.lines)],
            "doctor": lambda _: checks, "sources": listed,
        }  # fmt: skip
        return super().offers(**{**given, **more})
