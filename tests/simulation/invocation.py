"""One run of a Lambda function in the model, and the ways in which it can end early."""

from __future__ import annotations

from dataclasses import dataclass

from eip_arbiter.decision.snapshot import Address, Snapshot
from eip_arbiter.ports import StoreUnansweredError


class Killed(BaseException):
    """The execution environment ended; no shipped code may catch this."""


class ServiceError(StoreUnansweredError):
    """DynamoDB refused or did not answer; where the arbiter does not catch it, the run ends."""


@dataclass
class Invocation:
    """One run of a function; `fate` strikes at its call number `fate_at`."""

    number: int
    started: float
    fate: str = ""
    fate_at: int = 0
    calls: int = 0
    snapshot: Snapshot | None = None
    snapshot_at: float = 0.0

    def address(self, allocation_id: str) -> Address | None:
        """What this invocation last read or wrote of an address."""
        addresses = self.snapshot.addresses.values() if self.snapshot else ()
        return next((a for a in addresses if a.allocation_id == allocation_id), None)
