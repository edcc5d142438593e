"""The whole program in an account on this machine: both stacks, every step, the clean-up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from account.embedded_account import (
    BLIND,
    LAG_SECONDS,
    LAYOUT,
    EmbeddedAccount,
    PlainPacker,
    embedded_account,
)

from acceptance.clean_up import CleanUp
from acceptance.on_node.commands import POWER_LOSS
from acceptance.rows import QUESTIONS
from acceptance.waiting import Pace
from acceptance.whole import carry_out

pytestmark = pytest.mark.timeout(600)  # the first test makes the stacks

QUICK = Pace(
    poll=0.5, look=0.1, stack=60, boot=120, ready=200, command=120, lead=1, came=5, went=9,
    message=40, metric=5, failover=180, moves=6,
)  # fmt: skip


@dataclass(frozen=True)
class Whole:
    account: EmbeddedAccount
    said: list[str]
    status: int
    report: Any
    page: str

    def row(self, row_id: str) -> Any:
        return next(row for row in self.report["rows"] if row["id"] == row_id)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    folder, said = tmp_path_factory.mktemp("account"), list[str]()
    with embedded_account(folder) as account:
        status = carry_out(
            account.account(), PlainPacker(), folder / "report", pace=QUICK, say=said.append
        )
        report = json.loads((folder / "report/acceptance.json").read_text())
        page = (folder / "report/acceptance.md").read_text()
        yield Whole(account, said, status, report, page)


def test_every_row_is_answered_and_those_that_cannot_be_seen_here_are_named(whole: Whole) -> None:
    assert [row["id"] for row in whole.report["rows"]] == list(QUESTIONS)
    hidden = {
        r["id"]: r["measured"] for r in whole.report["rows"] if r["verdict"] == "not seen here"
    }
    assert hidden == BLIND
    others = {r["id"]: r["verdict"] for r in whole.report["rows"] if r["id"] not in BLIND}
    assert set(others.values()) == {"as expected"}, others
    assert whole.status == 0


def test_what_is_measured_is_what_this_account_was_told_to_be(whole: Whole) -> None:
    """The figures come from the world, not from the program: they are its own times."""
    way = whole.row("way_ipv4")["figures"]
    assert way["came"] == pytest.approx(LAYOUT.mapping_seconds, abs=1.5)
    assert way["went"] == pytest.approx(LAYOUT.new_address_seconds, abs=1.5)
    assert way["came"] > 0
    lag = whole.row("metadata_lag")["figures"]
    assert lag["came"] == pytest.approx(LAG_SECONDS, abs=1.5)
    assert lag["went"] == pytest.approx(LAG_SECONDS, abs=1.5)


def test_the_failovers_really_happened(whole: Whole) -> None:
    journal = whole.account.aws.journal
    arbiter = [m for m in journal.moves() if m.principal == "Arbitrate" and m.to_instance]
    orders = [m for m in journal.moves() if m.principal == "Operate" and m.to_instance]
    assert len(orders) == 1
    assert len(arbiter) >= 3, "the first start, the switchover and the power loss"
    assert whole.account.commands
    texts = [text for _, text in whole.account.commands.carried_out]
    assert sum(text == POWER_LOSS for text in texts) == 1
    assert sum("crm_resource --move" in text for text in texts) == 1
    assert (
        3
        < whole.row("power_loss")["figures"]["grant"]
        < whole.row("power_loss")["figures"]["served"]
    )


def test_nothing_is_left(whole: Whole) -> None:
    account = whole.account
    assert whole.report["left"] == []
    assert not account.stacks
    assert not account.buckets
    assert CleanUp(account.account(), QUICK, whole.said.append).find() == []
    assert account.client("dynamodb").list_tables()["TableNames"] == []
    assert account.client("ec2").describe_addresses()["Addresses"] == []
    states = {
        instance["State"]["Name"]
        for reservation in account.client("ec2").describe_instances()["Reservations"]
        for instance in reservation["Instances"]
    }
    assert states == {"terminated"}


def test_the_page_says_the_same_as_the_json(whole: Whole) -> None:
    for row in whole.report["rows"]:
        assert f"| `{row['id']}` |" in whole.page
        assert f"**{row['verdict']}**" in whole.page
    for setting in whole.report["settings"]:
        assert f"| `{setting['name']}` | {setting['default']} | {setting['value']} |" in whole.page
    assert whole.page.endswith("## Left in the account\n\nNothing.\n")
