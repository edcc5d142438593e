"""The look from outside, deployed on the embedded AWS: it fails by name where nobody answers."""

from __future__ import annotations

import dataclasses
import json
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.embedded.cloud import EmbeddedAws
from lab.embedded.intrinsics import TemplateError
from lab.embedded.runtime import Invocation
from lab.embedded.translate import translate

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "examples/probe/template.yaml"
TOPIC = "arn:aws:sns:eu-central-1:123456789012:notices"

Probe = Callable[..., Invocation]


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedAws]:
    folder = tmp_path_factory.mktemp("probe")
    parameters = {"Targets": "127.0.0.1:1", "NoticesTopicArn": TOPIC}
    with EmbeddedAws(
        TEMPLATE, work_dir=folder, parameters=parameters, stack_name="probe", minute_seconds=0
    ) as made:
        yield made


@pytest.fixture
def probe(aws: EmbeddedAws) -> Probe:
    """Looks once at other targets."""

    def look(*targets: str) -> Invocation:
        function = aws.functions.get("Probe")
        spec = dataclasses.replace(function.spec, environment={"TARGETS": ",".join(targets)})
        function.update(spec, aws.variables(spec))
        return aws.invoke("Probe", {})

    return look


@pytest.fixture
def answering() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture
def closed() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return f"127.0.0.1:{listening.getsockname()[1]}"


def test_addresses_that_answer_are_no_error(probe: Probe, answering: str) -> None:
    looked = probe(answering, answering)
    assert looked.error is None
    assert looked.result == {"reachable": 2}


def test_the_one_that_does_not_answer_is_named_and_only_that(
    probe: Probe, answering: str, closed: str
) -> None:
    looked = probe(answering, closed)
    assert looked.error is not None
    assert looked.error["errorType"] == "UnreachableError"
    assert looked.error["errorMessage"] == f"{closed}: Connection refused"


@pytest.fixture
def here(closed: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The handler's module in this process, about an address where nobody listens yet."""
    monkeypatch.setenv("TARGETS", closed)
    namespace: dict[str, Any] = {}
    source = (ROOT / "examples/probe/function/handler.py").read_text()
    exec(compile(source, "handler.py", "exec"), namespace)  # noqa: S102 - Lambda imports it alone
    return namespace


def test_an_address_that_answers_at_the_second_attempt_is_no_error(here: dict[str, Any]) -> None:
    """As one that is being moved just then."""
    listening: list[socket.socket] = []

    class Time:
        @staticmethod
        def sleep(seconds: float) -> None:
            assert seconds > 0
            listening.append(socket.create_server(here["TARGETS"][0]))

    here["time"] = Time
    assert here["lambda_handler"]({}, None) == {"reachable": 1}
    assert len(listening) == 1
    listening[0].close()


def test_a_silent_address_is_given_up(here: dict[str, Any]) -> None:
    """A full backlog drops further connections without a word, as a closed security group does."""
    here["CONNECT_SECONDS"], here["PAUSE_SECONDS"] = 0.2, 0.0
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listening:
        address = listening.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(address)
        assert here["failure"](address) == f"127.0.0.1:{address[1]}: TimeoutError"
        for filler in fillers:
            filler.close()


def test_all_attempts_fit_into_the_functions_time(aws: EmbeddedAws, here: dict[str, Any]) -> None:
    longest = here["ATTEMPTS"] * here["CONNECT_SECONDS"]
    longest += (here["ATTEMPTS"] - 1) * here["PAUSE_SECONDS"]
    assert longest < aws.functions.get("Probe").spec.timeout_seconds / 2


def test_it_looks_each_minute_and_its_errors_are_the_alarm(aws: EmbeddedAws) -> None:
    (rule,) = aws.client("events").list_rules()["Rules"]
    assert rule["ScheduleExpression"] == "rate(1 minute)"
    (alarm,) = aws.client("cloudwatch").describe_alarms()["MetricAlarms"]
    assert (alarm["Namespace"], alarm["MetricName"]) == ("AWS/Lambda", "Errors")
    assert alarm["Dimensions"] == [
        {"Name": "FunctionName", "Value": aws.functions.get("Probe").spec.name}
    ]
    assert (alarm["EvaluationPeriods"], alarm["DatapointsToAlarm"]) == (3, 2)
    assert alarm["TreatMissingData"] == "breaching"
    assert alarm["AlarmActions"] == [TOPIC]


def test_it_may_write_its_log_and_nothing_else() -> None:
    template = translate(TEMPLATE, {"Targets": "192.0.2.1:80", "NoticesTopicArn": TOPIC}).template
    roles = [r for r in template["Resources"].values() if r["Type"] == "AWS::IAM::Role"]
    assert len(roles) == 1
    actions = set(re.findall(r'"(\w+:\w+)"', json.dumps(roles[0]["Properties"]["Policies"])))
    assert actions == {"logs:CreateLogStream", "logs:PutLogEvents"}


@pytest.mark.parametrize(
    "targets",
    ["", "203.0.113.10", "203.0.113.10:", "localhost:80", "203.0.113.10:443;x", "::1:80",
     ",".join(["203.0.113.10:443"] * 11)],
)  # fmt: skip
def test_a_target_that_is_none_is_refused_at_deployment(targets: str) -> None:
    with pytest.raises(TemplateError, match="Targets"):
        translate(TEMPLATE, {"Targets": targets, "NoticesTopicArn": TOPIC})


def test_a_port_beyond_all_ports_is_refused_by_name_at_the_start(probe: Probe) -> None:
    looked = probe("203.0.113.10:99999")
    assert looked.error is not None
    assert "203.0.113.10:99999" in "".join(line.text for line in looked.logs) + json.dumps(
        looked.error
    )
