"""The metadata service: identity, session token, credentials."""

from __future__ import annotations

import time

import pytest
from agent.fakes import ME, FakeNode
from eip_agent.calls.aws import Credentials
from eip_agent.calls.channel import ExchangeError
from eip_agent.observe.metadata import Keyring, MetadataService


def test_the_metadata_service_says_who_we_are_and_what_we_have(node: FakeNode) -> None:
    service = MetadataService(node.url)
    assert service.identity().instance_id == ME
    assert service.public_ips() == ()
    node.region.public_ips = ["203.0.113.9", "203.0.113.7"]
    assert service.public_ips() == ("203.0.113.7", "203.0.113.9")
    assert service.credentials().access_key == "AK"


def test_a_session_token_that_is_no_longer_taken_is_renewed(node: FakeNode) -> None:
    service = MetadataService(node.url)
    node.region.public_ips = ["203.0.113.7"]
    service.public_ips()
    node.region.token = "another"
    assert service.public_ips() == ("203.0.113.7",)


def test_credentials_are_renewed_ahead_and_kept_while_they_cannot_be(node: FakeNode) -> None:
    soon = Credentials("OLD", "x", "y", expires_at=int(time.time()) + 60)
    keyring = Keyring(MetadataService(node.url), soon)
    node.region.metadata_up = False
    with pytest.raises(ExchangeError):
        keyring.refresh()
    assert keyring.current().access_key == "OLD"
    node.region.metadata_up = True
    keyring.refresh()
    assert keyring.current().access_key == "AK"


def test_the_interfaces_tell_which_private_address_is_public_and_how(node: FakeNode) -> None:
    service = MetadataService(node.url)
    node.region.public_ips = ["203.0.113.7"]
    (only,) = service.interfaces()
    assert only.private_ips == ("10.0.0.10", "10.0.0.11")
    assert only.public == {"203.0.113.7": "10.0.0.10"}
    node.region.public_ips = []
    assert service.interfaces()[0].public == {}
    assert service.identity().domain == "amazonaws.com"
