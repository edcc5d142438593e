"""The enclosure: one set of namespaces around a whole lab run, so that nothing can stay behind.

The command runs as process 1 of its own pid namespace, with its own network and mounts. When it
ends, or is killed in whatever way, the kernel ends every process in there and drops every bridge,
veth, mount and file: there is no clean-up code that could be skipped. What nodes are made of is
not known here.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import FrameType

STATE = Path("/run/eip-arbiter-lab")
"""The lab's folder: on a tmpfs that exists only inside the enclosure and its nodes."""

PACKAGE_OF_PROGRAM: Mapping[str, str] = {
    "pacemakerd": "pacemaker",
    "corosync": "corosync",
    "pcs": "pcs",
    "crm_simulate": "pacemaker-cli-utils",
    "ocf-tester": "resource-agents",
    "xmllint": "libxml2-utils",
    "iptables": "iptables",
    "ip": "iproute2",
    "unshare": "util-linux",
}
"""Program that the lab runs -> Debian package that has it."""

BASELINE_PACKAGES = ("awscli", "curl")
"""What `ocf:heartbeat:awseip`, the peer that is measured beside, needs on top."""

_MARK = "EIP_ARBITER_LAB_ENCLOSURE"
_NAMESPACES = ("--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
_SET_UP = (
    # Without -n, mount notes itself in /run/mount, before /run is our own.
    f'mount -n -t tmpfs -o mode=755 tmpfs /run && mkdir {STATE} && ip link set lo up && exec "$@"'
)
_PR_SET_PDEATHSIG = 1
_INTERRUPTED_GRACE_SECONDS = 10


def debian_packages() -> list[str]:
    """Name all that `apt-get install` must bring for the cluster and for the baseline."""
    return sorted({*PACKAGE_OF_PROGRAM.values(), *BASELINE_PACKAGES})


def requirements_missing() -> list[str]:
    """Say what this machine lacks to hold a real cluster; empty when it can."""
    if sys.platform != "linux":
        return ["Linux (Pacemaker, Corosync and namespaces)"]
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    packages = {
        package
        for program, package in PACKAGE_OF_PROGRAM.items()
        if shutil.which(program, path=path) is None
    }
    missing = [f"Debian package {package}" for package in sorted(packages)]
    if os.geteuid() != 0:
        return ["root", *missing]
    if "overlay" not in Path("/proc/filesystems").read_text():
        subprocess.run(["modprobe", "overlay"], check=False, capture_output=True)
        if "overlay" not in Path("/proc/filesystems").read_text():
            missing.append("overlay file system in the kernel")
    if "Debian package util-linux" in missing:
        return missing
    trial = subprocess.run(
        ["unshare", *_NAMESPACES, "--uts", "--ipc", "true"],
        check=False,
        capture_output=True,
        text=True,
    )
    if trial.returncode != 0:
        missing.append(f"the right to make namespaces ({trial.stderr.strip()})")
    return missing


def inside() -> bool:
    """Tell whether this process already runs in an enclosure."""
    return os.environ.get(_MARK) == "1" and STATE.is_dir()


def ensure_inside() -> None:
    """Run this very command again in an enclosure, and end with its exit code; once inside, go on.

    Works for commands that were started as `python -m module ...`, a script or an entry point.
    """
    if not inside():
        sys.exit(run([sys.executable, *sys.orig_argv[1:]]))


def start(
    argv: Sequence[str], *, output: IO[bytes] | None = None, pass_fds: Sequence[int] = ()
) -> subprocess.Popen[bytes]:
    """Start `argv` in a new enclosure that cannot outlive this process, however it ends.

    Args:
        argv: program and arguments; it becomes process 1 in there.
        output: where its output goes; by default where this process's goes.
        pass_fds: file descriptors that it inherits.
    """
    parent = os.getpid()
    libc = ctypes.CDLL(None, use_errno=True)

    def die_with_parent() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before prctl took effect
            os._exit(1)

    return subprocess.Popen(
        ["unshare", *_NAMESPACES, "--", "sh", "-c", _SET_UP, "sh", *argv],
        env={**os.environ, _MARK: "1"},
        preexec_fn=die_with_parent,  # noqa: PLW1509  # one call to the kernel, no lock taken
        stdout=output,
        stderr=output,
        pass_fds=pass_fds,
    )


def run(argv: Sequence[str]) -> int:
    """Run `argv` in a new enclosure and return its exit code (128 + n when signal n ended it).

    SIGTERM ends the enclosure at once; SIGINT leaves the command some seconds to say goodbye.
    """
    return _wait(start(argv))


def _wait(process: subprocess.Popen[bytes]) -> int:
    def end(number: int, _frame: FrameType | None) -> NoReturn:
        # `unshare` blocks SIGTERM while it waits, so a polite signal would never arrive.
        process.kill()
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    # A shell starts background jobs with SIGINT ignored; this one is to be interruptible anyway.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        code = process.wait()
    except KeyboardInterrupt:
        # A terminal has sent it to the command as well: let it finish what it prints.
        try:
            process.wait(_INTERRUPTED_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
        code = -signal.SIGINT
    finally:
        signal.signal(signal.SIGTERM, before)
    return code if code >= 0 else 128 - code


def main() -> int:
    """Run the command line's own arguments in an enclosure, or say what is missing."""
    arguments = sys.argv[1:]
    if arguments == ["--packages"]:
        print(*debian_packages())
        return 0
    missing = requirements_missing()
    if missing or not arguments:
        print("usage: python -m lab.cluster.enclosure COMMAND [ARGUMENT...]", file=sys.stderr)
        print(*(f"missing: {what}" for what in missing), sep="\n", file=sys.stderr)
        return 2
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
