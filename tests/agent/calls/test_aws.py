"""Signing as botocore signs, and failures told apart."""

from __future__ import annotations

import json
import socket
import time

import pytest
from agent.fakes import FakeNode
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from eip_agent.calls.aws import Clock, Credentials, sign
from eip_agent.calls.channel import Channel, ExchangeError
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


def test_a_name_that_does_not_resolve_and_a_port_that_refuses_are_different() -> None:
    with pytest.raises(ExchangeError) as unresolved:
        Channel("http://no-such-host.invalid", 0.5, 0.5).request("GET", "/", None, {})
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(ExchangeError) as refused:
            Channel(url, 0.5, 0.5).request("GET", "/", None, {})
    assert (unresolved.value.kind, refused.value.kind) == ("dns", "connect")


def test_the_clock_is_awss_once_it_has_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    assert abs(clock.now_ms() - time.time() * 1000) < 2_000
    monkeypatch.setattr("eip_agent.calls.aws.time.time", lambda: 0.0)
    clock.heard("Sun, 22 Nov 2026 13:00:00 GMT")
    assert 0 <= clock.now_ms() - 1_795_352_400_000 < 2_000
    clock.heard("no date")
    assert 0 <= clock.now_ms() - 1_795_352_400_000 < 2_000
