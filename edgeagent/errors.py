"""Every error the agent raises, sorted by what the catcher can do.

    EdgeAgentError
    ├── ConfigError           a person must act: the config names something that cannot work
    ├── SourceUnavailable     the device is away: wait, then try again
    │   └── FrameError        one answer was not believable: drop it, count it
    ├── OutboxUnavailable     readings cannot be made durable: keep them in RAM, say so, retry
    ├── UplinkUnavailable     the receiver is away: keep everything, try again later
    │   └── UplinkRefused     it answers, and says no (credentials, tenant): keep, alarm, retry slowly
    ├── UpdateRefused         stay with what runs
    ├── UpdateUnavailable     nothing to be had there now: stay, ask again later
    └── Refused               what a person asked for is not done, and why

An error is a code and facts, no prose: `messages` turns it into Japanese or English text that
says what happened, where, and what to do.  Foreign exceptions become ours at the door of the
room that calls the foreign library, with `raise … from`.  May import: nothing.
"""

from __future__ import annotations

__all__ = [
    "ConfigError",
    "EdgeAgentError",
    "FrameError",
    "OutboxUnavailable",
    "Refused",
    "SourceUnavailable",
    "UpdateRefused",
    "UpdateUnavailable",
    "UplinkRefused",
    "UplinkUnavailable",
]


class EdgeAgentError(Exception):
    """Base of all our errors.

    Args:
        code: `area.name`, the key of the message catalogue, e.g. `gauges.port-busy`.
        facts: what the message needs: `port="/dev/ttyUSB0"`, `path="sources[2].port"`.
    """

    def __init__(self, code: str, **facts: object) -> None:
        super().__init__(code, facts)
        self.code = code
        self.facts = facts

    def __str__(self) -> str:
        facts = " ".join(f"{key}={value}" for key, value in self.facts.items())
        return f"{self.code} {facts}".rstrip()


class ConfigError(EdgeAgentError):
    """A person must act.  `facts["path"]` says where in the config, when it is known."""


class SourceUnavailable(EdgeAgentError):
    """A device does not answer or cannot be opened; the supervisor waits and retries."""


class FrameError(SourceUnavailable):
    """Bytes arrived that do not prove to be the answer; dropped and counted."""


class OutboxUnavailable(EdgeAgentError):
    """The store cannot make readings durable (full, read-only, gone)."""


class UplinkUnavailable(EdgeAgentError):
    """The receiver did not acknowledge; nothing is forgotten.

    Args:
        retry_after_s: what the receiver asked for, if it did.

    Attributes:
        bytes_sent: what the attempt took on the line.
    """

    def __init__(self, code: str, *, retry_after_s: float | None = None, **facts: object) -> None:
        super().__init__(code, **facts)
        self.retry_after_s = retry_after_s
        self.bytes_sent = 0


class UplinkRefused(UplinkUnavailable):
    """The receiver answers and refuses us as a whole (401, 403, unknown tenant)."""


class UpdateRefused(EdgeAgentError):
    """An update is not trusted or did not prove itself."""


class UpdateUnavailable(EdgeAgentError):
    """Signed files cannot be fetched or stored now; nothing is known to be wrong with them."""


class Refused(EdgeAgentError):
    """What a person asked for is not done: it would harm what runs, or nobody confirmed it."""
