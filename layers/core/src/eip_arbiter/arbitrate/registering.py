"""How a node and its cluster's addresses come into the state, and how replaced nodes leave it.

By the tags that EC2 has, never by what a report says of itself.
"""

from __future__ import annotations

from dataclasses import replace

from eip_contract.report import NodeReport, ReportRejected

from eip_arbiter.decision.snapshot import Address, Snapshot
from eip_arbiter.ports import Committed, Inventory, Store, Telemetry


def register(
    report: NodeReport, *, store: Store, inventory: Inventory, telemetry: Telemetry
) -> None:
    """Takes the reporting node and its cluster's addresses into the state.

    Raises:
        ReportRejected: reason `not_tagged`, `unknown_cluster` or `ambiguous_address`; nothing was
            changed.
    """
    found = inventory.node(report.instance_id)
    if found is None or found[0] != report.cluster_id:
        raise ReportRejected(
            "not_tagged",
            f"{report.instance_id} is not tagged eip-arbiter:cluster={report.cluster_id}",
        )
    addresses = inventory.addresses(report.cluster_id)
    if not addresses:
        raise ReportRejected(
            "unknown_cluster",
            f"no Elastic IP is tagged eip-arbiter:cluster={report.cluster_id}",
        )
    _refuse_doubles(report.cluster_id, addresses)
    node = replace(found[1], registered_for=report.incarnation)
    store.register(report.cluster_id, node, addresses)
    telemetry.decided(
        "registered",
        f"{report.node_name} joins with {', '.join(a.public_ip for a in addresses)} in view",
        cluster=report.cluster_id,
        instance=report.instance_id,
    )
    snapshot = store.read(report.cluster_id)
    if snapshot is not None:
        snapshot = _take_up_exchanged(snapshot, addresses, store, telemetry)
        _forget_terminated(snapshot, store, telemetry)


def _take_up_exchanged(
    snapshot: Snapshot, tagged: tuple[Address, ...], store: Store, telemetry: Telemetry
) -> Snapshot:
    """Another Elastic IP has the resource's tag than before: the grant in force is of that one now.

    The holder and the term stay, so nobody wins or loses a claim by it; R080 associates it once
    the holder tells that it is not there. A lost race is left to the next registration.
    """
    for new in tagged:
        known = snapshot.addresses[new.resource]
        if known.allocation_id == new.allocation_id:
            continue
        exchanged = replace(
            known,
            allocation_id=new.allocation_id,
            public_ip=new.public_ip,
            private_ip_index=new.private_ip_index,
            association_id=new.association_id,
            interface_id=new.interface_id,
        )
        outcome = store.commit(snapshot, exchanged, ())
        if isinstance(outcome, Committed):
            snapshot = outcome.snapshot
            telemetry.decided(
                "exchanged",
                f"{new.public_ip} takes the place of {known.public_ip} for {new.resource}, "
                "by EC2's tags",
                cluster=snapshot.cluster_id,
            )
    return snapshot


def _forget_terminated(snapshot: Snapshot, store: Store, telemetry: Telemetry) -> None:
    """A cluster whose instances are replaced again and again must not grow for ever.

    A lost race is left to the next registration.
    """
    gone = departed(snapshot)
    if gone and isinstance(store.forget(snapshot, gone), Committed):
        telemetry.decided(
            "forgotten", f"{', '.join(gone)} is terminated, says EC2", cluster=snapshot.cluster_id
        )


def departed(snapshot: Snapshot) -> tuple[str, ...]:
    """Terminated instances that no address is or will be on."""
    wanted = {address.holder for address in snapshot.addresses.values()}
    wanted |= {a.order.target for a in snapshot.addresses.values() if a.order}
    return tuple(
        node.instance_id
        for node in snapshot.nodes.values()
        if node.ec2 and node.ec2.state == "terminated" and node.instance_id not in wanted
    )


def _refuse_doubles(cluster_id: str, addresses: tuple[Address, ...]) -> None:
    """Two addresses for one resource, or for one private address, would displace each other.

    Raises:
        ReportRejected: reason `ambiguous_address`, with the tag that would tell them apart.
    """
    for tag, of in (
        ("eip-arbiter:resource", [a.resource for a in addresses]),
        ("eip-arbiter:private-ip-index", [str(a.private_ip_index) for a in addresses]),
    ):
        doubled = [
            a.public_ip for a, value in zip(addresses, of, strict=True) if of.count(value) > 1
        ]
        if doubled:
            raise ReportRejected(
                "ambiguous_address",
                f"{' and '.join(sorted(doubled))} of cluster {cluster_id} have the same {tag}",
            )
