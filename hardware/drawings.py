"""Makes the drawings of this folder: `python hardware/drawings.py` writes drawings/*.svg.

Plain SVG 1.1, no font, script or picture from elsewhere; every drawing has a title and a description for
those who do not see it, and words beside every colour.
"""

from __future__ import annotations

import sys
from html import escape
from pathlib import Path

FOLDER = Path(__file__).parent / "drawings"
_INK, _A, _B, _EARTH, _WATER, _FILL = "#1b1b1b", "#0b57a4", "#a34700", "#2e6b2e", "#cfe3f5", "#f4f1ea"


class Sheet:
    """One drawing; sizes in its own units, which are pixels at 100 %."""

    def __init__(self, title: str, about: str, width: int, height: int) -> None:
        self._size = width, height
        self._head = f"<title>{escape(title)}</title><desc>{escape(about)}</desc>"
        self._parts: list[str] = []

    def line(self, *points: float, ink: str = _INK, wide: float = 2, dash: str = "") -> None:
        """A line through points x1, y1, x2, y2, …"""
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        pairs = " ".join(f"{x:g},{y:g}" for x, y in zip(points[::2], points[1::2], strict=True))
        self._parts.append(f'<polyline points="{pairs}" fill="none" stroke="{ink}" stroke-width="{wide:g}"{dashed}/>')

    def area(self, *points: float, fill: str) -> None:
        """A filled polygon without an edge."""
        pairs = " ".join(f"{x:g},{y:g}" for x, y in zip(points[::2], points[1::2], strict=True))
        self._parts.append(f'<polygon points="{pairs}" fill="{fill}"/>')

    def box(self, x: float, y: float, w: float, h: float, *lines: str, fill: str = _FILL) -> None:
        """A box with centred lines of text."""
        self._parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{w:g}" height="{h:g}" rx="4" fill="{fill}" stroke="{_INK}" stroke-width="2"/>'
        )
        top = y + h / 2 - 8 * (len(lines) - 1) + 5
        for number, text in enumerate(lines):
            self.text(x + w / 2, top + 16 * number, text, anchor="middle")

    def text(self, x: float, y: float, text: str, *, anchor: str = "start", ink: str = _INK, size: int = 13) -> None:
        """A line of text."""
        self._parts.append(
            f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" fill="{ink}" font-size="{size}">{escape(text)}</text>'
        )

    def dot(self, x: float, y: float, ink: str = _INK) -> None:
        """A joint of wires."""
        self._parts.append(f'<circle cx="{x:g}" cy="{y:g}" r="4" fill="{ink}"/>')

    def resistor(self, x: float, y1: float, y2: float, text: str) -> None:
        """An upright resistor between two heights."""
        middle = (y1 + y2) / 2
        self.line(x, y1, x, middle - 14)
        self.line(x, middle + 14, x, y2)
        self._parts.append(
            f'<rect x="{x - 6:g}" y="{middle - 14:g}" width="12" height="28" fill="#fff" stroke="{_INK}" stroke-width="2"/>'
        )
        self.text(x + 10, middle + 5, text)

    def earth(self, x: float, y: float, text: str = "") -> None:
        """The sign for protective earth."""
        self.line(x, y, x, y + 12, ink=_EARTH)
        for number, half in enumerate((14, 9, 4)):
            self.line(x - half, y + 12 + 5 * number, x + half, y + 12 + 5 * number, ink=_EARTH)
        self.text(x + 18, y + 22, text, ink=_EARTH)

    def span(self, x1: float, y1: float, x2: float, y2: float, text: str) -> None:
        """A measured distance, upright or level."""
        self.line(x1, y1, x2, y2, wide=1)
        if x1 == x2:
            self.line(x1 - 5, y1, x1 + 5, y1, wide=1)
            self.line(x2 - 5, y2, x2 + 5, y2, wide=1)
            self.text(x1 + 8, (y1 + y2) / 2 + 4, text)
        else:
            self.line(x1, y1 - 5, x1, y1 + 5, wide=1)
            self.line(x2, y2 - 5, x2, y2 + 5, wide=1)
            self.text((x1 + x2) / 2, y1 - 8, text, anchor="middle")

    def svg(self) -> str:
        """The file."""
        width, height = self._size
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            f'role="img" font-family="sans-serif">\n{self._head}\n<rect width="{width}" height="{height}" fill="#fff"/>\n'
            + "\n".join(self._parts)
            + "\n</svg>\n"
        )


