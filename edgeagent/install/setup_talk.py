"""What the wizard says and asks, whoever is at the other end: a person at a terminal, or a file of answers.

Both take the same way through the same steps.  A question has a default for every answer; without a person the
default is the answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, Protocol, TypeVar

from edgeagent.errors import EdgeAgentError

__all__ = ["Mark", "Question", "Screen"]

T = TypeVar("T")
Mark = Literal["✓", "!", "✗", "–", "·"]
"""Good, look at it, failed, left out, for your information."""


@dataclass(frozen=True)
class Question(Generic[T]):
    """One thing that only a person knows.

    Attributes:
        key: `setup.ask-<key>` is its text; its answer is kept under this name.
        default: the answer of who just presses Enter.
        parse: text -> answer; raises ConfigError, whose text is shown, and the question comes again.
        facts: for the text.
    """

    key: str
    default: str
    parse: Callable[[str], T]
    facts: dict[str, Any] = field(default_factory=dict)


class Screen(Protocol):
    """The other end."""

    @property
    def asks(self) -> bool:
        """Whether somebody is there who can answer, and mend a wrong answer."""
        ...

    def use(self, lang: str) -> None:
        """Speak this language from now on."""
        ...

    def step(self, name: str, number: int, of: int) -> None:
        """A step begins; `setup.step-<name>` is its name."""
        ...

    def say(self, mark: Mark, code: str, facts: dict[str, Any]) -> None:
        """A message with its remedy."""
        ...

    def row(self, mark: Mark, code: str, facts: dict[str, Any]) -> None:
        """A line of a list."""
        ...

    def progress(self, what: str, done: float, of: float) -> None:
        """What goes on just now; replaces itself."""
        ...

    def ask(self, question: Question[Any]) -> str:
        """The text of an answer; the default where nobody is asked.

        Raises:
            KeyboardInterrupt: the person has had enough for now.
        """
        ...

    def wrong(self, error: EdgeAgentError) -> None:
        """The last answer cannot be used."""
        ...
