"""The unix socket that `status` and `outbox` ask: one JSON line in, one JSON line out, mode 0600.

There is no TCP port: who may read the state directory's owner's files may ask, nobody else.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path

import msgspec

from edgeagent.errors import EdgeAgentError

__all__ = ["Answers", "ask", "serve", "socket_path"]

Answers = Mapping[str, Callable[..., Awaitable[msgspec.Struct]]]  # by word; called with the words behind it
_LINE = 1 << 20  # readings taken in are the longest question; who sends more is cut off
_MAX_PATH = 107  # sizeof(sockaddr_un.sun_path) - 1 on Linux


def socket_path(state_dir: Path) -> Path:
    """Where the daemon of this state directory listens."""
    return state_dir / "control.sock"


_REFUSED = b'{"refused":'


class Refused(msgspec.Struct, frozen=True):
    """Why a question has no answer: an error's code and its facts."""

    refused: str
    facts: dict[str, str]


@contextlib.asynccontextmanager
async def serve(path: Path, answers: Answers) -> AsyncIterator[None]:
    """Answer questions while the context is open.

    Raises:
        EdgeAgentError: the socket cannot be made (path too long, directory not writable).
    """
    if len(os.fsencode(path)) > _MAX_PATH:
        raise EdgeAgentError("daemon.socket-path", path=path, most=_MAX_PATH)
    try:
        path.unlink(missing_ok=True)
        old = os.umask(0o177)
        try:
            server = await asyncio.start_unix_server(_answerer(answers), path=path, limit=_LINE)
        finally:
            os.umask(old)
    except OSError as error:
        raise EdgeAgentError("daemon.socket", path=path, why=error.strerror or str(error)) from error
    try:
        yield
    finally:
        server.close()
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def _answerer(answers: Answers) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(5):
                line = await reader.readline()
            word, *rest = line.decode("ascii", "replace").split() or [""]
            make = answers.get(word)
            try:
                reply = msgspec.json.encode(await make(*rest) if make else {"error": "unknown question"})
            except EdgeAgentError as error:
                reply = msgspec.json.encode(Refused(error.code, {k: str(v) for k, v in error.facts.items()}))
            writer.write(reply + b"\n")
            await writer.drain()
        except (TimeoutError, ValueError, TypeError, ConnectionError):
            pass  # the asker went away or sent rubbish: nothing to tell anybody
        finally:
            writer.close()

    return answer


def ask(path: Path, question: str, *, timeout_s: float = 5.0) -> bytes:
    """Ask the running daemon.

    Returns:
        One JSON document.

    Raises:
        EdgeAgentError: nobody answers there, we may not ask, or the daemon says why it cannot tell.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
            link.settimeout(timeout_s)
            link.connect(str(path))
            link.sendall(question.encode() + b"\n")
            with link.makefile("rb") as reply:
                line = reply.readline()
    except PermissionError as error:
        raise EdgeAgentError("daemon.not-allowed", path=path) from error
    except OSError as error:
        raise EdgeAgentError("daemon.not-running", path=path) from error
    if line.startswith(_REFUSED):
        told = msgspec.json.decode(line, type=Refused)
        raise EdgeAgentError(told.refused, **told.facts)
    return line
