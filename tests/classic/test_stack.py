"""The classic environment as a stack: what it makes, and that the arbiter moves its address."""

from __future__ import annotations

import base64
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from builders import node_report
from eip_contract.envelope import source_for
from eip_contract.report import DETAIL_TYPE

from lab.embedded.cloud import EmbeddedAws
from lab.embedded.intrinsics import TemplateError
from lab.embedded.stack import Stack, deploy_beside
from lab.embedded.world import StackWorld

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "examples/classic/template.yaml"
PARAMETERS = {
    "AgentPackageUrl": "https://packages.example/eip-agent_0.1.0_all.deb",
    "AgentPackageSha256": "0" * 64,
    "AdminCidr": "192.0.2.0/24",
}


@dataclass(frozen=True)
class Classic:
    """Both stacks in one account."""

    aws: EmbeddedAws
    stack: Stack
    world: StackWorld

    def ref(self, logical_id: str) -> str:
        return self.stack.resources[logical_id].ref

    def instances(self) -> list[dict[str, Any]]:
        ids = [node.instance_id for node in self.world.nodes.values()]
        found = self.aws.client("ec2").describe_instances(InstanceIds=ids)["Reservations"]
        return [instance for reservation in found for instance in reservation["Instances"]]


@pytest.fixture(scope="module")
def classic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Classic]:
    folder = tmp_path_factory.mktemp("classic")
    with EmbeddedAws(ROOT / "template.yaml", work_dir=folder, minute_seconds=0) as aws:
        stack = deploy_beside(aws.site, TEMPLATE, "classic", PARAMETERS)
        nodes = {"n1": stack.outputs["FirstInstance"], "n2": stack.outputs["SecondInstance"]}
        yield Classic(aws, stack, StackWorld(aws, folder / "metadata", "web", nodes))


def tags(found: list[dict[str, str]]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in found}


def test_two_nodes_in_two_zones_have_the_addresses_that_were_asked_for(classic: Classic) -> None:
    first, second = classic.instances()
    assert [i["PrivateIpAddress"] for i in (first, second)] == ["10.0.0.10", "10.0.1.10"]
    zones = {i["Placement"]["AvailabilityZone"] for i in (first, second)}
    assert zones == {"eu-central-1a", "eu-central-1b"}
    for instance in (first, second):
        assert instance["SourceDestCheck"] is False
        assert instance["MetadataOptions"]["HttpTokens"] == "required"
        assert instance["MetadataOptions"]["InstanceMetadataTags"] == "enabled"


def test_all_that_the_arbiter_may_touch_is_tagged_for_the_cluster(classic: Classic) -> None:
    ec2 = classic.aws.client("ec2")
    interfaces = [node.interface_id for node in classic.world.nodes.values()]
    found = ec2.describe_network_interfaces(NetworkInterfaceIds=interfaces)["NetworkInterfaces"]
    (address,) = ec2.describe_addresses(PublicIps=[classic.stack.outputs["PublicAddress"]])[
        "Addresses"
    ]
    tagged = [i["Tags"] for i in classic.instances()] + [i["TagSet"] for i in found]
    for seen in (*tagged, address["Tags"]):
        assert tags(seen)["eip-arbiter:cluster"] == "web"


def test_the_nodes_reach_the_internet_and_each_other_and_others_reach_little(
    classic: Classic,
) -> None:
    ec2 = classic.aws.client("ec2")
    (vpc,) = ec2.describe_vpcs(VpcIds=[classic.ref("Network")])["Vpcs"]
    assert vpc["CidrBlock"] == "10.0.0.0/16"
    (routes,) = ec2.describe_route_tables(RouteTableIds=[classic.ref("Routes")])["RouteTables"]
    ways = {
        r.get("DestinationCidrBlock") or r["DestinationIpv6CidrBlock"]: r["GatewayId"]
        for r in routes["Routes"]
    }
    gateway = classic.ref("Gateway")
    assert ways.pop("0.0.0.0/0") == ways.pop("::/0") == gateway
    assert set(ways.values()) == {"local"}
    associated = {a["SubnetId"] for a in routes["Associations"] if "SubnetId" in a}
    assert associated == {classic.ref("FirstSubnet"), classic.ref("SecondSubnet")}
    group = classic.ref("NodeGroup")
    (found,) = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    doors = {
        (
            rule["IpProtocol"], rule["FromPort"], rule["ToPort"],
            *(r["CidrIp"] for r in rule["IpRanges"]),
            *(pair["GroupId"] for pair in rule["UserIdGroupPairs"]),
        )
        for rule in found["IpPermissions"]
    }  # fmt: skip
    assert doors == {
        ("tcp", 22, 22, "192.0.2.0/24"),
        ("tcp", 80, 80, "192.0.2.0/24"),
        ("udp", 5404, 5405, group),
        ("tcp", 2224, 2224, group),
        ("icmp", -1, -1, group),
    }


