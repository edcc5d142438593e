"""The ports of the shipped arbiter: calls to the memory store and the modelled EC2.

Each call takes virtual time, and meets what the weather makes of it. An invocation's own fate, to
crash or to stall before or after its n-th call, strikes here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from eip_arbiter.decision.outcome import ReportSeen
from eip_arbiter.decision.snapshot import Address, HistoryEntry, Node, Phase, Snapshot
from eip_arbiter.ports import Association, Committed, LostRace, MoveFailedError, Recorded
from eip_contract.report import NodeReport
from greenlet import getcurrent

from simulation.invocation import Invocation, Killed, ServiceError

if TYPE_CHECKING:
    from simulation.region import Region

FUNCTION_SECONDS = 9.0
EC2_CLIENT_SECONDS = 7.0
"""What EC2's client takes with its retries until it gives up."""

T = TypeVar("T")


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
        self._stall(invocation)

    def _stall(self, invocation: Invocation) -> None:
        # The environment is paused as a whole, its own clock of the time-out with it.
        seconds = self._region.until_calm(self._region.rng.uniform(1.0, 240.0))
        self._loop.sleep(seconds)
        invocation.started += seconds


class Ports(_Steps):
    """Implements `Store` and `Inventory` of `eip_arbiter.ports`."""

    def __init__(self, region: Region) -> None:
        super().__init__(region)
        self.elastic_ips = ElasticIpPort(region)

    def _dynamodb(
        self,
        act: Callable[[], T],
        *,
        done: Callable[[T], None] = lambda _outcome: None,
        seconds: float = 0.004,
    ) -> T:
        """One call; `done` is told of the outcome of the sending that wrote, if one did."""
        region = self._region
        slow = region.rng.uniform(20, 200) if region.weather.strikes("dynamodb_slow") else 1.0
        invocation = self._come(region.rng.uniform(0.5, 2.0) * seconds * slow)
        if region.weather.strikes("dynamodb_error"):
            self.wait(invocation, region.rng.choice((0.05, 4.0)))
            raise ServiceError("DynamoDB")
        outcome = act()
        done(outcome)
        if region.weather.strikes("dynamodb_retried"):
            # The reply is lost, and the client sends it again; others may have written meanwhile.
            self.wait(invocation, region.rng.choice((0.05, region.rng.uniform(0.05, 1.1))))
            wrote = isinstance(outcome, Committed | Recorded)
            with region.store.retried():
                outcome = act()
            if not wrote:
                done(outcome)
        found = getattr(outcome, "snapshot", outcome)
        if isinstance(found, Snapshot):
            invocation.snapshot, invocation.snapshot_at = found, self._loop.now
        if region.weather.strikes("dynamodb_lost_reply"):
            raise ServiceError("DynamoDB's reply was lost")
        self._gone(invocation)
        return outcome

    def record_report(self, report: NodeReport, received_at_ms: int, late_ms: int = 0) -> Any:
        """Passed on."""
        region = self._region
        return self._dynamodb(
            lambda: region.store.record_report(report, received_at_ms, late_ms),
            done=lambda outcome: region.watch.recorded(report, received_at_ms, outcome),
        )

    def record_instance_state(self, instance_id: str, state: str, at_ms: int) -> Snapshot | None:
        """Passed on."""
        store = self._region.store
        return self._dynamodb(lambda: store.record_instance_state(instance_id, state, at_ms))

    def read(self, cluster_id: str) -> Snapshot | None:
        """Passed on."""
        return self._dynamodb(lambda: self._region.store.read(cluster_id))

    def register(self, cluster_id: str, node: Node, addresses: tuple[Address, ...]) -> str | None:
        """Passed on."""
        return self._dynamodb(lambda: self._region.store.register(cluster_id, node, addresses))

    def readdress(
        self, snapshot: Snapshot, addresses: Mapping[str, Address]
    ) -> Committed | LostRace:
        """Passed on."""
        return self._dynamodb(lambda: self._region.store.readdress(snapshot, addresses))

    def forget(
        self, snapshot: Snapshot, instance_ids: Collection[str], line: HistoryEntry | None = None
    ) -> Committed | LostRace:
        """Passed on."""
        return self._dynamodb(lambda: self._region.store.forget(snapshot, instance_ids, line))

    def commit(
        self,
        snapshot: Snapshot,
        address: Address,
        rested_on: tuple[ReportSeen, ...],
        line: HistoryEntry | None = None,
        told: Collection[int] = (),
    ) -> Committed | LostRace:
        """Passed on."""
        region = self._region
        before: list[Snapshot | None] = []

        def act() -> Committed | LostRace:
            before.append(region.store.read(snapshot.cluster_id))
            return region.store.commit(snapshot, address, rested_on, line, told)

        def done(outcome: Committed | LostRace) -> None:
            if isinstance(outcome, Committed) and before[-1] is not None:
                region.watch.committed(before[-1], address)

        outcome = self._dynamodb(act, done=done)
        moves = isinstance(outcome, Committed) and address.phase is Phase.MOVING
        if moves and region.weather.strikes("move_stall"):
            self._stall(self.invocation())
        return outcome

    def settle(
        self, snapshot: Snapshot, address: Address, told: Collection[int] = ()
    ) -> Committed | LostRace:
        """Passed on."""
        region = self._region

        def done(outcome: Committed | LostRace) -> None:
            if isinstance(outcome, Committed):
                region.watch.settled(snapshot, address)

        return self._dynamodb(lambda: region.store.settle(snapshot, address, told), done=done)

    def pause(
        self, snapshot: Snapshot, until_ms: int, line: HistoryEntry | None = None
    ) -> Committed | LostRace:
        """Passed on."""
        return self._dynamodb(lambda: self._region.store.pause(snapshot, until_ms, line))

    def append_history(self, entry: HistoryEntry) -> None:
        """Passed on."""
        self._dynamodb(lambda: self._region.store.append_history(entry))

    def drop_waiting(self, cluster_id: str, told: Collection[int]) -> None:
        """Passed on."""
        self._dynamodb(lambda: self._region.store.drop_waiting(cluster_id, told))

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
    """Implements `ElasticIps` of `eip_arbiter.arbitrate.moving`."""

    def associate(self, allocation_id: str, interface_id: str, private_ip: str) -> str:
        """Passed on; it may land without a reply, or long after the client gave up."""
        region = self._region
        invocation = self.invocation()
        region.watch.asked(invocation, allocation_id)
        known = invocation.address(allocation_id)
        term = known.term if known else 0
        asked_at = self._loop.now
        self._come(region.rng.uniform(0.2, 0.9))
        if region.ec2.refused[interface_id] > 0:
            raise MoveFailedError(
                "InvalidNetworkInterfaceID.NotFound", "it is not there", refused=True
            )

        def land() -> str:
            lag = region.rng.uniform(0.2, region.metadata_lag_seconds)
            done = region.ec2.associate(
                self._loop.now,
                allocation_id,
                interface_id,
                private_ip,
                term=term,
                asked_at=asked_at,
                lag=lag,
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

    def locate(self, allocation_id: str, after_ms: int = 0) -> Association | None:
        """Passed on; what is seen may be old."""
        region = self._region
        if after_ms:
            self.wait(self.invocation(), after_ms / 1000)
        invocation = self._come(region.rng.uniform(0.1, 0.4))
        if region.weather.strikes("ec2_error"):
            raise MoveFailedError("RequestLimitExceeded", "throttled", refused=True)
        found = region.ec2.described(self._loop.now, allocation_id)
        self._gone(invocation)
        return found

    def _with_weather(self, invocation: Invocation, land: Callable[[], str]) -> str:
        region, weather = self._region, self._region.weather
        if weather.strikes("ec2_error"):
            self.wait(invocation, region.rng.choice((0.3, EC2_CLIENT_SECONDS)))
            raise MoveFailedError("RequestLimitExceeded", "throttled", refused=True)
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
