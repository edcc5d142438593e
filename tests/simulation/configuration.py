"""A cluster's configuration: what operators and health checks have written into it.

Every side of a split cluster hears of it at once here. Counters, since faults overlap.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

REAL_QUORUM_SIZE = 3


@dataclass
class Configuration:
    """`names` are the configured nodes; `plain` are resources that are not of our resource agent.

    `blocks`: whether `multiple-active` is `block`, as documented, or `stop_unexpected`. `red` are
    nodes that health checks took out of service, with `node-health-strategy=migrate-on-red`.
    """

    names: list[str]
    stops_without_quorum: bool
    blocks: bool
    plain: frozenset[str] = frozenset()
    device: bool = False
    disabled: set[str] = field(default_factory=set)
    absent: set[str] = field(default_factory=set)
    """Resources that are not configured yet."""

    unmanaged: Counter[str] = field(default_factory=Counter)
    maintenance: int = 0
    standby: Counter[str] = field(default_factory=Counter)
    bans: Counter[tuple[str, str]] = field(default_factory=Counter)
    red: Counter[str] = field(default_factory=Counter)
    halves: Counter[str] = field(default_factory=Counter)
    """Groups of which the later members cannot run."""

    clones: Counter[str] = field(default_factory=Counter)
    """Resources that run on every node."""

    @property
    def strict(self) -> bool:
        """Whether what lost its quorum stops."""
        return self.stops_without_quorum and self.mode != "two_node"

    @property
    def mode(self) -> str:
        """What `corosync-quorumtool` tells of the cluster."""
        if self.device:
            return "device"
        return "two_node" if len(self.names) < REAL_QUORUM_SIZE else "majority"

    def manages(self, resource: str) -> bool:
        """Whether Pacemaker does anything about a resource."""
        return not self.maintenance and self.unmanaged[resource] <= 0

    def keeps_off(self, name: str) -> bool:
        """Whether a node is to run nothing."""
        return self.standby[name] > 0 or self.red[name] > 0

    def forbids(self, resource: str, name: str) -> bool:
        """Whether a node is not to run a resource."""
        kept_off = self.keeps_off(name) or self.bans[resource, name] > 0
        return kept_off or resource in self.disabled or resource in self.absent

    def state_of(self, name: str) -> str:
        """What `crm_mon` says of a node that is online."""
        if self.maintenance:
            return "maintenance"
        return "standby" if self.standby[name] > 0 else "online"

    def heal(self) -> None:
        """Takes everything back but bans, which stay until somebody takes them away."""
        self.maintenance = 0
        for counter in (self.unmanaged, self.standby, self.red, self.halves, self.clones):
            counter.clear()
