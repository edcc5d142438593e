"""An account on this machine: the embedded AWS, and stand-ins of what it does not have.

CloudFormation deploys with the lab's own maker of stacks, S3 keeps objects in memory, STS knows one
caller, and the Systems Manager carries commands out on simulated nodes. Everything else is the
embedded AWS over its wire. `BLIND` says what such an account cannot show.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from account.answered import RefusedError, answered
from account.commands import SimulatedCommands

from acceptance.packaging import ROOT
from acceptance.run import CLUSTER, Account, Names
from lab.embedded.cloud import EmbeddedAws
from lab.embedded.stack import Stack, deploy_beside
from lab.embedded.translate import translate
from lab.embedded.ways import Layout
from lab.embedded.world import StackWorld
from lab.simulated.cluster import SimulatedCluster
from lab.site import cut_by_faults, simulated_cluster

EMPTY = ROOT / "tests/account/empty.yaml"
LAYOUT = Layout("public, quick", assigns=True, mapping_seconds=1.0, new_address_seconds=4.0)
LAG_SECONDS = 0.5
BLIND = {
    "way_ipv6": "the embedded AWS has one endpoint, on loopback",
    "way_endpoint": "the embedded AWS has one endpoint, on loopback",
    "identity": "the embedded AWS judges no policy",
    "untagged": "the embedded AWS judges no policy",
    "alarm": "the embedded AWS's alarms do not act",
    "search": "the embedded AWS makes no metrics of what functions print",
    "logs": "the embedded AWS keeps the functions' lines in a file",
}


class EmbeddedAccount:
    """Answers for one account; `close` ends its nodes."""

    def __init__(self, aws: EmbeddedAws, folder: Path, names: Names) -> None:
        self.aws, self.names, self._folder = aws, names, folder
        self.stacks: dict[str, tuple[Stack, list[dict[str, str]]]] = {}
        self._parameters: dict[str, dict[str, str]] = {}
        self.buckets: dict[str, dict[str, bytes]] = {}
        self.world: StackWorld | None = None
        self.cluster: SimulatedCluster | None = None
        self.commands: SimulatedCommands | None = None
        self._cut: set[str] = set()
        self._clients = {
            "cloudformation": answered("cloudformation", self._cloudformation),
            "s3": answered("s3", self._s3),
            "ssm": answered("ssm", self._ssm),
            "sts": answered("sts", self._sts),
        }

    def client(self, service: str) -> Any:
        """A client for the run."""
        return self._clients.get(service) or self.aws.client(service, "operator")

    def account(self) -> Account:
        """What the run is given."""
        return Account(self.client, self.names, BLIND)

    def close(self) -> None:
        """Ends the nodes."""
        if self.commands:
            self.commands.close()
        if self.cluster:
            self.cluster.down()

    def _sts(self, operation: str, _asked: dict[str, Any]) -> dict[str, Any]:
        assert operation == "GetCallerIdentity"
        arn = f"arn:aws:iam::{self.aws.account_id}:user/operator"
        return {"Account": self.aws.account_id, "Arn": arn, "UserId": "operator"}

    def _ssm(self, operation: str, asked: dict[str, Any]) -> dict[str, Any]:
        assert self.commands, "there are no nodes"
        return self.commands.answer(operation, asked)

    def _s3(self, operation: str, asked: dict[str, Any]) -> dict[str, Any]:
        bucket = asked["Bucket"]
        if operation == "CreateBucket":
            self.buckets[bucket] = {}
            return {}
        if bucket not in self.buckets:
            raise RefusedError("404", "Not Found", 404)
        match operation:
            case "PutObject":
                self.buckets[bucket][asked["Key"]] = asked["Body"]
            case "ListObjectsV2":
                return {"Contents": [{"Key": key} for key in self.buckets[bucket]]}
            case "DeleteObject":
                del self.buckets[bucket][asked["Key"]]
            case "DeleteBucket":
                if self.buckets[bucket]:
                    raise RefusedError("BucketNotEmpty", "The bucket is not empty", 409)
                del self.buckets[bucket]
            case _:
                assert operation == "HeadBucket"
        return {}

    def _cloudformation(self, operation: str, asked: dict[str, Any]) -> dict[str, Any]:
        name = asked["StackName"]
        if operation == "CreateStack":
            return {"StackId": self._create(name, asked)}
        if name not in self.stacks:
            raise RefusedError("ValidationError", f"Stack with id {name} does not exist")
        stack, tags = self.stacks[name]
        now = datetime.now(UTC)
        match operation:
            case "DescribeStacks":
                outputs = [{"OutputKey": k, "OutputValue": v} for k, v in stack.outputs.items()]
                shown = {"StackName": name, "CreationTime": now, "StackStatus": "CREATE_COMPLETE"}
                given = [
                    {"ParameterKey": k, "ParameterValue": v}
                    for k, v in self._parameters[name].items()
                ]
                told = {"Outputs": outputs, "Tags": tags, "Parameters": given}
                return {"Stacks": [{**shown, **told}]}
            case "DescribeStackResources":
                resources = [
                    {
                        "LogicalResourceId": logical_id,
                        "PhysicalResourceId": made.ref,
                        "ResourceType": made.type,
                        "ResourceStatus": "CREATE_COMPLETE",
                        "Timestamp": now,
                    }
                    for logical_id, made in stack.resources.items()
                ]
                return {"StackResources": resources}
            case "UpdateStack":
                self.stacks[name] = self._update(name, stack, asked), tags
                return {}
            case "DeleteStack":
                self._delete(stack)
                del self.stacks[name]
                return {}
        # A stand-in never pretends: a call that it does not know fails by its name.
        raise NotImplementedError(operation)

    def _create(self, name: str, asked: dict[str, Any]) -> str:
        folder = self._folder / name
        folder.mkdir()
        for code in ("functions", "layers"):
            (folder / code).symlink_to(ROOT / code)
        (folder / "template.yaml").write_bytes(self._body(asked))
        parameters = {p["ParameterKey"]: p["ParameterValue"] for p in asked["Parameters"]}
        site = self.aws.site
        self._parameters[name] = parameters
        stack = deploy_beside(site, folder / "template.yaml", name, parameters)
        self.stacks[name] = stack, asked["Tags"]
        for made in stack.resources.values():
            if made.type == "AWS::DynamoDB::Table":
                # CloudFormation passes a stack's tags on.
                arn = f"arn:aws:dynamodb:{site.region}:{site.account_id}:table/{made.ref}"
                client = self.aws.client("dynamodb", "cloudformation")
                client.tag_resource(ResourceArn=arn, Tags=asked["Tags"])
        if name == self.names.control:
            self.aws.outputs = stack.outputs
        else:
            self._boot(stack)
        return f"arn:aws:cloudformation:{site.region}:{site.account_id}:stack/{name}/local"

    def _update(self, name: str, former: Stack, asked: dict[str, Any]) -> Stack:
        """The same template with other parameters: what a condition adds is made."""
        said = {p["ParameterKey"]: p.get("ParameterValue") for p in asked["Parameters"]}
        assert asked["UsePreviousTemplate"]
        self._parameters[name] |= {k: v for k, v in said.items() if v is not None}
        path = self._folder / name / "template.yaml"
        translation = translate(path, self._parameters[name], self.aws.region)
        updated = Stack(translation, dataclasses.replace(self.aws.site, name=name), former)
        updated.deploy()
        return updated

    def _body(self, asked: dict[str, Any]) -> bytes:
        if "TemplateBody" in asked:
            return bytes(asked["TemplateBody"].encode())
        url = urlsplit(asked["TemplateURL"])
        assert url.hostname
        return self.buckets[url.hostname.partition(".")[0]][url.path.removeprefix("/")]

    def _boot(self, stack: Stack) -> None:
        instances = {"n1": stack.outputs["FirstInstance"], "n2": stack.outputs["SecondInstance"]}
        metadata = self._folder / "metadata"
        self.world = StackWorld(self.aws, metadata, CLUSTER, instances, LAYOUT)
        self.world.metadata_lag_seconds = LAG_SECONDS
        cut = cut_by_faults(self.aws)

        def way_changed(node: str, works: bool) -> None:
            (self._cut.discard if works else self._cut.add)(node)
            cut(node, None if works else "unreachable")
            self.aws.faults.break_connections(node)

        self.world.own.way_changed = way_changed
        pages = dict.fromkeys(instances, 0)
        self.cluster = simulated_cluster(
            self._folder, self.aws, self.world, pages, cluster_id=CLUSTER
        )
        names = {instance: node for node, instance in instances.items()}
        self.commands = SimulatedCommands(
            self.cluster, names, self._cut.__contains__, self.aws.later
        )
        self.cluster.up()

    def _delete(self, stack: Stack) -> None:
        """What has another life than the stack's goes as CloudFormation would have it go."""
        ec2 = self.aws.client("ec2", "cloudformation")
        for made in stack.resources.values():
            if made.type == "AWS::EC2::Instance":
                ec2.terminate_instances(InstanceIds=[made.ref])
        for made in stack.resources.values():
            if made.type == "AWS::EC2::EIP":
                (found,) = ec2.describe_addresses(PublicIps=[made.ref])["Addresses"]
                ec2.release_address(AllocationId=found["AllocationId"])
        sns = self.aws.client("sns", "cloudformation")
        for made in stack.resources.values():
            if made.type == "AWS::SNS::Topic":
                found = sns.list_subscriptions_by_topic(TopicArn=made.ref)["Subscriptions"]
                for subscription in found:
                    sns.unsubscribe(SubscriptionArn=subscription["SubscriptionArn"])
        if any(made.type == "AWS::EC2::Instance" for made in stack.resources.values()):
            self.close()


class PlainPacker:
    """The templates as they are written, and a package of a few bytes: no `sam`, no `dpkg-deb`."""

    def control(self, _bucket: str, _folder: Path) -> Path:
        """The product's template, whose code is where it is."""
        return ROOT / "template.yaml"

    def agent(self, folder: Path) -> Path:
        """What no simulated node fetches."""
        package = folder / "eip-agent_0.1.0_all.deb"
        package.write_bytes(b"fetched by nobody")
        return package


@contextlib.contextmanager
def embedded_account(folder: Path, name: str = "eip-acceptance") -> Iterator[EmbeddedAccount]:
    """An empty account, to the end of the block."""
    with EmbeddedAws(EMPTY, work_dir=folder / "aws", stack_name="empty") as aws:
        made = EmbeddedAccount(aws, folder, Names(name, aws.account_id, aws.region))
        try:
            yield made
        finally:
            made.close()
