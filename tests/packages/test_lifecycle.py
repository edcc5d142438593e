"""Install, upgrade, remove and purge for real, on a throwaway copy of this machine."""

from __future__ import annotations

import re

import pytest
from packages.conftest import Built
from packages.throwaway import Throwaway

CONFIG = "/etc/eip-agent/eip-agent.conf"
DPKG = ("dpkg", "--no-triggers", "--force-confold")
RPM = ("rpm", "--nodeps", "--force-debian")
BOOKS = (
    "/var/lib/dpkg/",
    "/var/log/",
    "/var/lib/rpm",
    "/root/.rpmdb",
    "/etc/",
    "/usr/bin/systemctl",
)
"""What a package manager, and the making of a user, write for themselves."""


@pytest.fixture(params=["deb", "rpm"])
def manager(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def install(machine: Throwaway, manager: str, packages: Built) -> None:
    if manager == "deb":
        machine.run(*DPKG, "--install", packages.deb)
    else:
        machine.run(*RPM, "--upgrade", packages.rpm)


def remove(machine: Throwaway, manager: str) -> None:
    machine.run(*(DPKG if manager == "deb" else RPM), *_erase(manager))


def _erase(manager: str) -> tuple[str, str]:
    return ("--purge" if manager == "deb" else "--erase", "eip-agent")


def test_an_installed_agent_runs_by_the_distributions_python(
    machine: Throwaway, manager: str, built: Built
) -> None:
    install(machine, manager, built)
    said = machine.run("eip-agent", "status", check=False)
    assert said.returncode == 78, said.stderr
    assert re.search("cluster_id: needed.*bus: needed.*table: needed", said.stderr)
    fill_in = ["-e", "s/^cluster_id =$/& web/", "-e", "s/^bus =$/& b/", "-e", "s/^table =$/& tab/"]
    machine.run("sed", "-i", *fill_in, "/etc/eip-agent/eip-agent.conf")
    said = machine.run("eip-agent", "status", check=False)
    assert said.returncode == 69, said.stderr
    assert "no agent answers on /run/eip-agent/agent.sock" in said.stderr
    assert (
        "-> systemctl enable --now eip-agent"
        in machine.run("eip-agent", "doctor", check=False).stdout
    )
    assert machine.run("/usr/lib/ocf/resource.d/eip-arbiter/eip", "meta-data").stdout
    machine.run("/usr/lib/eip-agent/eip-agent-alert")
    groups = machine.run("id", "-Gn", "eip-agent").stdout.split()
    assert groups == ["eip-agent", "haclient"]
    assert not any("__pycache__" in name for name in machine.written())


def test_without_systemd_sysusers_the_user_is_made_all_the_same(
    machine: Throwaway, manager: str, built: Built
) -> None:
    machine.path("/usr/bin/systemd-sysusers").unlink(missing_ok=True)
    install(machine, manager, built)
    entry = machine.run("getent", "passwd", "eip-agent").stdout
    assert entry.rstrip().endswith("/nologin")
    assert "haclient" in machine.run("id", "-Gn", "eip-agent").stdout


def test_nothing_is_enabled_and_only_an_upgrade_restarts_what_runs(
    machine: Throwaway, manager: str, built: Built, newer: Built
) -> None:
    machine.boot_systemd()
    install(machine, manager, built)
    assert machine.asked_of_systemd() == ["daemon-reload"]
    install(machine, manager, newer)
    assert machine.asked_of_systemd() == ["daemon-reload", "try-restart eip-agent.service"]
    remove(machine, manager)
    assert machine.asked_of_systemd() == ["disable --now eip-agent.service", "daemon-reload"]


def test_an_upgrade_keeps_the_operators_settings_and_the_agents_memory(
    machine: Throwaway, manager: str, built: Built, newer: Built
) -> None:
    install(machine, manager, built)
    machine.path(CONFIG).write_text("[agent]\ncluster_id = mine\n")
    machine.path("/var/lib/eip-agent").mkdir()
    machine.path("/var/lib/eip-agent/incarnation").write_text("7")
    install(machine, manager, newer)
    assert "mine" in machine.path(CONFIG).read_text()
    assert machine.path("/var/lib/eip-agent/incarnation").read_text() == "7"


def test_a_removal_is_refused_while_pacemaker_runs_the_resource_here(
    machine: Throwaway, manager: str, built: Built
) -> None:
    install(machine, manager, built)
    mark = machine.path("/run/resource-agents/eip-arbiter-eip.state")
    mark.parent.mkdir()
    mark.touch()
    command = (*(DPKG if manager == "deb" else RPM), *_erase(manager))
    refused = machine.run(*command, check=False)
    assert refused.returncode != 0
    assert "move it away first" in refused.stderr
    machine.run("eip-agent", "status", "--help")
    mark.unlink()
    machine.run(*command)


def test_a_purge_leaves_only_the_user(machine: Throwaway, manager: str, built: Built) -> None:
    install(machine, manager, built)
    machine.path("/var/lib/eip-agent").mkdir()
    machine.path("/var/lib/eip-agent/incarnation").write_text("7")
    machine.path("/run/eip-agent").mkdir()
    machine.run("eip-agent", "status", check=False)
    remove(machine, manager)
    assert not machine.path("/run/eip-agent").exists()
    assert not machine.path("/etc/eip-agent").exists()
    assert {name for name in machine.written() if not name.startswith(BOOKS)} == set()
    machine.run("id", "eip-agent")
    assert "eip-agent" not in machine.run("dpkg", "--audit").stdout


def test_a_debian_removal_without_purge_keeps_settings_and_memory(
    machine: Throwaway, built: Built
) -> None:
    install(machine, "deb", built)
    machine.path("/var/lib/eip-agent").mkdir()
    machine.path("/var/lib/eip-agent/incarnation").write_text("7")
    machine.run(*DPKG, "--remove", "eip-agent")
    assert machine.path(CONFIG).exists()
    assert machine.path("/var/lib/eip-agent/incarnation").exists()
    assert not machine.path("/usr/bin/eip-agent").exists()
