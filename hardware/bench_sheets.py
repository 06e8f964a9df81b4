"""Makes a bench sheet for every profile: `python hardware/bench_sheets.py` writes bench/<profile>.md.

A profile begins as `manual` (read in a manual).  Who has the instrument on a desk fills in its sheet, and
the profile becomes `bench`; after a season at a river it is `hardware`.  The sheet says what to send, what must come
back and what must be refused, all taken from the profile itself.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PROFILES, FOLDER = Path(__file__).parent / "profiles", Path(__file__).parent / "bench"
_DRIVERS = {
    "modbus": "modbus-gauge",
    "ascii-lines": "serial-gauge",
    "binary-frames": "serial-gauge",
    "sdi12": "sdi12-gauge",
    "pulses": "pulse-gauge",
}
_POINTS = ("0 % of range 範囲", "25 %", "50 %", "75 %", "100 %")
_RAIN_POINTS = (
    "10 tips by hand 手で 10 転倒",
    "50 tips",
    "1 tip in 2 s, 20 times",
    "water 水 (mm × cm² ÷ 10 = ml)",
    "none for 10 min なし",
)


def sheet(data: dict[str, Any]) -> str:
    """The sheet of one profile, as Markdown."""
    about, link = data["profile"], data["link"]
    lines = [
        f"# {about.get('title') or about['id']}: bench sheet / ベンチ試験表",
        "",
        "Made by `hardware/bench_sheets.py` from the profile; do not edit, copy and fill in. 複写して記入してください。",
        "",
        f"Profile `{about['id']}` · {about['kind']} · rung 段階 `{about['rung']}` · source 出典: {about['source']}",
        "",
        "| instrument 機器 | serial no. 製造番号 | firmware | date 日付 | by 記入者 | edgeagent |",
        "|---|---|---|---|---|---|",
        "| | | | | | |",
        "",
        "## 1 Connect / 接続",
        "",
        *_connect(about, link),
        "",
        "## 2 What it says / 出力の確認",
        "",
        *_reads(data),
        "",
        "## 3 Against a tape / 実測との比較",
        "",
        "`sudo edgeagent doctor` must show three reads. Five points over the range; the instrument 10 min under power.",
        "doctor で 3 回の読み取りを確認。測定範囲の 5 点、通電 10 分後に測定。",
        "",
        "| point 点 | true 真値 | shown 表示 | difference 差 | 20 reads: spread ばらつき |",
        "|---|---|---|---|---|",
        *(f"| {point} | | | | |" for point in (_RAIN_POINTS if about["kind"] == "rain" else _POINTS)),
        "",
        "## 4 Faults / 異常時の動作",
        "",
        "Each must end as *missing* or an error by name, never as a number. どの場合も数値ではなく「欠測」または名前のある異常になること。",
        "",
        "| do this 操作 | must come 期待 | seen 結果 |",
        "|---|---|---|",
        *(f"| {do} | {must} | |" for do, must in _faults(data)),
        "",
        "Send the filled sheet and the first 20 raw answers (`facts.raw` of `edgeagent status --json`) with the issue that asks",
        "for the next rung. 記入済みの表と生データ 20 件を添えて段階の引き上げを申請してください。",
    ]
    return "\n".join(lines) + "\n"


def _connect(about: dict[str, Any], link: dict[str, Any]) -> Iterator[str]:
    transport = link["transport"]
    wires = {
        "modbus": "RS-485: D0/A, D1/B, COM; see ../wiring.md. 120 Ω at both ends.",
        "ascii-lines": "UART or RS-232 as the instrument has it; TTL levels need a TTL adapter.",
        "binary-frames": "UART (TTL levels): a TTL adapter, 3.3 V or 5 V as the instrument wants.",
        "sdi12": "SDI-12 adapter: data, 12 V, GND; one line, several addresses.",
        "pulses": "Dry contact to a GPIO line and GND, pull-up on; cable screened.",
    }[transport]
    yield f"- {wires}"
    if transport != "pulses":
        unit = f", unit {link['unit']}" if transport == "modbus" and "unit" in link else ""
        yield f"- As delivered 出荷時: {link.get('baud', 9600)} baud, {link.get('frame', '8N1')}{unit}"
    yield "- Config 設定:"
    yield ""
    yield "```toml"
    yield "[[sources]]"
    yield 'id = "bench"'
    yield f'driver = "{_DRIVERS[transport]}"'
    yield 'chip = "/dev/gpiochip0"' if transport == "pulses" else 'port = "/dev/serial/by-id/…"'
    if transport == "pulses":
        yield "line = 17"
    yield f'profile = "{about["id"]}"'
    yield "```"


def _reads(data: dict[str, Any]) -> Iterator[str]:
    if "read" in data:
        yield "| name | function | register | type | order | unit | sane 正常範囲 | ✓ |"
        yield "|---|---|---|---|---|---|---|---|"
        for one in data["read"]:
            verify = " (±1: try both 両方を確認)" if one.get("address_base") == "verify" else ""
            yield (
                f"| {one['name']} | FC{one.get('fc', 3)} | {one['address']} = 0x{one['address']:04X}{verify} | "
                f"{one.get('type', 'u16')} | {one.get('order', 'ABCD')} | {one['unit']} | {_span(one)} | |"
            )
    else:
        yield "| name | unit | sane 正常範囲 | ✓ |"
        yield "|---|---|---|---|"
        for one in data.get("field", []):
            yield f"| {one['name']} | {one['unit']} | {_span(one)} | |"
        if "pulses" in data:
            yield f"| tips 転倒 | {', '.join(f'{k} = {v}' for k, v in data['pulses'].items())} | | |"
    yield ""
    yield "Known answers (tests read them too) 既知の応答:"
    yield ""
    for vector in data.get("vector", []):
        given = next(
            (f"{key} `{vector[key]!r}`" for key in ("answer", "line", "frame", "data", "tips") if key in vector), ""
        )
        wanted = ", ".join(f"{name} = {value}" for name, value in vector["expect"].items())
        yield f"- {given} → {wanted}"


def _faults(data: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for one in [*data.get("read", []), *data.get("field", [])]:
        for why, values in one.get("sentinels", {}).items():
            yield f"{one['name']} says {', '.join(map(str, values))}", f"missing, reason `{why}`"
        if "valid_if" in one:
            yield f"{one['name']} while `{one['valid_if']['read']}` says invalid", "missing or failed 無効"
    yield "pull the signal wire for 30 s 信号線を 30 秒抜く", "missing; back by itself 自動復帰"
    yield "power off the instrument 機器の電源を切る", "missing; back by itself 自動復帰"
    if data["link"]["transport"] == "modbus":
        yield "swap A and B 極性を入れ替える", "no reading, a clear error 測定値なし"
        yield "another unit id in the config 別の unit", "`timeout`, never another unit's value"
        yield "another word order 別のワード順", "outside `sane`: not published 範囲外・非公開"
    if data["link"]["transport"] in ("ascii-lines", "binary-frames"):
        yield "another baud rate 別の通信速度", "no reading, a clear error 測定値なし"
    if data["profile"]["kind"] in ("distance", "level"):
        yield "cover the sensor センサーを覆う", "missing or failed, not a level 水位にならない"


def _span(one: dict[str, Any]) -> str:
    return "–".join(f"{value:g}" for value in one["sane"]) if "sane" in one else ""


if __name__ == "__main__":
    made = sorted(PROFILES.glob("*.toml"))
    for file in made:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
        (FOLDER / f"{file.stem}.md").write_text(sheet(data), encoding="utf-8")
    sys.stdout.write(f"{len(made)} sheets\n")
