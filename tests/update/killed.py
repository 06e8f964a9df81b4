"""Run something in a child that dies at its n-th step on disk, as a process does when the power goes."""

import os
from collections.abc import Callable
from pathlib import Path

_CALLS = ("fsync", "replace", "rename", "unlink", "mkdir", "symlink", "remove", "open")


def at_each_step(work: Callable[[], None], check: Callable[[int], None], *, most: int = 400, every: int = 1) -> int:
    """For n = 1, 2, …: die at step n of `work` in a forked child, then `check(n)` here.

    Args:
        work: what is done, here up to its n-th step on disk.
        check: what must be true after that.
        most: steps.
        every: only so many-th step, beginning with the first; every one with EDGEAGENT_ROUNDS.

    Returns:
        How many steps there were, about; the last child did not die.
    """
    for n in range(1, most, 1 if os.environ.get("EDGEAGENT_ROUNDS") else every):
        if not dies(work, n):
            return n - 1
        check(n)
    raise AssertionError(f"more than {most} steps")


def dies(work: Callable[[], None], n: int) -> bool:
    """Whether the child died at step n; an exception in it is a failure here."""
    child = os.fork()
    if child == 0:
        try:
            _arm(n)
            work()
        except BaseException as error:  # noqa: BLE001  a child may only leave through _exit
            os.write(2, f"in the child: {error!r}\n".encode())
            os._exit(3)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, 9), f"step {n}: exit {code}"
    return code == 9


def _arm(n: int) -> None:
    left = [n]

    def counting(real: Callable[..., object]) -> Callable[..., object]:
        def call(*args, **more):
            left[0] -= 1
            if left[0] == 0:
                os._exit(9)
            return real(*args, **more)

        return call

    for name in _CALLS:
        setattr(os, name, counting(getattr(os, name)))


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file and what is in it."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
