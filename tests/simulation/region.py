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
from eip_arbiter.ports import MoveFailedError
from eip_arbiter.watch.watching import Watch as WatchFunction
from eip_contract.report import NodeReport, ReportRejected
from eip_contract.state_item import ClusterStatus

from simulation.clock import EPOCH_SECONDS, Loop
from simulation.ec2 import ModelEc2
from simulation.invocation import Invocation, Killed, ServiceError
from simulation.memory_store import MemoryStore, to_status
from simulation.ports import EC2_CLIENT_SECONDS, FUNCTION_SECONDS
from simulation.region_ports import (
    NotedStore,
    Notices,
    Preflight,
    RegionPorts,
    WatchMemory,
    current_invocation,
)
from simulation.weather import Weather

MOST_CALLS = 6
STALE_READS = 0.05
RETRY_SECONDS = (30.0, 59.0)
WATCH_SECONDS, WATCH_FUNCTION_SECONDS = 60.0, 55.0
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
        self._store: MemoryStore = self._table()
        self.ec2 = ModelEc2()
        self.skews: tuple[float, ...] = ()
        self.clock_offset = 0.0
        self.metadata_lag_seconds = 0.0
        self.calm_from = float("inf")
        self._number = 0
        self._kept_back: dict[str, Callable[[], None] | None] = {}
        self._held: dict[str, list[Callable[[], None]]] = {}
        self._statuses: dict[str, tuple[Snapshot | None, ClusterStatus | None]] = {}
        self.policy = Policy(ec2_call_ms=int(EC2_CLIENT_SECONDS * 1000))
        ports = RegionPorts(self)
        self.arbiter = Arbiter(
            store=ports,
            elastic_ips=ports.elastic_ips,
            inventory=ports,
            telemetry=Telemetry(tell),
            policy=self.policy,
            clock=self.clock_ms,
            announcer=Notices(self),
        )
        self._seen_by_watch: dict[str, Any] = {}
        loop.at(WATCH_SECONDS * rng.random(), self._look)

    def set_policy(self, **times: int) -> None:
        """Deploys the arbiter with other times."""
        self.policy = dataclasses.replace(self.policy, **times)
        self.arbiter = dataclasses.replace(self.arbiter, policy=self.policy)

    @property
    def store(self) -> MemoryStore:
        """The table: an invocation's own one, else the one that nodes read."""
        invocation = current_invocation()
        return invocation.store if invocation else self._store

    @store.setter
    def store(self, store: MemoryStore) -> None:
        self._store = store

    def new_table(self) -> None:
        """The table is lost, and another one, which is empty, takes its place."""
        self._store = self._table()
        self._statuses.clear()
        self._seen_by_watch = {}
        self.watch.new_table()

    def _table(self) -> NotedStore:
        store = NotedStore()
        store.told_of_registration = self.watch.registered
        store.told_of_pause = self.watch.pause_written
        return store

    @property
    def is_of_old(self) -> bool:
        """Whether the invocation that runs now still works on a table that was replaced."""
        return self.store is not self._store

    def clock_error(self) -> float:
        """By how much the clock of the invocation that runs now is off."""
        invocation = current_invocation()
        return self.clock_offset + (invocation.clock_offset if invocation else 0.0)

    def clock_ms(self) -> int:
        """The arbiter's clock: that of the environment in which the invocation runs."""
        return int((self.loop.now + EPOCH_SECONDS + self.clock_error()) * 1000)

    def _look(self) -> None:
        """The watch function, each minute."""
        self.loop.at(WATCH_SECONDS, self._look)
        memory = WatchMemory(self, self._seen_by_watch)
        preflight = Preflight(self)
        function = WatchFunction(self.arbiter, preflight, memory, lambda _name, _value: None)
        self.invoke(function.run, retries=0, seconds=WATCH_FUNCTION_SECONDS)

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
        snapshot = self._store.read(cluster_id)
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
        self.watch.reported(self.watch.node(report.instance_id), report)
        stamp = self._stamp()

        def handle() -> None:
            self.arbiter.on_report(report, stamp)

        if report.instance_id in self._held:
            self._held[report.instance_id].append(handle)
        elif report.instance_id not in self._kept_back:
            self.publish(handle)
        elif report.awaiting:
            self._kept_back[report.instance_id] = handle

    def deliver_twin(self, report: NodeReport) -> None:
        """A report that was delivered long ago is delivered again, with its own stamp."""
        sent_at = self.watch.sent.get((report.instance_id, report.incarnation, report.seq))
        if sent_at is None:
            return  # it never left its node
        stamp = self._stamp(sent_at)
        self.invoke(lambda: self.arbiter.on_report(report, stamp), retries=0)

    def _stamp(self, at: float | None = None) -> int:
        """The end of the second in which EventBridge takes an event."""
        return (int((self.loop.now if at is None else at) + EPOCH_SECONDS) + 1) * 1000 - 1

    def hold(self, instance_id: str) -> list[Callable[[], None]]:
        """From now on the bus keeps all that a node says; returns where."""
        return self._held.setdefault(instance_id, [])

    def keep_back(self, instance_id: str) -> None:
        """From now on the bus keeps the last claim of a node, and loses all else that it says."""
        self._kept_back[instance_id] = None

    def keeps_back(self, instance_id: str) -> bool:
        """Whether it does so now."""
        return instance_id in self._kept_back or instance_id in self._held

    def let_go(self, instance_id: str) -> None:
        """What was kept back arrives, but for what is held; then all is as before."""
        self._held.pop(instance_id, None)
        handle = self._kept_back.pop(instance_id, None)
        if handle:
            self.invoke(handle)

    def invoke(
        self, handle: Callable[[], Any], retries: int = 1, seconds: float = FUNCTION_SECONDS
    ) -> None:
        """One asynchronous invocation."""
        invocation = self._invocation()
        # The ports end each invocation after the same time: a longer one begins later for them.
        invocation.started += seconds - FUNCTION_SECONDS

        def run() -> None:
            try:
                self._fail_if_down()
                handle()
            except ReportRejected as rejected:
                self.arbiter.telemetry.rejected(rejected.reason, str(rejected))
            except (Killed, ServiceError, MoveFailedError):
                if retries:
                    delay = self.rng.uniform(*RETRY_SECONDS)
                    self.loop.at(delay, lambda: self.invoke(handle, retries - 1))

        task = self.loop.spawn(run)
        task.invocation = invocation

    def call(self, handle: Callable[[], Any], answered: Callable[[Any, Invocation], None]) -> None:
        """One synchronous invocation by an operator; an error is answered as it is."""
        invocation = self._invocation()

        def run() -> None:
            try:
                self._fail_if_down()
                answer = handle()
            except (Killed, ServiceError, RuntimeError) as error:
                answer = error
            except Exception as error:  # noqa: BLE001 - the operator sees whatever it was
                answer = error
            answered(answer, invocation)

        task = self.loop.spawn(run)
        task.invocation = invocation

    def _invocation(self) -> Invocation:
        self._number += 1
        invocation = Invocation(self._number, self.loop.now, self._store)
        weather = self.weather
        if self.skews:
            invocation.clock_offset = self.rng.choice(self.skews)
        for kind in ("invocation_crash", "invocation_stall"):
            if weather.strikes(kind):
                invocation.fate = f"{kind}_{self.rng.choice(('before', 'after'))}"
                invocation.fate_at = self.rng.randint(1, MOST_CALLS)
        return invocation

    def _fail_if_down(self) -> None:
        if self.weather.strikes("function_error"):
            raise Killed

    def until_calm(self, seconds: float) -> float:
        """Cuts a delay so that what is late still comes before the calm end of a run."""
        return max(0.0, min(seconds, self.calm_from - 1.0 - self.loop.now))