def rs485_bus() -> Sheet:
    """Two gauges and the gateway on one RS-485 line."""
    s = Sheet(
        "RS-485 bus / RS-485 バス配線",
        "A daisy chain from the gateway's isolated adapter over two gauges. 120 ohm between A and B at both ends, bias "
        "resistors at the adapter only, the shield earthed at the gateway end only, a third wire as common.",
        860,
        360,
    )
    s.box(20, 90, 150, 130, "Gateway", "絶縁型 USB-RS485", "isolated adapter")
    s.box(390, 20, 150, 60, "Gauge 1 水位計 1", "unit 1")
    s.box(690, 90, 150, 130, "Gauge 2 水位計 2", "unit 2", "(last 末端)")
    for y, ink, name in ((115, _A, "D0 / A (−)"), (155, _B, "D1 / B (+)"), (195, _INK, "COM / GND")):
        s.line(170, y, 690, y, ink=ink)
        s.text(330, y - 6, name, ink=ink)
    for x, y, ink in ((430, 115, _A), (465, 155, _B), (500, 195, _INK)):
        s.line(x, 80, x, y, ink=ink)
        s.dot(x, y, ink)
    s.resistor(205, 115, 155, "120 Ω")
    s.resistor(640, 115, 155, "120 Ω")
    s.dot(205, 115, _A)
    s.dot(205, 155, _B)
    s.dot(640, 115, _A)
    s.dot(640, 155, _B)
    s.line(170, 235, 690, 235, dash="6 4")
    s.text(330, 252, "shield シールド")
    s.line(190, 235, 190, 262, ink=_EARTH)
    s.earth(190, 262, "gateway end only ゲートウェイ側のみ接地")
    s.text(660, 252, "cut and insulated 絶縁処理", size=12)
    s.text(20, 330, "Bias (if needed): D1 to +5 V and D0 to COM, 450-650 Ω, at ONE place: the adapter.", size=12)
    s.text(
        20,
        348,
        "バイアス(必要時): D1→+5 V、D0→COM に各 450〜650 Ω、アダプター側の 1 か所のみ。枝線は短く(20 m 以内)。",
        size=12,
    )
    return s


def rs485_surge() -> Sheet:
    """Surge arresters at both ends of an outdoor cable."""
    s = Sheet(
        "Surge protection of an outdoor line / 屋外配線の雷サージ対策",
        "An arrester at the entry of the cabinet and one at the gauge. Arrester, cabinet, mast and supply share one earth "
        "bar; the leads between arrester and bar are short. Protected and unprotected wires never run side by side.",
        860,
        320,
    )
    s.box(20, 40, 200, 200, fill="#fff")
    s.text(30, 60, "cabinet 盤")
    s.box(40, 80, 70, 50, "Gateway")
    s.box(140, 80, 70, 50, "SPD")
    s.box(640, 80, 70, 50, "SPD")
    s.box(750, 80, 90, 50, "Gauge", "水位計")
    s.line(110, 105, 140, 105, ink=_A)
    s.line(210, 105, 640, 105, ink=_A)
    s.line(710, 105, 750, 105, ink=_A)
    s.text(300, 95, "outdoor cable 屋外ケーブル (RS-485, power 電源)")
    s.line(40, 200, 210, 200, ink=_EARTH, wide=6)
    s.text(80, 192, "earth bar", ink=_EARTH, size=12)
    s.line(175, 130, 175, 200, ink=_EARTH, wide=3)
    s.text(182, 170, "short", ink=_EARTH, size=12)
    s.line(75, 130, 75, 200, ink=_EARTH)
    s.line(120, 200, 120, 250, ink=_EARTH)
    s.earth(120, 250, "earth 接地 (leads short 接地線は短く)")
    s.line(675, 130, 675, 200, ink=_EARTH, wide=3)
    s.earth(675, 200, "mast earth 支柱接地")
    s.text(300, 300, "SPD: both wires and COM, rated for the line's voltage (IEC 61643-21 / JIS C 5381-21)", size=12)
    return s


def gauge_mounting() -> Sheet:
    """A distance gauge on a bridge or an arm."""
    s = Sheet(
        "Mounting a distance gauge / 水位計(距離式)の取付",
        "The gauge looks straight down from an arm, its beam clear of the bank, the pier and the arm; the height of its "
        "reference plane above gauge zero is the mount height, the staff reading is the check.",
        860,
        460,
    )
    s.area(0, 320, 860, 320, 860, 460, 0, 460, fill=_WATER)
    s.area(0, 90, 170, 90, 250, 460, 0, 460, fill="#d8cfc0")
    s.line(170, 90, 250, 460)
    s.text(20, 80, "bank 護岸")
    s.line(130, 90, 130, 30, wide=6)
    s.line(130, 40, 520, 40, wide=6)
    s.box(490, 40, 60, 36, "gauge")
    s.area(520, 76, 440, 320, 600, 320, fill="#fbe6a2")
    s.line(520, 76, 520, 320, dash="5 4")
    s.text(610, 130, "beam θ")
    s.text(260, 300, "width 幅 = 2·d·tan(θ/2)", size=12)
    s.span(400, 76, 400, 320, "d: distance 距離")
    s.line(700, 20, 700, 440, wide=8, ink="#888")
    for number in range(9):
        s.line(690, 60 + 45 * number, 710, 60 + 45 * number)
    s.text(720, 60, "staff gauge 量水標")
    s.line(560, 420, 860, 420, ink=_B)
    s.text(720, 440, "gauge zero 零点", ink=_B)
    s.span(560, 76, 560, 420, "mount_height_m")
    s.line(440, 320, 600, 320, wide=3)
    s.text(260, 350, "level = mount_height − d × cos(tilt)", size=12)
    s.text(260, 368, "check against the staff 量水標の読みと照合", size=12)
    return s


