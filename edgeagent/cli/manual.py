"""manual: the man page, made from the verbs themselves, so that it can never be out of date.

    edgeagent manual | man -l -
    edgeagent manual | sudo tee /usr/local/share/man/man1/edgeagent.1 >/dev/null

Format: man(7) macros; see groff_man(7).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edgeagent import __version__, messages
from edgeagent.cli.help_page import translated
from edgeagent.cli.options import LangOption

__all__ = ["manual", "page"]

WORDS = {
    "is": {
        "ja": "河川水位・見守りタグ・交通量のゲートウェイエージェント",
        "en": "gateway agent for river gauges, watch tags and traffic cameras",
    },
    "alone": {
        "ja": "動詞なしで実行すると、次に役立つ 3 つのコマンドを示す。",
        "en": "Alone, it names the three commands that are worth typing next.",
    },
    "lang": {"ja": "ja か en。なければ LC_ALL, LANG", "en": "ja or en; else LC_ALL, LANG"},
    "no colour": {"ja": "値があれば色を使わない", "en": "any value: no colours"},
}
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

    print(page(typer.main.get_command(cli.app), messages.language()), end="")


def page(root: Any, lang: str) -> str:  # noqa: ANN401  typer's command tree
    """The whole page as roff, in one language."""
    say = {name: said[lang] for name, said in WORDS.items()}
    translated(root, lang)
    lines = [
        f'.TH EDGEAGENT 1 "" "edgeagent {__version__}" "edgeagent"',
        ".SH NAME",
        f"edgeagent \\- {_escaped(say['is'])}",
        ".SH SYNOPSIS",
        ".B edgeagent",
        ".I VERB",
        "[options]",
        ".SH DESCRIPTION",
        _escaped(root.help or ""),
        _escaped(say["alone"]),
        ".SH VERBS",
        *_verbs(root, "edgeagent"),
        ".SH EXIT STATUS",
        *(line for code, en, ja in _EXIT for line in (".TP", f".B {code}", {"en": en, "ja": ja}[lang])),
        ".SH FILES",
        *(line for file, en, ja in _FILES for line in (".TP", f".I {file}", {"en": en, "ja": ja}[lang])),
        ".SH ENVIRONMENT",
        ".TP",
        ".B EDGEAGENT_LANG",
        _escaped(say["lang"]),
        ".TP",
        ".B NO_COLOR",
        _escaped(say["no colour"]),
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
