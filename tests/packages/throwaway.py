"""A copy of this very machine to install things on: what is written there is gone with it.

Its file system is an overlay over the machine's own, in a mount namespace of its own; /run begins
empty, there is no network, and `systemctl` only notes what it was asked for.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

_OWN_NAMESPACES = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child")
_SET_UP = """
set -e
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
mount -t tmpfs tmpfs "$1/root/run"
mount -t proc proc "$1/root/proc"
mount --bind /dev "$1/root/dev"
echo ready
exec sleep infinity
"""
_SYSTEMCTL = '#!/bin/sh\necho "$@" >> /run/systemctl.calls\n'


class Throwaway:
    """The machine's copy; commands in it run as root, chrooted."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._holder: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._folder.mkdir()
        self._holder = subprocess.Popen(
            [*_OWN_NAMESPACES, "--", "sh", "-c", _SET_UP, "sh", str(self._folder)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "ready\n"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._holder is not None
        self._holder.kill()
        self._holder.communicate()

    def run(self, *command: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end; output is captured as text."""
        assert self._holder is not None
        root = str(self._folder / "root")
        enter = ["nsenter", "-t", str(self._pid()), "-n", "-m", "-p", "--", "chroot", root]
        done = subprocess.run(
            [*enter, *map(str, command)],
            env={"PATH": os.defpath + ":/usr/sbin:/sbin", "LANG": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done

    def boot_systemd(self) -> None:
        """Lets maintainer scripts believe that systemd runs."""
        self.path("/run/systemd/system").mkdir(parents=True)
        self.path("/usr/bin/systemctl").unlink(missing_ok=True)
        self.path("/usr/bin/systemctl").write_text(_SYSTEMCTL)
        self.path("/usr/bin/systemctl").chmod(0o755)

    def asked_of_systemd(self) -> list[str]:
        """What `systemctl` was called with since the last question."""
        calls = self.path("/run/systemctl.calls")
        asked = calls.read_text().splitlines() if calls.exists() else []
        calls.unlink(missing_ok=True)
        return asked

    def path(self, path: str) -> Path:
        """A file of the copy, as the machine can open it."""
        return Path(f"/proc/{self._pid()}/root{self._folder}/root{path}")

    def written(self) -> set[str]:
        """Files that differ from the machine's own, without folders and what was removed."""
        upper = Path(f"/proc/{self._pid()}/root{self._folder}/upper")
        return {
            f"/{path.relative_to(upper)}"
            for path in upper.rglob("*")
            if path.is_symlink() or path.is_file()
        }

    def _pid(self) -> int:
        assert self._holder is not None
        children = Path(f"/proc/{self._holder.pid}/task/{self._holder.pid}/children")
        return int(children.read_text().split()[0])
