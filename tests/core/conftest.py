"""The real template at the embedded AWS, once for each module; a cluster of its own for each test.

Only one embedded AWS at a time runs in a process, so it cannot outlive its module.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from core.harness import Cluster
from core.local import Local, client
from core.observed import Invocations
from core.watch.watched import Watched
from eip_arbiter.assembly import assemble_inspection
from eip_arbiter.aws.clients import EC2_LOOK_CONFIG
from eip_arbiter.operate.inspecting import Inspection

from lab.embedded.cloud import EmbeddedAws
from lab.embedded.world import World

ROOT = Path(__file__).parents[2]

_numbers = itertools.count(1)
NewCluster = Callable[..., Cluster]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedAws]:
    work_dir = tmp_path_factory.mktemp("aws")
    # The shortest answer time that the template allows, and retries without Lambda's minute.
    with EmbeddedAws(
        ROOT / "template.yaml",
        work_dir=work_dir,
        parameters={"AnswerSeconds": "2"},
        async_retry_seconds=(0.05, 0.05),
        minute_seconds=0,  # the watch looks when a test says so
    ) as aws:
        yield aws


@pytest.fixture(scope="module")
def invocations(running: EmbeddedAws) -> Invocations:
    return Invocations(running)


@pytest.fixture
def aws(running: EmbeddedAws) -> Iterator[EmbeddedAws]:
    yield running
    running.faults.clear()


@pytest.fixture(scope="module")
def local_parts(running: EmbeddedAws) -> Local:
    return Local(running)


@pytest.fixture
def local(local_parts: Local) -> Iterator[Local]:
    arbiter = local_parts.arbiter
    local_parts.forget()
    yield local_parts
    local_parts.arbiter = arbiter


@pytest.fixture
def new_cluster(
    aws: EmbeddedAws, invocations: Invocations, local: Local, tmp_path: Path
) -> NewCluster:
    """Makes a cluster of so many nodes; further arguments are the world's."""

    def make(nodes: int = 2, **more: object) -> Cluster:
        cluster_id = f"web-{next(_numbers)}"
        names = [f"n{number}" for number in range(1, nodes + 1)]
        folder = tmp_path / cluster_id
        world = World(aws, folder, cluster_id=cluster_id, node_names=names, **more)  # type: ignore[arg-type]
        return Cluster(aws, world, invocations, local)

    return make


@pytest.fixture
def cluster(new_cluster: NewCluster) -> Cluster:
    return new_cluster()


@pytest.fixture
def inspection(aws: EmbeddedAws, local: Local) -> Inspection:
    environment = aws.functions.get("Operate").spec.environment
    looks = client(aws, "ec2", EC2_LOOK_CONFIG)
    return assemble_inspection(environment, local.arbiter, dynamodb=local.dynamodb, ec2=looks)


@pytest.fixture
def watched(cluster: Cluster, local: Local) -> Watched:
    local.settle_on_n1(cluster)
    return Watched(local, cluster)
