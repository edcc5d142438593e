"""What more than one room needs from the outside, as protocols, and the outcomes they can have.

An outcome that is no failure of the program (a stale report, a lost race) is a type, not an
exception. `MoveFailedError` is caught in `arbitrate`, since a failed move has to be told and left
for the next report. `StoreUnansweredError` is caught where an operator or the history is concerned;
of a report it fails the invocation, which Lambda tries again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from eip_contract.report import NodeReport

from eip_arbiter.decision.outcome import ReportSeen
from eip_arbiter.decision.snapshot import Address, HistoryEntry, Node, Snapshot


@dataclass(frozen=True, slots=True)
class Recorded:
    """The report is in the state; `snapshot` is the state right after."""

    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class StaleReport:
    """A report at least as new is known already: this one is old, doubled or replayed."""

    incarnation: int
    seq: int


@dataclass(frozen=True, slots=True)
class Unregistered:
    """The cluster, or this node in it, is not in the state."""


@dataclass(frozen=True, slots=True)
class Committed:
    """The change is in the state; `snapshot` is the state right after."""

    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class LostRace:
    """Somebody else changed what the change rested on; nothing was written.

    Not an error: whoever won has the newer snapshot and decides on it. `unsure`: the client had to
    send the write again, and others wrote since, so its first sending may have been done after all.
    """

    unsure: bool = False


class StoreUnansweredError(Exception):
    """The table refused a call or did not answer it; a write may or may not have been done."""


class Store(Protocol):
    """The state of clusters. Every write is conditional; every read is of one whole item.

    A `line` is written in the same step as the change that it tells of, and waits in the state
    until it is in the history: it can be neither lost nor told of what was not done. `told` are the
    versions of waiting lines that are there by now. Each method raises `StoreUnansweredError`.
    """

    def record_report(
        self, report: NodeReport, received_at_ms: int, late_ms: int = 0
    ) -> Recorded | StaleReport | Unregistered:
        """Keeps a report if it is newer than the node's last one, and how late it came."""
        ...

    def record_instance_state(self, instance_id: str, state: str, at_ms: int) -> Snapshot | None:
        """Keeps EC2's word about an instance; None if the instance belongs to no cluster."""
        ...

    def read(self, cluster_id: str) -> Snapshot | None:
        """The newest state of a cluster, None if it is not registered."""
        ...

    def register(self, cluster_id: str, node: Node, addresses: tuple[Address, ...]) -> str | None:
        """Adds or refreshes a node; adds the addresses that are not known yet.

        Returns:
            The cluster that the instance was registered for before, the same one included.
        """
        ...

    def readdress(
        self, snapshot: Snapshot, addresses: Mapping[str, Address]
    ) -> Committed | LostRace:
        """Writes all addresses of a cluster anew, by resource, if the version still holds."""
        ...

    def forget(
        self, snapshot: Snapshot, instance_ids: Collection[str], line: HistoryEntry | None = None
    ) -> Committed | LostRace:
        """Drops nodes with all that is known of them, if the version still holds.

        What one of them holds is with nobody then, and settled where EC2 was last known to have it.
        """
        ...

    def commit(
        self,
        snapshot: Snapshot,
        address: Address,
        rested_on: tuple[ReportSeen, ...],
        line: HistoryEntry | None = None,
        told: Collection[int] = (),
    ) -> Committed | LostRace:
        """Writes an address if the version and the reports are still those of the snapshot."""
        ...

    def settle(
        self, snapshot: Snapshot, address: Address, told: Collection[int] = ()
    ) -> Committed | LostRace:
        """Writes where EC2 has the address, if the move of the snapshot is still under way.

        A move is known by its term, when it was granted, and its deadline, which whoever takes it
        over renews.
        """
        ...

    def pause(
        self, snapshot: Snapshot, until_ms: int, line: HistoryEntry | None = None
    ) -> Committed | LostRace:
        """Writes until when the cluster is paused, 0 to resume, if the version still holds."""
        ...

    def append_history(self, entry: HistoryEntry) -> None:
        """Adds a line to the history; the first writing of a line stays."""
        ...

    def drop_waiting(self, cluster_id: str, told: Collection[int]) -> None:
        """Ends the waiting of lines that are in the history."""
        ...


