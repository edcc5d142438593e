"""Lines of history that were committed with their step and wait in the state until they are told.

A table that does not take one costs nothing but time: whoever handles the cluster later tells it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from eip_arbiter.decision.snapshot import HistoryEntry, Snapshot
from eip_arbiter.ports import Store, StoreUnansweredError, Telemetry


@dataclass(frozen=True)
class Outbox:
    """Tells waiting lines; no method raises for a table that does not answer."""

    store: Store
    telemetry: Telemetry

    def tell(self, snapshot: Snapshot, lines: Collection[HistoryEntry]) -> Snapshot:
        """Puts waiting lines into the history; returns the snapshot without them."""
        return self.drop(snapshot, self.put(lines))

    def put(self, lines: Collection[HistoryEntry]) -> tuple[int, ...]:
        """The versions of those lines that are in the history now; the others go on waiting."""
        told: list[int] = []
        try:
            for line in lines:
                self.store.append_history(line)
                told.append(line.version)
        except StoreUnansweredError as error:
            self.telemetry.failed(f"a line of history waits: {error}")
        return tuple(told)

    def drop(self, snapshot: Snapshot, told: Collection[int]) -> Snapshot:
        """Ends the waiting of lines that were told."""
        if not told:
            return snapshot
        try:
            self.store.drop_waiting(snapshot.cluster_id, told)
        except StoreUnansweredError as error:
            self.telemetry.failed(f"a line of history will be told again: {error}")
        left = tuple(line for line in snapshot.waiting if line.version not in told)
        return replace(snapshot, waiting=left)
