"""How the parts of an arbiter are put together from a function's settings and its AWS clients."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from eip_arbiter.arbitrate.announcing import Silent
from eip_arbiter.arbitrate.arbitration import Arbiter
from eip_arbiter.aws.dynamodb_history import DynamoDbHistory
from eip_arbiter.aws.dynamodb_store import DynamoDbStore
from eip_arbiter.aws.dynamodb_watch import DynamoDbMemory
from eip_arbiter.aws.ec2_address import Ec2Addresses, Ec2Inventory, Ec2Preflight
from eip_arbiter.aws.eventbridge_announcer import EventBridgeAnnouncer
from eip_arbiter.aws.telemetry import PowertoolsTelemetry
from eip_arbiter.operate.inspecting import Inspection
from eip_arbiter.ports import Telemetry
from eip_arbiter.settings import SettingsError, read_settings
from eip_arbiter.watch.watching import Watch
from eip_arbiter.widget.board import Board

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_events import EventBridgeClient


def assemble(
    environment: Mapping[str, str],
    *,
    dynamodb: DynamoDBClient,
    ec2: EC2Client,
    telemetry: Telemetry,
    events: EventBridgeClient | None = None,
) -> Arbiter:
    """The arbiter that a function's environment describes; without `events` it announces nothing.

    Raises:
        SettingsError: with every problem of the environment in one message.
    """
    settings = read_settings(environment)
    return Arbiter(
        store=DynamoDbStore(dynamodb, settings.table_name),
        elastic_ips=Ec2Addresses(ec2),
        inventory=Ec2Inventory(ec2),
        telemetry=telemetry,
        policy=settings.policy,
        clock=now_ms,
        announcer=EventBridgeAnnouncer(events, settings.bus_name, telemetry)
        if events
        else Silent(),
    )


def assemble_inspection(
    environment: Mapping[str, str], arbiter: Arbiter, *, dynamodb: DynamoDBClient, ec2: EC2Client
) -> Inspection:
    """The verbs that only look, beside the arbiter that `assemble` made of the same environment.

    `ec2` has the short time-outs of `aws.clients.EC2_LOOK_CONFIG`.
    """
    table_name = read_settings(environment).table_name
    return Inspection(
        arbiter=arbiter,
        history=DynamoDbHistory(dynamodb, table_name),
        memory=DynamoDbMemory(dynamodb, table_name),
        looks=Ec2Preflight(ec2),
    )


def assemble_watch(
    environment: Mapping[str, str],
    *,
    dynamodb: DynamoDBClient,
    ec2: EC2Client,
    looks: EC2Client,
    events: EventBridgeClient,
    telemetry: PowertoolsTelemetry,
) -> Watch:
    """The watch that a function's environment describes; `looks` changes nothing at EC2.

    Raises:
        SettingsError: with every problem of the environment in one message.
    """
    table_name = read_settings(environment).table_name
    return Watch(
        arbiter=assemble(
            environment, dynamodb=dynamodb, ec2=ec2, events=events, telemetry=telemetry
        ),
        preflight=Ec2Preflight(looks),
        memory=DynamoDbMemory(dynamodb, table_name),
        gauge=telemetry.gauge,
    )


def assemble_board(environment: Mapping[str, str], *, dynamodb: DynamoDBClient) -> Board:
    """What the dashboard's widget shows, as a function's environment describes it.

    Raises:
        SettingsError: with every problem of the environment in one message.
    """
    settings = read_settings(environment)
    operate_arn = environment.get("OPERATE_ARN", "")
    if not operate_arn:
        raise SettingsError("the settings do not hold: OPERATE_ARN is not set")
    return Board(
        store=DynamoDbStore(dynamodb, settings.table_name),
        memory=DynamoDbMemory(dynamodb, settings.table_name),
        history=DynamoDbHistory(dynamodb, settings.table_name),
        policy=settings.policy,
        clock=now_ms,
        operate_arn=operate_arn,
    )


def now_ms() -> int:
    """The arbiter's clock: milliseconds since the epoch."""
    return time.time_ns() // 1_000_000