def test_the_nodes_reach_aws_by_ipv6_which_no_move_takes_away(classic: Classic) -> None:
    ec2 = classic.aws.client("ec2")
    (vpc,) = ec2.describe_vpcs(VpcIds=[classic.ref("Network")])["Vpcs"]
    (block,) = (ip_network(b["Ipv6CidrBlock"]) for b in vpc["Ipv6CidrBlockAssociationSet"])
    ids = [classic.ref("FirstSubnet"), classic.ref("SecondSubnet")]
    subnets = ec2.describe_subnets(SubnetIds=ids)["Subnets"]
    assert all(subnet["AssignIpv6AddressOnCreation"] for subnet in subnets)
    parts = {
        ip_network(b["Ipv6CidrBlock"]) for s in subnets for b in s["Ipv6CidrBlockAssociationSet"]
    }
    assert len(parts) == 2
    assert all(part.subnet_of(block) and part.prefixlen == 64 for part in parts)  # type: ignore[arg-type]
    (group,) = ec2.describe_security_groups(GroupIds=[classic.ref("NodeGroup")])["SecurityGroups"]
    out = [rule for rule in group["IpPermissionsEgress"] if rule["Ipv6Ranges"]]
    assert [rule["Ipv6Ranges"][0]["CidrIpv6"] for rule in out] == ["::/0"]
    assert not any(rule["Ipv6Ranges"] for rule in group["IpPermissions"]), "nobody gets in by it"


def test_the_role_has_the_policy_that_the_arbiters_stack_exports_and_the_key(
    classic: Classic,
) -> None:
    role = classic.stack.resources["NodeRole"].properties
    assert role["ManagedPolicyArns"] == [classic.aws.outputs["NodePolicyArn"]]
    (policy,) = role["Policies"]
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert statement["Action"] == "secretsmanager:GetSecretValue"
    assert statement["Resource"] == classic.ref("ClusterKey")
    key = classic.aws.client("secretsmanager").get_secret_value(SecretId=statement["Resource"])
    assert 128 <= len(key["SecretString"].encode()) <= 4096, "what Corosync takes"


def user_data(classic: Classic) -> str:
    instance = classic.instances()[0]["InstanceId"]
    found = classic.aws.client("ec2").describe_instance_attribute(
        InstanceId=instance, Attribute="userData"
    )
    return base64.b64decode(found["UserData"]["Value"]).decode()


def test_the_user_data_is_a_script_that_knows_the_arbiters_bus_and_table(classic: Classic) -> None:
    text = user_data(classic)
    assert f"bus='{classic.aws.outputs['BusName']}'" in text
    assert f"table='{classic.aws.outputs['TableName']}'" in text
    assert "${" not in text, "nothing was left for the shell that CloudFormation should have said"
    assert len(text.encode()) < 16 * 1024, "EC2 takes no more"
    subprocess.run(["sh", "-n"], input=text, text=True, check=True, timeout=10)


def say(classic: Classic, node: str, seq: int, **changes: Any) -> None:
    """A report of one of the stack's instances, put on the bus as its agent would."""
    about = classic.world.nodes[node]
    report = replace(
        node_report(int(node[1:]), seq=seq, **changes),
        cluster_id="web",
        instance_id=about.instance_id,
        availability_zone=about.availability_zone,
    )
    entry = {
        "EventBusName": classic.aws.outputs["BusName"],
        "Source": source_for("aws", classic.aws.region, classic.aws.account_id, about.instance_id),
        "DetailType": DETAIL_TYPE,
        "Detail": json.dumps(report.to_detail()),
    }
    answer = classic.aws.client("events", node).put_events(Entries=[entry])
    assert answer["FailedEntryCount"] == 0


