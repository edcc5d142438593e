"""The command line, the plan and the page: what is refused, and what is said before it costs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from account.answered import answered
from account.embedded_account import BLIND

from acceptance import plan
from acceptance.__main__ import main
from acceptance.order import STEPS
from acceptance.rows import QUESTIONS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/acceptance.md"


class Keys:
    """A session whose keys are of one account, and that can do nothing else."""

    def __init__(self, account: str, region: str | None = "eu-central-1") -> None:
        self._account, self.region_name = account, region
        self.asked: list[str] = []

    def client(self, service: str, **_more: Any) -> Any:
        def answer(operation: str, _asked: dict[str, Any]) -> dict[str, Any]:
            self.asked.append(operation)
            assert operation == "GetCallerIdentity", f"{operation} before the account is known"
            arn = f"arn:aws:iam::{self._account}:user/somebody"
            return {"Account": self._account, "Arn": arn, "UserId": "somebody"}

        return answered(service, answer)


def test_without_yes_it_says_every_step_every_name_and_the_cost_and_asks_aws_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    keys = Keys("123456789012")
    for given in ([], ["--dry-run"], ["--account", "123456789012", "--region", "eu-central-1"]):
        assert main(given, keys) == 0
    told = capsys.readouterr().out
    assert keys.asked == []
    for step in STEPS:
        assert step.does in told
    for made in plan.MADE:
        assert made.what in told
    for name in ("eip-acceptance", "eip-acceptance-classic", "eip-acceptance-notices"):
        assert name in told
    assert "bucket eip-acceptance-123456789012-eu-central-1" in told
    assert "Nothing was done" in told


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--yes"], "name the account"),
        (["--yes", "--dry-run", "--account", "123456789012"], "contradict"),
        (["--yes", "--account", "my-account"], "12 digits"),
        (["--clean-up", "--yes"], "name the account"),
        (["--name", "Not_a_Stack"], "a letter"),
        (["--now"], "unrecognized"),
    ],
)
def test_a_wrong_command_line_is_refused(
    given: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(given, Keys("123456789012"))
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("more", [[], ["--clean-up"]])
def test_keys_of_another_account_end_it_before_anything_else(
    more: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    keys = Keys("999999999999")
    assert main(["--yes", "--account", "123456789012", *more], keys) == 2
    assert "the keys are of account 999999999999" in capsys.readouterr().err
    assert keys.asked == ["GetCallerIdentity"]


def test_a_region_has_to_be_known(capsys: pytest.CaptureFixture[str]) -> None:
    keys = Keys("123456789012", region=None)
    assert main(["--yes", "--account", "123456789012"], keys) == 2
    assert "--region" in capsys.readouterr().err
    assert keys.asked == []


def test_the_steps_answer_every_row_once_and_the_last_one_ends_a_node() -> None:
    answered_rows = [row for step in STEPS for row in step.rows]
    assert sorted(answered_rows) == sorted(QUESTIONS)
    assert STEPS[-1].rows == ("terminated",)


def test_a_run_costs_less_than_two_dollars_and_less_than_an_hour() -> None:
    assert plan.cost() < 2
    assert plan.minutes() < 60


def test_the_page_has_the_rows_the_costs_and_the_time_as_they_are() -> None:
    text = PAGE.read_text()
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \|$", text, re.MULTILINE)
    assert rows == [(row_id, q.asks, q.expects) for row_id, q in QUESTIONS.items()]
    costs = re.findall(r"^\| (\d+) \| (.*?) \| (\d\.\d{3}) \|$", text, re.MULTILINE)
    assert costs == [(str(m.count), m.what, f"{m.cost:.3f}") for m in plan.MADE]
    hidden = text.partition("These rows cannot be seen there: ")[2].partition(". Nobody")[0]
    assert re.findall(r"`(\w+)`", hidden) == list(BLIND)
    assert f"**{plan.cost():.2f} USD**" in text
    assert f"about {plan.minutes():.0f} minutes" in text
