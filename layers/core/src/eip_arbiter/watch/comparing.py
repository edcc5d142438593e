"""The per-minute comparison of each cluster with EC2's tags: they hold as they are now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from eip_contract.report import ReportRejected

from eip_arbiter.arbitrate.registering import Registry
from eip_arbiter.decision.snapshot import Node, Snapshot
from eip_arbiter.ports import MoveFailedError, Tagged, Telemetry


class Survey(Protocol):
    """What EC2 has tagged, of all clusters; both raise `MoveFailedError` without an answer."""

    def surveyed(self) -> Mapping[str, Tagged]:
        """All tagged addresses, by cluster id."""
        ...

    def instances(self) -> Mapping[str, tuple[str, Node]]:
        """The cluster and the facts of all tagged instances, by instance id."""
        ...


@dataclass(frozen=True)
class Tags:
    """What EC2's tags say at one instant; no `instances` where `failed` says why."""

    clusters: Mapping[str, Tagged]
    instances: Mapping[str, tuple[str, Node]] | None
    failed: MoveFailedError | None = None

    def elsewhere(self, cluster_id: str) -> frozenset[str]:
        """The allocations that are tagged for other clusters."""
        others = (found.places for of, found in self.clusters.items() if of != cluster_id)
        return frozenset(allocation_id for places in others for allocation_id in places)


def read_tags(survey: Survey, telemetry: Telemetry) -> Tags:
    """What the tags say now. Without the instances the rest of a run goes on.

    Raises:
        MoveFailedError: EC2 did not tell of the addresses.
    """
    clusters = survey.surveyed()
    try:
        return Tags(clusters, survey.instances())
    except MoveFailedError as error:
        telemetry.failed(f"no node can be compared with its tags: {error}")
        return Tags(clusters, None, error)


def as_tagged(
    snapshot: Snapshot, tags: Tags, registry: Registry
) -> tuple[Snapshot, tuple[str, ...]]:
    """Makes the state agree with the tags; returns what of them is not taken up, in words."""
    found = tags.clusters.get(snapshot.cluster_id, Tagged())
    try:
        if tags.instances is not None:
            snapshot = registry.agree_nodes(snapshot, tags.instances)
        elsewhere = tags.elsewhere(snapshot.cluster_id)
        return registry.agree(snapshot, found.addresses, elsewhere)
    except (MoveFailedError, ReportRejected) as refused:
        return snapshot, (str(refused),)
