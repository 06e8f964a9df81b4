"""count watch, lines and tap: for the installer beside the road."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeagent.cli.columns import tell
from edgeagent.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, LangOption
from edgeagent.errors import ConfigError

if TYPE_CHECKING:  # the modules behind it load OpenCV and onnxruntime
    from edgeagent.sources.camera_messages import LineSpec, Start
    from edgeagent.vision.crossing import Line
    from edgeagent.vision.line_check import Findings

__all__ = ["accepts", "lines", "tap", "watch"]

_MOST_MINUTES = 15
_EVERY_S = 1.0  # between two pictures
_LIMIT = 0.10  # of the tapped vehicles: the acceptance limit makers of counters set themselves for cars
_GRACE = 1  # a vehicle on the line when the watch began or ended

SourceArgument = Annotated[str, typer.Argument(help="Source id, or URL, device, video file. カメラ。")]
LineOption = Annotated[list[str] | None, typer.Option("--line", help="id:x1,y1,x2,y2:forward; repeat. 計測線。")]
ModelOption = Annotated[str, typer.Option("--model", help="A shipped name, an .onnx file, or motion. 検出モデル。")]

_WORDS = {
    "erased": {
        "ja": "この画像は終了時に、遅くとも {0} 分後に消去されます",
        "en": "the picture is erased at the end, after {0} min at the latest",
    },
    "page": {"ja": "この端末のブラウザで開く", "en": "open in a browser on this machine"},
    "stop": {"ja": "Ctrl-C で終了", "en": "Ctrl-C ends it"},
    "seen": {"ja": "車両の軌跡 {0} 本 / {1:.0f} 秒", "en": "{0} ways of vehicles in {1:.0f} s"},
    "crossed": {"ja": "順方向 {0}  逆方向 {1}  線の外側を通過 {2}", "en": "forward {0}  backward {1}  beside it {2}"},
    "suggest": {"ja": "設定の例", "en": "a line that would count"},
    "too few": {"ja": "線を提案するには車両が足りません", "en": "too few vehicles to suggest a line"},
    "tap": {
        "ja": "f 順方向  b 逆方向  u 取り消し  q 終了",
        "en": "f forward  b backward  u undo  q end",
    },
    "line": {"ja": "計測線", "en": "line"},
    "tapped": {"ja": "手動", "en": "tapped"},
    "counted": {"ja": "自動", "en": "counted"},
    "accepted": {"ja": "合格", "en": "accepted"},
    "refused": {"ja": "不合格: 差が 10 % を超えています", "en": "not accepted: more than 10 % apart"},
}
_FAULTS = {
    "outside": {"ja": "画面の外にあり、計測されません", "en": "outside the picture: can never count"},
    "edge": {
        "ja": "画面の端すぎます。車両の足元が線を越えられず、計測されません",
        "en": "at the picture's edge: boxes are cut off there, their foot never gets beyond it",
    },
    "nobody": {"ja": "どの車両も通りません", "en": "no vehicle comes across it"},
    "beside": {
        "ja": "多くの車両が線の外側を通ります。線を伸ばしてください",
        "en": "most vehicles pass beside its end: make it longer",
    },
    "along": {
        "ja": "車両が線に沿って走っています。向きを変えてください",
        "en": "vehicles drive along it: turn it across the road",
    },
    "one-way": {
        "ja": "一方向だけです (対面通行なら線を見直してください)",
        "en": "one direction only (look again if the road has two)",
    },
}
_CAN_NEVER = frozenset(("outside", "edge", "nobody"))


def _w(key: str, *facts: object) -> str:
    from edgeagent import messages

    return _WORDS[key][messages.language()].format(*facts)


def watch(
    source: SourceArgument,
    config: ConfigOption = DEFAULT_CONFIG,
    line: LineOption = None,
    model: ModelOption = "vehicles",
    out: Annotated[Path | None, typer.Option("--out", help="PNG, replaced every second. 画像ファイル。")] = None,
    minutes: Annotated[float, typer.Option("--minutes", min=0.01, max=_MOST_MINUTES, help="How long. 時間 (分)。")] = 5,
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    """Show what the counter sees, faces and plates unreadable; gone at the end. 計測の様子を見る。"""
    from edgeagent.clock import SystemClock
    from edgeagent.sources.aim_page import aim_page
    from edgeagent.sources.aim_picture import aim_picture
    from edgeagent.sources.count_spot import Spot

    spot = Spot(_start(source, config, line, model), SystemClock())
    with contextlib.ExitStack() as stack:
        if out is not None:
            picture = stack.enter_context(aim_picture(out, most_s=_MOST_MINUTES * 60))
            show, where = picture.show, f"{out}  {_w('erased', _MOST_MINUTES)}"
        else:
            page = stack.enter_context(aim_page())
            show, where = page.show, f"{_w('page')}: {page.url}"
        tell(f"{where}\n{_w('stop')}", file=sys.stderr)
        shown_s = float("-inf")
        with contextlib.suppress(KeyboardInterrupt):
            for seen in spot.watch(minutes * 60):
                if seen.at_s - shown_s >= _EVERY_S:
                    shown_s = seen.at_s
                    show(spot.png(seen))
    totals = {
        name: {direction: sum(by_class.values()) for direction, by_class in one.counts.items()}
        for name, one in spot.lookout.counter.totals.items()
    }
    if as_json:
        print(json.dumps({"looks": spot.lookout.counter.looks, "counted": totals}))
        return
    for name, told in totals.items():
        tell(f"{name}: {told['forward']} / {told['backward']}")


def lines(
    source: SourceArgument,
    config: ConfigOption = DEFAULT_CONFIG,
    line: LineOption = None,
    model: ModelOption = "vehicles",
    seconds: Annotated[float, typer.Option("--seconds", min=1, max=900, help="How long. 時間 (秒)。")] = 60,
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    """Hold counting lines against the ways vehicles take, or suggest one. 計測線を検査・提案する。"""
    from edgeagent.clock import SystemClock
    from edgeagent.sources.count_spot import Spot
    from edgeagent.vision.line_check import check, suggest

    start = _start(source, config, line, model)
    import msgspec

    # Lines are judged here, not by the counter: one outside the picture is a finding, not the end.
    spot = Spot(msgspec.structs.replace(start, lines=(), pace=False), SystemClock())
    last_s = 0.0
    with contextlib.suppress(KeyboardInterrupt):
        for seen in spot.watch(seconds):
            last_s = seen.at_s
    findings = [check(_line(one), spot.size, spot.paths()) for one in start.lines]
    better = suggest(spot.size, spot.paths())
    if as_json:
        told = [
            {"id": f.line.id, "forward": f.forward, "backward": f.backward, "beside": f.beside, "faults": f.faults}
            for f in findings
        ]
        print(json.dumps({"lines": told, "ways": len(spot.ways), "suggested": better}))
    else:
        tell(_w("seen", len(spot.ways), min(last_s, seconds)))
        for one in findings:
            _tell_line(one)
        if not findings or any(one.faults for one in findings):
            tell(_w("suggest") + ":" if better else _w("too few"))
            if better:
                (x1, y1), (x2, y2), forward = better
                ends = f"from = [{x1:.0f}, {y1:.0f}], to = [{x2:.0f}, {y2:.0f}]"
                print(f'  {{ id = "road", {ends}, forward = "{forward}" }}')
    raise typer.Exit(1 if any(_CAN_NEVER & set(one.faults) for one in findings) else 0)


def tap(
    source: SourceArgument,
    config: ConfigOption = DEFAULT_CONFIG,
    line: LineOption = None,
    model: ModelOption = "vehicles",
    minutes: Annotated[float, typer.Option("--minutes", min=0.01, max=60, help="How long. 時間 (分)。")] = 5,
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    """Tap along with the traffic; the count is held against your taps. 手動計測と比べて検収する。"""
    from edgeagent.clock import SystemClock
    from edgeagent.sources.count_spot import Spot

    start = _start(source, config, line, model)
    if not start.lines:
        raise ConfigError("camera.no-lines", path="lines")
    first = start.lines[0].id
    spot = Spot(start, SystemClock())
    taps: list[str] = []
    counted = {"forward": 0, "backward": 0}
    with _keys() as pressed, contextlib.suppress(KeyboardInterrupt):
        tell(f"{_w('line')} {first}   {_w('tap')}", file=sys.stderr)
        for seen in spot.watch(minutes * 60):
            for one in seen.crossings:
                if one.line == first:
                    counted[one.direction] += 1
            ended = _take(pressed(), taps)
            told = f"{_w('tapped')} {taps.count('f')} / {taps.count('b')}   {seen.at_s:.0f} s"
            print(
                f"\r{told}\x1b[K", end="", file=sys.stderr, flush=True
            )  # the count is not shown: it would sway the taps
            if ended:
                break
    print(file=sys.stderr)
    tapped = {"forward": taps.count("f"), "backward": taps.count("b")}
    accepted = accepts(tapped, counted)
    if as_json:
        print(json.dumps({"ok": accepted, "tapped": tapped, "counted": counted}))
    else:
        for direction, number in counted.items():
            tell(f"{direction}: {_w('tapped')} {tapped[direction]}  {_w('counted')} {number}")
        tell(f"✓ {_w('accepted')}" if accepted else f"✗ {_w('refused')}")
    raise typer.Exit(0 if accepted else 1)


def accepts(tapped: Mapping[str, int], counted: Mapping[str, int]) -> bool:
    """Whether a count agrees with what a person tapped, per direction; without a single tap nothing is proven."""
    return any(tapped.values()) and all(abs(counted[d] - n) <= max(_GRACE, _LIMIT * n) for d, n in tapped.items())


def _take(keys: str, taps: list[str]) -> bool:
    """Apply key presses; whether the end was asked for."""
    for key in keys.lower():
        if key in "fb":
            taps.append(key)
        elif key == "u" and taps:
            taps.pop()
        elif key in "q\x04":
            return True
    return False


@contextlib.contextmanager
def _keys() -> Iterator[Callable[[], str]]:
    """Key presses without Enter; gives a function that returns what was pressed since."""
    import os
    import select
    import termios
    import tty

    handle = sys.stdin.fileno()
    if not os.isatty(handle):
        raise ConfigError("camera.no-keys")
    before = termios.tcgetattr(handle)
    tty.setcbreak(handle)

    def pressed() -> str:
        ready, _, _ = select.select([handle], [], [], 0)
        return os.read(handle, 1024).decode(errors="ignore") if ready else ""

    try:
        yield pressed
    finally:
        termios.tcsetattr(handle, termios.TCSADRAIN, before)


def _tell_line(one: Findings) -> None:
    from edgeagent import messages

    lang = messages.language()
    mark = "✓" if not one.faults else ("✗" if _CAN_NEVER & set(one.faults) else "!")
    tell(f"{mark} {one.line.id}: {_w('crossed', one.forward, one.backward, one.beside)}")
    for fault in one.faults:
        tell(f"  → {_FAULTS[fault][lang]}")


def _start(source: str, config: Path, given: list[str] | None, model: str) -> Start:
    """What to watch: a section of the config, or a camera named on the spot."""
    from edgeagent.sources.camera_messages import Start

    asked = tuple(_spec(text) for text in given or ())
    if "/" in source or "." in source or Path(source).exists():
        return Start(camera=source, model=model, lines=asked)
    from edgeagent.daemon.build import read_config
    from edgeagent.sources.traffic_camera import TrafficCameraConfig, start_of

    made, problems = read_config(config)
    if made is None:
        raise problems[0]
    for section in made.sources:
        if isinstance(section.config, TrafficCameraConfig) and section.config.id == source:
            import msgspec

            start = start_of(section.config)
            return msgspec.structs.replace(start, lines=asked) if asked else start
    raise ConfigError("camera.no-camera-source", config=str(config), id=source)


def _spec(text: str) -> LineSpec:
    import msgspec

    from edgeagent.sources.camera_messages import LineSpec

    name, _, rest = text.partition(":")
    numbers, _, forward = rest.partition(":")
    try:
        x1, y1, x2, y2 = (float(word) for word in numbers.split(","))
        spec = LineSpec(id=name, start=(x1, y1), end=(x2, y2), forward=forward or "down")  # type: ignore[arg-type]
        spec = msgspec.convert(msgspec.to_builtins(spec), LineSpec)
    except (ValueError, msgspec.ValidationError) as error:
        raise ConfigError("camera.line-spelling", got=text) from error
    return spec


def _line(spec: LineSpec) -> Line:
    from edgeagent.vision.crossing import Line

    return Line.towards(spec.id, spec.start, spec.end, spec.forward)
