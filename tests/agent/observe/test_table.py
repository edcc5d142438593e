"""What the table says, and how it fails."""

from __future__ import annotations

import pytest
from agent.calls.test_aws import KEYS, settings
from agent.fakes import FakeNode
from eip_agent.calls.channel import ExchangeError
from eip_agent.observe.metadata import Keyring, MetadataService
from eip_agent.observe.table import Table


@pytest.mark.parametrize(
    ("answer", "kind"),
    [("drop", "connection"), ("hang", "timeout"), ("throttle", "throttled")],
)
def test_failures_are_told_apart(node: FakeNode, answer: str, kind: str) -> None:
    node.region.answer = answer
    table = Table(settings(node), Keyring(MetadataService(node.url), KEYS))
    with pytest.raises(ExchangeError) as caught:
        table.get_status(consistent=False)
    assert caught.value.kind == kind
    node.region.answer = "ok"
    status = table.get_status(consistent=True)
    assert status is not None
    assert node.region.reads[-1]


def test_an_unknown_cluster_is_no_failure(node: FakeNode) -> None:
    node.region.known = False
    table = Table(settings(node), Keyring(MetadataService(node.url), KEYS))
    assert table.get_status(consistent=False) is None
