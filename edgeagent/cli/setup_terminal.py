"""The wizard's screen: a terminal of 40 columns or more, or a log of what was answered where nobody is asked."""

from __future__ import annotations

import os
from typing import Any

from edgeagent import __version__, messages
from edgeagent.cli.columns import coloured, columns, wrap
from edgeagent.cli.scan_progress import ProgressLine
from edgeagent.errors import EdgeAgentError
from edgeagent.install.setup_talk import Mark, Question

__all__ = ["Terminal"]

WORDS = {
    "title": {"ja": "設定", "en": "setup"},
    "✓": {"ja": "正常", "en": "ok"},
    "!": {"ja": "注意", "en": "warning"},
    "✗": {"ja": "異常", "en": "failed"},
    "–": {"ja": "なし", "en": "left out"},
    "·": {"ja": "情報", "en": "note"},
    "?": {"ja": "質問", "en": "question"},
    "enter": {"ja": "Enter で", "en": "Enter for"},
    "remedy": {"ja": "対処", "en": "remedy"},
}


class Terminal:
    """Prints and asks.

    Args:
        asks: a person is there; otherwise defaults are taken, and said.
        plain: a line per item, no symbols, nothing that replaces itself.
        quiet: print nothing, for machines.
    """

    def __init__(self, *, asks: bool, plain: bool, quiet: bool) -> None:
        self.asks = asks
        self._plain, self._quiet = plain, quiet
        self._asked = ""
        self._line = ProgressLine(wanted=not plain and not quiet)
        if asks:
            import readline  # noqa: F401  arrow keys in `input`

    def use(self, lang: str) -> None:
        """Texts in this language from now on."""
        os.environ["EDGEAGENT_LANG"] = lang

    def title(self) -> None:
        """What this is."""
        self._print(f"edgeagent {__version__}  {_w('title')}")

    def step(self, name: str, number: int, of: int) -> None:
        """A heading."""
        said = _text(f"setup.step-{name}", {})
        self._print(f"{number}/{of}, {said.what}" if self._plain else f"\n[{number}/{of}] {said.what}")

    def say(self, mark: Mark, code: str, facts: dict[str, Any]) -> None:
        """A message with its remedy."""
        said = _text(code, facts)
        self._show(mark, said.what, said.remedy, "  ")

    def row(self, mark: Mark, code: str, facts: dict[str, Any]) -> None:
        """A line of a list."""
        self._show(mark, _text(code, facts).what, "", "    ")

    def progress(self, what: str, done: float, of: float) -> None:
        """One line that replaces itself."""
        self._line.show(what, done, of)

    def ask(self, question: Question[Any]) -> str:
        """Text typed, or the default."""
        self._line.clear()
        said = _text(f"setup.ask-{question.key}", question.facts)
        if not self.asks:
            self._show("·", f"{said.what} → {question.default}", "", "  ")
            return question.default
        if self._plain:
            prompt = f"{_w('?')}: {said.what} {said.remedy} {_w('enter')} {question.default}: "
        else:
            lines = wrap(said.what, columns(), "  ? ", "    ")
            again, self._asked = self._asked == question.key, question.key
            lines += wrap(said.remedy, columns(), "    ", "    ") if said.remedy and not again else []
            self._print("\n".join(lines))
            prompt = f"    [{question.default}] > "
        try:
            return input(prompt) or question.default
        except EOFError:
            raise KeyboardInterrupt from None

    def wrong(self, error: EdgeAgentError) -> None:
        """What is wrong with an answer; the question comes again."""
        said = _text(error.code, error.facts)
        self._show("✗", said.what, said.remedy, "  ")

    def _show(self, mark: Mark, what: str, remedy: str, indent: str) -> None:
        self._line.clear()
        if self._plain:
            self._print(f"{_w(mark)}: {what}" + (f" {_w('remedy')}: {remedy}" if remedy else ""))
            return
        first, *rest = wrap(what, columns(), f"{indent}{mark} ", f"{indent}  ")
        lines = [first.replace(mark, coloured(mark), 1), *rest]
        lines += wrap(remedy, columns(), f"{indent}  → ", f"{indent}    ") if remedy else []
        self._print("\n".join(lines))

    def _print(self, text: str) -> None:
        self._line.clear()
        if not self._quiet:
            print(text, flush=True)


def _text(code: str, facts: dict[str, Any]) -> messages.Text:
    return messages.text(code, facts, messages.language())


def _w(word: str) -> str:
    return WORDS[word][messages.language()]
