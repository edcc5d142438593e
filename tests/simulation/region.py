"""A modelled region: EventBridge and Lambda around the shipped arbiter.

Each invocation is a task that may crash or stall at any of its calls; `ports` carries these out.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from typing import Any

from eip_arbiter.arbitrate.arbitration import Arbiter
from eip_arbiter.decision.policy import Policy
from eip_arbiter.decision.snapshot import Snapshot
from eip_contract.report import NodeReport, ReportRejected
from eip_contract.state_item import ClusterStatus

from simulation.clock import EPOCH_SECONDS, Loop
from simulation.ec2 import ModelEc2
from simulation.invocation import Invocation, Killed, ServiceError
from simulation.memory_store import MemoryStore, to_status
from simulation.ports import EC2_CLIENT_SECONDS, Ports
from simulation.weather import Weather

MOST_CALLS = 6
STALE_READS = 0.05
RETRY_SECONDS = (30.0, 59.0)
"""When Lambda tries a failed asynchronous invocation again, while the event is young enough."""


class Telemetry:
    """Counts what the arbiter tells; keeps the sentences where somebody wants to read them."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell

    def decided(self, rule: str, sentence: str, **_: Any) -> None:
        """Told."""
        self._tell(f"arbiter: {rule}: {sentence}")

    def kept(self, rule: str, sentence: str, **_: Any) -> None:
        """Told."""
        self._tell(f"arbiter: {rule}: {sentence}")

    def count(self, metric: str, cluster_id: str, value: float = 1) -> None:
        """Not counted."""

    def rejected(self, reason: str, sentence: str, **_: Any) -> None:
        """Told."""
        self._tell(f"arbiter: rejected, {reason}: {sentence}")

    def failed(self, sentence: str, **_: Any) -> None:
        """Told."""
        self._tell(f"arbiter: FAILED: {sentence}")


class Region:
    """What is beyond the nodes. `watch` is told of every write and call that took effect."""

    def __init__(
        self,
        loop: Loop,
        rng: random.Random,
        weather: Weather,
        watch: Any,
        tell: Callable[[str], None],
    ) -> None:
        self.loop, self.rng, self.weather, self.watch = loop, rng, weather, watch
        self.store, self.ec2 = MemoryStore(), ModelEc2()
        self.clock_offset = 0.0
        self.calm_from = float("inf")
        self._number = 0
        self._kept_back: dict[str, Callable[[], None] | None] = {}
        self._statuses: dict[str, tuple[Snapshot | None, ClusterStatus | None]] = {}
        self.policy = Policy(ec2_call_ms=int(EC2_CLIENT_SECONDS * 1000))
        ports = Ports(self)
        self.arbiter = Arbiter(
            store=ports,
            elastic_ips=ports.elastic_ips,
            inventory=ports,
            telemetry=Telemetry(tell),
            policy=self.policy,
            clock=self.clock_ms,
        )

    def set_policy(self, **times: int) -> None:
        """Deploys the arbiter with other times."""
        self.policy = dataclasses.replace(self.policy, **times)
        self.arbiter = dataclasses.replace(self.arbiter, policy=self.policy)

    def clock_ms(self) -> int:
        """The arbiter's clock."""
        return int((self.loop.now + EPOCH_SECONDS + self.clock_offset) * 1000)

    def publish(self, handle: Callable[[], None]) -> None:
        """One event on a bus: lost, late, doubled, or delivered."""
        weather, rng = self.weather, self.rng
        if weather.strikes("event_loss"):
            return
        for _ in range(2 if weather.strikes("event_double") else 1):
            delay = rng.uniform(0.02, 0.15)
            if weather.strikes("event_late"):
                delay = rng.uniform(1.0, 60.0)
            elif weather.strikes("event_reordered"):
                delay = rng.uniform(0.1, 3.0)
            self.loop.at(delay, lambda: self.invoke(handle))

    def status(self, cluster_id: str, *, consistent: bool) -> ClusterStatus | None:
        """What a node reads; without consistency it may be what somebody read before."""
        snapshot = self.store.read(cluster_id)
        known = self._statuses.get(cluster_id)
        if known and (known[0] is snapshot or (not consistent and self.rng.random() < STALE_READS)):
            return known[1]
        status = None if snapshot is None else to_status(snapshot, known)
        self._statuses[cluster_id] = (snapshot, status)
        return status

    def deliver(self, report: NodeReport) -> None:
        """A report comes in now, whatever the weather."""
        self.invoke(lambda: self.arbiter.on_report(report, self._stamp()), retries=0)

    def report(self, report: NodeReport) -> None:
        """A node's report reaches the bus."""
        key = (report.instance_id, report.incarnation, report.seq)
        self.watch.sent.setdefault(key, self.loop.now)
        stamp = self._stamp()

        def handle() -> None:
            self.arbiter.on_report(report, stamp)

        if report.instance_id not in self._kept_back:
            self.publish(handle)
        elif report.awaiting:
            self._kept_back[report.instance_id] = handle

    def _stamp(self) -> int:
        """The end of the second in which EventBridge takes an event."""
        return (int(self.loop.now + EPOCH_SECONDS) + 1) * 1000 - 1

    def keep_back(self, instance_id: str) -> None:
        """From now on the bus keeps the last claim of a node, and loses all else that it says."""
        self._kept_back[instance_id] = None

    def keeps_back(self, instance_id: str) -> bool:
        """Whether it does so now."""
        return instance_id in self._kept_back

    def let_go(self, instance_id: str) -> None:
        """What was kept back arrives, then all is as before."""
        handle = self._kept_back.pop(instance_id, None)
        if handle:
            self.invoke(handle)

    def invoke(self, handle: Callable[[], Any], retries: int = 1) -> None:
        """One asynchronous invocation."""
        invocation = self._invocation()

        def run() -> None:
            try:
                handle()
            except ReportRejected as rejected:
                self.arbiter.telemetry.rejected(rejected.reason, str(rejected))
            except (Killed, ServiceError):
                if retries:
                    delay = self.rng.uniform(*RETRY_SECONDS)
                    self.loop.at(delay, lambda: self.invoke(handle, retries - 1))

        task = self.loop.spawn(run)
        task.invocation = invocation

    def call(self, handle: Callable[[], Any], answered: Callable[[Any], None]) -> None:
        """One synchronous invocation by an operator; an error is answered as it is."""
        invocation = self._invocation()

        def run() -> None:
            try:
                answer = handle()
            except (Killed, ServiceError, RuntimeError) as error:
                answer = error
            except Exception as error:  # noqa: BLE001 - the operator sees whatever it was
                answer = error
            answered(answer)

        task = self.loop.spawn(run)
        task.invocation = invocation

    def _invocation(self) -> Invocation:
        self._number += 1
        invocation = Invocation(self._number, self.loop.now)
        weather = self.weather
        for kind in ("invocation_crash", "invocation_stall"):
            if weather.strikes(kind):
                invocation.fate = f"{kind}_{self.rng.choice(('before', 'after'))}"
                invocation.fate_at = self.rng.randint(1, MOST_CALLS)
        return invocation

    def until_calm(self, seconds: float) -> float:
        """Cuts a delay so that what is late still comes before the calm end of a run."""
        return max(0.0, min(seconds, self.calm_from - 1.0 - self.loop.now))
