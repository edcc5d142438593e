"""What stands between the shipped arbiter and the modelled services: notes, counts and tags.

The calls themselves are carried out by `ports`; here is what judges want to know of them, and what
only the watch function asks for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

from eip_arbiter.arbitrate.announcing import LASTING, Announcement
from eip_arbiter.aws.eventbridge_announcer import REPEAT_MS
from eip_arbiter.decision.outcome import ReportSeen
from eip_arbiter.decision.snapshot import Address, HistoryEntry, Node, Snapshot
from eip_arbiter.ports import (
    Association,
    Committed,
    LostRace,
    MoveFailedError,
    Seen,
    Tagged,
)
from greenlet import getcurrent

from simulation.invocation import Invocation
from simulation.memory_store import MemoryStore
from simulation.ports import ElasticIpPort, Ports

if TYPE_CHECKING:
    from simulation.region import Region

DESCRIBE_SECONDS, DRY_RUN_SECONDS = 0.3, 0.15


def current_invocation() -> Invocation | None:
    """The invocation that runs now, None outside of all."""
    return getattr(getcurrent(), "invocation", None)


class NotedStore(MemoryStore):
    """Notes what an invocation changed, even where the reply never reaches it."""

    told_of_registration: Callable[[str], None] | None = None
    told_of_pause: Callable[[Snapshot, int], None] | None = None

    def commit(
        self,
        snapshot: Snapshot,
        address: Address,
        rested_on: tuple[ReportSeen, ...],
        line: HistoryEntry | None = None,
        told: Collection[int] = (),
    ) -> Committed | LostRace:
        """As the memory store does."""
        return self._noted("address", super().commit(snapshot, address, rested_on, line, told))

    def pause(
        self, snapshot: Snapshot, until_ms: int, line: HistoryEntry | None = None
    ) -> Committed | LostRace:
        """As the memory store does."""
        before = self.read(snapshot.cluster_id)
        outcome = self._noted("pause", super().pause(snapshot, until_ms, line))
        if isinstance(outcome, Committed) and before and self.told_of_pause:
            self.told_of_pause(before, until_ms)
        return outcome

    def register(self, cluster_id: str, node: Node, addresses: tuple[Address, ...]) -> str | None:
        """As the memory store does."""
        former = super().register(cluster_id, node, addresses)
        if self.told_of_registration:
            self.told_of_registration(cluster_id)
        return former

    def append_history(self, entry: HistoryEntry) -> None:
        """As the memory store does."""
        super().append_history(entry)
        if invocation := current_invocation():
            invocation.wrote += (f"history {entry.sentence}",)

    @staticmethod
    def _noted(what: str, outcome: Committed | LostRace) -> Committed | LostRace:
        invocation = current_invocation()
        if invocation and isinstance(outcome, Committed):
            invocation.wrote += (what,)
        return outcome


class CountedEc2(ElasticIpPort):
    """Counts the calls, which the weather makes slow."""

    def _come(self, seconds: float) -> Invocation:
        region = self._region
        if region.weather.strikes("ec2_slow"):
            seconds += region.rng.uniform(1.0, 5.0)
        return super()._come(seconds)

    def associate(self, allocation_id: str, interface_id: str, private_ip: str) -> str:
        """As the port does."""
        self._region.watch.called_ec2("associate", self._cluster(allocation_id))
        if self._region.ec2.refusing:
            self._region.ec2.refusing -= 1
            self._come(0.3)
            raise MoveFailedError("RequestLimitExceeded", "throttled once", refused=True)
        return super().associate(allocation_id, interface_id, private_ip)

    def disassociate(self, association_id: str) -> None:
        """As the port does."""
        self._region.watch.called_ec2("disassociate", "")
        super().disassociate(association_id)

    def locate(self, allocation_id: str, after_ms: int = 0) -> Association | None:
        """As the port does."""
        self._region.watch.called_ec2("locate", self._cluster(allocation_id))
        return super().locate(allocation_id, after_ms)

    def _cluster(self, allocation_id: str) -> str:
        return self._region.ec2.addresses[allocation_id][0]


class RegionPorts(Ports):
    """The inventory with its counts, and the tags that EC2 has now."""

    def __init__(self, region: Region) -> None:
        super().__init__(region)
        self.elastic_ips = CountedEc2(region)

    def node(self, instance_id: str) -> tuple[str, Node] | None:
        """EC2's facts of an instance, with no cluster where it has no tag."""
        region = self._region
        region.watch.called_ec2("describe", instance_id)
        self._describe()
        found = region.ec2.instances.get(instance_id)
        if found is None:
            return None
        return ("" if instance_id in region.ec2.untagged else found.cluster_id), found.node

    def addresses(self, cluster_id: str) -> tuple[Address, ...]:
        """EC2's addresses that are tagged for a cluster."""
        self._region.watch.called_ec2("describe", cluster_id)
        self._describe()
        return self._region.ec2.tagged(cluster_id)

    def _describe(self) -> None:
        self._come(0.1)
        if self._region.weather.strikes("ec2_error"):
            raise MoveFailedError("RequestLimitExceeded", "throttled")


