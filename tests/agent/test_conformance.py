"""What other programs ask of the node's files: OCF, systemd, Python 3.9, packaging."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from agent.fakes import PARTS, RESOURCE_AGENT, ROOT, FakeNode
from needs import needed

DTD = Path("/usr/share/resource-agents/ra-api-1.dtd")


def test_the_metadata_is_valid_by_the_resource_agents_dtd(tmp_path: Path) -> None:
    needed("xmllint", there=shutil.which("xmllint") is not None)
    needed("resource-agents", there=DTD.exists())
    text = subprocess.run([RESOURCE_AGENT, "meta-data"], capture_output=True, check=True).stdout
    (tmp_path / "ra-api-1.dtd").write_bytes(DTD.read_bytes())
    (tmp_path / "meta.xml").write_bytes(text)
    command = ["xmllint", "--noout", "--valid", "meta.xml"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=20)


def test_ocf_tester_passes_the_resource_agent(tmp_path: Path) -> None:
    needed("ocf-tester", there=shutil.which("ocf-tester") is not None)
    needed("root", there=os.getuid() == 0)
    node = FakeNode(tmp_path)
    # ocf-tester reads the metadata as nobody, who must be able to read the agent.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        agent = shutil.copy(RESOURCE_AGENT, folder)
        try:
            node.write_config(resources="t")
            node.region.resource = "t"
            node.start()
            done = subprocess.run(
                ["ocf-tester", "-n", "t", "-o", f"socket={node.socket}", agent],
                env={"PATH": os.environ["PATH"], "HA_RSCTMP": str(tmp_path)},
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
            )
        finally:
            node.close()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed all tests" in done.stdout


@pytest.mark.parametrize(
    ("action", "environment", "status"),
    [
        ("validate-all", {}, 0),
        ("validate-all", {"OCF_RESKEY_socket": "relative"}, 6),
        ("validate-all", {"OCF_RESOURCE_INSTANCE": 'a"b'}, 6),
        ("promote", {}, 3),
        ("monitor", {"OCF_RESOURCE_INSTANCE": "clone:1"}, 7),
        ("stop", {}, 0),
    ],
)
def test_actions_without_an_agent(
    tmp_path: Path, action: str, environment: dict[str, str], status: int
) -> None:
    base = {"OCF_RESOURCE_INSTANCE": "eip", "OCF_RESKEY_socket": str(tmp_path / "run/x.sock")}
    done = subprocess.run(
        [RESOURCE_AGENT, action],
        env=base | {"HA_RSCTMP": str(tmp_path)} | environment,
        capture_output=True,
        check=False,
        timeout=20,
    )
    assert done.returncode == status


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    needed("systemd-analyze", there=shutil.which("systemd-analyze") is not None)
    text = (ROOT / "node_agent/systemd/eip-agent.service").read_text()
    unit = tmp_path / "eip-agent.service"
    # The program is installed by the package, which is not there yet.
    unit.write_text(text.replace("/usr/bin/eip-agent ", "/usr/bin/env "))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_agent_imports_nothing_beyond_the_standard_library() -> None:
    code = (
        "import sys, eip_agent.__main__\n"
        "print([m for m in ('botocore', 'boto3', 'urllib3', 'asyncio', 'pathlib')"
        " if m in sys.modules])"
    )
    environment = {"PYTHONPATH": ":".join(str(ROOT / part) for part in PARTS)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    assert done.stdout.strip() == "[]"
