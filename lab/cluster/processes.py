"""Processes of nodes as the enclosure sees them: found in /proc, signalled by their number."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path


def pid_namespace(pid: int) -> str | None:
    """Name the pid namespace of a process; `None` when it is gone."""
    try:
        return str(Path(f"/proc/{pid}/ns/pid").readlink())
    except OSError:
        return None


def in_namespace(namespace: str, name_prefix: str = "") -> list[int]:
    """List the live processes of a pid namespace whose name begins so; without zombies."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or pid_namespace(int(entry.name)) != namespace:
            continue
        stat = _stat(int(entry.name))
        if stat is not None and stat[0].startswith(name_prefix) and stat[1] != "Z":
            found.append(int(entry.name))
    return found


def child_of(parent: int) -> int | None:
    """Find the first child of a process."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            stat = _stat(int(entry.name))
            if stat is not None and stat[2] == parent:
                return int(entry.name)
    return None


def _stat(pid: int) -> tuple[str, str, int] | None:
    """Read name, state letter and parent of a process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    name, _, rest = text.partition("(")[2].rpartition(") ")
    state, parent, *_ = rest.split()
    return name, state, int(parent)


class NodeProcess:
    """A long-running process in a node, behind the `nsenter` that brought it there."""

    def __init__(self, entrance: subprocess.Popen[bytes]) -> None:
        self._entrance = entrance
        self._pid: int | None = None

    @property
    def pid(self) -> int:
        """The process's number in the enclosure.

        Raises:
            ProcessLookupError: it has ended.
        """
        while self._pid is None and self._entrance.poll() is None:
            self._pid = child_of(self._entrance.pid)
        if self._pid is None or self._entrance.poll() is not None:
            raise ProcessLookupError("the process has ended")
        return self._pid

    @property
    def running(self) -> bool:
        """Whether it still runs."""
        return self._entrance.poll() is None

    @property
    def exit_code(self) -> int | None:
        """Its exit code once it has ended."""
        return self._entrance.poll()

    def send_signal(self, number: int) -> None:
        """Send it a signal; none when it has ended."""
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return

    def stop(self, seconds: float = 5.0) -> None:
        """End it with SIGTERM, and with SIGKILL when that takes longer than `seconds`."""
        self.send_signal(signal.SIGTERM)
        try:
            self._entrance.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it with SIGKILL and wait for that."""
        self.send_signal(signal.SIGKILL)
        self._entrance.wait()

    def thaw_entrance(self) -> None:
        """Wake the `nsenter`, which stops itself whenever its child is stopped."""
        if self.running:
            self._entrance.send_signal(signal.SIGCONT)


def wait_gone(namespace: str, name_prefix: str, seconds: float) -> bool:
    """Wait until no process of that name is left in a pid namespace."""
    deadline = time.monotonic() + seconds
    while in_namespace(namespace, name_prefix):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
