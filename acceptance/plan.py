"""What a run does, makes and costs: the dry run's text, and the source of docs/acceptance.md."""

from __future__ import annotations

from dataclasses import dataclass

from acceptance.order import STEPS
from acceptance.run import Names

HOURS = 1.0
"""What is paid for: a run takes about 45 minutes, and AWS begins many an hour anew."""


@dataclass(frozen=True, slots=True)
class Made:
    """Resources of one kind; the price in USD is for one hour, `once` for all of them in a run."""

    what: str
    count: int
    hourly: float = 0.0
    once: float = 0.0

    @property
    def cost(self) -> float:
        """USD for a run."""
        return self.count * self.hourly * HOURS + self.once


MADE = (
    Made("instances t4g.micro, with 8 GB gp3 each", 2, 0.0084 + 0.0009),
    Made("public IPv4 addresses: two of the nodes, two Elastic IPs", 4, 0.005),
    Made(
        "interface endpoints in a zone (EventBridge, Secrets Manager), for half of the time",
        4,
        0.01,
    ),
    Made("secret: Corosync's key", 1, 0.0006),
    Made("alarms, 15 metrics of them", 10, 0.0002),
    Made("custom metrics", 8, 0.0004),
    Made("dashboard (three of an account are free; else up to 3.00 a month)", 1, 0.0042),
    Made(
        "Lambda, DynamoDB, EventBridge, SNS, SQS, S3, logs, for some thousand calls", 1, once=0.05
    ),
    Made("moves of an Elastic IP, below the 100 a month that are free", 30),
    Made("VPC, subnets, routes, security groups, roles, two interfaces for a minute", 1),
)


def cost() -> float:
    """USD for a run."""
    return sum(made.cost for made in MADE)


def minutes() -> float:
    """Making and deleting the stacks, and all steps."""
    return 10 + sum(step.minutes for step in STEPS) + 6


def text(names: Names) -> str:
    """The whole plan, for people."""
    lines = [
        f"Account {names.account}, region {names.region}.",
        "",
        f"Makes, for about {minutes():.0f} minutes:",
        f"  bucket {names.bucket}: the functions' code and the agent's package",
        f"  stack {names.control}: the product, from template.yaml by sam build and sam package",
        f"  stack {names.classic}: two nodes, from examples/classic/template.yaml",
        f"  queue {names.queue}: subscribes to the notices",
        "  an Elastic IP and two network interfaces of its own",
        "",
        "Then it",
    ]
    lines += [f"  {step.does} ({', '.join(step.rows)})" for step in STEPS]
    lines += ["", "and deletes all of it, the state table too, also if it fails or is stopped.", ""]
    lines.append(
        "Costs, by the published prices of us-east-1 (look them up before you rely on them):"
    )
    lines += [f"  {made.cost:5.3f} USD  {made.count:2} {made.what}" for made in MADE]
    lines.append(f"  {cost():5.3f} USD  in all")
    return "\n".join(lines)
