"""manual: the man page, made from the verbs themselves, so that it can never be out of date.

    edgeagent manual | man -l -
    edgeagent manual | sudo tee /usr/local/share/man/man1/edgeagent.1 >/dev/null

Format: man(7) macros; see groff_man(7).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edgeagent import __version__
from edgeagent.cli.options import LangOption

__all__ = ["manual", "page"]

_EXIT = (
    ("0", "all is well", "正常"),
    ("1", "a check failed", "検査で異常"),
    ("2", "usage or config", "使い方または設定の誤り"),
    ("3", "a device", "機器"),
    ("4", "the network", "通信"),
    ("5", "refused", "拒否"),
    ("6", "done, with warnings", "完了 (注意あり)"),
)
_FILES = (
    ("/etc/edgeagent/config.toml", "the config; the default of \\-\\-config", "設定ファイル"),
    ("/etc/edgeagent/credentials/", "secrets, handed to the service by systemd", "認証情報"),
    ("/var/lib/edgeagent/", "state_dir: readings, keys, control socket", "測定値・鍵・制御ソケット"),
)


def manual(lang: LangOption = None) -> None:
    """Print the man page (roff); pipe it to: man -l -. マニュアルページを出力する。"""
    import typer.main

    from edgeagent import cli

    print(page(typer.main.get_command(cli.app)), end="")


def page(root: Any) -> str:  # noqa: ANN401  typer's command tree
    """The whole page as roff."""
    lines = [
        f'.TH EDGEAGENT 1 "" "edgeagent {__version__}" "edgeagent"',
        ".SH NAME",
        "edgeagent \\- gateway agent for river gauges, watch tags and traffic cameras",
        ".SH SYNOPSIS",
        ".B edgeagent",
        ".I VERB",
        "[options]",
        ".SH DESCRIPTION",
        _escaped(root.help or ""),
        "Alone, it names the three commands that are worth typing next.",
        ".SH VERBS",
        *_verbs(root, "edgeagent"),
        ".SH EXIT STATUS",
        *(line for code, en, ja in _EXIT for line in (".TP", f".B {code}", f"{en} / {ja}")),
        ".SH FILES",
        *(line for file, en, ja in _FILES for line in (".TP", f".I {file}", f"{en} / {ja}")),
        ".SH ENVIRONMENT",
        ".TP",
        ".B EDGEAGENT_LANG",
        "ja or en; else LC_ALL, LANG",
        ".TP",
        ".B NO_COLOR",
        "any value: no colours",
    ]
    return "\n".join(lines) + "\n"


def _verbs(group: Any, path: str) -> Iterator[str]:  # noqa: ANN401  typer's command tree
    for name, command in sorted(group.commands.items()):
        if command.hidden:
            continue
        here = f"{path} {name}"
        if hasattr(command, "commands"):
            yield from (f".SS {_escaped(here)}", _escaped(command.help or ""))
            yield from _verbs(command, here)
            continue
        yield from (".TP", f".B {_escaped(here)}" + _arguments(command), _escaped(command.help or ""))
        options = [one for one in command.params if one.param_type_name == "option" and not one.hidden]
        if options:
            yield ".RS"
            for one in options:
                yield from (".TP", ".B " + _escaped(", ".join(one.opts)), _escaped(one.help or ""))
            yield ".RE"


def _arguments(command: Any) -> str:  # noqa: ANN401  typer's command
    names = [one.name.upper() for one in command.params if one.param_type_name == "argument"]
    return "".join(f" {_escaped(name)}" for name in names)


def _escaped(text: str) -> str:
    """Text whose characters mean themselves; a line may not begin with a dot or an apostrophe."""
    joined = " ".join(text.split()).replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{joined}" if joined[:1] in (".", "'") else joined
