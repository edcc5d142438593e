"""Faults between a caller and AWS, and the journal's count of calls."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.embedded.cloud import EmbeddedAws
    from lab.embedded.faults import Mode


@pytest.fixture
def put(aws: EmbeddedAws) -> Callable[[str], Any]:
    client = aws.client("dynamodb", "n1", read_timeout=1, connect_timeout=1)

    def put_item(key: str) -> Any:
        item = {"pk": {"S": "faults"}, "sk": {"S": key}}
        return client.put_item(TableName=aws.outputs["TableName"], Item=item)

    return put_item


def there(aws: EmbeddedAws, key: str) -> bool:
    key_of = {"pk": {"S": "faults"}, "sk": {"S": key}}
    answer = aws.client("dynamodb").get_item(TableName=aws.outputs["TableName"], Key=key_of)
    return "Item" in answer


@pytest.mark.parametrize(
    ("mode", "error", "done"),
    [
        ("refuse", ConnectionClosedError, False),
        ("blackhole", ReadTimeoutError, False),
        ("error", ClientError, False),
        ("throttle", ClientError, False),
        ("lost_reply", ConnectionClosedError, True),
    ],
)
def test_each_fault_fails_the_call_and_only_a_lost_reply_has_done_it(
    aws: EmbeddedAws, put: Callable[[str], Any], mode: Mode, error: type[Exception], done: bool
) -> None:
    fault = aws.faults.set(mode, principal="n1", service="dynamodb", operation="PutItem")
    with pytest.raises(error):
        put(mode)
    assert there(aws, mode) is done
    assert fault.hits == 1
    fault.clear()
    put(f"{mode} after")
    assert there(aws, f"{mode} after")


def test_a_slow_call_is_done_late(aws: EmbeddedAws, put: Callable[[str], Any]) -> None:
    aws.faults.set("slow", principal="n1", seconds=0.2)
    began = time.monotonic()
    put("slow")
    assert time.monotonic() - began >= 0.2
    assert there(aws, "slow")


def test_a_fault_can_be_for_some_calls_only(aws: EmbeddedAws, put: Callable[[str], Any]) -> None:
    aws.faults.set("error", principal="n2")
    aws.faults.set("error", service="ec2")
    aws.faults.set("error", principal="n1", code="Odd", status=418, times=2)
    for _ in range(2):
        with pytest.raises(ClientError, match="Odd"):
            put("some")
    put("some")
    assert there(aws, "some")


@pytest.mark.parametrize(
    ("service", "call", "code"),
    [
        ("ec2", "describe_addresses", "RequestLimitExceeded"),
        ("dynamodb", "list_tables", "ThrottlingException"),
        ("events", "list_rules", "ThrottlingException"),
        ("sns", "list_topics", "ThrottlingException"),
        ("cloudwatch", "describe_alarms", "ThrottlingException"),
    ],
)
def test_every_protocol_carries_the_error(
    aws: EmbeddedAws, service: str, call: str, code: str
) -> None:
    aws.faults.set("throttle", principal="n1")
    with pytest.raises(ClientError) as raised:
        getattr(aws.client(service, "n1"), call)()
    assert raised.value.response["Error"]["Code"] == code


def test_a_call_that_hangs_is_let_go_when_the_fault_ends(aws: EmbeddedAws) -> None:
    fault, ended = aws.faults.set("blackhole", principal="n9"), threading.Event()
    client = aws.client("ec2", "n9")

    def ask() -> None:
        with pytest.raises(ConnectionClosedError):
            client.describe_addresses()
        ended.set()

    threading.Thread(target=ask, daemon=True).start()
    assert not ended.wait(0.3)
    fault.clear()
    assert ended.wait(2)


def test_the_journal_counts_by_who_what_and_outcome(
    aws: EmbeddedAws, put: Callable[[str], Any]
) -> None:
    since = aws.journal.now()
    put("one")
    put("two")
    aws.faults.set("throttle", principal="n1", times=1)
    with pytest.raises(ClientError):
        put("three")
    calls = aws.journal.calls(since=since, principal="n1", service="dynamodb", operation="PutItem")
    assert [c.outcome for c in calls] == ["ok", "ok", "fault:throttle:ThrottlingException"]
    assert len(aws.journal.calls(since=since, principal="n1", outcome="ok")) == 2
    assert not aws.journal.calls(since=aws.journal.now())


def test_an_error_of_aws_itself_is_in_the_journal(aws: EmbeddedAws) -> None:
    since = aws.journal.now()
    with pytest.raises(ClientError):
        aws.client("ec2", "n1").describe_addresses(AllocationIds=["eipalloc-0"])
    [call] = aws.journal.calls(since=since, principal="n1")
    assert call.outcome == "InvalidAllocationID.NotFound"


def test_the_journal_is_also_a_file(aws: EmbeddedAws, put: Callable[[str], Any]) -> None:
    put("in the file")
    path = aws.work_dir / "journal.jsonl"
    last = json.loads(path.read_text().splitlines()[-1])
    assert (last["kind"], last["principal"], last["operation"]) == ("call", "n1", "PutItem")


def test_what_is_not_supported_says_so(aws: EmbeddedAws) -> None:
    for service, call in (("sts", "get_caller_identity"), ("kms", "list_keys")):
        with pytest.raises(ClientError, match="not supported by the embedded AWS"):
            getattr(aws.client(service), call)()
    with pytest.raises(ClientError, match="not supported by the embedded AWS"):
        aws.client("ec2").describe_fpga_images()


def test_foreign_keys_and_other_regions_are_refused(aws: EmbeddedAws) -> None:
    def client(region: str, key: str) -> Any:
        return boto3.client(
            "ec2",
            region_name=region,
            endpoint_url=aws.endpoint_url,
            aws_access_key_id=key,
            aws_secret_access_key="x",
            config=Config(retries={"total_max_attempts": 1}),
        )

    with pytest.raises(ClientError, match="access key that it gave out"):
        client(aws.region, "AKIDEXAMPLE").describe_addresses()
    with pytest.raises(ClientError, match="InvalidRegion"):
        client("us-east-1", aws.credentials("n1")[0]).describe_addresses()


def test_only_one_runs_in_a_process(aws: EmbeddedAws) -> None:
    other = type(aws)(aws.template, work_dir=aws.work_dir)
    with pytest.raises(RuntimeError, match="one embedded AWS at a time"):
        other.__enter__()


def test_the_stack_can_be_described(aws: EmbeddedAws) -> None:
    [stack] = aws.client("cloudformation").describe_stacks()["Stacks"]
    assert {o["OutputKey"]: o["OutputValue"] for o in stack["Outputs"]} == dict(aws.outputs)
    assert "Pager" not in aws.outputs
