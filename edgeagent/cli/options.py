"""Options that every verb shares."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["DEFAULT_CONFIG", "ConfigOption", "JsonOption", "LangOption"]

DEFAULT_CONFIG = Path("/etc/edgeagent/config.toml")


def _use_language(value: str | None) -> str | None:
    if value is not None:
        if value not in ("ja", "en"):
            raise typer.BadParameter("ja | en")
        os.environ["EDGEAGENT_LANG"] = value
    return value


ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="Config file. 設定ファイル。")]
JsonOption = Annotated[
    bool, typer.Option("--json", help="One JSON document as the last line of stdout. 最後の行に JSON を出す。")
]
LangOption = Annotated[
    str | None,
    typer.Option(
        "--lang",
        help="ja or en; else as the environment says. 言語 (ja か en)。",
        callback=_use_language,
        is_eager=True,
        show_default=False,
    ),
]
