"""ja and en catalogues: an error's code and facts -> text a person can act on.

One TOML file per area and language (`en/gauges.toml`, `ja/gauges.toml`); a code is
`area.name`.  Each entry has `what` (what happened and where) and `remedy` (what to do).
May import: nothing.
"""

from __future__ import annotations

import functools
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

__all__ = ["LANGUAGES", "Text", "areas", "catalogue", "language", "text"]

LANGUAGES = ("ja", "en")
_HERE = Path(__file__).parent


class Text(NamedTuple):
    """What happened, and what to do about it (may be empty)."""

    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what} {self.remedy}".rstrip()


def language(asked: str | None = None) -> str:
    """`asked`, else EDGEAGENT_LANG, else the locale's language where we have it, else en."""
    for name in (asked, os.environ.get("EDGEAGENT_LANG"), os.environ.get("LC_ALL"), os.environ.get("LANG")):
        if name and name[:2] in LANGUAGES:
            return name[:2]
    return "en"


def text(code: str, facts: Mapping[str, object], lang: str = "en") -> Text:
    """The text for a code.  A fact the caller did not give shows as `?`, never as an exception."""
    area, _, name = code.partition(".")
    entry = catalogue(area, lang).get(name)
    if entry is None:
        return Text(f"{code} " + " ".join(f"{k}={v}" for k, v in facts.items()), "")
    filled = _Facts(facts)
    return Text(entry["what"].format_map(filled).strip(), entry.get("remedy", "").format_map(filled).strip())


@functools.cache
def catalogue(area: str, lang: str) -> dict[str, dict[str, str]]:
    """All entries of one area in one language; empty when there is no such file."""
    file = _HERE / lang / f"{area}.toml"
    if not file.is_file():
        return {}
    return tomllib.loads(file.read_text(encoding="utf-8"))


def areas(lang: str) -> list[str]:
    """Names of the areas a language has."""
    return sorted(file.stem for file in (_HERE / lang).glob("*.toml"))


class _Facts(dict[str, object]):
    def __missing__(self, key: str) -> str:
        return "?"
