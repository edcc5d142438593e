"""The whole program in an account on this machine: both stacks, every step, the clean-up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from account.embedded_account import BLIND, EmbeddedAccount, PlainPacker, embedded_account

from acceptance.rows import QUESTIONS
from acceptance.waiting import Pace
from acceptance.whole import carry_out

QUICK = Pace(
    poll=0.5, look=0.1, stack=60, boot=60, ready=100, command=60, lead=1, came=5, went=9,
    message=20, metric=5, failover=90, moves=6,
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
        print("\n".join(said), page, sep="\n")
        yield Whole(account, said, status, report, page)


@pytest.mark.timeout(600)
def test_every_row_is_answered_and_those_that_cannot_be_seen_here_are_named(whole: Whole) -> None:
    assert [row["id"] for row in whole.report["rows"]] == list(QUESTIONS)
    hidden = {r["id"]: r["measured"] for r in whole.report["rows"] if r["verdict"] == "not seen here"}
    assert hidden == BLIND
    others = {r["id"]: r["verdict"] for r in whole.report["rows"] if r["id"] not in BLIND}
    assert set(others.values()) == {"as expected"}, others
    assert whole.status == 0
