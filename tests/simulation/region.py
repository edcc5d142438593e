"""A modelled region: EventBridge and Lambda around the shipped arbiter, and its ports.

Each invocation is a task that may crash or stall at any of its calls. The ports pass calls on to
the memory store and the modelled EC2, in virtual time, with what the weather makes of them.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from eip_arbiter.arbitration import Arbiter
from eip_arbiter.decision.outcome import ReportSeen
from eip_arbiter.decision.policy import Policy
from eip_arbiter.decision.snapshot import Address, Node, Snapshot
from eip_arbiter.ports import Association, Committed, HistoryEntry, LostRace, MoveFailedError
from eip_contract.report import NodeReport, ReportRejected
from eip_contract.state_item import ClusterStatus
from greenlet import getcurrent

from simulation.clock import EPOCH_SECONDS, Loop
from simulation.ec2 import ModelEc2
from simulation.memory_store import MemoryStore, to_status
from simulation.weather import Weather

FUNCTION_SECONDS = 9.0
EC2_CLIENT_SECONDS = 7.0
"""What EC2's client takes with its retries until it gives up."""

MOST_CALLS = 6
STALE_READS = 0.05
RETRY_SECONDS = (30.0, 59.0)
"""When Lambda tries a failed asynchronous invocation again, while the event is young enough."""

T = TypeVar("T")


class Killed(BaseException):
    """The execution environment ended; no shipped code may catch this."""


class ServiceError(Exception):
    """DynamoDB refused or did not answer, as botocore's errors are: not caught by the arbiter."""


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
        self, loop: Loop, rng: random.Random, weather: Weather, watch: Any, tell: Callable[[str], None]
    ) -> None:
        self.loop, self.rng, self.weather, self.watch = loop, rng, weather, watch
        self.store, self.ec2 = MemoryStore(), ModelEc2()
        self.clock_offset = 0.0
        self.calm_from = float("inf")
        self._number = 0
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
        status = None if snapshot is None else to_status(snapshot)
        self._statuses[cluster_id] = (snapshot, status)
        return status

    def report(self, report: NodeReport) -> None:
        """A node's report reaches the bus."""
        self.publish(lambda: self.arbiter.on_report(report))

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


class _Steps:
    """One call of an invocation, with what can happen before and after it."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self._loop = region.loop

    def invocation(self) -> Invocation:
        """Whose call this is."""
        found = getcurrent().invocation  # type: ignore[attr-defined]
        assert isinstance(found, Invocation)
        return found

    def _come(self, seconds: float) -> Invocation:
        invocation = self.invocation()
        invocation.calls += 1
        self._strike(invocation, "before")
        self.wait(invocation, seconds)
        return invocation

    def _gone(self, invocation: Invocation) -> None:
        self._strike(invocation, "after")

    def wait(self, invocation: Invocation, seconds: float) -> None:
        """Time passes in a call; the function's time-out ends the whole invocation."""
        left = invocation.started + FUNCTION_SECONDS - self._loop.now
        if seconds > left:
            self._loop.sleep(max(0.0, left))
            raise Killed
        self._loop.sleep(seconds)

    def _strike(self, invocation: Invocation, when: str) -> None:
        if invocation.fate_at != invocation.calls or not invocation.fate.endswith(when):
            return
        if "crash" in invocation.fate:
            raise Killed
        # The environment is paused as a whole, its own clock of the time-out with it.
        seconds = self._region.until_calm(self._region.rng.uniform(1.0, 240.0))
        self._loop.sleep(seconds)
        invocation.started += seconds


