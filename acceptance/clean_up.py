"""Removes what a run made, by names and tags alone: it needs to know nothing of the run.

Each thing is tried, whatever became of the ones before it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from acceptance.run import LOOSE_TAG, Account
from acceptance.stacks import STACK_TAG, Stacks
from acceptance.waiting import AcceptanceError, Pace

_ATTEMPTS = 4


@dataclass(frozen=True, slots=True)
class Left:
    """Something that a run made and that is there."""

    what: str
    remove: Callable[[], None]


class CleanUp:
    """All that a run of one name has made in one region."""

    def __init__(self, account: Account, pace: Pace, say: Callable[[str], None]) -> None:
        self._account, self._pace, self._say = account, pace, say
        self._names = account.names
        self._ec2 = account.client("ec2")
        cloudformation = account.client("cloudformation")
        self._stacks = Stacks(cloudformation, self._names.run, pace, say)

    def find(self) -> list[Left]:
        """What is there now, in the order in which it can be removed."""
        return [left for part in self._parts() for left in part()]

    def remove(self) -> list[str]:
        """Removes everything.

        Returns:
            What could not be removed, each with the reason; empty where nothing is left.
        """
        problems = []
        for part in self._parts():
            try:
                found = list(part())
            except (BotoCoreError, ClientError) as error:
                problems.append(f"{part.__name__.strip('_')}: {error}")
                continue
            for left in found:
                self._say(f"removing {left.what}")
                problems += self._tried(left)
        return problems

    def _tried(self, left: Left) -> list[str]:
        """Removes one thing; AWS may know of what was just taken off it only a moment later."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                left.remove()
            except AcceptanceError as error:
                return [f"{left.what}: {error}"]
            except (BotoCoreError, ClientError) as error:
                if attempt == _ATTEMPTS:
                    return [f"{left.what}: {error}"]
                time.sleep(self._pace.poll)
            else:
                break
        return []

    def _parts(self) -> tuple[Callable[[], Iterator[Left]], ...]:
        # The state table is kept when its stack goes, so it comes after it. So does the queue: the
        # topic that it subscribes to speaks until then.
        return (
            self._addresses,
            self._interfaces,
            self._nodes_stack,
            self._control_stack,
            self._tables,
            self._queues,
            self._bucket,
        )

    def _loose(self) -> list[dict[str, Any]]:
        return [{"Name": f"tag:{LOOSE_TAG}", "Values": [self._names.run]}]

    def _addresses(self) -> Iterator[Left]:
        for found in self._ec2.describe_addresses(Filters=self._loose())["Addresses"]:

            def release(allocation: str = found["AllocationId"]) -> None:
                now = self._ec2.describe_addresses(AllocationIds=[allocation])["Addresses"][0]
                if "AssociationId" in now:
                    self._ec2.disassociate_address(AssociationId=now["AssociationId"])
                self._ec2.release_address(AllocationId=allocation)

            yield Left(f"the address {found['PublicIp']}", release)

    def _interfaces(self) -> Iterator[Left]:
        found = self._ec2.describe_network_interfaces(Filters=self._loose())["NetworkInterfaces"]
        for interface in found:
            interface_id = interface["NetworkInterfaceId"]

            def delete(interface_id: str = interface_id) -> None:
                self._ec2.delete_network_interface(NetworkInterfaceId=interface_id)

            yield Left(f"the interface {interface_id}", delete)

    def _nodes_stack(self) -> Iterator[Left]:
        return self._stack(self._names.classic)

    def _control_stack(self) -> Iterator[Left]:
        return self._stack(self._names.control)

    def _stack(self, name: str) -> Iterator[Left]:
        if self._stacks.find(name) is not None:
            yield Left(f"the stack {name}", lambda: self._stacks.delete(name))

    def _queues(self) -> Iterator[Left]:
        sqs = self._account.client("sqs")
        for url in sqs.list_queues(QueueNamePrefix=self._names.queue).get("QueueUrls", []):
            if url.endswith(f"/{self._names.queue}"):

                def delete(url: str = url) -> None:
                    sqs.delete_queue(QueueUrl=url)

                yield Left(f"the queue {self._names.queue}", delete)

    def _tables(self) -> Iterator[Left]:
        dynamodb = self._account.client("dynamodb")
        pages = dynamodb.get_paginator("list_tables").paginate()
        prefix = f"{self._names.control}-Table-"
        for table in [t for page in pages for t in page["TableNames"] if t.startswith(prefix)]:

            def delete(table: str = table) -> None:
                self._check_table(dynamodb, table)
                dynamodb.update_table(TableName=table, DeletionProtectionEnabled=False)
                dynamodb.get_waiter("table_exists").wait(TableName=table)
                dynamodb.delete_table(TableName=table)

            yield Left(f"the state table {table}", delete)

    def _check_table(self, dynamodb: Any, table: str) -> None:
        """Refuses to delete the state of somebody else, or of a stack that still works with it.

        Raises:
            AcceptanceError: The stack is there, or the table does not have the run's tag.
        """
        if self._stacks.find(self._names.control) is not None:
            raise AcceptanceError("its stack is still there: left alone")
        arn = dynamodb.describe_table(TableName=table)["Table"]["TableArn"]
        tags = dynamodb.list_tags_of_resource(ResourceArn=arn)["Tags"]
        if {"Key": STACK_TAG, "Value": self._names.run} not in tags:
            raise AcceptanceError("it does not have the tag of this run: left alone")

    def _bucket(self) -> Iterator[Left]:
        s3 = self._account.client("s3")
        try:
            s3.head_bucket(Bucket=self._names.bucket)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:  # noqa: PLR2004
                return
            raise

        def delete() -> None:
            pages = s3.get_paginator("list_objects_v2").paginate(Bucket=self._names.bucket)
            keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
            for key in keys:
                s3.delete_object(Bucket=self._names.bucket, Key=key)
            s3.delete_bucket(Bucket=self._names.bucket)

        yield Left(f"the bucket {self._names.bucket}", delete)
