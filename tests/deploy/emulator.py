"""MiniStack, an emulator that takes the real `sam deploy`, on loopback, and `sam` against it.

Its CloudFormation is its own: what holds here is that `sam` and the template work as a deployment,
not that AWS would do each step the same way. Its EC2 is not asked for anything: it ignores
AllowReassociation, filters and DryRun, and its CloudFormation knows no AWS::EC2::EIP, Instance or
SecurityGroupIngress. So moves, and the classic stack, are tested on the embedded AWS.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from needs import needed

ROOT = Path(__file__).parents[2]
REGION = "eu-central-1"
SAM = ROOT / ".venv-sam/bin/sam"
MINISTACK = ROOT / ".venv-emulator/bin/ministack"
UNKNOWN = "EventsDroppedAlarm"
"""The emulator knows no alarm on a sum of metrics, and a rule's `Ref` only without its bus."""
_READY_SECONDS = 30.0
_SAM_SECONDS = 110.0


@dataclass(frozen=True)
class Emulator:
    """A running MiniStack, and a folder with what `sam build` made of this checkout."""

    url: str
    home: Path

    def client(self, service: str) -> Any:
        return boto3.client(
            service,  # type: ignore[call-overload] # the stubs know each service by a literal
            region_name=REGION,
            endpoint_url=self.url,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    @property
    def built(self) -> Path:
        return self.home / "build"

    def sam(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Runs the real command, with nothing of this machine's own AWS settings."""
        # How packages are fetched is this machine's business, which AWS account is not.
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "PYTHONPATH"))}
        environment = {
            **kept,
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": REGION,
            "HOME": str(self.home),
            "NO_PROXY": "127.0.0.1",
            "SAM_CLI_TELEMETRY": "0",
            "SAM_CLI_POLL_DELAY": "0.5",
        }
        return subprocess.run(
            [SAM, *arguments],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=_SAM_SECONDS,
        )

    def deploy(
        self, stack: str, template: str = "template.yaml", **parameters: str
    ) -> subprocess.CompletedProcess[str]:
        """`sam deploy` with the repository's own samconfig.toml, but for the questions."""
        overrides = [f"{name}={value}" for name, value in parameters.items()]
        return self.sam(
            "deploy",
            *("--stack-name", stack, "--region", REGION, "--no-confirm-changeset"),
            *("--template-file", self.built / template, "--config-file", ROOT / "samconfig.toml"),
            *(["--parameter-overrides", *overrides] if overrides else []),
        )

    def stack(self, name: str) -> Mapping[str, Any]:
        found: dict[str, Any] = self.client("cloudformation").describe_stacks(StackName=name)[
            "Stacks"
        ][0]
        return found

    def outputs(self, name: str) -> dict[str, str]:
        return {o["OutputKey"]: o["OutputValue"] for o in self.stack(name)["Outputs"]}

    def resources(self, name: str) -> dict[str, tuple[str, str]]:
        """Logical id -> type and physical id."""
        found = self.client("cloudformation").describe_stack_resources(StackName=name)
        return {
            r["LogicalResourceId"]: (r["ResourceType"], r["PhysicalResourceId"])
            for r in found["StackResources"]
        }


def leave_out(template: Path, logical_id: str = UNKNOWN) -> None:
    """Takes out of a template that `sam` has written what the emulator cannot make."""
    text = template.read_text()
    left, found = re.subn(rf"^  {logical_id}:\n(?:    .*\n)*", "", text, flags=re.MULTILINE)
    assert found == 1, f"{logical_id} is not in {template}"
    template.write_text(left)


@contextlib.contextmanager
def emulator(home: Path) -> Iterator[Emulator]:
    """MiniStack from here to the end of the block, with all that it started."""
    needed(".venv-sam (make .venv-sam/.ok)", there=SAM.exists())
    needed(".venv-emulator (make .venv-emulator/.ok)", there=MINISTACK.exists())
    port = _free_port()
    environment = {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "HOME": str(home),
        "PATH": os.environ["PATH"],
    }
    with (home / "emulator.log").open("wb") as log:
        process = subprocess.Popen(
            [MINISTACK], env=environment, cwd=home, stdout=log, stderr=log, start_new_session=True
        )
    made = Emulator(f"http://127.0.0.1:{port}", home)
    try:
        _wait_ready(made, process)
        built = made.sam("build", "--build-dir", made.built)
        assert built.returncode == 0, built.stderr
        leave_out(made.built / "template.yaml")
        yield made
    finally:
        with contextlib.suppress(ProcessLookupError):  # its functions' processes are in its group
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait_ready(made: Emulator, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while True:
        assert process.poll() is None, (made.home / "emulator.log").read_text()
        with contextlib.suppress(urllib.error.URLError, OSError):
            urllib.request.urlopen(f"{made.url}/_ministack/health", timeout=1).close()  # noqa: S310
            return
        assert time.monotonic() < deadline, "MiniStack does not answer"
        time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
