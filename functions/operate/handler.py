"""The operator's manual invoke: one verb in, one answer out. `events/invoke/` has the payloads."""

from __future__ import annotations

import os
from typing import Any

import boto3
from eip_arbiter.assembly import assemble, assemble_inspection
from eip_arbiter.aws.clients import DYNAMODB_CONFIG, EC2_CONFIG, EC2_LOOK_CONFIG, EVENTS_CONFIG
from eip_arbiter.aws.telemetry import PowertoolsTelemetry
from eip_arbiter.operate.operations import operate
from eip_arbiter.operate.requests import RefusedError

telemetry = PowertoolsTelemetry(os.environ.get("STACK_NAME", ""))
dynamodb = boto3.client("dynamodb", config=DYNAMODB_CONFIG)
arbiter = assemble(
    os.environ,
    dynamodb=dynamodb,
    ec2=boto3.client("ec2", config=EC2_CONFIG),
    events=boto3.client("events", config=EVENTS_CONFIG),
    telemetry=telemetry,
)
inspection = assemble_inspection(
    os.environ,
    arbiter,
    dynamodb=dynamodb,
    ec2=boto3.client("ec2", config=EC2_LOOK_CONFIG),
)


def lambda_handler(event: Any, context: Any) -> dict[str, Any]:
    """Answers one request; a refused one says why and changes nothing."""
    within = arbiter.within(context.get_remaining_time_in_millis())
    try:
        return operate(within, event, context.aws_request_id, inspection.verbs())
    except RefusedError as refused:
        telemetry.refused(str(refused))
        # `reason` is what the sentence of a refusal was called first; programs may read it.
        return {"outcome": "refused", "sentence": str(refused), "reason": str(refused)}
