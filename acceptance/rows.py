"""What is asked of the account, in the order of the report, and how an answer looks. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Verdict = Literal["as expected", "otherwise", "failed", "not seen here"]
Figures = Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Question:
    """One row: what is asked, and what the product was built to expect."""

    asks: str
    expects: str


@dataclass(frozen=True, slots=True)
class Row:
    """One answer; `figures` in seconds unless the name says otherwise, None for "never"."""

    id: str
    measured: str
    verdict: Verdict
    figures: Figures = field(default_factory=dict)


QUESTIONS: Mapping[str, Question] = {
    "doctor": Question("Is the product well once both stacks are there?", "every check holds"),
    "associate": Question("How long does AssociateAddress take?", "less than 5 s, each time"),
    "describe": Question(
        "How long does DescribeAddresses show the former place after a move?",
        "less than 60 s: so long the watch leaves alone what has moved",
    ),
    "dry_run": Question(
        "What does a dry run say of an interface that does not exist?",
        "DryRunOperation, since it looks at rights, or InvalidNetworkInterfaceID.NotFound",
    ),
    "unknown_instance": Question(
        "What does EC2 say of an instance that does not exist?", "InvalidInstanceID.NotFound"
    ),
    "way_ipv4": Question(
        "How long has a node no way to AWS by IPv4 when an Elastic IP comes, and when it goes?",
        "less than 20 s when it comes; minutes when it goes",
    ),
    "way_ipv6": Question("The same by IPv6", "no interruption"),
    "way_endpoint": Question("The same by endpoints in the VPC", "no interruption"),
    "metadata_lag": Question(
        "How late does the metadata service tell that an Elastic IP came, and went?",
        "less than 45 s, the default of metadata_lag_seconds",
    ),
    "metadata_alone": Question(
        "Does the metadata service answer while the node has no way by IPv4?", "each time"
    ),
    "identity": Question(
        "May a node put an event in another node's name?", "no: AccessDeniedException"
    ),
    "untagged": Question(
        "Does EC2 refuse to associate the address with an interface without the tag?",
        "yes: UnauthorizedOperation",
    ),
    "notice": Question(
        "Does a notice arrive as it was sent, as valid JSON?", "yes, and not as a dead letter"
    ),
    "raw_quote": Question(
        "What becomes of a notice with a double quote, which the product never sends?",
        "EventBridge does not escape it: a text that is not valid JSON, or a dead letter",
    ),
    "alarm": Question("Does an alarm reach the topic of the notices?", "yes"),
    "widget": Question("Does the dashboard's page answer?", "HTML that names both nodes"),
    "order": Question("A failover by order", "the service runs on the target, no node is banned"),
    "switchover": Question("A switchover by Pacemaker", "the same"),
    "power_loss": Question("A node loses its power", "the same"),
    "search": Question(
        "Do the dashboard's SEARCH expressions find the metrics?", "each is valid; moves are there"
    ),
    "logs": Question(
        "Do log lines keep their level and their fields?", "a decision is found by level and rule"
    ),
    "terminated": Question(
        "Does EC2 take an Elastic IP off an instance that is terminated?",
        "yes, and the instance shows no interface any more",
    ),
}


def not_seen(row_id: str, why: str) -> Row:
    """A row that this account cannot answer."""
    return Row(row_id, why, "not seen here")


def failed(row_id: str, why: str) -> Row:
    """A row whose measurement did not come to an end."""
    return Row(row_id, why, "failed")
