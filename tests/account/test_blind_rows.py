"""The rows that the embedded AWS cannot show, measured where each is told what AWS would say."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from account.answered import answered
from account.embedded_account import EmbeddedAccount, PlainPacker, embedded_account

from acceptance.measures import notices, rights, watching, ways
from acceptance.on_node import probe
from acceptance.run import CLUSTER, CLUSTER_TAG, Account, Run
from acceptance.waiting import AcceptanceError, Pace
from acceptance.whole import make

pytestmark = pytest.mark.timeout(600)  # the first test makes the stacks

PACE = Pace(
    poll=0.2, look=0.05, stack=20, boot=20, ready=100, command=20, lead=0.5, came=2, went=2,
    message=5, metric=1, names=0,
)  # fmt: skip


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedAccount]:
    folder = tmp_path_factory.mktemp("blind")
    with embedded_account(folder) as made:
        make(Run(made.account(), PACE, lambda _: None), PlainPacker(), folder)
        yield made


@pytest.fixture
def run(account: EmbeddedAccount) -> Iterator[Run]:
    yield Run(account.account(), PACE, lambda _: None)
    account.aws.faults.clear()


def with_client(account: EmbeddedAccount, service: str, client: Any) -> Run:
    """A run in which one service is answered by something else."""

    def of(asked: str) -> Any:
        return client if asked == service else account.client(asked)

    return Run(Account(of, account.names), PACE, lambda _: None)


def test_identity_where_iam_refuses_and_where_nothing_does(
    account: EmbeddedAccount, run: Run
) -> None:
    (row,) = rights.identity(run)
    assert (row.verdict, row.measured[:8]) == ("otherwise", "accepted"), "no policy is judged here"
    _, standby = run.holder()
    account.aws.faults.set(
        "error", principal=standby, operation="PutEvents", code="AccessDeniedException", status=400
    )
    (row,) = rights.identity(run)
    assert row.verdict == "as expected"
    assert "AccessDeniedException" in row.measured


def tags(account: EmbeddedAccount, interface: str) -> dict[str, str]:
    (found,) = account.client("ec2").describe_network_interfaces(NetworkInterfaceIds=[interface])[
        "NetworkInterfaces"
    ]
    return {tag["Key"]: tag["Value"] for tag in found["TagSet"]}


def test_untagged_where_ec2_refuses_and_where_it_does_not(
    account: EmbeddedAccount, run: Run
) -> None:
    run.await_well()
    _, standby = run.holder()
    interface = run.interface(run.instances()[standby])
    (row,) = rights.untagged(run)
    assert row.verdict == "otherwise"
    assert tags(account, interface)[CLUSTER_TAG] == CLUSTER, "it has its tag back"
    account.aws.faults.set(
        "error",
        principal="Operate",
        operation="AssociateAddress",
        code="UnauthorizedOperation",
        status=403,
    )
    (row,) = rights.untagged(run)
    assert row.verdict == "as expected", row.measured


def test_an_alarm_that_comes_and_one_that_does_not(account: EmbeddedAccount, run: Run) -> None:
    (row,) = notices.alarm(run)
    assert (row.verdict, row.measured) == ("otherwise", "nothing came")
    name = run.stacks.resources(run.names.control)["MoveFailedAlarm"]
    shown = account.client("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"]
    assert shown[0]["StateValue"] == "ALARM", "it was told to go off"
    topic = run.stacks.outputs(run.names.control)["NoticesTopicArn"]
    account.client("sns").publish(TopicArn=topic, Message=json.dumps({"AlarmName": name}))
    (row,) = notices.alarm(run)
    assert row.verdict == "as expected"


class CloudWatch:
    """A CloudWatch that has the dashboard of the account, and these sums for "moves"."""

    def __init__(self, account: EmbeddedAccount, *sums: float, message: str = "") -> None:
        self._account, self._sums, self._message = account, list(sums), message
        self.expressions: list[str] = []

    def run(self) -> Run:
        return with_client(self._account, "cloudwatch", answered("cloudwatch", self._answer))

    def _answer(self, operation: str, asked: dict[str, Any]) -> dict[str, Any]:
        if operation == "GetDashboard":
            found = self._account.client("cloudwatch").get_dashboard(**asked)
            return {"DashboardBody": found["DashboardBody"]}
        assert operation == "GetMetricData"
        queries = {q["Label"]: q for q in asked["MetricDataQueries"]}
        self.expressions = [q["Expression"] for q in queries.values()]
        total = self._sums.pop(0) if len(self._sums) > 1 else self._sums[0]
        # One result for each cluster that the expression finds.
        results = [{"Id": queries["moves"]["Id"], "Values": [total, 0.0]}] * 2
        messages = [{"Code": "x", "Value": self._message}] if self._message else []
        return {"MetricDataResults": results, "Messages": messages}


def test_the_dashboards_own_expressions_are_asked_until_the_moves_are_there(
    account: EmbeddedAccount,
) -> None:
    late = CloudWatch(account, 0.0, 3.0)
    (row,) = watching.search(late.run())
    assert (row.verdict, row.figures) == ("as expected", {"moves_counted": 6.0})
    assert len(late.expressions) == 4
    assert all('"EipArbiter/eip-acceptance"' in text for text in late.expressions)
    (row,) = watching.search(CloudWatch(account, 0.0).run())
    assert row.verdict == "otherwise"
    (row,) = watching.search(CloudWatch(account, 0.0, message="a SEARCH is not valid").run())
    assert "a SEARCH is not valid" in row.measured


def logs(account: EmbeddedAccount, *pages: list[dict[str, Any]]) -> Run:
    given = list(pages)

    def answer(operation: str, asked: dict[str, Any]) -> dict[str, Any]:
        assert operation == "FilterLogEvents"
        assert asked["logGroupName"] == "/aws/lambda/eip-acceptance-arbitrate"
        page = given.pop(0) if len(given) > 1 else given[0]
        events = [{"message": json.dumps(line)} for line in page]
        return {"events": events, **({"nextToken": "more"} if len(given) > 1 else {})}

    return with_client(account, "logs", answered("logs", answer))


def decision(account: EmbeddedAccount) -> dict[str, Any]:
    """A line that the deployed function really wrote."""
    for text in (account.aws.work_dir / "functions.jsonl").read_text().splitlines():
        line = json.loads(text)["line"]
        if isinstance(line, dict) and str(line.get("rule", "")).startswith("R"):
            return line
    raise AssertionError("no decision was logged")


def test_a_decision_is_found_by_its_level_and_its_rule(account: EmbeddedAccount) -> None:
    line = decision(account)
    (row,) = watching.logs(logs(account, [], [line]))
    assert row.verdict == "as expected", row.measured
    assert line["rule"] in row.measured
    (row,) = watching.logs(logs(account, [{**line, "timestamp": "29/11/2026 09:00"}]))
    assert row.verdict == "otherwise"
    (row,) = watching.logs(logs(account, []))
    assert row.measured == "no line with level INFO and a rule"


def test_endpoints_are_asked_for_and_a_name_that_stays_public_is_not_measured_as_one(
    account: EmbeddedAccount, run: Run
) -> None:
    run.await_well()
    with pytest.raises(AcceptanceError, match="has public addresses on this node"):
        ways.with_endpoints(run)
    made = account.stacks[account.names.classic][0].resources
    assert "EventsEndpoint" in made, "the stack was updated"


def test_a_way_is_probed_by_one_family_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", socket.getaddrinfo)  # put back at the end
    probe.only(socket.AF_INET6)
    assert {entry[0] for entry in socket.getaddrinfo("::1", 443)} == {socket.AF_INET6}
    with pytest.raises(OSError, match=r"[Aa]ddress family|not supported"):
        socket.getaddrinfo("127.0.0.1", 443, family=socket.AF_INET)


def test_a_probe_notes_changes_from_the_first_failure_to_the_first_answer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(probe, "FOLDER", tmp_path)
    answers = [True, True, False, False, True]

    def ask() -> bool:
        time.sleep(0.02)
        return answers.pop(0) if len(answers) > 1 else answers[0]

    began = datetime.now(UTC).timestamp()
    probe.watch("w", 0.3, 0.01, ask, {"key": "ok"})
    seen = json.loads((tmp_path / "eip-acceptance-w.json").read_text())
    first, lost, back = seen["changes"]
    assert [first["ok"], lost["ok"], back["ok"]] == [True, False, True]
    assert back["at"] - lost["at"] == pytest.approx(0.06, abs=0.04), "two failures and an answer"
    assert seen["silent"] == 2
    assert seen["asked"] > 5
    assert began < first["at"] < seen["until"]
