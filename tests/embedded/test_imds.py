"""The instance metadata service: version 2 only, and true to what EC2 says."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest
from embedded.helpers import eventually

from lab.embedded.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lab.embedded.cloud import EmbeddedAws


class Imds:
    def __init__(self, url: str) -> None:
        self.url = url
        self.token = self.ask("/latest/api/token", "PUT", "ttl-seconds", "60")

    def ask(self, path: str, method: str, header: str, value: str) -> str:
        name = f"X-aws-ec2-metadata-token-{header}" if header else "X-aws-ec2-metadata-token"
        request = urllib.request.Request(self.url + path, headers={name: value}, method=method)  # noqa: S310
        with urllib.request.urlopen(request, timeout=2) as answer:  # noqa: S310
            text: str = answer.read().decode()
            return text

    def get(self, path: str) -> str | None:
        try:
            return self.ask(f"/latest/{path}", "GET", "", self.token)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise


@pytest.fixture
def imds(world: World) -> Iterator[Imds]:
    file = str(world.nodes["n1"].metadata_file)
    command = [sys.executable, "-m", "lab.embedded.imds", "--bind", "127.0.0.1", "--port", "0"]
    with subprocess.Popen([*command, "--metadata", file], stdout=subprocess.PIPE) as process:
        assert process.stdout
        yield Imds(process.stdout.readline().decode().strip())
        os.kill(process.pid, signal.SIGKILL)


def test_without_a_token_there_is_no_answer(imds: Imds) -> None:
    for token in ("", "made-up"):
        with pytest.raises(urllib.error.HTTPError, match="401"):
            imds.ask("/latest/meta-data/instance-id", "GET", "", token)
    for seconds in ("0", "21601", "soon"):
        with pytest.raises(urllib.error.HTTPError, match="400"):
            imds.ask("/latest/api/token", "PUT", "ttl-seconds", seconds)


def test_a_token_ends_with_its_time(imds: Imds) -> None:
    token = imds.ask("/latest/api/token", "PUT", "ttl-seconds", "1")
    assert imds.ask("/latest/meta-data/mac", "GET", "", token)
    time.sleep(1.05)
    with pytest.raises(urllib.error.HTTPError, match="401"):
        imds.ask("/latest/meta-data/mac", "GET", "", token)


def test_it_says_what_the_node_is(aws: EmbeddedAws, world: World, imds: Imds) -> None:
    node = world.nodes["n1"]
    interface = f"meta-data/network/interfaces/macs/{node.mac}"
    assert imds.get("meta-data/instance-id") == node.instance_id
    assert imds.get("meta-data/placement/region") == aws.region
    assert imds.get("meta-data/placement/availability-zone") == node.availability_zone
    assert imds.get("meta-data/network/interfaces/macs/") == f"{node.mac}/"
    assert imds.get(f"{interface}/interface-id") == node.interface_id
    assert imds.get(f"{interface}/local-ipv4s") == "\n".join(node.private_ips)
    document = json.loads(imds.get("dynamic/instance-identity/document") or "")
    assert document["accountId"] == aws.account_id
    assert document["instanceId"] == node.instance_id
    assert imds.get("meta-data/spot/instance-action") is None


def test_the_role_gives_keys_that_aws_takes_as_the_nodes(aws: EmbeddedAws, imds: Imds) -> None:
    role = imds.get("meta-data/iam/security-credentials/")
    keys = json.loads(imds.get(f"meta-data/iam/security-credentials/{role}") or "")
    assert keys["AccessKeyId"] == aws.credentials("n1")[0]
    assert keys["Code"] == "Success"
    assert keys["Expiration"] > time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def test_it_follows_the_address(world: World, imds: Imds) -> None:
    interface = f"meta-data/network/interfaces/macs/{world.nodes['n1'].mac}"
    public_ip = world.addresses["eip"].public_ip
    assert imds.get("meta-data/public-ipv4") is None
    world.associate("n1")
    assert imds.get("meta-data/public-ipv4") == public_ip
    assert imds.get(f"{interface}/public-ipv4s") == public_ip
    associations = imds.get(f"{interface}/ipv4-associations/{public_ip}")
    assert associations == world.nodes["n1"].private_ip
    world.associate("n1", "vip")
    both = [world.addresses[r].public_ip for r in ("eip", "vip")]
    assert (imds.get(f"{interface}/public-ipv4s") or "").split() == both
    world.associate("n2")
    assert imds.get("meta-data/public-ipv4") is None
    assert imds.get(f"{interface}/public-ipv4s") == both[1]


def test_it_can_lag_as_the_real_one_does(aws: EmbeddedAws, tmp_path: Path) -> None:
    world = World(aws, tmp_path, metadata_lag_seconds=0.3)

    def public_ips(node: str) -> dict[str, str]:
        found: dict[str, str] = json.loads(world.nodes[node].metadata_file.read_text())[
            "public_ips"
        ]
        return found

    world.associate("n1")
    assert not public_ips("n1")
    eventually(lambda: public_ips("n1"))
    world.associate("n2")
    assert public_ips("n1")
    eventually(lambda: public_ips("n2") and not public_ips("n1"))