def camera_mounting() -> Sheet:
    """A counting camera beside a road, from the side."""
    s = Sheet(
        "Mounting a counting camera / 交通量カメラの取付",
        "Seen from the side: the camera at height h looks down so that the horizon is outside the picture; the counting "
        "line lies where vehicles come out of the shadow of others, in the lower half of the picture.",
        860,
        400,
    )
    s.area(0, 320, 860, 320, 860, 400, 0, 400, fill="#d0d0d0")
    s.line(80, 320, 80, 70, wide=8)
    s.box(60, 40, 70, 34, "camera")
    s.area(130, 57, 200, 320, 780, 320, fill="#fbe6a2")
    s.line(130, 57, 200, 320, wide=1)
    s.line(130, 57, 780, 320, wide=1)
    s.line(130, 57, 430, 320, dash="5 4")
    s.span(30, 57, 30, 320, "h")
    s.line(130, 57, 330, 57, wide=1, dash="3 3")
    s.text(250, 80, "tilt 俯角 20-45°")
    s.box(360, 280, 80, 38, "car", fill="#e8f0e8")
    s.box(600, 262, 120, 56, "truck", fill="#e8f0e8")
    s.line(430, 320, 430, 345, ink=_B, wide=4)
    s.text(445, 362, "counting line 計測線", ink=_B)
    s.span(80, 385, 430, 385, "D")
    s.text(520, 130, "visible width 視野の幅 = 2·√(h² + D²)·tan(HFOV/2)", anchor="middle", size=12)
    return s


def antenna() -> Sheet:
    """A Bluetooth antenna outside a metal cabinet."""
    s = Sheet(
        "Bluetooth antenna / BLE アンテナの位置",
        "The radio hangs on a short USB 2.0 cable outside the metal cabinet, upright, 2 to 3 m above the path, away from "
        "USB 3 sockets and the LTE antenna; a canary tag lies in the cabinet.",
        860,
        330,
    )
    s.line(80, 320, 80, 30, wide=8)
    s.box(100, 150, 170, 130, "metal cabinet 金属盤", "Gateway", "canary tag 確認用タグ")
    s.line(180, 150, 180, 90, 330, 90, wide=3)
    s.text(190, 82, "USB 2.0, 0.5-2 m")
    s.box(330, 60, 90, 60, "BLE radio", "防水ケース")
    s.line(375, 60, 375, 20, wide=4)
    s.span(470, 90, 470, 300, "2-3 m")
    s.line(300, 300, 860, 300)
    s.text(640, 320, "path 通路")
    s.box(600, 220, 60, 40, "tag")
    s.line(420, 75, 600, 225, dash="4 4", wide=1)
    s.box(100, 30, 60, 40, "LTE")
    s.text(520, 50, "LTE antenna and USB 3 sockets: 1 m away or more", size=12)
    s.text(520, 68, "LTE アンテナ・USB 3 端子から 1 m 以上離す", size=12)
    return s


def power() -> Sheet:
    """From mains or a battery to the board."""
    s = Sheet(
        "Power / 電源",
        "Mains over breaker and surge arrester, or solar panel over charge controller, to a 12 V battery; a DC-DC "
        "converter makes 5.1 V close to the board, over a short thick cable; the clock module has its own cell.",
        860,
        260,
    )
    s.box(20, 30, 130, 60, "AC 100 V", "breaker + SPD")
    s.box(20, 150, 130, 60, "solar 太陽電池", "+ controller")
    s.box(230, 90, 130, 60, "12 V battery", "蓄電池 + fuse")
    s.box(440, 90, 140, 60, "DC-DC 5.1 V", "5 A")
    s.box(680, 60, 160, 120, "Raspberry Pi", "RTC + cell 電池", "pSLC card / eMMC")
    s.line(150, 60, 190, 60, 190, 110, 230, 110)
    s.line(150, 180, 190, 180, 190, 130, 230, 130)
    s.line(360, 120, 440, 120)
    s.line(580, 120, 680, 120, wide=4)
    s.text(630, 108, "< 0.5 m", anchor="middle")
    s.text(630, 142, "≥ 0.75 mm²", anchor="middle", size=12)
    s.text(440, 240, "measure at the board under load 負荷時に基板側で測る: ≥ 4.9 V", size=12)
    return s


DRAWINGS = {
    "rs485-bus": rs485_bus,
    "rs485-surge": rs485_surge,
    "gauge-mounting": gauge_mounting,
    "camera-mounting": camera_mounting,
    "ble-antenna": antenna,
    "power": power,
}

if __name__ == "__main__":
    for name, draw in DRAWINGS.items():
        (FOLDER / f"{name}.svg").write_text(draw().svg(), encoding="utf-8")
    sys.stdout.write(f"{len(DRAWINGS)} drawings\n")
