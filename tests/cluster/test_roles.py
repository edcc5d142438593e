"""Where the role comes from, on a real cluster: a group, a promotable clone, a replaced node.

One cluster with three addresses: `eip` has our resource agent and is the first of a group, `web` is
that group watched as a whole, `db` is a promotable clone that the agent only watches.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from lab.cluster.real import RealCluster
from lab.real_site import ALERT_AGENT, MARK, Place, install_agents, real_cluster
from lab.site import CLUSTER_ID, START_TIMEOUT_SECONDS

pytestmark = [pytest.mark.real_cluster, pytest.mark.timeout(240)]

WATCHED = ("eip", "web", "db")
PAIR = ("Promoted", "db-clone", "with", "Started", "web", "INFINITY")
MARKS = (MARK, "/run/resource-agents/Dummy-app.state")
"""What a start of `eip` and of `app` writes."""
SECONDS = 45.0


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with real_cluster(resources=WATCHED) as place:
        install_agents(place, resources=" ".join(WATCHED))
        pcs = place.cluster.pcs
        pcs("n1", "alert", "create", "id=eip-agent", f"path={ALERT_AGENT}")
        start = ("op", "start", f"timeout={START_TIMEOUT_SECONDS}s")
        meta = ("meta", "multiple-active=block")
        pcs("n1", "resource", "create", "eip", "ocf:eip-arbiter:eip", *start, *meta)
        pcs("n1", "resource", "create", "app", "ocf:heartbeat:Dummy")
        pcs("n1", "resource", "group", "add", "web", "eip", "app")
        pcs("n1", "resource", "meta", "app", "multiple-active=stop_unexpected")
        pcs("n1", "resource", "create", "db", "ocf:pacemaker:Stateful", "promotable")
        pcs("n1", "constraint", "colocation", "add", *PAIR)
        yield place


def roles(cluster: RealCluster, node: str) -> set[str]:
    """What a node itself says that it runs, the clone by its promoted copy."""
    view = cluster.view(node)
    if view is None:
        return set()
    return {
        resource.id
        for resource in view.resources
        if node in resource.running_on
        and resource.role == ("Promoted" if resource.id == "db" else "Started")
        and resource.pending is None
    }


def await_all_on(place: Place, node: str) -> None:
    """Waits until a node alone runs everything, and all addresses are there."""

    def settled() -> bool:
        return all(place.world.holder(name) == node for name in WATCHED) and roles(
            place.cluster, node
        ) == {"eip", "app", "db"}

    place.cluster.wait_until(settled, f"everything on {node}", SECONDS)


def serving(place: Place) -> tuple[str, str]:
    """The node that everything is on, and the other one."""
    place.cluster.wait_online()
    place.cluster.wait_until(
        lambda: (
            len({place.world.holder(name) for name in WATCHED}) == 1
            and place.world.holder() is not None
        ),
        "all addresses on one node",
        SECONDS,
    )
    holder = place.world.holder()
    assert holder is not None
    await_all_on(place, holder)
    place.cluster.wait_until(
        lambda: {node["pacemaker"] for node in status(place)["nodes"]} == {"online"},
        "the control plane heard that both are online",
        SECONDS,
    )
    return holder, "n2" if holder == "n1" else "n1"


def status(place: Place) -> dict[str, Any]:
    """The operator's `status`."""
    found: dict[str, Any] = place.aws.invoke(
        "Operate", {"verb": "status", "cluster": CLUSTER_ID}
    ).result
    return found


def last_grants(place: Place) -> dict[str, str]:
    """The rule of each address's last grant."""
    return {address["resource"]: address["granted_by"] for address in status(place)["addresses"]}


def test_a_planned_stop_moves_group_and_promotion_with_their_addresses(place: Place) -> None:
    holder, peer = serving(place)
    began = place.aws.journal.now()
    place.cluster.stop(holder)
    await_all_on(place, peer)
    moves = place.aws.journal.moves(since=began)
    assert len([move for move in moves if move.to_instance]) == len(WATCHED)
    assert last_grants(place) == dict.fromkeys(WATCHED, "R061")
    place.cluster.start(holder)


