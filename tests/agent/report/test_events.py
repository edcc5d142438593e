"""Reports on their way to EventBridge."""

from __future__ import annotations

import pytest
from agent.calls.test_aws import KEYS, settings
from agent.conclude.test_view import report
from agent.fakes import ME, FakeNode
from eip_agent.calls.channel import ExchangeError
from eip_agent.observe.metadata import Keyring, MetadataService
from eip_agent.report.events import Events


def test_a_report_arrives_as_the_contract_reads_it(node: FakeNode) -> None:
    keyring = Keyring(MetadataService(node.url), KEYS)
    source = f"eip-arbiter.node/arn:aws:ec2:eu-central-1:123456789012:instance/{ME}"
    Events(settings(node), keyring, source).put_report(report())
    assert node.region.reports == [report()]


def test_an_entry_that_eventbridge_rejects_is_a_failure(node: FakeNode) -> None:
    node.region.answer = "reject"
    events = Events(settings(node), Keyring(MetadataService(node.url), KEYS), "x")
    with pytest.raises(ExchangeError, match="InternalFailure"):
        events.put_report(report())
