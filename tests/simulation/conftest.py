"""One embedded AWS for what is held to it, and either store to be held to the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import builders
import pytest
from eip_arbiter.decision.snapshot import (
    Snapshot,
)

from lab.embedded.cloud import EmbeddedAws
from simulation.both_stores import NOW, Subject, in_dynamodb, in_memory, read, report, unheld

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedAws]:
    with EmbeddedAws(ROOT / "template.yaml", work_dir=tmp_path_factory.mktemp("aws")) as running:
        yield running


@pytest.fixture(params=["memory", "DynamoDB"])
def subject(request: pytest.FixtureRequest) -> Subject:
    if request.param == "memory":
        return in_memory()
    return in_dynamodb(request.getfixturevalue("aws"))


@pytest.fixture
def cluster_id(request: pytest.FixtureRequest) -> str:
    return f"c-{abs(hash(request.node.name))}"


@pytest.fixture
def known(subject: Subject, cluster_id: str) -> Snapshot:
    """Two nodes, two addresses, one report of each node."""
    addresses = (unheld(), unheld("vip", 1))
    for number in (1, 2):
        subject.store.register(cluster_id, builders.node(number, None), addresses)
        subject.store.record_report(report(cluster_id, number), NOW)
    return read(subject, cluster_id)
