"""Node reports and EC2 state changes in, at most one move of each address out.

Heartbeats keep this function's environment warm for the failover, so arbitration and the move are
one function, and every client that a move needs is made when the environment starts.
"""

from __future__ import annotations

import os
from typing import Any

import boto3
from eip_arbiter.assembly import assemble
from eip_arbiter.aws.clients import DYNAMODB_CONFIG, EC2_CONFIG, EVENTS_CONFIG
from eip_arbiter.aws.telemetry import PowertoolsTelemetry
from eip_contract.envelope import parse_envelope, parse_instance_state
from eip_contract.report import ReportRejected

telemetry = PowertoolsTelemetry(os.environ.get("STACK_NAME", ""))
arbiter = assemble(
    os.environ,
    dynamodb=boto3.client("dynamodb", config=DYNAMODB_CONFIG),
    ec2=boto3.client("ec2", config=EC2_CONFIG),
    events=boto3.client("events", config=EVENTS_CONFIG),
    telemetry=telemetry,
)


def lambda_handler(event: Any, context: Any) -> None:
    """Takes in one EventBridge event.

    A rejected one ends normally, since a retry would not make it better. An AWS error is raised. A
    report then goes to the dead-letter queue: the node's next one says everything again. EC2 does
    not repeat itself: its words come to the function `InstanceStates`, which has this code and
    which Lambda invokes again after one minute and after two more.
    """
    within = arbiter.within(context.get_remaining_time_in_millis())
    source = event.get("source") if isinstance(event, dict) else None
    try:
        if source == "aws.ec2":
            within.on_instance_state(*parse_instance_state(event))
        else:
            envelope = parse_envelope(event)
            within.on_report(envelope.report, envelope.said_at_ms)
    except ReportRejected as rejected:
        telemetry.rejected(rejected.reason, str(rejected), event_source=ascii(source)[:120])
