"""A tarball for whoever helps from afar: what was found, and nothing that is anybody's business.

    doctor.json      the result
    config.json      the config without passwords, tokens, user names, tags and places
    status.json      what the running agent said
    journal.txt      its last lines, where this user may read them
    versions.json    software, kernel, board

Whatever looks like a tag id or an address of a radio is struck out of every file at the end, whatever
wrote it; see `wire.raw_ids`.
"""

from __future__ import annotations

import io
import json
import platform
import re
import subprocess
import tarfile
import tomllib
from collections.abc import Mapping
from pathlib import Path

from edgeagent import __version__
from edgeagent.errors import EdgeAgentError
from edgeagent.wire.raw_ids import RawIds

__all__ = ["redacted", "redacted_config", "write"]

_OUT = "***"
_SECRET = re.compile(r"pass|secret|token|user|auth|apikey|client_id", re.IGNORECASE)
_PRIVATE = frozenset({"tags", "location", "canary", "tag_keys"})
_LOGIN = re.compile(r"(?<=//)[^/@\s\"']+@")
_BEARER = re.compile(r"(?i)\b(bearer|basic|token|password|passwd|pwd)(\s*[:= ]\s*)\S+")
_PEM = re.compile(r"-----BEGIN[^-]*-----.*?-----END[^-]*-----", re.DOTALL)
_JOURNAL_LINES = 500


def write(file: Path, result: Mapping[str, object], config: Path, status: bytes | None) -> None:
    """Write the tarball.

    Args:
        file: a .tar.gz, replaced if it exists; mode 0600.
        result: of `doctor`.
        config: the config file.
        status: the agent's answer, if it gave one.

    Raises:
        EdgeAgentError: it cannot be written.
    """
    versions = {
        "edgeagent": __version__,
        "python": platform.python_version(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "board": _text(Path("/proc/device-tree/model")).strip("\0"),
    }
    parts = {
        "doctor.json": json.dumps(result, ensure_ascii=False, indent=1),
        "config.json": redacted_config(config),
        "status.json": (status or b"").decode("utf-8", "replace"),
        "journal.txt": _journal(),
        "versions.json": json.dumps(versions, indent=1),
    }
    try:
        file.unlink(missing_ok=True)
        with file.open("xb") as out:
            file.chmod(0o600)
            with tarfile.open(fileobj=out, mode="w:gz") as tar:
                for name, text in parts.items():
                    if text:
                        data = redacted(text).encode()
                        member = tarfile.TarInfo(f"edgeagent-doctor/{name}")
                        member.size, member.mode = len(data), 0o600
                        tar.addfile(member, io.BytesIO(data))
    except OSError as error:
        raise EdgeAgentError("doctor.bundle", file=file, why=error.strerror or str(error)) from error


def redacted_config(file: Path) -> str:
    """A config without secrets and private matters; "" when it cannot be read (its text may be anything)."""
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return json.dumps(_table(data), ensure_ascii=False, indent=1, default=str)


def redacted(text: str) -> str:
    """Text without logins in addresses, bearer tokens, PEM blocks, radio addresses and tag ids."""
    text = _PEM.sub(_OUT, text)
    text = _BEARER.sub(lambda found: f"{found[1]}{found[2]}{_OUT}", text)
    text = _LOGIN.sub(f"{_OUT}@", text)
    return RawIds().struck(text.encode(), _OUT.encode()).decode("utf-8", "replace")


def _table(table: Mapping[str, object]) -> dict[str, object]:
    return {key: _value(key, value) for key, value in table.items()}


def _value(key: str, value: object) -> object:
    if key in _PRIVATE or (_SECRET.search(key) and isinstance(value, str) and value):
        return f"{len(value)} {_OUT}" if isinstance(value, list) else _OUT
    if isinstance(value, Mapping):
        return _table(value)
    if isinstance(value, list):
        return [_table(one) if isinstance(one, Mapping) else one for one in value]
    return value


def _journal() -> str:
    try:
        done = subprocess.run(  # noqa: S603  fixed words
            ["journalctl", "-u", "edgeagent", "-n", str(_JOURNAL_LINES), "--no-pager", "-o", "short-iso"],  # noqa: S607
            capture_output=True,
            text=True,
            errors="replace",
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
