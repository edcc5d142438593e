"""The peers' figures: a bare Dummy resource, and `ocf:heartbeat:awseip` with Debian's AWS CLI.

Both run on the same cluster and the same embedded AWS as the project itself, so that its own
figures can be given as ratios of the same run. Nothing of the project runs in here.
"""

from __future__ import annotations

import resource
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lab.cluster.real import RealCluster
    from lab.embedded.cloud import EmbeddedAws
    from lab.embedded.journal import Move
    from lab.embedded.world import World

RESOURCE = "eip"
PARTITION_SECONDS = 45.0
OUTAGE_SECONDS = 60.0
_AFTER_OUTAGE_SECONDS = 20.0
_CALM_SECONDS = 3.0
_SETTLE_SECONDS = 90.0
_DUMMY_STATE = f"/run/resource-agents/Dummy-{RESOURCE}.state"
_FOLDER = "/etc/eip-arbiter-baseline"
_AGENT = "/usr/lib/ocf/resource.d/heartbeat/awseip"


@dataclass(frozen=True)
class DummyFigures:
    """Seconds from the fault to the start on the peer: the cluster's own time, nothing else."""

    planned_stop_seconds: tuple[float, ...]
    power_loss_seconds: tuple[float, ...]


@dataclass(frozen=True)
class Takeover:
    """One takeover, in seconds from the fault; `nobody` is how long no living node had it."""

    address_seconds: float
    started_seconds: float
    nobody_seconds: float


@dataclass(frozen=True)
class PartitionFigures:
    """A cut ring with AWS in reach of both: how often the address moved, who said `Started`."""

    seconds: float
    moves: int
    started_on: tuple[str, ...]


@dataclass(frozen=True)
class OutageFigures:
    """AWS refused to all nodes for a while: what ran where, some time after it was back."""

    seconds: float
    after_seconds: float
    moves: int
    started_on: tuple[str, ...]


@dataclass(frozen=True)
class AwseipFigures:
    """What `ocf:heartbeat:awseip` does in the faults that this project is measured by."""

    monitor_cpu_seconds: float
    planned_stop: tuple[Takeover, ...]
    power_loss: tuple[Takeover, ...]
    partition: PartitionFigures
    outage: OutageFigures


def measure_dummy(cluster: RealCluster, rounds: int = 1) -> DummyFigures:
    """Measure a bare `ocf:heartbeat:Dummy`; the cluster must be whole and without resources."""
    cluster.pcs("n1", *f"resource create {RESOURCE} ocf:heartbeat:Dummy".split())
    figures = DummyFigures(
        planned_stop_seconds=tuple(
            _dummy_takeover(cluster, cluster.stop, cluster.start) for _ in range(rounds)
        ),
        power_loss_seconds=tuple(
            _dummy_takeover(cluster, cluster.power_off, cluster.power_on) for _ in range(rounds)
        ),
    )
    cluster.pcs("n1", "resource", "delete", RESOURCE)
    return figures


def _dummy_takeover(
    cluster: RealCluster, fault: Callable[[str], None], repair: Callable[[str], None]
) -> float:
    holder, peer = _settle(cluster, lambda holder: holder is not None)
    began = time.time()
    fault(holder)
    cluster.wait_started(RESOURCE, peer)
    started = cluster.node(peer).path(_DUMMY_STATE).stat().st_mtime
    repair(holder)
    return round(started - began, 3)