def test_a_power_loss_moves_them_as_well(place: Place) -> None:
    holder, peer = serving(place)
    began = place.aws.journal.now()
    place.cluster.power_off(holder)
    await_all_on(place, peer)
    moves = place.aws.journal.moves(since=began)
    assert last_grants(place) == dict.fromkeys(WATCHED, "R070")
    assert [move.to_instance for move in moves] == [place.world.nodes[peer].instance_id] * 3
    place.cluster.power_on(holder)


def test_a_killed_corosync_that_returns_restarts_nothing_of_the_group(place: Place) -> None:
    holder, peer = serving(place)
    place.cluster.kill_corosync(holder)
    await_all_on(place, peer)
    runs = [place.cluster.node(peer).path(mark).stat().st_mtime_ns for mark in MARKS]
    place.cluster.restart_cluster_stack(holder)
    assert serving(place) == (peer, holder)
    place.cluster.wait_until(
        lambda: not roles(place.cluster, holder) & {"eip", "app"}, "the old copies stop", SECONDS
    )
    assert runs == [place.cluster.node(peer).path(mark).stat().st_mtime_ns for mark in MARKS]


def test_a_switchover_takes_the_group_along(place: Place) -> None:
    holder, peer = serving(place)
    order = {"verb": "switchover", "cluster": CLUSTER_ID, "holder": holder, "target": peer}
    answer = place.aws.invoke("Operate", {**order, "resource": "eip"}).result
    assert answer["outcome"] in ("accepted", "moved"), answer
    await_all_on(place, peer)
    await_no_order(place)


def test_a_promotion_is_moved_by_an_order_of_its_own(place: Place) -> None:
    holder, peer = serving(place)
    pair = place.cluster.pcs("n1", "constraint", "colocation", "config", "--full")
    place.cluster.pcs("n1", "constraint", "delete", pair.rpartition("id:")[2].strip(" ()\n"))
    order = {"verb": "failover", "cluster": CLUSTER_ID, "target": peer, "resource": "db"}
    answer = place.aws.invoke("Operate", order).result
    assert answer["outcome"] == "moved", answer
    place.cluster.wait_until(
        lambda: roles(place.cluster, peer) == {"db"} and place.world.holder("db") == peer,
        f"db promoted on {peer}",
        SECONDS,
    )
    await_no_order(place)
    assert place.world.holder("eip") == holder
    view = place.cluster.view(peer)
    copies = [r.running_on for r in view.resources if r.id == "db"] if view else []
    assert sorted(copies) == [("n1",), ("n2",)], "the unpromoted copy runs on"
    place.cluster.pcs("n1", "constraint", "colocation", "add", *PAIR)


def await_no_order(place: Place) -> None:
    """Waits until no order stands, and Pacemaker has no constraint left of it."""

    def done() -> bool:
        left = place.cluster.pcs("n1", "constraint", "location")
        return not any(a["order"] for a in status(place)["addresses"]) and "cli-" not in left

    place.cluster.wait_until(done, "no order, and no constraint of one", SECONDS)


def test_a_new_instance_under_an_old_name_takes_over(place: Place) -> None:
    holder, peer = serving(place)
    place.cluster.power_off(peer)
    old = place.world.nodes[peer].instance_id
    new = place.world.replace(peer)
    assert new.instance_id != old
    place.cluster.power_on(peer)
    assert serving(place) == (holder, peer)
    place.cluster.stop(holder)
    await_all_on(place, peer)
    known = {node["instance"]: node["ec2"] for node in status(place)["nodes"]}
    assert known.keys() >= {node.instance_id for node in place.world.nodes.values()}
    # EC2's word on its end may come after the new one registered; the next registration forgets it.
    assert known.get(old, "terminated") == "terminated"
