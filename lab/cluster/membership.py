"""Who belongs to a real cluster, changed while it runs: as `pcs cluster node remove` and `add` do.

pcs itself wants its daemon, with passwords, on every node; what it does there is these steps.
"""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

from lab.cluster.config import corosync_conf

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.cluster.real import RealCluster

_FORGOTTEN = ("var/lib/pacemaker/cib", "var/lib/corosync", "var/lib/eip-agent")
"""What a new machine's disk has nothing in."""


def remove(cluster: RealCluster, gone: str) -> None:
    """Takes a node without power out of the others' configuration, and empties its disk of them."""
    left = [name for name in cluster.nodes if name != gone]
    _configure(cluster, left, left)
    cluster.run(left[0], ["crm_node", "--force", "--remove", gone])
    for folder in _FORGOTTEN:
        for entry in (cluster.node(gone).disk / folder).glob("*"):
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def add(cluster: RealCluster, joins: str) -> None:
    """Tells the running nodes of one more, and boots it."""
    _configure(cluster, cluster.nodes, [name for name in cluster.nodes if name != joins])
    cluster.power_on(joins)


def is_known(cluster: RealCluster, gone: str) -> str:
    """What another node still knows of it, Pacemaker or Corosync; empty if nothing."""
    other = next(name for name in cluster.nodes if name != gone)
    known = cluster.run(other, ["crm_node", "--list"], check=False).stdout
    votes = cluster.run(other, ["corosync-quorumtool", "-s"], check=False).stdout
    expected = len(cluster.nodes) - 1
    if f" {gone} " not in known and re.search(rf"Expected votes: +{expected}\b", votes):
        return ""
    return f"{other} knows {gone}: {known} {votes}"


def _configure(cluster: RealCluster, members: Sequence[str], running: Sequence[str]) -> None:
    """Writes everybody the configuration of these members; those that run take it up at once."""
    numbers = {name: cluster.node(name).number for name in members}
    text = corosync_conf(numbers, cluster.token_ms)
    for name in cluster.nodes:
        cluster.node(name).install("/etc/corosync/corosync.conf", text)
    # One node has all of them reload it.
    cluster.run(running[0], ["corosync-cfgtool", "-R"])
