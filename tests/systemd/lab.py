"""systemd as PID 1 in namespaces of its own, with the real units; see `pid1.sh`."""

import contextlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SYSTEMD = Path("/lib/systemd/systemd")
_NAMESPACES = ("--mount", "--pid", "--cgroup", "--uts", "--ipc")


def why_not():
    """Why there can be no lab on this machine; "" when there can."""
    if os.geteuid() != 0:
        return "needs root"
    if not SYSTEMD.exists() or not shutil.which("unshare") or not shutil.which("nsenter"):
        return "needs systemd, unshare and nsenter"
    if _cgroup2() is None:
        return "needs a cgroup2 file system"
    own = "import sys; print(*sys.version_info[:2])"
    said = subprocess.run(["/usr/bin/python3", "-c", own], capture_output=True, text=True).stdout.split()
    if said != [str(n) for n in sys.version_info[:2]]:
        return "needs the system's Python to be the one of this environment"
    done = subprocess.run(["unshare", *_NAMESPACES, "--fork", "true"], capture_output=True, text=True)
    return f"no namespaces here: {done.stderr.strip()}" if done.returncode else ""


def _cgroup2():
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, at, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(at)
    return None


class Lab:
    """One machine; gone with everything on it when the context ends."""

    def __enter__(self):
        self._stack = contextlib.ExitStack()
        self._place = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="edgeagent-lab-")))
        self._group = _cgroup2() / f"edgeagent-lab-{os.getpid()}"
        self._group.mkdir()
        self._stack.callback(self._remove_group)
        self._log = self._stack.enter_context(tempfile.TemporaryFile("w+"))
        join = f"echo $$ > {self._group}/cgroup.procs; exec unshare {' '.join(_NAMESPACES)} --fork --kill-child "
        join += '--propagation private sh "$@"'
        script = Path(__file__).with_name("pid1.sh")
        site = sysconfig.get_paths()["purelib"]
        words = ["sh", "-c", join, "sh", str(script), str(self._place), str(ROOT), site]
        self._unshare = subprocess.Popen(words, stdout=self._log, stderr=self._log)
        self._stack.callback(self._end)
        try:
            self.until(self._answers, "systemd answers")
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_):
        self._stack.close()

    def _end(self):
        self._unshare.kill()
        self._unshare.wait(30)

    def _remove_group(self):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            for folder in [*sorted((p for p in self._group.rglob("*") if p.is_dir()), reverse=True), self._group]:
                with contextlib.suppress(OSError):
                    folder.rmdir()
            if not self._group.exists():
                return
            time.sleep(0.1)

    def _answers(self):
        assert self._unshare.poll() is None, self._said()
        return self.run("systemctl", "is-active", "systemd-journald.service", check=False).strip() == "active"

    def _said(self):
        self._log.seek(0)
        return self._log.read()

    @property
    def pid(self):
        """Of PID 1, as seen from here."""
        children = Path(f"/proc/{self._unshare.pid}/task/{self._unshare.pid}/children").read_text().split()
        return int(children[0]) if children else None

    def run(self, *words, check=True, text=None):
        """A command inside; its output."""
        if self.pid is None:
            return ""
        inside = ["nsenter", "-t", str(self.pid), "-m", "-p", "-C", "-u", "-i", "-r", "-w", *map(str, words)]
        done = subprocess.run(inside, input=text, capture_output=True, text=True, timeout=120)
        assert not check or done.returncode == 0, (words, done.stdout, done.stderr, self.journal())
        return done.stdout

    def journal(self):
        """What was logged."""
        return self.run("journalctl", "--no-pager", "-o", "cat", "-n", "80", check=False)

    def write(self, path, text):
        """A file inside, with its folders."""
        self.run("sh", "-c", f'mkdir -p "$(dirname {path})" && cat > {path}', text=text)

    def read(self, path):
        """A file inside; "" for none."""
        return self.run("cat", path, check=False)

    def drop_in(self, unit, text):
        """Settings beside a unit; the unit itself stays as it is shipped."""
        self.write(f"/etc/systemd/system/{unit}.d/lab.conf", text)
        self.run("systemctl", "daemon-reload")

    def shows(self, unit, *names):
        """Properties of a unit."""
        said = self.run("systemctl", "show", unit, *[f"--property={name}" for name in names])
        return dict(line.partition("=")[::2] for line in said.splitlines())

    def until(self, look, what, timeout_s=90):
        """What `look` returns as soon as it is something."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            found = look()
            if found:
                return found
            time.sleep(0.2)
        raise AssertionError(f"waited {timeout_s} s until {what}: {self.journal()} {self._said()}")

    def active(self, unit="edgeagent.service"):
        """Wait until it runs and is ready."""
        state = lambda: self.shows(unit, "ActiveState", "SubState")  # noqa: E731
        return self.until(lambda: state() == {"ActiveState": "active", "SubState": "running"}, f"{unit} runs")