@dataclass(frozen=True, slots=True)
class Association:
    """Where EC2 has an Elastic IP."""

    association_id: str
    interface_id: str
    private_ip: str


class MoveFailedError(Exception):
    """EC2 refused or did not answer in time; `code` is EC2's, or the client's own error class.

    `refused`: EC2 said no, so that nothing is under way there any more.
    """

    def __init__(self, code: str, message: str, *, refused: bool = False) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.refused = refused


class Inventory(Protocol):
    """What AWS itself says of instances and addresses, by their tags.

    Both raise `MoveFailedError` where EC2 refused or did not answer in time.
    """

    def node(self, instance_id: str) -> tuple[str, Node] | None:
        """The cluster that the instance is tagged for, "" without the tag, and its facts.

        None for an instance that EC2 does not know, or no interface of it: it is terminated.
        """
        ...

    def addresses(self, cluster_id: str) -> tuple[Address, ...]:
        """The addresses that are tagged for the cluster, with their present associations."""
        ...


@dataclass(frozen=True, slots=True)
class Tagged:
    """The addresses that EC2 has tagged for a cluster: their tags, and where they are.

    `places` are by allocation id, None for nowhere.
    """

    addresses: tuple[Address, ...] = ()
    places: Mapping[str, Association | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """One line of a cluster's history; `kind` is grant, release or note.

    `version` is the state's after the step; 0 of a line that was written before lines had it.
    """

    at_ms: int
    resource: str
    term: int
    kind: str
    rule: str
    sentence: str
    version: int = 0


class History(Protocol):
    """The history as a reader needs it; the arbiter's store writes it."""

    def newest(self, cluster_id: str, limit: int) -> tuple[HistoryLine, ...]:
        """So many lines at the most, the newest first."""
        ...


class Telemetry(Protocol):
    """Where a decision leaves its sentence. `fields` are flat, for machines."""

    def decided(self, rule: str, sentence: str, **fields: Any) -> None:
        """A decision that changed something, or refused something for the first time."""
        ...

    def kept(self, rule: str, sentence: str, **fields: Any) -> None:
        """A decision that changed nothing although something is going on."""
        ...

    def count(self, metric: str, cluster_id: str, value: float = 1) -> None:
        """Adds to a metric of the cluster."""
        ...

    def rejected(self, reason: str, sentence: str, **fields: Any) -> None:
        """An input that changed no state."""
        ...

    def failed(self, sentence: str, **fields: Any) -> None:
        """Something that a person has to look at if it stays."""
        ...


@dataclass(frozen=True, slots=True)
class Unready:
    """Since when a failover would not work, why, and whether that was told."""

    since_ms: int
    told: bool
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ec2Word:
    """What EC2 said against a failover at the last look, and when that was.

    Kept apart from what the state itself can tell: a reader computes that anew, and knows that it
    is over before the next look does. `refusals` are by instance id.
    """

    at_ms: int
    drift: tuple[str, ...]
    refusals: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Seen:
    """What the last look at a cluster found, by resource; silence as when it began."""

    silent_since_ms: Mapping[str, int] = field(default_factory=dict)
    unready: Mapping[str, Unready] = field(default_factory=dict)
    ec2: Mapping[str, Ec2Word] = field(default_factory=dict)


class WatchReader(Protocol):
    """What the watch remembers from one minute to the next, for those who only look."""

    def clusters(self) -> frozenset[str]:
        """The clusters that were looked at before."""
        ...

    def seen(self, cluster_id: str) -> Seen:
        """What the last look at the cluster found."""
        ...
