"""Signing as botocore signs, and failures told apart."""

from __future__ import annotations

import json
import socket
import time

import pytest
from agent.conclude.test_view import report
from agent.fakes import ME, FakeNode
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from eip_agent.calls.aws import Clock, Credentials, sign
from eip_agent.calls.channel import Channel, ExchangeError
from eip_agent.observe.metadata import Keyring, MetadataService
from eip_agent.observe.table import Table
from eip_agent.report.events import Events
from eip_agent.settings import Settings

KEYS = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG", "token+/=")


def settings(node: FakeNode) -> Settings:
    return Settings("c", "bus", "tab", "eu-central-1", node.url, read_seconds=0.3)


@pytest.mark.parametrize("token", [None, "token+/="])
def test_our_signature_is_botocores(token: str | None) -> None:
    body = json.dumps({"a": "ü"}).encode()
    headers = {
        "content-type": "application/x-amz-json-1.1",
        "host": "events.eu-central-1.amazonaws.com",
        "x-amz-target": "AWSEvents.PutEvents",
    }
    now = time.time()
    keys = Credentials(KEYS.access_key, KEYS.secret_key, token)
    ours = sign(keys, ("eu-central-1", "events"), headers, body, now)
    url = "https://events.eu-central-1.amazonaws.com/"
    request = AWSRequest("POST", url, headers=dict(headers), data=body)
    signer = SigV4Auth(
        BotoCredentials("AKIDEXAMPLE", keys.secret_key, token), "events", "eu-central-1"
    )
    stamp = ours["x-amz-date"]
    request.context["timestamp"] = stamp
    if token:
        request.headers["X-Amz-Security-Token"] = token
    request.headers["X-Amz-Date"] = stamp
    text = signer.string_to_sign(request, signer.canonical_request(request))
    assert ours["authorization"].endswith(f"Signature={signer.signature(text, request)}")


def test_a_report_arrives_as_the_contract_reads_it(node: FakeNode) -> None:
    keyring = Keyring(MetadataService(node.url), KEYS)
    source = f"eip-arbiter.node/arn:aws:ec2:eu-central-1:123456789012:instance/{ME}"
    Events(settings(node), keyring, source).put_report(report())
    assert node.region.reports == [report()]


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


def test_an_entry_that_eventbridge_rejects_is_a_failure(node: FakeNode) -> None:
    node.region.answer = "reject"
    events = Events(settings(node), Keyring(MetadataService(node.url), KEYS), "x")
    with pytest.raises(ExchangeError, match="InternalFailure"):
        events.put_report(report())


def test_a_name_that_does_not_resolve_and_a_port_that_refuses_are_different() -> None:
    with pytest.raises(ExchangeError) as unresolved:
        Channel("http://no-such-host.invalid", 0.5, 0.5).request("GET", "/", None, {})
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(ExchangeError) as refused:
            Channel(url, 0.5, 0.5).request("GET", "/", None, {})
    assert (unresolved.value.kind, refused.value.kind) == ("dns", "connect")


def test_an_unknown_cluster_is_no_failure(node: FakeNode) -> None:
    node.region.known = False
    table = Table(settings(node), Keyring(MetadataService(node.url), KEYS))
    assert table.get_status(consistent=False) is None


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


def test_the_clock_is_awss_once_it_has_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    assert abs(clock.now_ms() - time.time() * 1000) < 2_000
    monkeypatch.setattr("eip_agent.calls.aws.time.time", lambda: 0.0)
    clock.heard("Sun, 22 Nov 2026 13:00:00 GMT")
    assert 0 <= clock.now_ms() - 1_795_352_400_000 < 2_000
    clock.heard("no date")
    assert 0 <= clock.now_ms() - 1_795_352_400_000 < 2_000
