"""One simulated node: a folder with its commands, and the real processes that it runs.

The agent, the metadata service and the resource agent are the real ones; only `crm_mon`,
`corosync-cfgtool`, `corosync-quorumtool` and `crm_resource` are stand-ins that read and write
files.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lab.simulated.plan import NOT_CONNECTED_XML, Role

_COMMANDS = {
    "crm_mon": """cat "$here/crm_mon.xml"
! grep -q 'code="102"' "$here/crm_mon.xml" || exit 102
""",
    "corosync-cfgtool": 'cat "$here/cfgtool"\n',
    "corosync-quorumtool": "echo 'Flags:            2Node Quorate WaitForAll'\n",
    "crm_resource": """request=$(mktemp "$here/requests/.XXXXXX")
echo "$@" > "$request"
mv "$request" "$here/requests/$(basename "$request" | tr -d .)"
""",
}


@dataclass
class SimulatedNode:
    """A node's state. The cluster's one thread changes it; the rest of the world reads files."""

    name: str
    folder: Path
    powered: bool = False
    stack: bool = False
    stack_since: float = 0.0
    leaving: bool = False
    role: Role = "Stopped"
    role_since: float = 0.0
    operation: threading.Thread | None = None
    next_monitor: float = 0.0
    failures: dict[str, str] = field(default_factory=dict)
    seen_since: dict[str, float] = field(default_factory=dict)
    lost_since: dict[str, float] = field(default_factory=dict)
    members: set[str] = field(default_factory=set)
    left: set[str] = field(default_factory=set)
    last_on: str | None = None
    wanted_on: str | None = None
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    starts: int = 0

    def __post_init__(self) -> None:
        for part in ("bin", "requests", "run"):
            (self.folder / part).mkdir(parents=True, exist_ok=True)
        for name, body in _COMMANDS.items():
            script = self.folder / "bin" / name
            script.write_text(f"#!/bin/sh\nhere='{self.folder}'\n{body}")
            script.chmod(0o755)
        self.write("crm_mon.xml", NOT_CONNECTED_XML)
        self.write("cfgtool", "")

    def write(self, name: str, text: str) -> None:
        """Replaces a file that a command shows, in one step, if its text changed."""
        path = self.folder / name
        if not path.exists() or path.read_text() != text:
            fresh = path.with_suffix(".new")
            fresh.write_text(text)
            fresh.replace(path)

    def requests(self) -> list[list[str]]:
        """The arguments of each `crm_resource` that was called since the last look."""
        found = []
        for path in sorted((self.folder / "requests").iterdir()):
            if not path.name.startswith("."):
                found.append(path.read_text().split())
                path.unlink()
        return found

    def spawn(self, argv: Sequence[str], *, log: str, env: Mapping[str, str]) -> None:
        """Starts a process that ends with the node's power, and with this process at the latest."""
        tied = ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []
        with (self.folder / log).open("ab") as output:
            self.processes.append(
                subprocess.Popen(
                    [*tied, *argv],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=dict(env),
                    start_new_session=True,
                )
            )

    def run_agent(self, argv: Sequence[str], env: Mapping[str, str], seconds: float) -> int:
        """Runs one action of the resource agent; 1 when it did not end in time or lost power."""
        with (self.folder / "resource-agent.log").open("ab") as output:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(env),
                start_new_session=True,
            )
        self.processes.append(process)
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL, [process])
            return 1

    def signal(self, number: int, processes: Sequence[subprocess.Popen[bytes]]) -> None:
        """Sends a signal to processes and all that they started."""
        for process in processes:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, number)
            if number == signal.SIGKILL:
                process.wait()

    def cut_power(self) -> None:
        """Ends everything at once; what is on the disk stays, /run does not."""
        self.signal(signal.SIGKILL, self.processes)
        self.processes.clear()
        self.powered = self.stack = self.leaving = False
        self.role, self.members = "Stopped", set()
        for path in (self.folder / "run").iterdir():
            path.unlink()
        self.write("crm_mon.xml", NOT_CONNECTED_XML)
        self.write("cfgtool", "")
