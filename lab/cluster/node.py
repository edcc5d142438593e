"""One node: namespaces of its own below the enclosure, its disk, its processes, its cluster stack.

Links are made by `network`; what several nodes do together is in `real`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from lab.cluster import network
from lab.cluster.enclosure import STATE
from lab.cluster.processes import NodeProcess, in_namespace, pid_namespace, wait_gone
from lab.cluster.protocol import ClusterError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CLEAN_ENVIRONMENT: Mapping[str, str] = {"PATH": PATH, "LANG": "C.UTF-8"}
"""What systemd gives a unit: nothing of the caller's own environment reaches a node."""

_COPY_ON_WRITE = ("/etc", "/tmp", "/usr", "/var")  # noqa: S108
_EMPTY = {  # never the machine's own: it may be a member of a real cluster
    "/var/lib/corosync": ("root", "root", 0o755),
    "/var/lib/pacemaker": ("hacluster", "haclient", 0o750),
    "/var/lib/pcsd": ("root", "root", 0o700),
    "/var/log/corosync": ("root", "root", 0o755),
    "/var/log/pacemaker": ("hacluster", "haclient", 0o770),
}
_INIT = Path(__file__).with_name("node_init.sh")
_BOOT_SECONDS = 5.0
_STACK_SECONDS = 60.0


