"""`[update]`: where this gateway's config comes from; stands in the gateway's own file."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Literal

import msgspec

from edgeagent.errors import ConfigError

__all__ = ["RINGS", "MqttSection", "Ring", "UpdateSection"]

Ring = Literal["canary", "early", "all"]
RINGS: tuple[Ring, ...] = ("canary", "early", "all")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


class MqttSection(msgspec.Struct, frozen=True, kw_only=True):
    """`[update] mqtt = { … }`: where "poll now" is heard and this gateway's state is told.

    Attributes:
        host, port: of the broker.
        fleet: first part of the topics, `<fleet>/poll` and `<fleet>/<gateway id>/reported`.
        username, password: the latter is the name of a credential.
        tls, ca, cert, key: as in uplinks; TLS also by `ca` or `cert` alone.
        spread_s: a nudged poll waits for a random part of this, so that not all come at once.
    """

    host: str
    port: Annotated[int, msgspec.Meta(ge=1, le=65_535)] = 8883
    fleet: str = "edgeagent"
    username: str = ""
    password: str = ""
    tls: bool = True
    ca: str = ""
    cert: str = ""
    key: str = ""
    spread_s: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 25.0

    def problems(self) -> Iterable[ConfigError]:
        """A topic level has no wildcard and no slash."""
        if not _NAME.fullmatch(self.fleet):
            yield ConfigError("config.bad-id", path="fleet", got=self.fleet)


class UpdateSection(msgspec.Struct, frozen=True, kw_only=True):
    """`[update]`.

    Attributes:
        url: of the repository: `https://…`, or a folder.
        city: whose delegated role speaks to this gateway.
        name: this gateway's name in the repository; `edgeagent fleet add-gateway` prints it.
        groups: further layers of the city, later ones over earlier ones.
        ring: how early it takes part in a rollout.
        unlocked: settings of this file that published layers may overrule, e.g.
            `sources.miyagawa.calibrate`.
        root: file with the root of trust.
        ca: PEM file of the authorities that vouch for the server; "" for the system's.
        usb: look for the repository on a USB stick when the server is away.
        window_s: how long a release is on trial.
        memory_mb: the agent may use so much of it in the trial.
        mqtt: nudges and reported state; none without it.
    """

    url: str
    city: str
    name: str = ""
    groups: tuple[str, ...] = ()
    ring: Ring = "all"
    unlocked: tuple[str, ...] = ()
    root: str = "/etc/edgeagent/root.json"
    ca: str = ""
    usb: bool = True
    window_s: Annotated[float, msgspec.Meta(ge=1, le=86_400)] = 600.0
    memory_mb: Annotated[int, msgspec.Meta(ge=16)] = 400
    mqtt: MqttSection | None = None

    def problems(self) -> Iterable[ConfigError]:
        """Names become paths in the repository."""
        for path, value in (
            ("city", self.city),
            ("name", self.name or "x"),
            *((f"groups[{i}]", g) for i, g in enumerate(self.groups)),
        ):
            if not _NAME.fullmatch(value):
                yield ConfigError("config.bad-id", path=path, got=value)
