"""What a run made is taken away: at its end, when it is stopped, and after it was killed."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from account.embedded_account import EmbeddedAccount, PlainPacker, embedded_account

from acceptance.__main__ import main
from acceptance.clean_up import CleanUp
from acceptance.measures import addresses
from acceptance.measures.notices import queue_url
from acceptance.order import Step
from acceptance.packaging import make_bucket
from acceptance.rows import Row
from acceptance.run import Run
from acceptance.stacks import STACK_TAG
from acceptance.waiting import AcceptanceError, Pace
from acceptance.whole import CLASSIC, StoppedError, carry_out, stoppable

pytestmark = pytest.mark.timeout(600)  # the first test makes the stacks

PACE = Pace(poll=0.1, look=0.1, stack=20, boot=20, ready=60, command=20, message=5, lead=0)
PARAMETERS = {
    "AgentPackageUrl": "https://packages.example/eip-agent.deb",
    "AgentPackageSha256": "0" * 64,
    "AdminCidr": "127.0.0.1/32",
    "ClusterId": "acceptance",
}


@pytest.fixture
def account(tmp_path: Path) -> Iterator[EmbeddedAccount]:
    with embedded_account(tmp_path) as made:
        yield made


class Stopping(PlainPacker):
    """Is told to stop when the product's stack is there and the nodes' is not."""

    def agent(self, folder: Path) -> Path:
        os.kill(os.getpid(), signal.SIGTERM)
        return super().agent(folder)


def empty(account: EmbeddedAccount) -> bool:
    return not account.stacks and not account.buckets and not left(account)


def left(account: EmbeddedAccount) -> list[str]:
    said: list[str] = []
    return [found.what for found in CleanUp(account.account(), PACE, said.append).find()]


def test_a_run_that_is_stopped_half_way_takes_away_what_it_made(
    account: EmbeddedAccount, tmp_path: Path
) -> None:
    said: list[str] = []
    status = carry_out(account.account(), Stopping(), tmp_path, pace=PACE, say=said.append)
    assert "stopped by SIGTERM" in said
    assert "removing the stack eip-acceptance" in said, "it was there"
    assert status == 1
    assert empty(account)
    report = json.loads((tmp_path / "acceptance.json").read_text())
    assert {row["verdict"] for row in report["rows"]} == {"failed"}
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL, "as it was"


def test_a_mistake_in_the_program_itself_leaves_nothing_either(
    account: EmbeddedAccount, tmp_path: Path
) -> None:
    class Broken(PlainPacker):
        def agent(self, folder: Path) -> Path:
            raise KeyError(folder)

    with pytest.raises(KeyError):
        carry_out(account.account(), Broken(), tmp_path, pace=PACE, say=lambda _: None)
    assert empty(account)


def test_a_stack_that_cannot_be_made_is_explained_and_taken_away(
    account: EmbeddedAccount, tmp_path: Path
) -> None:
    class Wrong(PlainPacker):
        def control(self, bucket: str, folder: Path) -> Path:
            raise AcceptanceError(f"sam package failed: no such bucket {bucket} in {folder}")

    said: list[str] = []
    assert carry_out(account.account(), Wrong(), tmp_path, pace=PACE, say=said.append) == 1
    assert any("the run ends: sam package failed" in line for line in said)
    assert empty(account)


def test_a_second_signal_does_not_end_the_clean_up() -> None:
    said: list[str] = []
    with stoppable(said.append) as no_more:
        with pytest.raises(StoppedError, match="SIGINT"):
            os.kill(os.getpid(), signal.SIGINT)
        no_more()
        os.kill(os.getpid(), signal.SIGTERM)
    assert said == ["still cleaning up: wait, or kill -9 and run again with --clean-up"]


def test_a_step_that_fails_is_a_row_and_the_next_one_is_measured(
    account: EmbeddedAccount,
) -> None:
    from acceptance import order  # noqa: PLC0415

    def fails(_run: Run) -> list[Row]:
        raise AcceptanceError("no answer")

    run = Run(account.account(), PACE, lambda _: None)
    steps = (
        Step(("doctor",), fails, 0, ""),
        Step(("dry_run",), lambda _: [Row("dry_run", "seen", "as expected")], 0, ""),
    )
    order.measure(run, steps)
    assert (run.rows["doctor"].verdict, run.rows["doctor"].measured) == ("failed", "no answer")
    assert run.rows["dry_run"].verdict == "as expected"


def killed(account: EmbeddedAccount) -> Run:
    """What a run leaves that was killed in the middle of its measurements."""
    run = Run(account.account(), PACE, lambda _: None)
    make_bucket(account.client("s3"), run.names)
    account.client("s3").put_object(Bucket=run.names.bucket, Key="a.deb", Body=b"x")
    control = {"TemplateBody": PlainPacker().control("", CLASSIC).read_text()}
    run.stacks.make(run.names.control, control, {})
    classic = {"TemplateBody": CLASSIC.read_text()}
    parameters = {**PARAMETERS, "ArbiterStack": run.names.control}
    run.stacks.make(run.names.classic, classic, parameters)
    queue_url(run)
    addresses.associate(run, addresses.spare_interface(run))
    return run


class Session:
    """boto3's session, in the account on this machine."""

    region_name = "eu-central-1"

    def __init__(self, account: EmbeddedAccount) -> None:
        self._account = account

    def client(self, service: str, **_more: Any) -> Any:
        return self._account.client(service)


