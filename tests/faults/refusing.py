"""Lives of `keeping`, each in a fork, whose disk says no at a chosen call.

Run under `strace -f -e inject=CALL:error=…:when=FAR`, which counts the calls of every process anew:
a life that spends FAR - k of them on a spare file meets the error at the k-th of its own.  All of it
happens in one thread, so that there is one count.

Orders come as lines of JSON on stdin; the exit status of each life is printed.
"""

import os
import sys
import traceback
from pathlib import Path

import msgspec

from tests.faults import keeping
from tests.faults.near import without_threads

SPARE = "spare"


class Life(msgspec.Struct, frozen=True):
    """One life: in which folder, where it says what it was promised, how long, and what it spends before."""

    folder: str
    said: str
    puts: int
    lives: int
    call: str = ""
    spend: int = 0


def spend(folder: Path, call: str, times: int) -> None:
    """Make so many calls that strace counts and nobody misses."""
    spare = folder / SPARE
    if call == "unlink":
        for _ in range(times):
            os.mknod(spare)
            spare.unlink()
        return
    os.mknod(spare)
    if call == "openat":
        for _ in range(times):
            os.close(os.open(spare, os.O_RDONLY))
    else:
        file = os.open(spare, os.O_RDWR)
        calls = {
            "pwrite64": lambda: os.pwrite(file, b".", 0),
            "write": lambda: os.write(file, b"."),
            "fsync": lambda: os.fsync(file),
            "fdatasync": lambda: os.fdatasync(file),
            "ftruncate": lambda: os.ftruncate(file, 0),
            "rename": lambda: spare.rename(spare),
        }
        for _ in range(times):
            calls[call]()
        os.close(file)
    spare.unlink()


def live(life: Life) -> None:
    os.dup2(os.open(life.said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
    folder = Path(life.folder)
    if life.spend:
        spend(folder, life.call, life.spend)
    keeping.main(str(folder / "outbox.db"), life.puts, life.lives)


def main() -> None:
    with without_threads():
        for line in sys.stdin.buffer:
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    live(msgspec.json.decode(line, type=Life))
                    status = 0
                except BaseException:  # noqa: BLE001  this is the end of the process
                    traceback.print_exc()
                os._exit(status)
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
