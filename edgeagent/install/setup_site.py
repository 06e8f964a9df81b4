"""The site that is being set up: what all steps share."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from edgeagent import messages
from edgeagent.clock import Clock
from edgeagent.errors import ConfigError, EdgeAgentError
from edgeagent.install import setup_state
from edgeagent.install.answers import Answers, Load
from edgeagent.install.doctor import World
from edgeagent.install.setup_service import Service
from edgeagent.install.setup_state import Progress
from edgeagent.install.setup_talk import Mark, Question, Screen

__all__ = ["EXIT", "Site", "Trouble"]

T = TypeVar("T")
EXIT = {"refused": 5, "network": 4, "device": 3, "warning": 6}
"""How a run ends, the gravest first."""


class Trouble(msgspec.Struct, frozen=True):
    """Something a person has to know of afterwards.

    Attributes:
        kind: a key of EXIT.
        code, facts: of its message.
    """

    kind: str
    code: str
    facts: dict[str, str]


@dataclass
class Site:
    """What the steps read and write.

    Attributes:
        file: where the config belongs.
        state_dir: of the agent.
        root_file: where the root of trust for updates belongs.
        answers: of the file; its fields are defaults.
        screen: the other end.
        clock: its time.
        progress: what is known already.
        service: the unit.
        load: judges a config.
        world: config file -> what doctor looks at.
        root: where /proc, /sys and /etc are; elsewhere in tests.
        old: the config that is there already, parsed; {} for none.
        old_broken: it is there and cannot be parsed.
        troubles: found so far.
        asked: questions that a person was asked.
        told: what machines are told at the end.
    """

    file: Path
    state_dir: Path
    root_file: Path
    answers: Answers
    screen: Screen
    clock: Clock
    progress: Progress
    service: Service
    load: Load
    world: Callable[[Path], World]
    root: Path = Path("/")
    old: dict[str, Any] = field(default_factory=dict)
    old_broken: bool = False
    troubles: list[Trouble] = field(default_factory=list)
    asked: set[str] = field(default_factory=set)
    told: dict[str, Any] = field(default_factory=dict)

    @property
    def lang(self) -> str:
        """Language of the config."""
        return self.progress.answers.get("language", "en")

    @property
    def old_gateway(self) -> dict[str, str]:
        """`[gateway]` of the config that is there already."""
        found = self.old.get("gateway")
        return found if isinstance(found, dict) else {}

    def save(self) -> None:
        """Write down how far we are."""
        setup_state.save(self.state_dir, self.progress)

    def ask(self, question: Question[T]) -> T:
        """The answer, from an earlier start or now; it is written down before anything is made of it.

        Raises:
            ConfigError: nobody is there to mend it.
            KeyboardInterrupt: enough for now.
        """
        known = self.progress.answers.get(question.key)
        if known is not None:
            try:
                return question.parse(known)
            except ConfigError:  # of another version of ours
                del self.progress.answers[question.key]
        while True:
            text = self.screen.ask(question).strip() or question.default
            self.asked |= {question.key} if self.screen.asks else set()
            try:
                answer = question.parse(text)
            except ConfigError as error:
                if not self.screen.asks:
                    raise
                self.screen.wrong(error)
                continue
            self.progress.answers[question.key] = text
            self.save()
            return answer

    def forget(self, key: str) -> None:
        """Ask again next time."""
        self.progress.answers.pop(key, None)
        self.save()

    def earlier(self, key: str, otherwise: str) -> str:
        """The default of a question: what was answered the last time, or else."""
        return self.progress.earlier.get(key, otherwise)

    def say(self, mark: Mark, code: str, **facts: object) -> None:
        """Tell the person."""
        self.screen.say(mark, code, facts)

    def trouble(self, kind: str, error: EdgeAgentError, mark: Mark = "✗") -> None:
        """Tell the person, and the exit code."""
        facts = {name: str(fact) for name, fact in error.facts.items()}
        self.troubles.append(Trouble(kind, error.code, facts))
        self.screen.say(mark, error.code, facts)

    def warn(self, code: str, **facts: object) -> None:
        """Something to look at."""
        self.trouble("warning", EdgeAgentError(code, **facts), "!")

    def remark(self, which: str, **facts: object) -> str:
        """A comment for the config, in its language."""
        return messages.text(f"setup.note-{which}", facts, self.lang).what

    @contextlib.contextmanager
    def quiet_ports(self) -> Iterator[None]:
        """While this is open, no agent of ours holds the ports; it runs again afterwards, whatever happens."""
        with self.service.paused() as was:
            yield
        if was:
            self.say("·", "setup.paused")

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Wait for something.  Ctrl-C ends it; questions are asked outside, where Ctrl-C is heard at once."""
        return asyncio.run(coroutine)

    @property
    def exit_code(self) -> int:
        """How it ended."""
        return next((code for kind, code in EXIT.items() if any(t.kind == kind for t in self.troubles)), 0)
