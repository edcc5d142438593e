"""Measurements where AWS is otherwise: the row has to say so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from account.answered import RefusedError, answered
from account.embedded_account import EmbeddedAccount, PlainPacker, embedded_account

from acceptance.measures import addresses, notices, watching, ways
from acceptance.nodes import Nodes
from acceptance.run import Account, Names, Run
from acceptance.waiting import AcceptanceError, Pace, TooLateError
from acceptance.whole import make

pytestmark = pytest.mark.timeout(600)  # the first test makes the stacks

PACE = Pace(
    poll=0.2, look=0.05, stack=20, boot=20, ready=100, command=20, lead=0.5, came=3, went=3,
    message=8, failover=60, moves=2,
)  # fmt: skip
NAMES = Names("eip-acceptance", "123456789012", "eu-central-1")


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedAccount]:
    folder = tmp_path_factory.mktemp("otherwise")
    with embedded_account(folder) as made:
        make(Run(made.account(), PACE, lambda _: None), PlainPacker(), folder)
        yield made


@pytest.fixture
def run(account: EmbeddedAccount) -> Iterator[Run]:
    yield Run(account.account(), PACE, lambda _: None)
    account.aws.faults.clear()


def test_an_association_that_takes_too_long_is_otherwise(
    account: EmbeddedAccount, run: Run
) -> None:
    account.aws.faults.set("slow", operation="AssociateAddress", seconds=5.2, times=1)
    first, second = addresses.moves(run)
    assert (first.id, first.verdict) == ("associate", "otherwise")
    assert first.figures["most"] == pytest.approx(5.2, abs=1)
    assert second.verdict == "as expected"


def test_a_notice_that_is_lost_is_otherwise(account: EmbeddedAccount, run: Run) -> None:
    lost = account.aws.events.tamper(
        drop=1.0, match=lambda event: event["detail-type"] == "Move Failed"
    )
    (row,) = notices.notice(run)
    lost.clear()
    assert (row.verdict, row.measured) == ("otherwise", "nothing came")


def test_a_quote_that_is_neither_delivered_nor_a_dead_letter_is_otherwise(
    account: EmbeddedAccount, run: Run
) -> None:
    lost = account.aws.events.tamper(
        drop=1.0, match=lambda event: event["detail-type"] == "Move Failed"
    )
    (row,) = notices.raw_quote(run)
    lost.clear()
    assert row.verdict == "otherwise"


def test_a_node_that_stays_without_a_way_is_otherwise_and_its_probe_is_read_once_it_is_back(
    account: EmbeddedAccount, run: Run
) -> None:
    """The way is cut for longer than the Elastic IP is there, and comes back when it goes."""
    account.aws.faults.clear()
    assert account.world
    _, standby = run.holder()
    told = account.world.own.way_changed
    # EC2 never maps the address; what it does when the address goes, it still does.
    account.world.own.way_changed = lambda node, works: told(
        node, works and account.world is not None and account.world.own.of(node) is not None
    )
    rows = {row.id: row for row in ways.without_endpoints(run)}
    account.world.own.way_changed = told
    assert rows["way_ipv4"].figures["came"] is None, standby
    assert rows["way_ipv4"].verdict == "otherwise"
    assert "not back after" in rows["way_ipv4"].measured
    assert rows["metadata_alone"].verdict == "as expected", "it needs no way"


def test_a_product_that_is_not_well_is_otherwise(account: EmbeddedAccount, run: Run) -> None:
    run.operate("pause", minutes=5)
    (row,) = watching.doctor(run)
    run.operate("resume")
    assert row.verdict == "otherwise"
    assert "paused" in row.measured
    assert account.stacks


def ec2(*shown: str) -> Any:
    """An EC2 whose DescribeAddresses shows these associations, one after the other."""
    answers = list(shown)

    def answer(operation: str, _asked: dict[str, Any]) -> dict[str, Any]:
        assert operation == "DescribeAddresses"
        current = answers.pop(0) if len(answers) > 1 else answers[0]
        return {"Addresses": [{"AssociationId": current} if current else {}]}

    return answered("ec2", answer)


@pytest.mark.parametrize(
    ("shown", "late"),
    [(["new"], False), (["old", "old", "new"], True), (["", "new"], True), (["old"], None)],
    ids=["at once", "the former one", "none in between", "for ever"],
)
def test_a_move_that_is_shown_late_is_measured(shown: list[str], late: bool | None) -> None:
    client = ec2(*shown)

    def of(service: str) -> Any:
        return client if service == "ec2" else None

    run = Run.__new__(Run)
    run.account, run.pace = Account(of, NAMES), Pace(message=0.5)
    seconds = addresses._shown_after(run, "eipalloc-1", "new")  # noqa: SLF001 - one look of many
    assert seconds == 0.0 if late is False else (seconds is None) is (late is None)


class Commands:
    """A Systems Manager whose one command ends as the test says."""

    def __init__(self, *statuses: str, error: str = "") -> None:
        self._statuses, self._error = list(statuses), error

    def client(self) -> Any:
        return answered("ssm", self._answer)

    def _answer(self, operation: str, _asked: dict[str, Any]) -> dict[str, Any]:
        if operation == "DescribeInstanceInformation":
            return {"InstanceInformationList": []}
        if operation == "SendCommand":
            return {"Command": {"CommandId": "0" * 36}}
        status = self._statuses.pop(0) if len(self._statuses) > 1 else self._statuses[0]
        if status == "unknown":
            raise RefusedError("InvocationDoesNotExist", "")
        told = {"Status": status, "StatusDetails": status, "StandardErrorContent": self._error}
        return {**told, "StandardOutputContent": "done"}


INSTANCE = "i-0123456789abcdef0"
SHORT = Pace(poll=0.01, look=0.01, command=0.3, boot=0.1)


def test_a_command_is_waited_for_even_while_it_is_not_known_yet() -> None:
    script = Commands("unknown", "Pending", "Delayed", "InProgress", "Success")
    assert Nodes(script.client(), SHORT).run(INSTANCE, "true") == "done"


def test_a_command_that_fails_says_what_it_said() -> None:
    script = Commands("InProgress", "Failed", error="crm_resource: not connected")
    with pytest.raises(AcceptanceError, match="Failed: crm_mon: crm_resource: not connected"):
        Nodes(script.client(), SHORT).run(INSTANCE, "crm_mon")


def test_a_command_that_never_ends_and_a_node_that_never_comes_are_given_up() -> None:
    with pytest.raises(AcceptanceError, match="did not answer in 0 s"):
        Nodes(Commands("Pending").client(), SHORT).run(INSTANCE, "true")
    with pytest.raises(TooLateError, match="get-console-output"):
        Nodes(Commands("Pending").client(), SHORT).await_online([INSTANCE], lambda _: None)
