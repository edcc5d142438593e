"""The deployed policies, evaluated: all that was called is allowed, and hardly anything else."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from core.harness import Cluster
from eip_contract.envelope import source_for
from eip_contract.report import DETAIL_TYPE
from iam.evaluator import ACCOUNT, FOLDER, Request, evaluate
from needs import needed

from lab.embedded.cloud import EmbeddedAws

TAGGED = {"aws:ResourceTag/eip-arbiter:cluster": "web"}
EC2 = f"arn:aws:ec2:eu-central-1:{ACCOUNT}"
MOVED = (
    f"{EC2}:elastic-ip/eipalloc-00000000000000001",
    f"{EC2}:instance/i-0aaaaaaaaaaaaaaa1",
    f"{EC2}:network-interface/eni-00000000000000001",
)
UNSEEN = {
    # Lambda itself calls these, which no client here does.
    "logs:CreateLogStream": "writes what the function prints",
    "logs:PutLogEvents": "writes what the function prints",
    "sqs:SendMessage": "Lambda sends what failed to the dead-letter queue",
}
FUNCTIONS = ("Arbitrate", "InstanceStates", "Watch", "Operate", "Widget")


@pytest.fixture(autouse=True)
def _evaluator() -> None:
    """Without Node.js these skip by name; in CI they fail."""
    needed("node", there=shutil.which("node") is not None)
    needed("what npm installs in tests/iam", there=(FOLDER / "node_modules").is_dir())


def policies(aws: EmbeddedAws, function: str) -> list[Any]:
    """The policies of a function's role, with every reference resolved."""
    function_role = "Arbitrate" if function == "InstanceStates" else function
    role = aws.stack.resources[f"{function_role}Role"].properties
    return [policy["PolicyDocument"] for policy in role["Policies"]]


def node_policy(aws: EmbeddedAws) -> list[Any]:
    return [aws.stack.resources["NodePolicy"].properties["PolicyDocument"]]


def granted(documents: list[Any]) -> set[str]:
    found = set()
    for document in documents:
        for statement in document["Statement"]:
            action = statement["Action"]
            found |= {action} if isinstance(action, str) else set(action)
    return found


def table(aws: EmbeddedAws, name: str = "") -> str:
    return f"arn:aws:dynamodb:{aws.region}:{ACCOUNT}:table/{name or aws.outputs['TableName']}"


def bus(aws: EmbeddedAws, name: str = "") -> str:
    return f"arn:aws:events:{aws.region}:{ACCOUNT}:event-bus/{name or aws.outputs['BusName']}"


def put(aws: EmbeddedAws, *, says: str, kind: str, instance: str = "", to: str = "") -> Request:
    """A PutEvents of one entry; from a node, EC2 adds the instance that really asks."""
    context: dict[str, str | list[str]] = {"events:source": [says], "events:detail-type": [kind]}
    if instance:
        context["ec2:SourceInstanceARN"] = f"{EC2}:instance/{instance}"
    return Request("events:PutEvents", bus(aws, to), context)


def requests(aws: EmbeddedAws, action: str, context: Mapping[str, str] = TAGGED) -> list[Request]:
    """What IAM is asked when a function makes this call."""
    service, _, operation = action.partition(":")
    if service == "dynamodb":
        return [Request(action, table(aws))]
    if service == "events":
        return [put(aws, says="eip-arbiter", kind="Address Moved")]
    if operation.startswith("Describe"):
        return [Request(action, "*")]
    kinds = MOVED if operation == "AssociateAddress" else (MOVED[0], MOVED[2])
    return [Request(action, resource, dict(context)) for resource in kinds]


