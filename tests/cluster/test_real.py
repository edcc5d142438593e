"""The real cluster does what Pacemaker and Corosync do, and its faults are what they say."""

from __future__ import annotations

import socketserver
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lab.cluster import network, page
from lab.cluster.real import RealCluster

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.real_cluster

UNPRIVILEGED = 990
DUMMY = "resource create eip ocf:heartbeat:Dummy op monitor interval=10s"
CONNECT = (
    "import socket,sys\n"
    "try: socket.create_connection(('10.78.0.254', 8080), 1).recv(1); print('open')\n"
    "except OSError as e: print(type(e).__name__)"
)


@pytest.fixture(scope="module")
def cluster() -> Iterator[RealCluster]:
    cluster = RealCluster(
        2, pacemaker_environment={"LAB_MARK": "seen"}, at_boot=lambda c, n: void(page.serve(c, n))
    )
    assert cluster.up() < 15
    cluster.pcs("n1", *DUMMY.split())
    cluster.wait_until(lambda: len(cluster.started_on("eip")) == 1, "eip started somewhere")
    yield cluster
    cluster.down()


@pytest.fixture(autouse=True)
def _whole_again(cluster: RealCluster) -> Iterator[None]:
    """A test that fails half way must not take the next ones with it."""
    yield
    cluster.repair()
    cluster.clean_up("eip")
    cluster.wait_until(lambda: len(cluster.started_on("eip")) == 1, "eip started once")


def void(_: object) -> None:
    """Drop a value that `at_boot` does not want."""


def holder_and_other(cluster: RealCluster) -> tuple[str, str]:
    (holder,) = cluster.started_on("eip")
    return holder, "n2" if holder == "n1" else "n1"


def test_two_nodes_form_one_quorate_cluster(cluster: RealCluster) -> None:
    for node in cluster.nodes:
        view = cluster.view(node)
        assert view is not None
        assert view.online == ("n1", "n2")
        assert view.with_quorum


def test_a_planned_stop_moves_the_resource_and_other_processes_stay(cluster: RealCluster) -> None:
    holder, other = holder_and_other(cluster)
    agent = cluster.spawn(holder, ["sleep", "600"], log="agent", user=UNPRIVILEGED)
    cluster.stop(holder)
    assert cluster.started_on("eip") == (other,)
    assert cluster.view(holder) is None
    assert agent.running
    agent.kill()
    assert not agent.running


def test_after_a_power_loss_the_other_node_takes_over(cluster: RealCluster) -> None:
    holder, other = holder_and_other(cluster)
    cluster.power_off(holder)
    took = cluster.wait_started("eip", other)
    assert 2.0 < took < 8.0, "token + consensus, and up to 1 s for a new DC"
    assert page.fetch(cluster.address(holder), seconds=0.3) is None
    view = cluster.view(other)
    assert view is not None
    assert [n.expected_up for n in view.nodes if n.name == holder] == [True], "lost, not left"
    cluster.power_on(holder)
    cluster.wait_online()
    cluster.wait_until(lambda: page.fetch(cluster.address(holder)) == holder, "page after boot")


def test_a_partition_makes_both_halves_start_it_and_a_heal_leaves_one(
    cluster: RealCluster,
) -> None:
    cluster.partition("n1")
    cluster.wait_started("eip", "n1", "n2")
    views = [cluster.view(node) for node in cluster.nodes]
    assert all(view is not None and view.with_quorum for view in views), "each believes in itself"
    cluster.heal()
    cluster.wait_online()
    cluster.wait_until(lambda: len(cluster.started_on("eip")) == 1, "one copy after the heal")


def test_a_node_that_boots_behind_a_cut_stays_behind_it(cluster: RealCluster) -> None:
    cluster.partition("n2")
    cluster.power_off("n2")
    cluster.power_on("n2")

    def alone() -> bool:
        view = cluster.view("n2")
        return view is not None and view.dc == "n2" and view.online == ("n2",)

    cluster.wait_until(alone, "n2 alone")
    cluster.heal()
    cluster.wait_online()


def test_a_killed_corosync_leaves_the_resource_behind_and_the_peer_starts_it(
    cluster: RealCluster,
) -> None:
    holder, other = holder_and_other(cluster)
    state_file = cluster.node(holder).path("/run/resource-agents/Dummy-eip.state")
    cluster.kill_corosync(holder)
    cluster.wait_started("eip", other)
    assert state_file.exists(), "nobody has stopped it there"
    cluster.restart_cluster_stack(holder)
    cluster.wait_online()
    cluster.wait_until(lambda: len(cluster.started_on("eip")) == 1, "one copy after the restart")