class Notices:
    """The announcer: what is sent is counted, a lasting condition once as the shipped one does."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self._waiting: list[Announcement] = []
        self._told_at_ms: dict[tuple[str, ...], int] = {}

    def announce(self, announcement: Announcement) -> bool:
        """Takes one in."""
        if announcement.kind in LASTING:
            at_ms = announcement.detail["at_ms"]
            if at_ms - self._told_at_ms.get(announcement.about, 0) < REPEAT_MS:
                return False
            self._told_at_ms[announcement.about] = at_ms
        self._waiting.append(announcement)
        return True

    def send(self) -> None:
        """Sends what was taken in."""
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            self._region.watch.noticed(one.kind, one.detail["cluster_id"], one.detail["resource"])


class Preflight(CountedEc2):
    """What the watch asks of EC2, which changes nothing."""

    def surveyed(self) -> Mapping[str, Tagged]:
        """The tagged addresses, and where they are."""
        ec2 = self._region.ec2
        self._asked()
        found: dict[str, Tagged] = {}
        for cluster_id in sorted({owner for owner, _ in ec2.addresses.values()}):
            addresses = ec2.tagged(cluster_id)
            if addresses:
                now = self._loop.now
                places = {a.allocation_id: ec2.described(now, a.allocation_id) for a in addresses}
                found[cluster_id] = Tagged(addresses, places)
        return found

    def instances(self) -> Mapping[str, tuple[str, Node]]:
        """The tagged instances."""
        ec2 = self._region.ec2
        self._asked()
        return {
            instance_id: (found.cluster_id, found.node)
            for instance_id, found in ec2.instances.items()
            if instance_id not in ec2.untagged
        }

    def _asked(self) -> None:
        self._come(DESCRIBE_SECONDS)
        if self._region.weather.strikes("ec2_error"):
            raise MoveFailedError("RequestLimitExceeded", "throttled")

    def refusal(self, _allocation_id: str, interface_id: str, _private_ip: str) -> str | None:
        """Why EC2 would refuse."""
        self._come(DRY_RUN_SECONDS)
        refused = self._region.ec2.refused[interface_id] > 0
        return "InvalidNetworkInterfaceID.NotFound" if refused else None


class WatchMemory(Ports):
    """What the watch remembers from one minute to the next, in the table."""

    def __init__(self, region: Region, kept: dict[str, Any]) -> None:
        super().__init__(region)
        self._kept = kept

    def clusters(self) -> frozenset[str]:
        """The clusters that were looked at before."""
        return self._dynamodb(lambda: self._kept.get("", frozenset()))

    def keep_clusters(self, cluster_ids: frozenset[str]) -> None:
        """Remembers which clusters there are."""
        self._dynamodb(lambda: self._kept.__setitem__("", cluster_ids))

    def troubles(self) -> Mapping[str, tuple[int, int]]:
        """Never asked for: no run has so many clusters."""
        return {}

    def keep_troubles(self, troubles: Mapping[str, tuple[int, int]]) -> None:
        """Never asked for."""

    def seen(self, cluster_id: str) -> Seen:
        """What the last look at the cluster found."""
        found: Seen = self._dynamodb(lambda: self._kept.get(cluster_id, Seen()))
        return found

    def keep_seen(self, cluster_id: str, seen: Seen) -> None:
        """Remembers what a look found."""
        self._dynamodb(lambda: self._kept.__setitem__(cluster_id, seen))
