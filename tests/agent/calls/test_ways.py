"""By which name and family AWS is reached, and that a way that died costs one short time-out."""

from __future__ import annotations

import contextlib
import errno
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore
import pytest
from agent.fakes import FakeNode
from botocore.config import Config
from botocore.endpoint_provider import EndpointProvider
from botocore.session import Session
from eip_agent.calls import ways
from eip_agent.calls.aws import Credentials, Endpoint
from eip_agent.calls.channel import Channel, ExchangeError
from eip_agent.calls.ways import Way, Ways, classic_url, dualstack_url
from eip_agent.settings import Settings

KEYS = Credentials("AKIDEXAMPLE", "secret")
PARTITIONS = json.loads((Path(botocore.__file__).parent / "data/partitions.json").read_text())
SERVICES = "events", "dynamodb"


class Keys:
    """A fake keyring."""

    @staticmethod
    def current() -> Credentials:
        return KEYS


@pytest.mark.parametrize("partition", PARTITIONS["partitions"], ids=lambda p: p["id"])
@pytest.mark.parametrize("service", SERVICES)
def test_the_names_are_botocores_in_every_partition(
    partition: dict[str, Any], service: str
) -> None:
    outputs = partition["outputs"]
    region = next(name for name in partition["regions"] if "global" not in name)
    loader = Session().get_component("data_loader")
    rules = loader.load_service_model(service, "endpoint-rule-set-1")
    provider = EndpointProvider(rules, PARTITIONS)
    settings = Settings(region=region, domain=outputs["dnsSuffix"])
    for dualstack, ours in ((False, classic_url), (True, dualstack_url)):
        found = provider.resolve_endpoint(Region=region, UseDualStack=dualstack, UseFIPS=False)
        assert ours(service, settings) == found.url
    assert outputs["supportsDualStack"], "a partition without one needs no entry: say so here"


def test_a_partition_that_is_not_known_has_its_classic_name_only() -> None:
    settings = Settings(region="xx-new-1", domain="aws.example")
    assert dualstack_url("events", settings) == ""
    assert Ways("events", settings).order() == (Way("https://events.xx-new-1.aws.example"),)


CLASSIC = Way("https://events.eu-central-1.amazonaws.com")
DUALSTACK = Way("https://events.eu-central-1.api.aws", socket.AF_INET6)


@pytest.mark.parametrize(
    ("endpoints", "ipv6", "private", "order"),
    [
        ("auto", True, False, (DUALSTACK, CLASSIC)),
        ("auto", True, True, (CLASSIC, DUALSTACK)),
        ("auto", False, False, (CLASSIC,)),
        ("ipv4", True, False, (CLASSIC,)),
        ("dualstack", False, False, (Way(DUALSTACK.url),)),
    ],
)
def test_which_way_comes_first(
    monkeypatch: pytest.MonkeyPatch,
    endpoints: str,
    ipv6: bool,
    private: bool,
    order: tuple[Way, ...],
) -> None:
    monkeypatch.setattr(ways, "has_ipv6_route", lambda: ipv6)
    monkeypatch.setattr(ways, "is_private", lambda _url: private)
    settings = Settings(region="eu-central-1", endpoints=endpoints)
    assert Ways("events", settings).order() == order


def test_a_way_that_failed_comes_last_until_it_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, has_ipv6 = [1000.0], [True]
    monkeypatch.setattr(ways, "has_ipv6_route", lambda: has_ipv6[0])
    monkeypatch.setattr(ways, "is_private", lambda _url: False)
    monkeypatch.setattr("eip_agent.calls.ways.time.monotonic", lambda: now[0])
    of_events = Ways("events", Settings(region="eu-central-1"))
    of_events.failed(of_events.order()[0])
    assert of_events.order() == (CLASSIC, DUALSTACK)
    now[0] += 601
    assert of_events.order() == (DUALSTACK, CLASSIC)
    has_ipv6[0] = False
    assert of_events.order() == (CLASSIC,)
    has_ipv6[0] = True
    assert of_events.order() == (DUALSTACK, CLASSIC), "a route that came is taken at once"


