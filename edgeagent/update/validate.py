"""Whether a release fits this very gateway, before anything is stopped for it.

A config that cannot work is refused here and costs nothing; what only a trial can show is left to
the trial.  Models run once in a process of their own (`edgeagent.sources.model_trial`), as the
camera worker would run them: whatever they do, they do it there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeagent.errors import UpdateRefused

__all__ = ["MODEL_MB", "SPARE_BYTES", "model", "ports", "room"]

SPARE_BYTES = 32 << 20  # the outbox may need it before the release does
MODEL_MB = 500
_MODEL_S = 120.0
_SLACK = 3.0  # a busy board, a cold cache
_DEVICE_KEYS = ("port", "camera")


def room(folder: Path, need: int) -> None:
    """Refuse what would fill the disk.

    Raises:
        UpdateRefused: `no-space`.
    """
    disk = os.statvfs(folder)
    free = disk.f_bavail * disk.f_frsize
    if free < 2 * need + SPARE_BYTES:
        raise UpdateRefused("update.no-space", need=(2 * need + SPARE_BYTES) >> 20, free=free >> 20)


def ports(data: Mapping[str, Any], running: Mapping[str, Any]) -> None:
    """Refuse devices that are not there, unless they are missing now already.

    Raises:
        UpdateRefused: `no-port`.
    """
    known = set(_devices(running))
    for source, key, device in _devices(data):
        if (source, key, device) not in known and not os.path.exists(device):  # noqa: PTH110  a device, not our file
            raise UpdateRefused("update.no-port", path=f"sources.{source}.{key}", port=device)


def model(file: Path, max_fps: float, *, memory_mb: int = MODEL_MB) -> None:
    """Refuse a model that does not run here, or too slowly.

    Args:
        file: the `.onnx`, its card beside it.
        max_fps: looks per second that its camera wants.
        memory_mb: that the process may use.

    Raises:
        UpdateRefused: `model-broken`, `model-slow`, `model-large`.
    """
    budget_ms = _SLACK * 1000 / max_fps
    command = [sys.executable, "-m", "edgeagent.sources.model_trial", str(file)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_MODEL_S, check=False)  # noqa: S603  our own
        said = json.loads(done.stdout.splitlines()[-1])
    except (subprocess.TimeoutExpired, IndexError, ValueError) as error:
        raise UpdateRefused("update.model-broken", model=file.stem, why=type(error).__name__) from error
    if said.get("error"):
        raise UpdateRefused("update.model-broken", model=file.stem, why=said["error"])
    if said["ms"] > budget_ms:
        raise UpdateRefused("update.model-slow", model=file.stem, took=round(said["ms"]), budget=round(budget_ms))
    if said["mb"] > memory_mb:
        raise UpdateRefused("update.model-large", model=file.stem, took=round(said["mb"]), budget=memory_mb)


def _devices(data: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    sources = data.get("sources", [])
    for section in sources if isinstance(sources, Sequence) else []:
        if isinstance(section, Mapping) and section.get("enabled", True):
            for key in _DEVICE_KEYS:
                device = section.get(key)
                if isinstance(device, str) and device.startswith("/dev/"):
                    yield str(section.get("id")), key, device
