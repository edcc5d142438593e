"""A node with AWS and Pacemaker as fakes, closed after its test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from agent.fakes import FakeNode


@pytest.fixture
def node(tmp_path: Path) -> Iterator[FakeNode]:
    fake = FakeNode(tmp_path)
    try:
        yield fake
    finally:
        fake.close()
