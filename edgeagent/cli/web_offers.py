"""What the page on demand can show and do on this box: the rooms behind it, as functions for `edgeagent.web`."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeagent.errors import ConfigError, EdgeAgentError

if TYPE_CHECKING:
    from edgeagent.clock import Clock
    from edgeagent.config import Config
    from edgeagent.web.offers import Camera, Check, Drawn, Offers

__all__ = ["offers"]

_DOCTOR_S = 170.0
_RESTART_S = 60.0
_UNIT = "edgeagent"


def offers(file: Path, clock: Clock, tell: Callable[..., None]) -> Offers:
    """All of it.

    Args:
        file: the gateway's own config.
        clock: for the camera and the log.
        tell: hears every event of the security log too.

    Raises:
        ConfigError: the config does not even say where the state directory is.
    """
    from edgeagent.cli.agent import ask, state_dir_of
    from edgeagent.install.identity import as_owner
    from edgeagent.security_log import SecurityLog
    from edgeagent.web.offers import Listed, Offers

    state_dir = state_dir_of(file)
    made = _running(file)
    log = SecurityLog(state_dir, clock)

    def note(event: str, **facts: object) -> None:
        with contextlib.suppress(OSError), as_owner(state_dir):
            log.note(event, **facts)
        tell(event, **facts)

    return Offers(
        gateway=made.gateway.id if made else file.name,
        name=made.gateway.name if made else "",
        sources=[
            Listed(id=s.config.id, name=s.config.name, driver=s.config.driver)
            for s in (made.sources if made else ())
            if s.config.enabled
        ],
        ask=lambda question: ask(file, question),
        cameras=lambda: _cameras(_running(file)),
        watch=lambda source: _watch(_running(file), source, clock),
        save=lambda source, lines: _save(file, source, lines),
        restart=_restart if Path("/run/systemd/system").is_dir() else None,
        doctor=lambda lang: _doctor(file, lang),
        note=note,
    )


def _running(file: Path) -> Config | None:
    """What the agent runs with: the gateway's own file, or it merged with the release that runs."""
    import msgspec

    from edgeagent.daemon.build import read_config

    own, _ = read_config(file)
    try:
        release = _release(file)
    except (EdgeAgentError, OSError, msgspec.MsgspecError):
        return own
    if release is None:
        return own
    made, _ = _judged(release(_data(file)))
    return made or own


def _release(file: Path) -> Callable[[Mapping[str, Any]], Mapping[str, Any]] | None:
    """How the release that runs would be merged with an own file; None where there is none."""
    from edgeagent.update import boot, layers
    from edgeagent.update.slots import Slots, local_layer

    data = _data(file)
    section = boot.section_of(data)
    if section is None:
        return None
    slots = Slots(boot.folder_of(data))
    name = slots.record().runs.name
    if not name:
        return None
    published, unlocked = slots.layers(name), section.unlocked
    return lambda own: layers.merge([*published, local_layer(own, file)], unlocked).data


def _data(file: Path) -> dict[str, Any]:
    from edgeagent.config import read_toml

    return read_toml(file)


def _judged(data: Mapping[str, Any]) -> tuple[Config | None, list[ConfigError]]:
    from edgeagent.config import load
    from edgeagent.daemon.build import catalogue

    return load(data, catalogue())


def _cameras(made: Config | None) -> list[Camera]:
    from edgeagent.sources.traffic_camera import TrafficCameraConfig
    from edgeagent.web.offers import Camera, Drawn

    found = [s.config for s in made.sources if isinstance(s.config, TrafficCameraConfig)] if made else []
    return [
        Camera(
            id=one.id,
            name=one.name,
            lines=tuple(Drawn(id=x.id, start=x.start, end=x.end, forward=x.forward) for x in one.lines),
        )
        for one in found
    ]


def _watch(made: Config | None, source: str, clock: Clock) -> Any:  # noqa: ANN401  a Watcher; its module loads OpenCV
    from edgeagent.install.aim import Aim
    from edgeagent.sources.traffic_camera import TrafficCameraConfig, start_of

    for section in made.sources if made else ():
        if isinstance(section.config, TrafficCameraConfig) and section.config.id == source:
            return Aim(start_of(section.config), clock)
    raise EdgeAgentError("web.no-camera", source=source)


def _save(file: Path, source: str, lines: Sequence[Drawn]) -> None:
    import msgspec

    from edgeagent.install import counting_lines

    release = _release(file)

    def judge(own: Mapping[str, Any]) -> list[ConfigError]:
        return _judged(own if release is None else release(own))[1]

    counting_lines.put(file, source, [msgspec.to_builtins(one) for one in lines], judge)


def _restart() -> None:
    import subprocess

    try:
        subprocess.run(  # noqa: S603  constant words
            ["systemctl", "restart", _UNIT],  # noqa: S607  found by PATH on purpose
            check=True,
            capture_output=True,
            text=True,
            timeout=_RESTART_S,
        )
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        raise EdgeAgentError("web.restart-failed", why=said.strip().splitlines()[0]) from error


def _doctor(file: Path, lang: str) -> list[Check]:
    """`edgeagent doctor --json`, in a process of its own: what hangs there hangs not here."""
    import subprocess

    import msgspec

    from edgeagent.web.offers import Check

    words = [sys.executable, "-m", "edgeagent", "doctor", "--json", "--lang", lang, "--config", str(file)]
    try:
        done = subprocess.run(words, capture_output=True, timeout=_DOCTOR_S, check=False)  # noqa: S603  ourselves
        return msgspec.convert(json.loads(done.stdout.splitlines()[-1])["items"], list[Check])
    except (OSError, subprocess.SubprocessError, ValueError, LookupError, TypeError) as error:
        raise EdgeAgentError("web.broken", kind=type(error).__name__) from error