def within(seconds: float, look: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)


def test_a_claim_of_an_instance_brings_the_stacks_address_there_and_a_release_lets_it_go_on(
    classic: Classic,
) -> None:
    claim = {"state": "starting", "for_ms": 0, "awaiting": ("eip",), "cause": "claim"}
    assert classic.world.holder() is None, "the stack associates nothing itself"
    say(classic, "n2", 1, public_ips=())
    say(classic, "n1", 1, public_ips=(), **claim)
    within(20, lambda: classic.world.holder() == "n1", "the address is on n1")
    ip = classic.stack.outputs["PublicAddress"]
    say(classic, "n1", 2, state="stopped", public_ips=(ip,), cause="release")
    say(classic, "n2", 2, public_ips=(), **claim)
    within(20, lambda: classic.world.holder() == "n2", "the address is on n2")
    moves = [move for move in classic.aws.journal.moves() if move.public_ip == ip]
    assert [move.operation for move in moves] == ["AssociateAddress"] * 2, "never with nobody"
    assert {move.principal for move in moves} == {"Arbitrate"}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("FirstNodeAddress", "10.0.1.10", "FirstNodeAddress"),
        ("SecondNodeAddress", "10.0.1.255", "SecondNodeAddress"),
        ("AgentPackageSha256", "abc", "AgentPackageSha256"),
        ("AgentPackageUrl", "https://x'; reboot; '", "AgentPackageUrl"),
        ("ClusterId", "a'b", "ClusterId"),
        ("AdminCidr", "everywhere", "AdminCidr"),
        ("NodeImage", "/no/such/parameter", "no SSM parameter"),
        ("ArbiterStack", "another", "no stack exports another-NodePolicyArn"),
    ],
)
def test_a_wrong_parameter_is_refused_by_its_name(
    classic: Classic, name: str, value: str, message: str
) -> None:
    with pytest.raises(TemplateError, match=message):
        deploy_beside(classic.aws.site, TEMPLATE, "wrong", {**PARAMETERS, name: value})


def test_private_endpoints_are_made_where_they_are_asked_for(classic: Classic) -> None:
    assert not any("Endpoint" in made.type for made in classic.stack.resources.values())
    other = deploy_beside(
        classic.aws.site,
        TEMPLATE,
        "private",
        {**PARAMETERS, "ClusterId": "private", "PrivateEndpoints": "yes"},
    )
    services = {
        made.properties["ServiceName"].rpartition(".")[2]: made.properties["VpcEndpointType"]
        for made in other.resources.values()
        if made.type == "AWS::EC2::VPCEndpoint"
    }
    assert services == {"events": "Interface", "secretsmanager": "Interface", "dynamodb": "Gateway"}


def test_the_systems_manager_may_run_commands_where_that_is_asked_for(classic: Classic) -> None:
    managed = "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"
    assert managed not in classic.stack.resources["NodeRole"].properties["ManagedPolicyArns"]
    without = user_data(classic)
    assert "ssm" not in without
    # Another text would ask for other nodes where the stack is updated.
    assert "do sleep 10; done\npackage=/var/tmp/eip-agent.deb\n" in without
    other = deploy_beside(
        classic.aws.site,
        TEMPLATE,
        "commands",
        {**PARAMETERS, "ClusterId": "commands", "SystemsManager": "yes"},
    )
    assert managed in other.resources["NodeRole"].properties["ManagedPolicyArns"]
    launched = other.resources["NodeTemplate"].properties["LaunchTemplateData"]["UserData"]
    text = base64.b64decode(launched).decode()
    subprocess.run(["sh", "-n"], input=text, text=True, check=True, timeout=10)
    package = "https://s3.eu-central-1.amazonaws.com/amazon-ssm-eu-central-1/latest/debian_"
    assert package in text
    installed = text.index("dpkg --install /var/tmp/ssm-agent.deb")
    assert text.index("apt-get install -y curl") < installed < text.index("classic-bootstrap all")
