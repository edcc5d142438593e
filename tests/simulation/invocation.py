"""One run of a Lambda function in the model, and the ways in which it can end early."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from eip_arbiter.decision.snapshot import Address, Snapshot
from eip_arbiter.ports import StoreUnansweredError

if TYPE_CHECKING:
    from simulation.memory_store import MemoryStore


class Killed(BaseException):
    """The execution environment ended; no shipped code may catch this."""


class ServiceError(StoreUnansweredError):
    """DynamoDB refused or did not answer; where the arbiter does not catch it, the run ends."""


@dataclass
class Invocation:
    """One run of a function; `fate` strikes at its call number `fate_at`.

    `store` is the table of its deployment, `clock_offset` that of its environment's clock. `wrote`
    tells what it changed in the state, whether or not it got to know that.
    """

    number: int
    started: float
    store: MemoryStore
    clock_offset: float = 0.0
    wrote: tuple[str, ...] = ()
    fate: str = ""
    fate_at: int = 0
    calls: int = 0
    snapshot: Snapshot | None = None
    snapshot_at: float = 0.0

    def address(self, allocation_id: str) -> Address | None:
        """What this invocation last read or wrote of an address."""
        addresses = self.snapshot.addresses.values() if self.snapshot else ()
        return next((a for a in addresses if a.allocation_id == allocation_id), None)
