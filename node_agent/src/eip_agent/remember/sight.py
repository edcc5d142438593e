"""What a node knows, as plain values: one look at the world, and what it is made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eip_contract.state_item import AddressStatus, ClusterStatus

NEVER = float("-inf")


@dataclass(frozen=True)
class PacemakerView:
    """The cluster as Pacemaker on this node sees it; nodes by Pacemaker's names.

    `lost` are nodes that went without a word, `left` those that said goodbye. `roles` has a report
    state for each watched resource on this node, `running_on` the nodes where it runs unharmed,
    `tops` the outermost group or clone around it, `failed_here` those that failed here.
    `incomplete` names those of which a part runs here and no other part starts, and what such a
    resource is once it has stayed so: `started` or `stopped`. Until then it is `starting`.
    `under_way`: Pacemaker starts, stops, promotes or moves something, be it watched or not.
    """

    state: str = "unknown"
    dc: str | None = None
    quorate: bool = False
    members: tuple[str, ...] = ()
    lost: frozenset[str] = frozenset()
    left: frozenset[str] = frozenset()
    node_ids: Mapping[str, int] = dataclasses.field(default_factory=dict)
    roles: Mapping[str, str] = dataclasses.field(default_factory=dict)
    running_on: Mapping[str, frozenset[str]] = dataclasses.field(default_factory=dict)
    tops: Mapping[str, str] = dataclasses.field(default_factory=dict)
    failed_here: frozenset[str] = frozenset()
    failing: tuple[str, ...] = ()
    incomplete: Mapping[str, str] = dataclasses.field(default_factory=dict)
    under_way: bool = False


@dataclass(frozen=True)
class Word:
    """The resource agent's last word on a resource here: `starting`, `started` or `stopped`.

    `at` is monotonic. `claim` is the first (incarnation, seq) that can carry a start; `term`,
    `public_ip` and `table_id` are those of the grant, None and empty where none is remembered.
    A term means something only in the table that it was read from.
    """

    state: str
    at: float
    claim: tuple[int, int] = (0, 0)
    term: int | None = None
    public_ip: str = ""
    table_id: str = ""


@dataclass(frozen=True)
class Sight:
    """All that one look at the world rests on; times are this machine's monotonic seconds.

    `pacemaker_at` and `status_at` are when the reading that brought them began: a view that only
    stands because the looks since then brought nothing keeps its time, and `pacemaker_trouble` says
    what went wrong. `links` is None while it is not known what Corosync's links reach,
    `corosync_gone` only while Corosync positively does not answer here, `links_unread` while the
    last question about its links brought nothing or takes long. `last_roles` are
    those of the last settled view, `ran_here_at` tells when the last settled view that showed a
    resource started here began, `contradicted_since` tells since when Pacemaker has shown a
    resource stopped that was started here, `incomplete_since` since when a part of it runs alone,
    `link_changed_at` when a link went up or down. `orders_since` tells for each order that stands
    when it was first read here; `owed` are resources with a refused start that Pacemaker is yet to
    forget.
    `advanced_at` tells for each instance when its last report was seen to advance, `absent`
    for each resource when the metadata service first and last said, in one row of reads, that its
    address is not here, `arrivals` for each one that starts when the metadata service last said so
    since the start began, and then first that its address is here (`NEVER` while it has not).
    `publish_trouble` and `status_trouble` are empty while the control plane answers,
    `pacemaker_trouble` while Pacemaker does.
    """

    node_name: str
    instance_id: str
    now: float
    pacemaker: PacemakerView = dataclasses.field(default_factory=PacemakerView)
    pacemaker_at: float = NEVER
    quorum_mode: str = "unknown"
    links: Mapping[int, bool] | None = None
    corosync_gone: bool = False
    links_unread: bool = False
    ever_seen: frozenset[str] = frozenset()
    last_roles: Mapping[str, str] = dataclasses.field(default_factory=dict)
    ran_here_at: Mapping[str, float] = dataclasses.field(default_factory=dict)
    contradicted_since: Mapping[str, float] = dataclasses.field(default_factory=dict)
    incomplete_since: Mapping[str, float] = dataclasses.field(default_factory=dict)
    link_changed_at: Mapping[int, float] = dataclasses.field(default_factory=dict)
    words: Mapping[str, Word] = dataclasses.field(default_factory=dict)
    status: ClusterStatus | None = None
    status_at: float = NEVER
    advanced_at: Mapping[str, float] = dataclasses.field(default_factory=dict)
    public_ips: tuple[str, ...] | None = None
    orders_since: Mapping[str, float] = dataclasses.field(default_factory=dict)
    absent: Mapping[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
    arrivals: Mapping[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
    owed: frozenset[str] = frozenset()
    pacemaker_trouble: str = ""
    publish_trouble: str = ""
    status_trouble: str = ""

    def address(self, resource: str) -> AddressStatus | None:
        """What the control plane last said of a resource's address."""
        return None if self.status is None else self.status.addresses.get(resource)

    def holder_name(self, address: AddressStatus) -> str:
        """The holder's node name where the control plane knows it, else its instance id."""
        holder = address.holder or ""
        return holder if self.status is None else self.status.node_names.get(holder, holder)
