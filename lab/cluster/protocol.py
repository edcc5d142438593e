"""What a cluster offers to a story or a test, be it real or simulated.

Only faults, operations and views that both kinds can honestly give live here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lab.cluster.status import ClusterView

Kind = Literal["real", "simulated"]
AwsCut = Literal["unreachable", "refuse", "blackhole"]
"""How a node loses AWS: no route (link down), a reset for each packet, or silence."""


class ClusterError(Exception):
    """The lab's cluster did not do what it was asked for in time."""


class Cluster(Protocol):
    """Two or three nodes with Corosync and Pacemaker, and the faults to put on them."""

    @property
    def kind(self) -> Kind:
        """Whether all of this is real, or Corosync and Pacemaker are played."""

    @property
    def nodes(self) -> Sequence[str]:
        """Names of the nodes, `n1` first."""

    def start(self, node: str) -> None:
        """Start Corosync, then Pacemaker, on a node that is up."""

    def stop(self, node: str) -> None:
        """Stop Pacemaker, then Corosync, as their systemd units do, and wait for both."""

    def power_off(self, node: str) -> None:
        """Take the power from a node: its links and all its processes at once."""

    def power_on(self, node: str) -> None:
        """Boot a node that was without power, and start what it starts at boot."""

    def partition(self, *nodes: str) -> None:
        """Cut the ring between these nodes and the rest; among themselves they still talk."""

    def heal(self) -> None:
        """Make the ring whole again."""

    def cut_aws(self, node: str, how: AwsCut = "unreachable") -> None:
        """Cut a node from AWS; its metadata service stays, as on EC2."""

    def restore_aws(self, node: str) -> None:
        """Give a node its way to AWS back."""

    def kill_corosync(self, node: str) -> None:
        """Kill Corosync with SIGKILL, and nothing else."""

    def kill_pacemaker(self, node: str) -> None:
        """Kill all of Pacemaker's processes with SIGKILL; resources run on."""

    def restart_cluster_stack(self, node: str) -> None:
        """End what is left of Pacemaker and Corosync on a node, and start both again."""

    def freeze(self, node: str) -> None:
        """Stop all processes of a node where they stand."""

    def thaw(self, node: str) -> None:
        """Let the processes of a frozen node go on."""

    def view(self, node: str) -> ClusterView | None:
        """What `crm_mon` on this node says now; `None` when Pacemaker does not answer."""

    def move_resource(self, resource: str, node: str) -> None:
        """Ask Pacemaker to move a resource there, as an operator would."""

    def clean_up(self, resource: str, node: str | None = None) -> None:
        """Forget a resource's failures, on one node or on all."""

    def wait_until(self, condition: Callable[[], bool], what: str, seconds: float = 30.0) -> float:
        """Wait for a condition and return the seconds that it took.

        Raises:
            ClusterError: it did not come true in time; the message says `what` and the views.
        """