def test_clean_up_removes_what_a_killed_run_left_and_only_says_so_without_yes(
    account: EmbeddedAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    killed(account)
    there = left(account)
    assert len(there) == 7, "address, interface, two stacks, queue, table, bucket"
    assert main(["--clean-up"], Session(account)) == 0
    told = capsys.readouterr().out
    assert all(f"would remove {what}" in told for what in there)
    assert left(account) == there
    assert main(["--clean-up", "--yes", "--account", "123456789012"], Session(account)) == 0
    assert "nothing is left" in capsys.readouterr().out
    assert empty(account)


def test_a_new_run_does_not_begin_beside_an_older_one(
    account: EmbeddedAccount, tmp_path: Path
) -> None:
    make_bucket(account.client("s3"), account.names)
    said: list[str] = []
    with pytest.raises(AcceptanceError, match="--clean-up"):
        carry_out(account.account(), PlainPacker(), tmp_path, pace=PACE, say=said.append)
    assert account.buckets, "it is not this run's to take away"
    assert said == [f"there already: the bucket {account.names.bucket}"]


def forget_tag(account: EmbeddedAccount) -> None:
    stack, _ = account.stacks[account.names.control]
    account.stacks[account.names.control] = stack, []


def untag_table(account: EmbeddedAccount) -> None:
    client = account.client("dynamodb")
    (name,) = client.list_tables()["TableNames"]
    arn = client.describe_table(TableName=name)["Table"]["TableArn"]
    client.untag_resource(ResourceArn=arn, TagKeys=[STACK_TAG])


@pytest.mark.parametrize(
    ("make_foreign", "told"),
    [(forget_tag, "was not made by this program"), (untag_table, "does not have the tag")],
)
def test_what_is_somebody_elses_is_left_alone_and_all_else_goes(
    account: EmbeddedAccount, make_foreign: Callable[[EmbeddedAccount], None], told: str
) -> None:
    killed(account)
    make_foreign(account)
    problems = CleanUp(account.account(), PACE, lambda _: None).remove()
    assert len([problem for problem in problems if told in problem]) == 1
    assert not account.buckets
    assert account.names.classic not in account.stacks
    assert account.client("dynamodb").list_tables()["TableNames"], "the state is there"


def test_a_removal_that_aws_refuses_at_first_is_tried_again(account: EmbeddedAccount) -> None:
    killed(account)
    code = "InvalidIPAddress.InUse"
    account.aws.faults.set("error", operation="ReleaseAddress", code=code, status=400, times=2)
    account.aws.faults.set("error", operation="DeleteQueue", times=1)
    assert CleanUp(account.account(), PACE, lambda _: None).remove() == []
    assert empty(account)


def test_a_removal_that_aws_refuses_is_told_and_stops_no_other(account: EmbeddedAccount) -> None:
    killed(account)
    fault = account.aws.faults.set("error", operation="ReleaseAddress", code="InternalError")
    problems = CleanUp(account.account(), PACE, lambda _: None).remove()
    assert len([p for p in problems if "ReleaseAddress" in p]) >= 1
    assert not account.buckets
    assert account.client("dynamodb").list_tables()["TableNames"] == []
    fault.clear()
    assert CleanUp(account.account(), PACE, lambda _: None).remove() == []
    assert empty(account)