class Node:
    """A machine of the lab's cluster, with or without power."""

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.number = number
        self.home = STATE / "nodes" / name
        self.disk = self.home / "disk"
        self._pid: int | None = None
        self._namespace = ""
        self._power: subprocess.Popen[bytes] | None = None
        self._spawned: list[NodeProcess] = []
        self._commands: set[subprocess.Popen[str]] = set()

    def make_disk(self, corosync_conf: str, cib: str) -> None:
        """Lay out a fresh disk; `/var/...` of the cluster programs begins empty."""
        for path in _roots():
            for kind in ("disk", "work"):
                (self.home / f"{kind}{path}").mkdir(parents=True)
            _same_owner_and_mode(Path(path), self.home / f"disk{path}")
        for path, (user, group, mode) in _EMPTY.items():
            made = self.disk / path.lstrip("/")
            for parent in (made.parent, made):
                parent.mkdir(exist_ok=True)
            os.setxattr(made, "trusted.overlay.opaque", b"y")
            made.chmod(mode)
            shutil.chown(made, user, group)
        for name in ("run", "log"):
            (self.home / name).mkdir()
        for name in ("blackbox", "cib", "cores", "pengine"):
            self._pacemaker_folder(name)
        self.install("/etc/corosync/corosync.conf", corosync_conf)
        self.install("/etc/hostname", f"{self.name}\n")
        self.install("/var/lib/pacemaker/cib/cib.xml", cib, mode=0o600)
        shutil.chown(self.disk / "var/lib/pacemaker/cib/cib.xml", "hacluster", "haclient")

    def _pacemaker_folder(self, name: str) -> None:
        folder = self.disk / "var/lib/pacemaker" / name
        folder.mkdir(mode=0o750)
        shutil.chown(folder, "hacluster", "haclient")

    def install(self, path: str, content: Path | str, mode: int | None = None) -> None:
        """Put a file or a folder (`Path`), or a text, on the node's disk; owner is root.

        Args:
            path: absolute, below one of `/etc`, `/tmp`, `/usr`, `/var`.
            content: where to copy from, or the text itself.
            mode: permissions of the file; by default the original's, or 0644 for a text.
        """
        if not path.startswith(tuple(f"{root}/" for root in _COPY_ON_WRITE)):
            raise ValueError(f"{path} is not on a node's own disk")
        root = Path(f"/proc/{self._pid}/root") if self.powered else self.disk
        target = root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            target.write_text(content)
            target.chmod(0o644)
        elif content.is_dir():
            shutil.copytree(content, target, dirs_exist_ok=True)
        else:
            shutil.copy(content, target)
        if mode is not None:
            target.chmod(mode)

    @property
    def powered(self) -> bool:
        """Whether the node's process 1 runs."""
        return self._power is not None and self._power.poll() is None

    def boot(self) -> None:
        """Give the node its namespaces and links; no service is started."""
        if self.powered:
            raise ClusterError(f"{self.name} has power already")
        mark = self.home / "pid"
        mark.unlink(missing_ok=True)
        spaces = ("--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child")
        with (self.home / "log" / "init.log").open("ab") as log:
            self._power = subprocess.Popen(
                ["unshare", *spaces, "--", "sh", str(_INIT), str(STATE), self.name, *_roots()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(CLEAN_ENVIRONMENT),
                start_new_session=True,
            )
        deadline = time.monotonic() + _BOOT_SECONDS
        while not mark.exists():
            if not self.powered or time.monotonic() > deadline:
                raise ClusterError(f"{self.name}: {(self.home / 'log/init.log').read_text()}")
            time.sleep(0.005)
        self._pid = int(mark.read_text())
        self._namespace = pid_namespace(self._pid) or ""
        network.plug_in(self.name, self.number, self._pid)

    def power_off(self) -> None:
        """Pull the links, then kill process 1: the kernel ends all others of the node at once."""
        network.pull_out(self.name)
        os.kill(self._live_pid(), signal.SIGKILL)
        if self._power is not None:
            self._power.wait()
        self._pid = None
        self._spawned.clear()

    def run(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        user: int | None = None,
        check: bool = True,
        seconds: float = 60.0,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the node to its end; output is captured as text.

        Args:
            argv: program and arguments.
            env: replaces the environment, apart from PATH and LANG.
            user: numeric id to run as, with the one group haclient; root by default.
            check: whether a failure raises.
            seconds: the time it may take.

        Raises:
            ClusterError: it failed and `check` is set; the message has its output.
        """
        with subprocess.Popen(
            self._enter(argv, user, None),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**CLEAN_ENVIRONMENT, **(env or {})},
        ) as process:
            self._commands.add(process)
            try:
                output, errors = process.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
            finally:
                self._commands.discard(process)
        status = process.returncode
        if check and status != 0:
            text = f"{output.strip()} {errors.strip()}"
            raise ClusterError(f"{self.name}: {' '.join(argv)} ended with {status}: {text}")
        return subprocess.CompletedProcess(list(argv), status, output, errors)

    def spawn(
        self,
        argv: Sequence[str],
        *,
        log: str,
        env: Mapping[str, str] | None = None,
        user: int | None = None,
        folder: Path | None = None,
    ) -> NodeProcess:
        """Start a long-running process in the node; it ends with the node's power at the latest.

        Args:
            argv: program and arguments.
            log: name of the file in the node's `home/log` that gets its output.
            env: replaces the environment, apart from PATH and LANG.
            user: numeric id to run as, with the one group haclient; root by default.
            folder: working directory.
        """
        with (self.home / "log" / log).open("ab") as output:
            entrance = subprocess.Popen(
                self._enter(argv, user, folder),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**CLEAN_ENVIRONMENT, **(env or {})},
                start_new_session=True,
            )
        process = NodeProcess(entrance)
        self._spawned = [p for p in self._spawned if p.running] + [process]
        return process

    def _enter(self, argv: Sequence[str], user: int | None, folder: Path | None) -> list[str]:
        enter = ["nsenter", "-t", str(self._live_pid()), "-m", "-u", "-i", "-n", "-p", "-r", "-w"]
        as_user = (
            ["setpriv", f"--reuid={user}", "--regid=haclient", "--clear-groups", "--"]
            if user is not None
            else []
        )
        there = ["env", f"--chdir={folder}"] if folder is not None else []
        return [*enter, "--", *as_user, *there, *argv]

    @property
    def pid(self) -> int:
        """Process 1 of the node, by its number in the enclosure.

        Raises:
            ClusterError: the node has no power.
        """
        return self._live_pid()

    def _live_pid(self) -> int:
        if self._pid is None or not self.powered:
            raise ClusterError(f"{self.name} has no power")
        return self._pid

    def path(self, path: str) -> Path:
        """Give a file of the running node as the enclosure can open it."""
        return Path(f"/proc/{self._live_pid()}/root") / path.lstrip("/")

    def pids(self, name_prefix: str = "") -> list[int]:
        """List the node's processes whose name begins so, by their number in the enclosure."""
        return in_namespace(self._namespace, name_prefix) if self.powered else []

    def kill(self, name_prefix: str) -> None:
        """Kill the node's processes whose name begins so with SIGKILL, and wait."""
        self._signal(name_prefix, signal.SIGKILL)
        wait_gone(self._namespace, name_prefix, _STACK_SECONDS)

    def _signal(self, name_prefix: str, number: int) -> None:
        for pid in self.pids(name_prefix):
            with contextlib.suppress(ProcessLookupError):  # it may end by itself meanwhile
                os.kill(pid, number)

    def start_stack(self, pacemaker_environment: Mapping[str, str]) -> None:
        """Start Corosync and, once it answers, Pacemaker; those that run already stay."""
        if not self.pids("corosync"):
            self.spawn(["corosync", "-f"], log="corosync.out")
            deadline = time.monotonic() + _STACK_SECONDS
            while self.run(["corosync-cfgtool", "-s"], check=False).returncode != 0:
                if time.monotonic() > deadline:
                    raise ClusterError(f"{self.name}: Corosync does not answer")
                time.sleep(0.05)
        if not self.pids("pacemakerd"):
            log = {"PCMK_logfile": "/var/log/pacemaker/pacemaker.log", "PCMK_logfacility": "none"}
            self.spawn(["pacemakerd"], log="pacemaker.out", env={**log, **pacemaker_environment})

    def stop_stack(self) -> None:
        """Stop Pacemaker, then Corosync, with what their systemd units run."""
        self._signal("pacemakerd", signal.SIGTERM)
        if not wait_gone(self._namespace, "pacemaker", _STACK_SECONDS):
            raise ClusterError(f"{self.name}: Pacemaker does not stop")
        if self.pids("corosync"):
            self.run(["corosync-cfgtool", "-H", "--force"], check=False)
        if not wait_gone(self._namespace, "corosync", _STACK_SECONDS):
            raise ClusterError(f"{self.name}: Corosync does not stop")

    def freeze(self) -> None:
        """Stop all processes of the node but its process 1, atomically."""
        self.run(["sh", "-c", "kill -STOP -1"])

    def thaw(self) -> None:
        """Let all processes of the node go on."""
        self.run(["sh", "-c", "kill -CONT -1"])
        self.wake_entrances()

    def wake_entrances(self) -> None:
        """Wake what stopped outside along with a process that was stopped in the node."""
        for process in self._spawned:
            process.thaw_entrance()
        for command in list(self._commands):
            command.send_signal(signal.SIGCONT)


def _roots() -> list[str]:
    """List what is copy-on-write in a node: its disk, and the closed folders above our Python.

    A home folder with mode 0700 would keep a node's unprivileged processes from this very
    interpreter and checkout. The copy in the nodes lets them pass; the machine's own stays closed.
    """
    needed = (Path(sys.executable).resolve(), Path(sys.executable), Path(__file__).resolve())
    closed = {
        str(parent)
        for path in needed
        for parent in path.parents
        if not parent.stat().st_mode & 0o001
    }
    return [*_COPY_ON_WRITE, *sorted(closed)]


def _same_owner_and_mode(original: Path, copy: Path) -> None:
    status = original.stat()
    os.chown(copy, status.st_uid, status.st_gid)
    closed = str(original) not in _COPY_ON_WRITE
    copy.chmod((status.st_mode & 0o7777) | (0o011 if closed else 0))
