"""Where the data that ships with the code lies: device profiles and detector models.

In a wheel it is inside the package; in a checkout it is `hardware/profiles`, `hardware/tags` and `models`.
A release that came over the air (EDGEAGENT_SLOT, see `update.boot`) may bring its own, which come first.
May import: nothing.
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["built_s", "model", "models", "profile", "profiles", "tags"]

_PACKAGE = Path(__file__).parent
_WRITTEN_S = 1_795_392_000  # 2026-11-23: a checkout has no build time


def profiles() -> Path:
    """Folder of the shipped device profiles (`*.toml`)."""
    return _folder("profiles", "hardware/profiles")


def tags() -> Path:
    """Folder of the shipped tag profiles (`*.toml`)."""
    return _folder("tags", "hardware/tags")


def models() -> Path:
    """Folder of the shipped detector models (`*.onnx` with a card `*.toml` beside each)."""
    return _folder("models", "models")


def model(name: str) -> Path:
    """The .onnx file that `model = "…"` means: a shipped name, or a path that ends in .onnx."""
    return Path(name) if name.endswith(".onnx") else _arrived(f"models/{name}.onnx") or models() / f"{name}.onnx"


def profile(name: str) -> Path | None:
    """The file of a profile that came over the air; None where there is none of this name."""
    return _arrived(f"profiles/{name}.toml")


def built_s() -> int:
    """When this software was built, UTC epoch seconds: no clock is right that says it is earlier."""
    try:
        return int((_PACKAGE / "_shipped" / "built").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return _WRITTEN_S


def _arrived(name: str) -> Path | None:
    slot = os.environ.get("EDGEAGENT_SLOT")
    return Path(slot) / name if slot and (Path(slot) / name).is_file() else None


def _folder(shipped: str, checkout: str) -> Path:
    inside = _PACKAGE / "_shipped" / shipped
    return inside if inside.is_dir() else _PACKAGE.parent / checkout
