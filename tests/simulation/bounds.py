"""What must stay small, or one: calls, notices, entries. Predicates as in `invariants`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eip_arbiter.decision.snapshot import Address

if TYPE_CHECKING:
    from simulation.watch import Watch

UNTAGGED_SECONDS = 120.0
MOST_CALLS_A_MINUTE = {"associate": 30, "disassociate": 30, "locate": 60, "describe": 30}
MOST_NOTICES_A_MINUTE = 10


def not_to_an_untagged_node(watch: Watch, old: Address, after: Address) -> str | None:
    """No address goes to an instance that EC2's tags do not count to the cluster."""
    since = watch.untagged_since.get(after.holder or "")
    if since is None or after.holder == old.holder:
        return None
    if watch.now - since < UNTAGGED_SECONDS:
        return None
    return f"{after.rule} gave {after.resource} to a node without tag for {watch.now - since:.0f} s"


def calls_are_bounded(watch: Watch) -> str | None:
    """Nobody makes EC2 work: so many calls of a kind for one cluster or instance in a minute."""
    for (kind, who, minute), count in watch.ec2_calls.items():
        if count > MOST_CALLS_A_MINUTE[kind]:
            return f"{count} calls of {kind} for {who or 'releases'} in minute {minute}"
    return None


def notices_are_bounded(watch: Watch) -> str | None:
    """Nobody is told the same again and again: so many notices of a kind in a minute."""
    for (kind, cluster_id, resource, minute), count in watch.notices.items():
        if count > MOST_NOTICES_A_MINUTE:
            return f"{count} of {kind!r} about {resource} of {cluster_id} in minute {minute}"
    return None


def one_entry_each(watch: Watch, cluster_id: str) -> str | None:
    """The state has each Elastic IP once, and no two on one private address."""
    snapshot = watch.world.region.store.read(cluster_id)
    addresses = snapshot.addresses.values() if snapshot else ()
    ids = [address.allocation_id for address in addresses]
    if len(set(ids)) < len(ids):
        return f"one Elastic IP is in the state of {cluster_id} twice"
    indexes = [address.private_ip_index for address in addresses]
    if len(set(indexes)) < len(indexes):
        return f"two Elastic IPs of {cluster_id} are to be on one private address"
    return None
