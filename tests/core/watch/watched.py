"""The shipped watch in this process, at instants that a test sets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from core.harness import Cluster
from core.local import Local
from eip_arbiter.arbitrate.announcing import Announcement
from eip_arbiter.aws.dynamodb_watch import DynamoDbMemory
from eip_arbiter.aws.ec2_address import Ec2Preflight
from eip_arbiter.ports import Seen, Tagged, WatchReader
from eip_arbiter.watch.watching import Watch


class Heard:
    """An announcer that keeps what it is given."""

    def __init__(self) -> None:
        self.said: list[Announcement] = []

    def announce(self, announcement: Announcement) -> bool:
        self.said.append(announcement)
        return True

    def send(self) -> None:
        pass

    @property
    def kinds(self) -> list[str]:
        return [announcement.kind for announcement in self.said]


class OnlyOne(Ec2Preflight):
    """EC2 as it would be if there were no other cluster."""

    def __init__(self, client: Any, cluster_id: str) -> None:
        super().__init__(client)
        self._cluster_id = cluster_id

    def surveyed(self) -> dict[str, Tagged]:
        return {c: found for c, found in super().surveyed().items() if c == self._cluster_id}


class Forgetful(DynamoDbMemory):
    """A memory that begins without any cluster, since the table has those of other tests."""

    kept: frozenset[str] = frozenset()

    def clusters(self) -> frozenset[str]:
        return self.kept

    def keep_clusters(self, cluster_ids: frozenset[str]) -> None:
        self.kept = cluster_ids


class Watched:
    """The shipped watch in this process, over one cluster."""

    def __init__(self, local: Local, cluster: Cluster) -> None:
        self.local, self.cluster = local, cluster
        self.heard = Heard()
        self.gauges: list[tuple[str, float]] = []
        local.arbiter = replace(local.arbiter, announcer=self.heard)
        self.watch = Watch(
            arbiter=local.arbiter,
            preflight=OnlyOne(local.ec2, cluster.id),
            memory=Forgetful(local.dynamodb, cluster.table_name),
            gauge=lambda metric, value: self.gauges.append((metric, value)),
        )

    def look(self, after_seconds: float = 60) -> dict[str, int]:
        self.local.wait(after_seconds)
        return self.watch.run()

    def calm(self, **of_n2: Any) -> None:
        """Both nodes report, as they do between two looks."""
        self.local.hear(self.cluster.runs("n1"))
        self.local.hear(self.cluster.stands_by("n2", **of_n2))

    @property
    def seen(self) -> Seen:
        return self.watch.memory.seen(self.cluster.id)

    @property
    def problems(self) -> str:
        found = self.seen.unready.get("eip")
        return "; ".join(found.problems) if found else ""


def writable(memory: WatchReader) -> DynamoDbMemory:
    """The same memory as the watch itself has it."""
    assert isinstance(memory, DynamoDbMemory)
    return memory