def test_the_kernel_tells_whether_corosync_is_there(cluster: RealCluster) -> None:
    script = "from eip_agent.observe.corosync import nobody_listens; print(nobody_listens())"

    def nobody() -> str:
        source = {"PYTHONPATH": str(Path(__file__).parents[2] / "node_agent/src")}
        return cluster.run("n2", ["python3", "-c", script], env=source).stdout.strip()

    assert nobody() == "False"
    cluster.kill_corosync("n2")
    assert nobody() == "True"
    cluster.repair()
    assert nobody() == "False"


def test_a_frozen_node_is_lost_and_comes_back_as_it_was(cluster: RealCluster) -> None:
    sleeper = cluster.spawn("n1", ["sleep", "600"], log="sleeper")
    cluster.freeze("n1")
    assert cluster.node("n1").pids("corosync"), "it is still there"

    def alone() -> bool:
        view = cluster.view("n2")
        return view is not None and view.online == ("n2",)

    cluster.wait_until(alone, "n2 alone")
    cluster.thaw("n1")
    cluster.wait_online()
    assert sleeper.running
    sleeper.stop()
    assert sleeper.exit_code is not None


def test_a_command_that_is_frozen_along_with_its_node_ends_after_the_thaw(
    cluster: RealCluster,
) -> None:
    ended: list[str] = []
    script = ["sh", "-c", "sleep 0.3; echo done"]
    command = threading.Thread(target=lambda: ended.append(cluster.run("n1", script).stdout))
    command.start()
    time.sleep(0.1)
    cluster.freeze("n1")
    command.join(0.5)
    assert not ended
    cluster.thaw("n1")
    command.join(5)
    assert ended == ["done\n"]


def test_a_move_by_hand_leaves_no_constraint(cluster: RealCluster) -> None:
    _, other = holder_and_other(cluster)
    cluster.move_resource("eip", other)
    assert cluster.started_on("eip") == (other,)
    assert "cli-" not in cluster.run("n1", ["cibadmin", "-Q", "-o", "constraints"]).stdout


class Greeter(socketserver.BaseRequestHandler):
    """Stands in for AWS: says one byte to whoever gets through."""

    def handle(self) -> None:
        self.request.sendall(b"!")


@pytest.fixture
def aws() -> Iterator[None]:
    with socketserver.ThreadingTCPServer((network.AWS_ADDRESS, 8080), Greeter) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield
        server.shutdown()
        thread.join()


@pytest.mark.usefixtures("aws")
def test_each_way_to_lose_aws_looks_as_its_name_says(cluster: RealCluster) -> None:
    def attempt() -> str:
        return cluster.run("n1", ["python3", "-c", CONNECT]).stdout.strip()

    address = cluster.address("n1")
    assert attempt() == "open"
    cluster.cut_aws("n1", "refuse")
    assert attempt() == "ConnectionRefusedError"
    assert page.fetch(address) == "n1", "the public still sees the node"
    cluster.cut_aws("n1", "blackhole")
    assert attempt() == "TimeoutError"
    assert page.fetch(address) == "n1", "the public still sees the node"
    cluster.cut_aws("n1", "unreachable")
    assert attempt() != "open"
    assert page.fetch(address) is None
    cluster.restore_aws("n1")
    cluster.wait_until(lambda: attempt() == "open", "AWS again")


def test_what_is_installed_is_on_the_nodes_only(cluster: RealCluster) -> None:
    path = "/usr/lib/ocf/resource.d/eip-arbiter/eip"
    cluster.install(path, '#!/bin/sh\necho "$LAB_MARK"\n', mode=0o755)
    for node in cluster.nodes:
        assert cluster.run(node, [path], env={"LAB_MARK": "x"}).stdout == "x\n"
    assert not cluster.node("n1").disk.joinpath("etc/eip-arbiter").exists()
    with pytest.raises(ValueError, match="own disk"):
        cluster.install("/opt/elsewhere", "")


def test_an_unprivileged_process_of_haclient_can_ask_pacemaker(cluster: RealCluster) -> None:
    done = cluster.run("n1", ["sh", "-c", "id; crm_mon -1 --output-as=xml"], user=UNPRIVILEGED)
    assert f"uid={UNPRIVILEGED} gid=" in done.stdout
    assert "(haclient)" in done.stdout
    assert 'role="Started"' in done.stdout


def test_pacemaker_passes_its_environment_on(cluster: RealCluster) -> None:
    (pid,) = cluster.node("n1").pids("pacemaker-execd")
    environment = cluster.node("n1").path(f"/proc/{inner(pid)}/environ").read_text()
    assert "LAB_MARK=seen" in environment


def inner(pid: int) -> int:
    """Give a process's number as it is inside its node."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:  # noqa: PTH123
        (line,) = (line for line in status if line.startswith("NSpid:"))
    return int(line.split()[-1])
