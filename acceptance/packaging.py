"""What the stacks are made of: the product's template as `sam` packs it, the agent's package."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from acceptance.run import CLUSTER, Names
from acceptance.stacks import MAX_BODY
from acceptance.waiting import AcceptanceError

ROOT = Path(__file__).parents[1]
SAM = ROOT / ".venv-sam/bin/sam"
_TOOL_SECONDS = 600
_PACKAGE_SECONDS = 3 * 3600
"""How long a node may fetch its package: its first boot is a few minutes away."""
NOWHERE = "127.0.0.1/32"
"""From where SSH and the web page may be reached: from nowhere."""


class Packer(Protocol):
    """How the product's template and the agent's package are made."""

    def control(self, bucket: str, folder: Path) -> Path:
        """The product's template, whose code is in the bucket."""
        ...

    def agent(self, folder: Path) -> Path:
        """The agent's Debian package."""
        ...


@dataclass(frozen=True)
class Tools:
    """The commands that `make build` and `make agent-packages` run as well."""

    region: str
    profile: str | None = None

    def check(self) -> None:
        """Looks for the tools before anything is made.

        Raises:
            AcceptanceError: One is missing; the message says how to get it.
        """
        if not SAM.exists():
            raise AcceptanceError(f"{SAM} is missing: make .venv-sam/.ok")
        if shutil.which("dpkg-deb") is None:
            raise AcceptanceError("dpkg-deb is missing (on Debian: apt-get install dpkg)")

    def control(self, bucket: str, folder: Path) -> Path:
        """`sam build` and `sam package`."""
        built, packed = folder / "build", folder / "packed.yaml"
        # Not the project's samconfig.toml, which names sam's own bucket.
        config = folder / "samconfig.toml"
        config.write_text("version = 0.1\n")
        self._run(SAM, "build", "--build-dir", built, "--config-file", config)
        self._run(
            SAM, "package", "--template-file", built / "template.yaml", "--config-file", config,
            "--s3-bucket", bucket, "--output-template-file", packed, "--no-progressbar",
            "--region", self.region,
        )  # fmt: skip
        return packed

    def agent(self, folder: Path) -> Path:
        """The project's own packaging."""
        script = ROOT / "node_agent/packaging/build.py"
        self._run(sys.executable, script, folder / "dist", "--only", "deb")
        (package,) = (folder / "dist").glob("*.deb")
        return package

    def _run(self, *command: str | Path) -> None:
        environment = {**os.environ, "SAM_CLI_TELEMETRY": "0"}
        if self.profile:
            environment["AWS_PROFILE"] = self.profile
        try:
            done = subprocess.run(
                command, cwd=ROOT, env=environment, capture_output=True, text=True,
                check=False, timeout=_TOOL_SECONDS,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise AcceptanceError(f"{command[0]} did not end in {_TOOL_SECONDS} s") from error
        if done.returncode:
            shown = " ".join(Path(str(part)).name for part in command[:2])
            raise AcceptanceError(f"{shown} failed: {(done.stderr or done.stdout)[-800:]}")


def make_bucket(s3: Any, names: Names) -> None:
    """The run's own bucket, which nobody else can read."""
    where: dict[str, Any] = {"CreateBucketConfiguration": {"LocationConstraint": names.region}}
    s3.create_bucket(Bucket=names.bucket, **({} if names.region == "us-east-1" else where))


def template_of(s3: Any, bucket: str, file: Path) -> Mapping[str, str]:
    """A template as CloudFormation takes it: as a text, or where it is long from the bucket."""
    text = file.read_text()
    if len(text.encode()) <= MAX_BODY:
        return {"TemplateBody": text}
    s3.put_object(Bucket=bucket, Key=file.name, Body=text.encode())
    # CloudFormation reads it by the rights of the caller, so that a signature is not needed.
    url = s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": file.name})
    return {"TemplateURL": str(url).partition("?")[0]}


def classic_parameters(s3: Any, names: Names, package: Path) -> dict[str, str]:
    """The parameters of the nodes' stack; the package is in the bucket afterwards."""
    content = package.read_bytes()
    s3.put_object(Bucket=names.bucket, Key=package.name, Body=content)
    url = s3.generate_presigned_url(
        "get_object", {"Bucket": names.bucket, "Key": package.name}, ExpiresIn=_PACKAGE_SECONDS
    )
    return {
        "ArbiterStack": names.control,
        "ClusterId": CLUSTER,
        "AgentPackageUrl": str(url),
        "AgentPackageSha256": hashlib.sha256(content).hexdigest(),
        "AdminCidr": NOWHERE,
        "SystemsManager": "yes",
    }
