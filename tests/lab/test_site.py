"""Who answers at the Elastic IP: a node that has the address and runs the resource, or nobody."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import MagicMock

from lab.site import Site


def test_a_node_that_has_the_address_answers_only_once_the_resource_runs_there(
    tmp_path: Path,
) -> None:
    holder = MagicMock(return_value="n2")
    site = Site(
        aws=MagicMock(),
        world=MagicMock(holder=holder),
        cluster=MagicMock(),
        mark=lambda node: tmp_path / node,
        agent_log=lambda node: tmp_path / f"{node}.log",
        monitor=lambda _node: 0,
        page=lambda node: node,
        rest_seconds=0.0,
    )
    (tmp_path / "n1").touch()
    assert site.who_answers() is None
    (tmp_path / "n2").touch()
    assert site.who_answers() == "n2"
    holder.return_value = None
    assert site.who_answers() is None
