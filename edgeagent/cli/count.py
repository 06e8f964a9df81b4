"""count: vehicle counting on recorded video."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeagent.cli.options import JsonOption, LangOption

if TYPE_CHECKING:  # the module behind it loads OpenCV and onnxruntime
    from edgeagent.sources.count_eval import Result

__all__ = ["app"]

app = typer.Typer(help="Counting vehicles. 車両計測。", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep `count eval` a verb of its own even while it is the only one."""


@app.command(name="eval")
def evaluate(
    video: Annotated[Path, typer.Argument(help="The clip. 映像。")],
    truth: Annotated[Path, typer.Argument(help="What really crossed (JSON). 正解。")],
    model: Annotated[str, typer.Option("--model", help="A shipped name or a path to an .onnx.")] = "vehicles",
    fps: Annotated[float | None, typer.Option("--fps", min=0.5, max=60, help="Looks per second.")] = None,
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    """Count a clip and hold it against its truth. 正解と比べて計測精度を調べる。"""
    import msgspec
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from edgeagent import shipped
    from edgeagent.sources import count_eval

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(video.name, total=None)
        result = count_eval.evaluate(
            video,
            truth,
            shipped.model(model),
            fps=fps,
            progress=lambda done, frames: bar.update(task, completed=done, total=frames),
        )
    if not as_json:
        _table(video, result)
        return
    told = msgspec.to_builtins(result)
    del told["crossings"]
    print(json.dumps(told))


def _table(video: Path, result: Result) -> None:
    from edgeagent import messages

    words = {
        "ja": ("方向・種別", "正解", "端", "計測", "誤差"),
        "en": ("direction / class", "true", "edge", "counted", "error"),
    }[messages.language()]
    from rich.console import Console
    from rich.table import Table

    table = Table(*words, title=video.name, title_justify="left", box=None)
    for name, one in (*result.per_direction.items(), *result.per_class.items()):
        table.add_row(name, *(str(n) for n in (one.truth, one.edge, one.counted, one.error)))
    table.add_section()
    total = f"{result.error} ({result.error_pct:.1f} %)"
    table.add_row("Σ", str(result.truth), str(result.edge), str(result.counted), total, style="bold")
    Console().print(table)