def exercise(aws: EmbeddedAws, cluster: Cluster) -> None:
    """Everything that the functions do, once."""
    cluster.say(cluster.claims("n1", lost=()))
    cluster.say(cluster.runs("n1"))
    cluster.say(cluster.stands_by("n2"))
    aws.invoke("Watch", {})
    aws.invoke("Widget", {"cluster": cluster.id})
    for verb, request in (
        ("status", {}),
        ("history", {}),
        ("plan", {"node": "n1"}),
        ("doctor", {}),
        ("pause", {"minutes": 1}),
        ("resume", {}),
        ("failover", {"target": "n2"}),
    ):
        assert cluster.operate(verb, **request)["outcome" if verb != "status" else "cluster"]
    cluster.say(cluster.runs("n2"))
    # A planned stop there, and a start here; then a release that nobody claims.
    cluster.say(cluster.report("n2", cause="release"))
    cluster.say(cluster.claims("n1", lost=()))
    # A release counts from the grant, which is dated back, since nobody waits a minute here.
    cluster.age_grant(65_000)
    cluster.say(cluster.report("n1", cause="release", for_ms=60_000))
    assert cluster.world.holder() is None
    aws.set_instance_state(cluster.instance("n2"), "stopped")
    cluster.invocations.wait(lambda event: event.get("source") == "aws.ec2", count=2)


@pytest.fixture(scope="module")
def _seen() -> dict[str, set[str]]:
    return {}


@pytest.fixture
def used(aws: EmbeddedAws, cluster: Cluster, _seen: dict[str, set[str]]) -> dict[str, set[str]]:
    """By function, the actions that the journal recorded while everything was done once."""
    if not _seen:
        since = aws.journal.now()
        exercise(aws, cluster)
        for call in aws.journal.calls(since=since):
            if call.principal in FUNCTIONS:
                action = f"{call.service}:{call.operation}"
                _seen.setdefault(call.principal, set()).add(action)
    return _seen


def test_every_call_that_was_made_is_allowed_by_the_role_that_made_it(
    aws: EmbeddedAws, used: dict[str, set[str]]
) -> None:
    assert used.keys() == set(FUNCTIONS)
    asked = [
        (policies(aws, function), request)
        for function, actions in used.items()
        for action in sorted(actions)
        for request in requests(aws, action)
    ]
    assert len(asked) > 20
    answers = evaluate(asked)
    denied = [
        (r.action, r.resource) for (_, r), a in zip(asked, answers, strict=True) if a != "Allowed"
    ]
    assert denied == []


RARE = {
    ("Watch", "ec2:DisassociateAddress"): "R090, when no report comes",
    ("Watch", "dynamodb:UpdateItem"): "R031 and R090 commit and settle",
    ("Watch", "events:PutEvents"): "tells of silence",
    ("Operate", "ec2:DisassociateAddress"): "R090, decided at once by `resume`",
}


def test_nothing_is_granted_but_what_is_used(aws: EmbeddedAws, used: dict[str, set[str]]) -> None:
    # The two that run the same code have one role, whose rights the two use between them.
    of_role = {**used, "Arbitrate": used["Arbitrate"] | used["InstanceStates"]}
    for function in ("Arbitrate", "Watch", "Operate", "Widget"):
        unused = granted(policies(aws, function)) - of_role[function] - UNSEEN.keys()
        assert unused <= {action for who, action in RARE if who == function}, function


def test_a_call_to_anything_else_is_denied_to_every_function(aws: EmbeddedAws) -> None:
    asked: list[tuple[list[Any], Request]] = []
    for function in FUNCTIONS:
        own = policies(aws, function)
        asked += [(own, request) for request in requests(aws, "ec2:AssociateAddress", {})]
        asked += [(own, request) for request in requests(aws, "ec2:DisassociateAddress", {})]
        asked += [
            (own, Request("dynamodb:GetItem", table(aws, "other"))),
            (own, Request("dynamodb:DeleteItem", table(aws))),
            (own, Request("dynamodb:DeleteTable", table(aws))),
            (own, Request("ec2:ReleaseAddress", MOVED[0], TAGGED)),
            (own, Request("ec2:TerminateInstances", MOVED[1], TAGGED)),
            (own, put(aws, says="eip-arbiter", kind="Address Moved", to="other")),
            (own, put(aws, says="eip-arbiter", kind=DETAIL_TYPE)),
            (own, put(aws, says="eip-arbiter.node/x", kind="Address Moved")),
        ]
    allowed = [r for (_, r), a in zip(asked, evaluate(asked), strict=True) if a == "Allowed"]
    assert allowed == []


