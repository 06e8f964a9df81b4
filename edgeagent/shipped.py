"""Where the data that ships with the code lies: device profiles and detector models.

In a wheel it is inside the package; in a checkout it is `hardware/profiles`, `hardware/tags` and `models`.
May import: nothing.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["model", "models", "profiles", "tags"]

_PACKAGE = Path(__file__).parent


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
    return Path(name) if name.endswith(".onnx") else models() / f"{name}.onnx"


def _folder(shipped: str, checkout: str) -> Path:
    inside = _PACKAGE / "_shipped" / shipped
    return inside if inside.is_dir() else _PACKAGE.parent / checkout
