"""count: vehicle counting, proven on recorded video and on the spot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeagent.cli.columns import tell
from edgeagent.cli.count_spot import lines, tap, watch
from edgeagent.cli.options import JsonOption, LangOption

if TYPE_CHECKING:  # the modules behind it load OpenCV and onnxruntime
    from edgeagent.sources.count_eval import Result
    from edgeagent.sources.model_check import Golden, ModelReport

__all__ = ["app"]

app = typer.Typer(help="Counting vehicles. 車両計測。", no_args_is_help=True)
app.command()(watch)
app.command()(lines)
app.command()(tap)

_GOLDEN_SEEDS = (5, 21)  # places that the shipped model was not trained on
_MARGIN_PX = 5


@app.command(name="eval")
def evaluate(
    video: Annotated[Path, typer.Argument(help="The clip. 映像。")],
    truth: Annotated[Path, typer.Argument(help="What really crossed (JSON). 正解。")],
    model: Annotated[
        str, typer.Option("--model", help="A shipped name, .onnx file, or motion. 検出モデル。")
    ] = "vehicles",
    fps: Annotated[float | None, typer.Option("--fps", min=0.5, max=60, help="Looks a second. 毎秒の画像数。")] = None,
    sheet: Annotated[
        Path | None, typer.Option("--contact-sheet", help="PNG with each disagreement. 不一致の画像一覧。")
    ] = None,
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    """Count a clip and hold it against its truth. 正解と比べて計測精度を調べる。"""
    import msgspec
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from edgeagent import shipped
    from edgeagent.sources import count_eval
    from edgeagent.sources.detector import open_eye

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(video.name, total=None)
        result = count_eval.evaluate(
            video,
            truth,
            open_eye(model, shipped.model),
            fps=fps,
            progress=lambda done, frames: bar.update(task, completed=done, total=frames),
        )
    if sheet is not None:
        from edgeagent.sources.count_sheet import contact_sheet

        contact_sheet(video, count_eval.truth_lines(count_eval.read_truth(truth)), result.differences, sheet)
    if not as_json:
        _table(video, result)
        return
    told = msgspec.to_builtins(result)
    del told["crossings"]
    print(json.dumps(told))


@app.command()
def model(
    file: Annotated[str, typer.Argument(help="A shipped name, or a path to an .onnx with its card. モデル。")],
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    """Check a detector: hash, card, shapes, known pictures, speed, memory. モデルを検査する。"""
    import msgspec

    from edgeagent import shipped
    from edgeagent.sources.model_check import check_model

    report = check_model(shipped.model(file), _golden)
    print(json.dumps(msgspec.to_builtins(report))) if as_json else _report(report)


def _golden() -> list[Golden]:
    """Pictures of a rendered road, with the vehicles that are whole, near and not hidden."""
    import numpy as np

    from edgeagent.simulate.road import RoadScene
    from edgeagent.sources.model_check import Golden

    pictures = []
    for seed in _GOLDEN_SEEDS:
        scene = RoadScene(seed, fps=5)
        first = next(scene.frames(1))
        scene.skip(4)
        for frame in (first, next(scene.frames(1))):
            high, wide = frame.image.shape[:2]
            plain = [
                sight.box
                for sight in frame.sights
                if sight.visible > 0.7  # noqa: PLR2004
                and min(sight.box[2] - sight.box[0], sight.box[3] - sight.box[1]) >= wide / 40
                and sight.box[0] > _MARGIN_PX
                and sight.box[2] < wide - _MARGIN_PX
                and sight.box[3] < high - _MARGIN_PX
            ]
            pictures.append(Golden(frame.image, np.asarray(plain, np.float32).reshape(-1, 4)))
    return pictures


def _report(report: ModelReport) -> None:
    from edgeagent import messages

    words = {
        "ja": ("入力", "出力", "クラス名の信頼度", "既知の画像で検出", "1 枚あたり", "メモリ", "ファイル"),
        "en": ("input", "output", "class names", "found in known pictures", "per picture", "memory", "file"),
    }[messages.language()]
    values = (
        report.input,
        report.decoder,
        ", ".join(f"{name} {trust}" for name, trust in report.classes.items()),
        f"{report.found} / {report.wanted}",
        f"{report.ms} ms (CPU {report.cpu_ms} ms)",
        f"{report.rss_mib} MiB",
        f"{report.mib} MiB",
    )
    tell(f"✓ {report.name}  sha256 {report.sha256[:12]}…")
    for word, value in zip(words, values, strict=True):
        tell(f"  {word}: {value}")


def _table(video: Path, result: Result) -> None:
    from edgeagent import messages

    lang = messages.language()
    words = {
        "ja": ("方向・種別", "正解", "端", "計測", "誤差"),
        "en": ("direction / class", "true", "edge", "counted", "error"),
    }[lang]
    kinds = {
        "ja": {"missed": "見落とし", "double": "二重", "false": "誤計測"},
        "en": {"missed": "missed", "double": "double", "false": "false"},
    }[lang]
    from rich.console import Console
    from rich.table import Table

    table = Table(*words, title=video.name, title_justify="left", box=None)
    for name, one in (*result.per_direction.items(), *result.per_class.items()):
        table.add_row(name, *(str(n) for n in (one.truth, one.edge, one.counted, one.error)))
    table.add_section()
    total = f"{result.error} ({result.error_pct:.1f} %)"
    table.add_row("Σ", str(result.truth), str(result.edge), str(result.counted), total, style="bold")
    console = Console()
    console.print(table)
    for event in result.differences:
        where = f"{event.cls}  {event.line}:{event.side}"
        console.print(f"  {event.at_s:7.2f} s  {kinds[event.kind]}  {where}", highlight=False)
