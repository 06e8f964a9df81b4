"""A terminal with somebody before it: a program on a pty of its own, read and typed at like by a person."""

import os
import re
import select
import signal
import subprocess
import termios
import time
from pathlib import Path

from edgeagent.cli.columns import width

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
PROMPT = "] > "


class Terminal:
    """One program.

    Args:
        args: its command line.
        columns: how wide the terminal is.
        env: its environment.
    """

    def __init__(self, args, *, columns=80, **more):
        self._far, near = os.openpty()
        termios.tcsetwinsize(near, (200, columns))
        # util-linux: a session of its own, with this terminal to control it, so that Ctrl-C is a signal
        command = ["setsid", "--ctty", "--wait", *map(str, args)]
        self.process = subprocess.Popen(command, stdin=near, stdout=near, stderr=near, start_new_session=True, **more)
        os.close(near)
        self._columns, self._raw, self._seen = columns, "", 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.kill()
            self.process.kill()
            self.process.wait(30)
        os.close(self._far)

    @property
    def text(self):
        """All that was shown, without colours; a line that replaced itself shows its last state."""
        plain = ESCAPES.sub("", self._raw.replace("\r\x1b[K", "\n\r")).replace("\r\n", "\n")
        return "\n".join(line.rpartition("\r")[2] for line in plain.split("\n"))

    def expect(self, *texts, within_s=180.0):
        """Wait until all of these have been shown since the last time."""
        deadline = time.monotonic() + within_s
        while not all(text in self.text[self._seen :] for text in texts):
            assert time.monotonic() < deadline, f"never shown: {texts}\n{self.text}"
            if not self._take(0.2) and self.process.poll() is not None and not self._take(0.2):
                raise AssertionError(f"ended without {texts}\n{self.text}")
        return self.text[self._seen :]

    def answer(self, question, reply):
        """Type the reply, once the question stands there."""
        self.expect(question, PROMPT)
        self._seen = len(self.text)
        os.write(self._far, f"{reply}\n".encode())

    def key(self, question, key):
        """Press a key, once the question stands there."""
        self.expect(question, PROMPT)
        self.type(key)

    def type(self, keys):
        """Press keys now."""
        os.write(self._far, keys)

    def end(self, within_s=180.0, *, interrupted=False):
        """Wait for its end; the exit code.

        Args:
            interrupted: Ctrl-C was pressed; pressed again now and then, as people do: the line editor loses one that
                comes in the moment between its prompt and its wait for a key.
        """
        deadline = time.monotonic() + within_s
        again_s = time.monotonic() + 10
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.text
            self._take(0.2)
            if interrupted and time.monotonic() > again_s:
                self.type(b"\x03")
                again_s += 10
        while self._take(0.1):
            pass
        assert "Traceback" not in self.text, self.text
        return self.process.returncode

    def kill(self):
        """Kill -9 what runs in it."""
        try:
            children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        except OSError:
            children = ""
        pids = [int(one) for one in children.split()]
        for pid in pids or [self.process.pid]:
            os.kill(pid, signal.SIGKILL)

    def too_wide(self):
        """Lines that do not fit, the typed ones apart."""
        return [line for line in self.text.splitlines() if width(line) > self._columns and PROMPT not in line]

    def _take(self, wait_s):
        if not select.select([self._far], [], [], wait_s)[0]:
            return False
        try:
            data = os.read(self._far, 65536)
        except OSError:  # nobody holds the near end any more
            return False
        self._raw += data.decode(errors="replace")
        return bool(data)
