"""One embedded AWS for each module, because only one at a time can run in a process."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lab.embedded.cloud import EmbeddedAws
from lab.embedded.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLE = Path(__file__).parent / "example" / "template.yaml"


@pytest.fixture(scope="session")
def example() -> Path:
    return EXAMPLE


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedAws]:
    work_dir = tmp_path_factory.mktemp("embedded")
    parameters = {"Retries": "1", "ListenerTimeout": "1"}
    with EmbeddedAws(
        EXAMPLE,
        work_dir=work_dir,
        stack_name="example",
        parameters=parameters,
        async_retry_seconds=(0.05, 0.05),
    ) as aws:
        yield aws


@pytest.fixture
def aws(running: EmbeddedAws) -> Iterator[EmbeddedAws]:
    yield running
    running.faults.clear()


@pytest.fixture
def world(aws: EmbeddedAws, tmp_path: Path) -> World:
    return World(aws, tmp_path / "metadata", resources=("eip", "vip"))