class Ports(_Steps):
    """Implements `Store` and `Inventory` of `eip_arbiter.ports`."""

    def __init__(self, region: Region) -> None:
        super().__init__(region)
        self.elastic_ips = ElasticIpPort(region)

    def _dynamodb(self, act: Callable[[], T], *, seconds: float = 0.004) -> T:
        region = self._region
        invocation = self._come(region.rng.uniform(0.5, 2.0) * seconds)
        if region.weather.strikes("dynamodb_error"):
            self.wait(invocation, region.rng.choice((0.05, 4.0)))
            raise ServiceError("DynamoDB")
        outcome = act()
        found = getattr(outcome, "snapshot", outcome)
        if isinstance(found, Snapshot):
            invocation.snapshot, invocation.snapshot_at = found, self._loop.now
        if region.weather.strikes("dynamodb_lost_reply"):
            raise ServiceError("DynamoDB's reply was lost")
        self._gone(invocation)
        return outcome

    def record_report(self, report: NodeReport, received_at_ms: int) -> Any:
        """Passed on."""
        region = self._region

        def act() -> Any:
            outcome = region.store.record_report(report, received_at_ms)
            region.watch.recorded(report, outcome)
            return outcome

        return self._dynamodb(act)

    def record_instance_state(self, instance_id: str, state: str, at_ms: int) -> Snapshot | None:
        """Passed on."""
        store = self._region.store
        return self._dynamodb(lambda: store.record_instance_state(instance_id, state, at_ms))

    def read(self, cluster_id: str) -> Snapshot | None:
        """Passed on."""
        return self._dynamodb(lambda: self._region.store.read(cluster_id))

    def register(self, cluster_id: str, node: Node, addresses: tuple[Address, ...]) -> None:
        """Passed on."""
        self._dynamodb(lambda: self._region.store.register(cluster_id, node, addresses))

    def commit(
        self, snapshot: Snapshot, address: Address, rested_on: tuple[ReportSeen, ...]
    ) -> Committed | LostRace:
        """Passed on."""
        region = self._region

        def act() -> Committed | LostRace:
            before = region.store.read(snapshot.cluster_id)
            outcome = region.store.commit(snapshot, address, rested_on)
            if isinstance(outcome, Committed) and before is not None:
                region.watch.committed(before, address)
            return outcome

        return self._dynamodb(act)

    def settle(self, snapshot: Snapshot, address: Address) -> Committed | LostRace:
        """Passed on."""
        region = self._region

        def act() -> Committed | LostRace:
            outcome = region.store.settle(snapshot, address)
            if isinstance(outcome, Committed):
                region.watch.settled(snapshot, address)
            return outcome

        return self._dynamodb(act)

    def pause(self, snapshot: Snapshot, until_ms: int) -> Committed | LostRace:
        """Passed on."""
        return self._dynamodb(lambda: self._region.store.pause(snapshot, until_ms))

    def append_history(self, entry: HistoryEntry) -> None:
        """Passed on."""
        self._dynamodb(lambda: self._region.store.append_history(entry))

    def node(self, instance_id: str) -> tuple[str, Node] | None:
        """EC2's facts of an instance."""
        self._come(0.1)
        found = self._region.ec2.instances.get(instance_id)
        return (found.cluster_id, found.node) if found else None

    def addresses(self, cluster_id: str) -> tuple[Address, ...]:
        """EC2's addresses that are tagged for a cluster."""
        self._come(0.1)
        return self._region.ec2.tagged(cluster_id)


class ElasticIpPort(_Steps):
    """Implements `ElasticIps` of `eip_arbiter.ports`."""

    def associate(self, allocation_id: str, interface_id: str, private_ip: str) -> str:
        """Passed on; it may land without a reply, or long after the client gave up."""
        region = self._region
        invocation = self.invocation()
        region.watch.asked(invocation, allocation_id, interface_id)
        known = invocation.address(allocation_id)
        term = known.term if known else 0
        asked_at = self._loop.now
        self._come(region.rng.uniform(0.2, 0.9))

        def land() -> str:
            lag = region.rng.uniform(0.2, 8.0)
            done = region.ec2.associate(
                self._loop.now, allocation_id, interface_id, private_ip,
                term=term, asked_at=asked_at, lag=lag,
            )
            region.watch.landed(region.ec2.journal[-1])
            return done

        return self._with_weather(invocation, land)

    def disassociate(self, association_id: str) -> None:
        """Passed on."""
        region = self._region
        invocation = self.invocation()
        asked_at = self._loop.now
        self._come(region.rng.uniform(0.2, 0.9))

        def land() -> str:
            count = len(region.ec2.journal)
            region.ec2.disassociate(
                self._loop.now, association_id, term=-1, asked_at=asked_at, lag=1.0
            )
            if len(region.ec2.journal) > count:
                region.watch.landed(region.ec2.journal[-1])
            return ""

        self._with_weather(invocation, land)

    def locate(self, allocation_id: str) -> Association | None:
        """Passed on."""
        region = self._region
        invocation = self._come(region.rng.uniform(0.1, 0.4))
        if region.weather.strikes("ec2_error"):
            raise MoveFailedError("RequestLimitExceeded", "throttled")
        found = region.ec2.locate(allocation_id)
        self._gone(invocation)
        return found

    def _with_weather(self, invocation: Invocation, land: Callable[[], str]) -> str:
        region, weather = self._region, self._region.weather
        if weather.strikes("ec2_error"):
            self.wait(invocation, region.rng.choice((0.3, EC2_CLIENT_SECONDS)))
            raise MoveFailedError("RequestLimitExceeded", "throttled")
        if weather.strikes("ec2_late"):
            self._loop.at(region.until_calm(region.rng.uniform(5.0, 120.0)), land)
            self.wait(invocation, EC2_CLIENT_SECONDS)
            raise MoveFailedError("ReadTimeoutError", "no answer")
        association_id = land()
        if weather.strikes("ec2_lost_reply"):
            self.wait(invocation, EC2_CLIENT_SECONDS)
            raise MoveFailedError("ReadTimeoutError", "no answer")
        self._gone(invocation)
        return association_id