def test_an_address_that_is_not_tagged_is_denied_even_beside_tagged_ones(
    aws: EmbeddedAws,
) -> None:
    own = policies(aws, "Arbitrate")
    for untagged in range(len(MOVED)):
        asked = [
            (own, replace(request, context={} if number == untagged else TAGGED))
            for number, request in enumerate(requests(aws, "ec2:AssociateAddress"))
        ]
        answers = evaluate(asked)
        assert answers.count("Allowed") == len(MOVED) - 1
        assert answers[untagged] != "Allowed"


class TestANode:
    ME, OTHER = "i-0aaaaaaaaaaaaaaa1", "i-0bbbbbbbbbbbbbbb2"

    def source(self, instance: str) -> str:
        return source_for("aws", "eu-central-1", ACCOUNT, instance)

    def test_may_report_for_itself_and_read_the_state(self, aws: EmbeddedAws) -> None:
        own = put(aws, says=self.source(self.ME), kind=DETAIL_TYPE, instance=self.ME)
        read = Request("dynamodb:GetItem", table(aws))
        assert evaluate([(node_policy(aws), r) for r in (own, read)]) == ["Allowed"] * 2

    def test_may_do_nothing_else(self, aws: EmbeddedAws) -> None:
        me, mine = self.ME, self.source(self.ME)
        report = put(aws, says=mine, kind=DETAIL_TYPE, instance=me)
        mixed = {"events:source": [mine, self.source(self.OTHER)]}
        denied = [
            put(aws, says=self.source(self.OTHER), kind=DETAIL_TYPE, instance=me),
            put(aws, says="eip-arbiter", kind=DETAIL_TYPE, instance=me),
            put(aws, says=mine, kind="Address Moved", instance=me),
            put(aws, says=mine, kind=DETAIL_TYPE, instance=me, to="other"),
            put(aws, says=mine, kind=DETAIL_TYPE, instance=me, to="default"),
            # Its credentials, used from elsewhere: there is no instance then.
            put(aws, says=mine, kind=DETAIL_TYPE),
            # One entry for itself and one for another node, in the same call.
            replace(report, context={**report.context, **mixed}),
            replace(report, context={"ec2:SourceInstanceARN": f"{EC2}:instance/{me}"}),
            Request("dynamodb:GetItem", table(aws, "other")),
            Request("dynamodb:PutItem", table(aws)),
            Request("dynamodb:UpdateItem", table(aws)),
            Request("dynamodb:Query", table(aws)),
            Request("ec2:DescribeAddresses", "*"),
            *(Request("ec2:AssociateAddress", resource, TAGGED) for resource in MOVED),
            Request("lambda:InvokeFunction", aws.functions.get("Operate").spec.arn),
        ]
        answers = evaluate([(node_policy(aws), request) for request in denied])
        assert [r for r, a in zip(denied, answers, strict=True) if a == "Allowed"] == []


def test_an_operator_may_invoke_the_two_functions_for_people_only(aws: EmbeddedAws) -> None:
    own = [aws.stack.resources["OperatorPolicy"].properties["PolicyDocument"]]
    arns = {name: aws.functions.get(name).spec.arn for name in FUNCTIONS}
    asked = [(own, Request("lambda:InvokeFunction", arn)) for arn in arns.values()]
    allowed = [answer == "Allowed" for answer in evaluate(asked)]
    assert dict(zip(arns, allowed, strict=True)) == {
        "Arbitrate": False,
        "InstanceStates": False,
        "Watch": False,
        "Operate": True,
        "Widget": True,
    }