class AwseipBaseline:
    """Measures `ocf:heartbeat:awseip` with its own defaults and Pacemaker's.

    Args:
        cluster: whole, without resources, its nodes with a metadata service each.
        aws: where the address is.
        world: the instances of the nodes and the address.
    """

    def __init__(self, cluster: RealCluster, aws: EmbeddedAws, world: World) -> None:
        self._cluster = cluster
        self._aws = aws
        self._world = world
        self._address = world.addresses[RESOURCE]
        self._options = {
            "awscli": f"{_FOLDER}/aws",
            "elastic_ip": self._address.public_ip,
            "allocation_id": self._address.allocation_id,
        }
        self._install()

    def _install(self) -> None:
        """Give the nodes an AWS CLI that finds the embedded AWS and each node's own key.

        Debian's (2.9) does not read AWS_ENDPOINT_URL, so a wrapper gives it as an option; and
        `--profile default`, which awseip always says, needs a configuration file.
        """
        self._cluster.install(
            f"{_FOLDER}/aws",
            "#!/bin/sh\n"
            f"export AWS_CONFIG_FILE={_FOLDER}/config\n"
            f'exec /usr/bin/aws --endpoint-url "{self._aws.endpoint_url}" "$@"\n',
            mode=0o755,
        )
        for name in self._cluster.nodes:
            key, secret = self._aws.credentials(self._world.nodes[name].principal)
            self._cluster.node(name).install(
                f"{_FOLDER}/config",
                f"[default]\nregion = {self._aws.region}\n"
                f"aws_access_key_id = {key}\naws_secret_access_key = {secret}\n",
            )

    def create(self, *more: str) -> None:
        """Create the resource; more words for `pcs` may follow its options."""
        options = [f"{name}={value}" for name, value in self._options.items()]
        command = ["resource", "create", RESOURCE, "ocf:heartbeat:awseip", *options, *more]
        self._cluster.pcs("n1", *command)

    def measure(self, rounds: int = 1) -> AwseipFigures:
        """Run all faults, `rounds` times those that take the service over; about 4 minutes."""
        cluster = self._cluster
        self.create("meta", "migration-threshold=INFINITY")  # Pacemaker's default
        figures = AwseipFigures(
            monitor_cpu_seconds=self._monitor_cpu(),
            planned_stop=tuple(self._takeover(cluster.stop, cluster.start) for _ in range(rounds)),
            power_loss=tuple(
                self._takeover(cluster.power_off, cluster.power_on) for _ in range(rounds)
            ),
            partition=self._partition(),
            outage=self._outage(),
        )
        cluster.pcs("n1", "resource", "delete", RESOURCE)
        return figures

    def _settle(self) -> tuple[str, str]:
        return _settle(self._cluster, lambda holder: holder == self._world.holder(RESOURCE))

    def _moves(self, since: float) -> list[Move]:
        return self._aws.journal.moves(since=since, allocation_id=self._address.allocation_id)

    def _monitor_cpu(self) -> float:
        """Median CPU seconds of one monitor, with all that it starts."""
        holder, _ = self._settle()
        environment = {f"OCF_RESKEY_{name}": value for name, value in self._options.items()}
        environment |= {"OCF_ROOT": "/usr/lib/ocf", "OCF_RESOURCE_INSTANCE": RESOURCE}

        def once() -> float:
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            self._cluster.run(holder, [_AGENT, "monitor"], env=environment)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime

        return round(statistics.median(once() for _ in range(5)), 3)

    def _takeover(self, fault: Callable[[str], None], repair: Callable[[str], None]) -> Takeover:
        holder, peer = self._settle()
        instance = self._world.nodes[peer].instance_id
        began = time.monotonic()
        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(fault, holder)  # a planned stop waits for the start on the peer
            started = self._cluster.wait_started(RESOURCE, peer)
            done.result()
        moves = self._moves(began)
        taken = next(move.at for move in moves if move.to_instance == instance)
        left = next((move.at for move in moves if not move.to_instance), None)
        if fault == self._cluster.power_off:
            left = began
        repair(holder)
        return Takeover(
            address_seconds=round(taken - began, 3),
            started_seconds=round(started, 3),
            nobody_seconds=round(taken - left, 3) if left is not None and left < taken else 0.0,
        )

    def _partition(self) -> PartitionFigures:
        holder, _ = self._settle()
        began = time.monotonic()
        self._cluster.partition(holder)
        time.sleep(PARTITION_SECONDS)
        figures = PartitionFigures(
            seconds=PARTITION_SECONDS,
            moves=_arrivals(self._moves(began)),
            started_on=self._cluster.started_on(RESOURCE),
        )
        self._cluster.heal()
        return figures

    def _outage(self) -> OutageFigures:
        self._settle()
        began = time.monotonic()
        for name in self._cluster.nodes:
            self._cluster.cut_aws(name, "refuse")
        time.sleep(OUTAGE_SECONDS)
        for name in self._cluster.nodes:
            self._cluster.restore_aws(name)
        time.sleep(_AFTER_OUTAGE_SECONDS)
        return OutageFigures(
            seconds=OUTAGE_SECONDS,
            after_seconds=_AFTER_OUTAGE_SECONDS,
            moves=_arrivals(self._moves(began)),
            started_on=self._cluster.started_on(RESOURCE),
        )


def _settle(cluster: RealCluster, fits: Callable[[str | None], bool]) -> tuple[str, str]:
    """Wait until all is whole and calm; returns the node that runs the resource, and its peer."""

    def holder() -> str | None:
        running = cluster.started_on(RESOURCE)
        return running[0] if len(running) == 1 else None

    cluster.wait_online()
    cluster.clean_up(RESOURCE)
    cluster.wait_until(
        lambda: holder() is not None and fits(holder()), f"{RESOURCE} settled", _SETTLE_SECONDS
    )
    time.sleep(_CALM_SECONDS)
    running = cluster.started_on(RESOURCE)
    return running[0], next(name for name in cluster.nodes if name not in running)


def _arrivals(moves: Sequence[Move]) -> int:
    """Count how often the address came to a node."""
    return sum(bool(move.to_instance) for move in moves)
