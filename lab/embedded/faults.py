"""Faults that can be switched on between a caller and the embedded AWS.

Only the switch lives here; the server carries a fault out.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from fnmatch import fnmatchcase
from typing import Literal

Mode = Literal["refuse", "blackhole", "error", "throttle", "slow", "lost_reply"]

# The code each service answers with when it throttles, and its HTTP status.
THROTTLE_CODES = {
    "ec2": ("RequestLimitExceeded", 503),
    "dynamodb": ("ThrottlingException", 400),
    "lambda": ("TooManyRequestsException", 429),
}
THROTTLE_DEFAULT = ("ThrottlingException", 400)


@dataclasses.dataclass(eq=False)
class Fault:
    """One fault that is on; `clear()` ends it."""

    mode: Mode
    principal: str
    service: str
    operation: str
    code: str
    status: int
    seconds: float
    remaining: int | None
    """How many more calls it hits; None means all."""
    retry_after_ms: int | None = None
    """What the answer's `x-amz-retry-after` asks for; botocore then waits up to 5 s more."""
    hits: int = 0
    ended: threading.Event = dataclasses.field(default_factory=threading.Event)

    def answer_to(self, service: str) -> tuple[str, int]:
        """Return the code and the HTTP status that a call to a service is answered with."""
        if self.mode == "throttle":
            return THROTTLE_CODES.get(service, THROTTLE_DEFAULT)
        return self.code, self.status

    def clear(self) -> None:
        """End the fault; calls that hang in it lose their connection."""
        self.ended.set()


class FaultSwitch:
    """The faults in force. The first one set that matches a call wins."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._broken_at: dict[str, float] = {}
        self.describe_lag_seconds = 0.0
        self.describe_as_of: float | None = None
        """How far EC2's descriptions of associations are behind what is in force."""

    def set(
        self,
        mode: Mode,
        *,
        principal: str = "*",
        service: str = "*",
        operation: str = "*",
        code: str = "InternalError",
        status: int = 500,
        seconds: float = 0.0,
        times: int | None = None,
        retry_after_ms: int | None = None,
    ) -> Fault:
        """Switch a fault on for the calls that match the shell patterns.

        Args:
            mode: "refuse" resets the connection before anything is done; "blackhole" never answers;
                "error" answers `code` with HTTP `status`; "throttle" answers as the service does
                when it throttles; "slow" waits `seconds` and then does it; "lost_reply" does it,
                then resets the connection.
            principal: Who calls, as in the journal.
            service: As in the journal, for example "ec2".
            operation: As in the journal, for example "AssociateAddress".
            code: For "error" only.
            status: For "error" only.
            seconds: For "slow" only.
            times: Hit only that many calls; None means until cleared.
            retry_after_ms: For "error" and "throttle": the wait that the answer asks for.
        """
        fault = Fault(
            mode, principal, service, operation, code, status, seconds, times, retry_after_ms
        )
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """End every fault."""
        self.describe_lag_seconds = 0.0
        self.describe_as_of = None
        with self._lock:
            for fault in self._faults:
                fault.clear()
            self._faults.clear()

    def break_connections(self, principal: str) -> None:
        """From now on nothing answers on the connections that this caller has open."""
        with self._lock:
            self._broken_at[principal] = time.monotonic()

    def is_broken(self, principal: str, opened_at: float) -> bool:
        """Whether a connection that was opened then (monotonic) is dead for this caller."""
        with self._lock:
            return opened_at < self._broken_at.get(principal, 0.0)

    def take(self, principal: str, service: str, operation: str) -> Fault | None:
        """Return the fault that this call meets, and count the hit."""
        with self._lock:
            self._faults = [f for f in self._faults if not f.ended.is_set() and f.remaining != 0]
            for fault in self._faults:
                if (
                    fnmatchcase(principal, fault.principal)
                    and fnmatchcase(service, fault.service)
                    and fnmatchcase(operation, fault.operation)
                ):
                    fault.hits += 1
                    if fault.remaining is not None:
                        fault.remaining -= 1
                    return fault
        return None
