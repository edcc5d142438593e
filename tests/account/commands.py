"""A stand-in of the Systems Manager: it carries the commands out on simulated nodes.

A node without power, or without a way to AWS, gets its command when it is back. A node that loses
its power by its own command really loses it in the simulation; no other command may touch /proc.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from account.answered import RefusedError

from acceptance.on_node.commands import POWER_LOSS
from lab.embedded.later import Later
from lab.simulated.cluster import SimulatedCluster
from lab.site import AGENT_PATH

BOOT_SECONDS = 4.0
_SETSID = """#!/bin/sh
# In place of setsid: what runs on after its command ends with the node's power.
echo $$ >> "$EIP_ACCEPTANCE_DIR/running"
exec "$@"
"""


class SimulatedCommands:
    """Implements what the run uses of the API `ssm`.

    Args:
        cluster: The nodes.
        names: Instance id -> node.
        is_cut: Whether a node has no way to AWS now.
        later: Where a node boots: its processes end with the thread that starts them.
    """

    def __init__(
        self,
        cluster: SimulatedCluster,
        names: Mapping[str, str],
        is_cut: Callable[[str], bool],
        later: Later,
    ) -> None:
        self._cluster, self._names, self._is_cut = cluster, dict(names), is_cut
        self._later = later
        self._numbers = itertools.count(1)
        self._invocations: dict[str, dict[str, Any]] = {}
        self.carried_out: list[tuple[str, str]] = []
        for node in names.values():
            self._disk(node).mkdir(exist_ok=True)
            stand_in = self._cluster.node(node).folder / "bin" / "setsid"
            stand_in.write_text(_SETSID)
            stand_in.chmod(0o755)

    def answer(self, operation: str, asked: dict[str, Any]) -> dict[str, Any]:
        """One call."""
        match operation:
            case "DescribeInstanceInformation":
                up = [i for i, n in self._names.items() if self._cluster.node(n).powered]
                shown = [{"InstanceId": i, "PingStatus": "Online"} for i in up]
                return {"InstanceInformationList": shown}
            case "SendCommand":
                return {"Command": {"CommandId": self._send(asked)}}
            case "GetCommandInvocation":
                return self._invocation(asked["CommandId"])
        # A stand-in never pretends: a call that it does not know fails by its name.
        raise NotImplementedError(operation)

    def close(self) -> None:
        """Ends what still runs on the nodes."""
        for node in self._names.values():
            self._end_all(node)

    def _send(self, asked: dict[str, Any]) -> str:
        assert asked["DocumentName"] == "AWS-RunShellScript"
        (instance,) = asked["InstanceIds"]
        command = f"{next(self._numbers):036}"
        # As at AWS, an invocation is not known at once.
        self._invocations[command] = {"asked": 0, "Status": "Pending", "StatusDetails": "Pending"}
        text = "\n".join(asked["Parameters"]["commands"])
        seconds = float(asked["TimeoutSeconds"])
        threading.Thread(
            target=self._carry_out,
            args=(self._names[instance], text, seconds, self._invocations[command]),
            daemon=True,
        ).start()
        return command

    def _invocation(self, command: str) -> dict[str, Any]:
        found = self._invocations[command]
        found["asked"] += 1
        if found["asked"] == 1:
            raise RefusedError("InvocationDoesNotExist", "")
        return {key: value for key, value in found.items() if key != "asked"}

    def _carry_out(self, node: str, text: str, seconds: float, told: dict[str, Any]) -> None:
        deadline = time.monotonic() + seconds
        while not self._cluster.node(node).powered or self._is_cut(node):
            if time.monotonic() > deadline:
                told.update(Status="TimedOut", StatusDetails="DeliveryTimedOut")
                told.update(StandardOutputContent="", StandardErrorContent="")
                return
            time.sleep(0.05)
        self.carried_out.append((node, text))
        if text == POWER_LOSS:
            told.update(StandardOutputContent="", StandardErrorContent="")
            told.update(Status="Success", StatusDetails="Success")
            self._lose_power(node)
            return
        assert "/proc" not in text, "a command of a simulated node runs on this machine"
        done = subprocess.run(
            ["sh", "-c", text],
            env=self._environment(node),
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )
        told.update(StandardOutputContent=done.stdout, StandardErrorContent=done.stderr)
        ended = "Failed" if done.returncode else "Success"
        told.update(Status=ended, StatusDetails=ended)

    def _environment(self, node: str) -> dict[str, str]:
        folder = self._cluster.node(node).folder
        return {
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
            "EIP_ACCEPTANCE_DIR": str(self._disk(node)),
            "EIP_AGENT_CONF": str(folder / "eip-agent.conf"),
            "EIP_AGENT_LIBRARY": AGENT_PATH,
        }

    def _disk(self, node: str) -> Path:
        return self._cluster.node(node).folder / "disk"

    def _lose_power(self, node: str) -> None:
        (self._disk(node) / "eip-acceptance-power").write_text(f"{time.time():.9f}\n")
        self._end_all(node)
        self._cluster.power_off(node)
        self._later.run(BOOT_SECONDS, lambda: self._cluster.power_on(node))

    def _end_all(self, node: str) -> None:
        running = self._disk(node) / "running"
        for pid in running.read_text().split() if running.exists() else []:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        running.unlink(missing_ok=True)
