"""What every request of an operator goes through: it is whole, its cluster is known, or refused."""

from __future__ import annotations

from eip_contract.fields import Problems

from eip_arbiter.decision.snapshot import Address, Snapshot
from eip_arbiter.ports import Committed, LostRace, Store


class RefusedError(Exception):
    """A request that was not carried out; the message is for the operator."""


def refuse(problems: Problems) -> None:
    """Refuses a request with all that is wrong with it."""
    if problems.found:
        raise RefusedError("; ".join(problems.found))


def known_cluster(store: Store, cluster: str) -> Snapshot:
    """The cluster's state."""
    snapshot = store.read(cluster)
    if snapshot is None:
        raise RefusedError(f"no cluster {cluster!r} is known: none of its nodes has reported")
    return snapshot


def known_address(snapshot: Snapshot, resource: str) -> Address:
    """The address of a resource."""
    address = snapshot.addresses.get(resource)
    if address is None:
        raise RefusedError(f"{snapshot.cluster_id} has no address for {resource!r}")
    return address


def unless_lost(outcome: Committed | LostRace) -> Snapshot:
    """The state after a write; refuses where somebody else wrote first."""
    if isinstance(outcome, LostRace):
        raise RefusedError("the state changed meanwhile and nothing was done; ask again")
    return outcome.snapshot
