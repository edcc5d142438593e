"""Settings: read once, checked as a whole, every problem in one message."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from agent.fakes import PARTS, ROOT
from eip_agent.settings import Settings, SettingsError, load_settings

NEEDED = "[agent]\ncluster_id = c\nbus = b\ntable = tab\n"


def load(tmp_path: Path, text: str, **environ: str) -> Settings:
    path = tmp_path / "agent.conf"
    path.write_text(text)
    return load_settings(str(path), environ)


def test_the_shipped_sample_is_valid_once_the_three_settings_that_it_asks_for_are_there() -> None:
    path = ROOT / "node_agent/etc/eip-agent.conf"
    with pytest.raises(SettingsError, match=r"cluster_id: needed.*bus: needed.*table: needed"):
        load_settings(str(path), {"EIP_AGENT_NODE_NAME": "n1"})
    own = {"NODE_NAME": "n1", "CLUSTER_ID": "web", "BUS": "eip-arbiter", "TABLE": "state"}
    settings = load_settings(str(path), {f"EIP_AGENT_{k}": v for k, v in own.items()})
    assert settings.cluster_id == "web"
    shown = {line.lstrip("#").split(" =")[0] for line in path.read_text().splitlines()}
    assert set(Settings.__dataclass_fields__) <= shown


def test_every_problem_is_in_one_message(tmp_path: Path) -> None:
    text = "[agent]\ncalm_seconds = 1\nalert_seconds = 2\nclaim_seconds = x\nfoo = 1\n[bar]\n"
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, text, EIP_AGENT_SOCKET="relative")
    for word in ("cluster_id", "bus", "table", "alert_seconds", "claim_seconds", "foo", "bar"):
        assert word in str(caught.value)
    assert "socket: not an absolute path" in str(caught.value)


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        NEEDED + "calm_seconds = 20\n",
        EIP_AGENT_CALM_SECONDS="30",
        EIP_AGENT_RESOURCES="eip, web",
        AWS_EC2_METADATA_SERVICE_ENDPOINT="http://127.0.0.1:9",
    )
    assert (settings.calm_seconds, settings.resources) == (30.0, ("eip", "web"))
    assert settings.metadata_endpoint == "http://127.0.0.1:9"


def test_health_checks_are_read(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        NEEDED + "health_units = postgresql@15-main.service, dev-disk-by\\x2did.mount\n"
        "health_tcp = [::1]:5432 db.local:65535\n"
        "health_http = http://127.0.0.1:8080/healthz?full=1 http://localhost\n"
        "health_failures = 5\n",
    )
    assert settings.health_units == ("postgresql@15-main.service", "dev-disk-by\\x2did.mount")
    assert settings.health_tcp == ("[::1]:5432", "db.local:65535")
    assert len(settings.health_http) == 2
    assert (settings.health_failures, settings.health_successes) == (5, 2)


@pytest.mark.parametrize(
    "line",
    [
        "endpoint_url = ftp://x",
        "endpoints = ipv6",
        "domain = nowhere",
        "resources =",
        "resources = a a",
        "resources = a/b",
        "node_name = ../x",
        "calm_seconds = 301",
        "claim_seconds = 0.01",
        "read_seconds = 9.9",
        f"socket = /{'x' * 120}",
        "health_units = --user.service",
        "health_units = nginx",
        "health_tcp = 127.0.0.1",
        "health_tcp = 127.0.0.1:65536",
        "health_http = https://127.0.0.1/",
        "health_http = http://127.0.0.1:0/",
        "health_failures = 0",
        "health_successes = 1.5",
        f"health_units = {' '.join(f'u{n}.service' for n in range(17))}",
    ],
)
def test_contradictions_and_nonsense_are_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(SettingsError):
        load(tmp_path, f"{NEEDED}{line}\n")


def test_wrong_settings_end_the_service_for_good(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "eip_agent", "run", "--config", str(tmp_path / "none")],
        env={"PYTHONPATH": ":".join(str(ROOT / part) for part in PARTS)},
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 78
    assert "cannot be read" in done.stderr
    assert (
        "RestartPreventExitStatus=78" in (ROOT / "node_agent/systemd/eip-agent.service").read_text()
    )
