"""docs/migration.md on a real cluster: its own commands, and what it promises."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from docs.pages import Block, blocks

from lab.contest.contenders import Awseip
from lab.real_site import Place, install_agents, real_cluster

pytestmark = [pytest.mark.real_cluster, pytest.mark.timeout(180)]

MARK = "migration: "
STATE = "/run/resource-agents/Dummy-app.state"


@dataclass(frozen=True)
class Migration:
    """A cluster that runs `awseip`, and agents beside it that are new there."""

    place: Place
    active: str
    standby: str

    def carry_out(self, block: Block) -> str:
        """Runs a block of the page where the page says."""
        where = block.mark.removeprefix(MARK)
        if where == "operator":
            payload = re.search(r"--payload '(.+?)'", block.text)
            assert payload is not None
            return json.dumps(self.place.aws.invoke("Operate", json.loads(payload[1])).result)
        node = {"on one node": self.standby, "on the active node": self.active}[where]
        done = self.place.cluster.run(node, ["bash", "-e", "-c", block.text])
        return done.stdout + done.stderr

    def operate(self, verb: str) -> dict[str, object]:
        answer = self.place.aws.invoke("Operate", {"verb": verb, "cluster": "web"}).result
        assert isinstance(answer, dict)
        return answer

    def service(self) -> tuple[int, int]:
        """Tells one run of the service from another one."""
        status = self.place.cluster.node(self.active).path(STATE).stat()
        return status.st_ino, status.st_mtime_ns


@pytest.fixture(scope="module")
def migration() -> Iterator[Migration]:
    with real_cluster() as place:
        cluster = place.cluster
        Awseip().create(place, "--group", "web")
        cluster.pcs("n1", *["resource", "create", "app", "ocf:heartbeat:Dummy", "--group", "web"])
        cluster.wait_until(lambda: len(cluster.started_on("app")) == 1, "the service runs")
        (active,) = cluster.started_on("app")
        assert place.world.holder() == active
        install_agents(place)
        for name in cluster.nodes:
            cluster.run(name, ["systemctl", "enable", "eip-agent.service"])
        yield Migration(place, active, "n2" if active == "n1" else "n1")


def within(migration: Migration, look: Callable[[], bool], what: str) -> None:
    migration.place.cluster.wait_until(look, what, 60)


def knows_its_holder(migration: Migration) -> bool:
    """Whether the arbiter has both nodes' reports, and gave the address to the active one."""
    status = migration.operate("status")
    return status.get("addresses") not in (None, []) and (
        f'"holder": "{migration.active}"' in json.dumps(status)
        and len(json.dumps(status).split('"report_age_ms"')) == 3
    )


def test_who_gives_up_in_the_third_step_is_where_it_began(migration: Migration) -> None:
    cluster, runs = migration.place.cluster, migration.service()
    within(migration, lambda: knows_its_holder(migration), "the arbiter knows who holds it")
    before = len(migration.place.aws.journal.moves())
    steps = blocks("migration.md")
    for step in steps[2:4]:
        migration.carry_out(step)
    delete, refresh, *_ = steps[4].text.splitlines()
    cluster.run(migration.active, delete.split())
    Awseip().create(migration.place, "--group", "web", "--before", "app")
    cluster.run(migration.active, refresh.split())
    for step in steps[5:7]:
        migration.carry_out(step)
    here = (migration.active,)
    cluster.wait_until(
        lambda: cluster.started_on("eip") == cluster.started_on("app") == here, "as it was"
    )
    assert "awseip" in cluster.run("n1", ["crm_mon", "-1"]).stdout
    assert migration.place.aws.journal.moves()[before:] == []
    assert migration.service() == runs


def runs_there(migration: Migration) -> bool:
    view = migration.place.cluster.view(migration.active)
    return view is not None and any(
        r.id == "app" and migration.active in r.running_on for r in view.resources
    )


def test_the_page_migrates_a_cluster_without_a_move_and_without_a_restart(
    migration: Migration,
) -> None:
    cluster, steps = migration.place.cluster, blocks("migration.md")
    assert [s.mark.removeprefix(MARK) for s in steps] == [
        "on one node", "operator", "operator", "on one node", "on the active node",
        "on one node", "operator",
    ]  # fmt: skip
    before, runs = len(migration.place.aws.journal.moves()), migration.service()
    within(migration, lambda: knows_its_holder(migration), "the arbiter knows who holds it")
    said = []
    for step in steps:
        said.append(migration.carry_out(step))
        # Pacemaker may be looking at it anew for a moment; it has not been stopped.
        within(migration, lambda: runs_there(migration), "Pacemaker sees the service run")
        assert migration.service() == runs
    assert '"granted_by": "R050"' in said[1]
    assert '"paused"' in said[2]
    assert "returned 0 (ok)" in said[4]
    assert '"resumed"' in said[6]
    cluster.wait_until(
        lambda: (
            cluster.started_on("eip") == cluster.started_on("app") == (migration.active,)
            and "ocf:eip-arbiter:eip" in cluster.run("n1", ["crm_mon", "-1"]).stdout
        ),
        "both run where they ran, managed",
    )
    within(migration, lambda: migration.operate("doctor")["outcome"] == "well", "all is well")
    assert migration.place.aws.journal.moves()[before:] == [], "the address was never touched"
    assert migration.service() == runs, "the service was not restarted"
    view = cluster.view(migration.active)
    assert view is not None
    assert view.failures == ()
    assert all(resource.managed for resource in view.resources)


def test_the_doctor_on_each_node_is_content_afterwards(migration: Migration) -> None:
    for name in migration.place.cluster.nodes:
        done = migration.place.cluster.run(name, ["eip-agent", "doctor"], check=False)
        assert done.returncode == 0, done.stdout


def test_a_planned_stop_afterwards_moves_the_address_once_by_the_arbiter(
    migration: Migration,
) -> None:
    cluster, before = migration.place.cluster, len(migration.place.aws.journal.moves())
    cluster.stop(migration.active)
    cluster.wait_started("app", migration.standby)
    moves = migration.place.aws.journal.moves()[before:]
    assert [(m.operation, m.principal) for m in moves] == [("AssociateAddress", "Arbitrate")]
    assert migration.place.world.holder() == migration.standby


@pytest.mark.parametrize("block", blocks("migration.md"), ids=str)
def test_the_shell_can_read_each_block(block: Block) -> None:
    text = block.text.replace("<OperateFunction>", "operate")
    subprocess.run(["bash", "-n"], input=text, text=True, check=True, timeout=10)