def test_where_the_first_way_is_dead_the_next_one_is_taken_in_the_same_call(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        dead = Way(f"http://127.0.0.1:{unused.getsockname()[1]}")
        order = [dead, Way(node.url)]
        monkeypatch.setattr(Ways, "order", lambda _self: tuple(order))
        monkeypatch.setattr(
            Ways, "failed", lambda _self, way: order.sort(key=lambda each: each == way)
        )
        endpoint = Endpoint("dynamodb", "1.0", Settings(region="eu-central-1"), Keys())
        asked = {"ConsistentRead": True}
        assert "Item" in endpoint.call("DynamoDB_20120810.GetItem", asked)
        assert order[0] == Way(node.url)


class Deaf:
    """A server that answers, until it is told to be as silent as a network without the packets."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.connections = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    @staticmethod
    def _answer(connection: socket.socket) -> None:
        with contextlib.suppress(ConnectionResetError):
            while connection.recv(65536):
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")


@pytest.fixture
def server() -> Iterator[Deaf]:
    deaf = Deaf()
    yield deaf
    deaf.listener.close()


def ask(channel: Channel) -> int:
    return channel.request("GET", "/", None, {})[0]


def test_a_connection_is_kept_until_the_node_lost_the_address_it_was_made_from(
    server: Deaf,
) -> None:
    channel = Channel(server.url, 0.5, 0.5)
    assert [ask(channel), ask(channel), server.connections] == [200, 200, 1]
    channel.drop_ipv4()
    assert [ask(channel), ask(channel), server.connections] == [200, 200, 2]


def test_a_connection_from_an_address_that_is_no_longer_this_machines_is_not_used(
    server: Deaf, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = Channel(server.url, 0.5, 0.5)
    ask(channel)
    monkeypatch.setattr("eip_agent.calls.channel.source_towards", lambda *_: "198.51.100.9")
    assert [ask(channel), server.connections] == [200, 2]


def test_a_kept_connection_whose_packets_are_lost_costs_one_short_time_out(
    server: Deaf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel's error is played, as it comes once nothing was acknowledged for long enough."""
    channel = Channel(server.url, 0.5, 1.5)
    ask(channel)
    waits, answered = [], http.client.HTTPConnection.getresponse

    def lost(connection: http.client.HTTPConnection) -> Any:
        option = socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT
        waits.append(connection.sock.getsockopt(*option))
        if len(waits) == 1:
            raise TimeoutError(errno.ETIMEDOUT, "Connection timed out")
        return answered(connection)

    monkeypatch.setattr(http.client.HTTPConnection, "getresponse", lost)
    assert [ask(channel), server.connections] == [200, 2], "sent again over a new one"
    assert waits == [500, 500], "milliseconds, and not the 15 minutes of the kernel's default"


def test_a_server_that_is_only_slow_is_given_its_time(node: FakeNode) -> None:
    node.region.answer = "hang"
    channel = Channel(node.url, 0.2, 0.6)
    began = time.monotonic()
    with pytest.raises(ExchangeError, match="timeout"):
        channel.request("POST", "/", b"{}", {"Content-Length": "2", "X-Amz-Target": "x"})
    assert 0.5 < time.monotonic() - began < 1.5


@pytest.mark.parametrize("service", SERVICES)
def test_a_dualstack_name_is_signed_as_botocore_signs_it(
    monkeypatch: pytest.MonkeyPatch, service: str
) -> None:
    signed: dict[str, str] = {}

    class Heard(Exception):
        """Ends botocore's call before it is sent."""

    def theirs(request: Any, **_: Any) -> None:
        text = request.headers["Authorization"]
        signed["botocore"] = (text if isinstance(text, str) else text.decode()).split(
            "Credential="
        )[1]
        signed["url"] = request.url
        raise Heard

    client: Any = Session().create_client(
        service, "eu-central-1", aws_access_key_id=KEYS.access_key, aws_secret_access_key="secret",
        config=Config(use_dualstack_endpoint=True),
    )  # fmt: skip
    client.meta.events.register("before-send", theirs)
    with pytest.raises(Heard):
        client.list_tables() if service == "dynamodb" else client.list_event_buses()

    def ours(_self: Channel, *sent: Any) -> tuple[int, bytes]:
        signed["ours"] = sent[3]["authorization"].split("Credential=")[1]
        signed["host"] = sent[3]["host"]
        return 200, b"{}"

    monkeypatch.setattr(Channel, "request", ours)
    settings = Settings(region="eu-central-1", endpoints="dualstack")
    Endpoint(service, "1.0", settings, Keys()).call("x", {})
    assert signed["url"] == f"https://{signed['host']}/"
    scopes = [signed[who].split("/", 2)[2].split(",")[0] for who in ("botocore", "ours")]
    assert scopes == [f"eu-central-1/{service}/aws4_request"] * 2
