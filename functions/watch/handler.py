"""Each minute: carries on what no report carries on, and sees whether a failover would work now."""

from __future__ import annotations

import os
from typing import Any

import boto3
from eip_arbiter.assembly import assemble_watch
from eip_arbiter.aws.clients import DYNAMODB_CONFIG, EC2_CONFIG, EC2_WATCH_CONFIG, EVENTS_CONFIG
from eip_arbiter.aws.telemetry import PowertoolsTelemetry

# Before the clients are made: it keeps botocore from telling where it found its credentials.
telemetry = PowertoolsTelemetry(os.environ.get("STACK_NAME", ""))
watch = assemble_watch(
    os.environ,
    dynamodb=boto3.client("dynamodb", config=DYNAMODB_CONFIG),
    ec2=boto3.client("ec2", config=EC2_CONFIG),
    looks=boto3.client("ec2", config=EC2_WATCH_CONFIG),
    events=boto3.client("events", config=EVENTS_CONFIG),
    telemetry=telemetry,
)


def lambda_handler(event: Any, context: object) -> dict[str, int]:  # noqa: ARG001 - Lambda's form
    """Looks once; what the schedule's event says does not matter.

    An AWS error is raised: the next minute looks again, and the readiness alarm takes a minute
    without a metric for one that is not well.
    """
    return watch.run()
