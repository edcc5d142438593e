"""How each type of resource is made; a new type in the template needs a function here.

Makers call the embedded AWS's own API, so that its validation applies.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from lab.embedded.ec2_resources import EC2_MAKERS
from lab.embedded.functions import AsyncPolicy, Function
from lab.embedded.intrinsics import TemplateError
from lab.embedded.making import Order, Result
from lab.embedded.runtime import FunctionSpec

if TYPE_CHECKING:
    from collections.abc import Callable

_IAM = "IAM is not simulated: policies are kept for reading and never evaluated"
RECORDED_ONLY = {
    "AWS::IAM::Role": _IAM,
    "AWS::IAM::Policy": _IAM,
    "AWS::IAM::ManagedPolicy": _IAM,
    "AWS::IAM::InstanceProfile": _IAM,
    "AWS::SQS::QueuePolicy": _IAM,
    "AWS::SNS::TopicPolicy": _IAM,
    "AWS::Events::EventBusPolicy": _IAM,
    "AWS::Lambda::LayerVersion": "a layer's folder goes on the functions' PYTHONPATH",
    "AWS::Logs::MetricFilter": "log lines do not become metrics here",
}


def record(order: Order) -> Result:
    """Give a resource of `RECORDED_ONLY` the name and the ARN that others refer to."""
    name = order.site.generated(order.logical_id)
    account = order.site.account_id
    if order.type == "AWS::Lambda::LayerVersion":
        arn = order.site.arn("lambda", f"layer:{order.properties['LayerName']}:1")
        return arn, {"LayerVersionArn": arn}
    if order.type == "AWS::IAM::ManagedPolicy":
        arn = f"arn:aws:iam::{account}:policy/{order.name('ManagedPolicyName')}"
        return arn, {"PolicyArn": arn}
    kinds = {"AWS::IAM::Role": "role", "AWS::IAM::InstanceProfile": "instance-profile"}
    if kind := kinds.get(order.type):
        name = order.name("RoleName" if kind == "role" else "InstanceProfileName")
        return name, {"Arn": f"arn:aws:iam::{account}:{kind}/{name}", "RoleId": f"AROA{name}"}
    return name, {}


def _table(order: Order) -> Result:
    wanted = dict(order.properties)
    name = order.name("TableName")
    ttl = wanted.pop("TimeToLiveSpecification", None)
    recovery = wanted.pop("PointInTimeRecoverySpecification", None)
    if "SSESpecification" in wanted:
        wanted["SSESpecification"] = {
            ("Enabled" if k == "SSEEnabled" else k): v
            for k, v in wanted["SSESpecification"].items()
        }
    made = order.call("dynamodb", "create_table", **{**wanted, "TableName": name})
    if ttl:
        order.call("dynamodb", "update_time_to_live", TableName=name, TimeToLiveSpecification=ttl)
    if recovery:
        order.call(
            "dynamodb",
            "update_continuous_backups",
            TableName=name,
            PointInTimeRecoverySpecification=recovery,
        )
    described = made["TableDescription"]
    return name, {
        "Arn": described["TableArn"], "StreamArn": described.get("LatestStreamArn", "")
    }  # fmt: skip


def _event_bus(order: Order) -> Result:
    name = order.name("Name")
    made = order.call("events", "create_event_bus", **{**order.properties, "Name": name})
    return name, {"Arn": made["EventBusArn"], "Name": name}


def _rule(order: Order) -> Result:
    wanted = dict(order.properties)
    name, bus = order.name("Name"), str(wanted.get("EventBusName", "default")).rpartition("/")[2]
    targets = wanted.pop("Targets", [])
    if "EventPattern" in wanted:
        wanted["EventPattern"] = json.dumps(wanted["EventPattern"])
    made = order.call("events", "put_rule", **{**wanted, "Name": name, "EventBusName": bus})
    if targets:
        order.call("events", "put_targets", Rule=name, EventBusName=bus, Targets=targets)
    ref = name if bus == "default" else f"{bus}|{name}"
    return ref, {"Arn": made["RuleArn"]}


def _queue(order: Order) -> Result:
    shape = order.site.client("sqs").meta.service_model.shape_for("QueueAttributeName")
    order.only("QueueName", "Tags", *shape.enum)  # moto takes any attribute silently
    wanted = dict(order.properties)
    wanted.pop("QueueName", None)
    tags = {tag["Key"]: tag["Value"] for tag in wanted.pop("Tags", [])}
    attributes = {
        k: json.dumps(v) if isinstance(v, dict | bool) else str(v) for k, v in wanted.items()
    }
    name = order.name("QueueName")
    made = order.call("sqs", "create_queue", QueueName=name, Attributes=attributes, tags=tags)
    url = made["QueueUrl"]
    return url, {"Arn": order.site.arn("sqs", name), "QueueName": name, "QueueUrl": url}


def _topic(order: Order) -> Result:
    order.only("TopicName", "DisplayName", "KmsMasterKeyId", "Subscription", "Tags")
    wanted = order.properties
    attributes = {k: str(wanted[k]) for k in ("DisplayName", "KmsMasterKeyId") if k in wanted}
    name = order.name("TopicName")
    tags = wanted.get("Tags", [])
    arn = order.call("sns", "create_topic", Name=name, Attributes=attributes, Tags=tags)["TopicArn"]
    for subscription in wanted.get("Subscription", []):
        order.call("sns", "subscribe", TopicArn=arn, **subscription)
    return arn, {"TopicArn": arn, "TopicName": name}


def _subscription(order: Order) -> Result:
    order.only("TopicArn", "Protocol", "Endpoint")
    arn = order.call("sns", "subscribe", **order.properties)["SubscriptionArn"]
    return arn, {"Arn": arn}


def _alarm(order: Order) -> Result:
    """The alarm can be described; nothing evaluates it."""
    name = order.name("AlarmName")
    order.call("cloudwatch", "put_metric_alarm", **{**order.properties, "AlarmName": name})
    return name, {"Arn": order.site.arn("cloudwatch", f"alarm:{name}")}


def _dashboard(order: Order) -> Result:
    order.only("DashboardName", "DashboardBody")
    name, body = order.name("DashboardName"), order.properties["DashboardBody"]
    try:
        json.loads(body)
    except ValueError as error:
        raise TemplateError(f"{order.logical_id}: the body is not JSON: {error}") from error
    order.call("cloudwatch", "put_dashboard", DashboardName=name, DashboardBody=body)
    return name, {}


def _log_group(order: Order) -> Result:
    order.only("LogGroupName", "RetentionInDays", "Tags", "LogGroupClass")
    name = order.name("LogGroupName")
    order.call("logs", "create_log_group", logGroupName=name)
    _retain_logs(order)
    return name, {"Arn": order.site.arn("logs", f"log-group:{name}:*")}


def _retain_logs(order: Order) -> None:
    name = order.name("LogGroupName")
    if days := order.properties.get("RetentionInDays"):
        order.call("logs", "put_retention_policy", logGroupName=name, retentionInDays=days)


def _function(order: Order) -> Result:
    spec = _specification(order)
    order.site.functions.by_name[spec.name] = Function(spec, order.site.variables(spec))
    return spec.name, {"Arn": spec.arn}


def _update_function(order: Order) -> None:
    spec = _specification(order)
    order.site.functions.by_name[spec.name].update(spec, order.site.variables(spec))


def _specification(order: Order) -> FunctionSpec:
    order.only(
        "Architectures", "Code", "DeadLetterConfig", "Description", "Environment", "FunctionName",
        "Handler", "Layers", "LoggingConfig", "MemorySize", "RecursiveLoop",
        "ReservedConcurrentExecutions", "Role", "Runtime", "Tags", "Timeout", "TracingConfig",
    )  # fmt: skip
    wanted, name = order.properties, order.name("FunctionName")
    code, layers = order.code_of(wanted)
    reserved, logging = wanted.get("ReservedConcurrentExecutions"), wanted.get("LoggingConfig", {})
    variables = wanted.get("Environment", {}).get("Variables", {})
    return FunctionSpec(
        logical_id=order.logical_id,
        name=name,
        arn=order.site.arn("lambda", f"function:{name}"),
        handler=wanted["Handler"],
        runtime=wanted["Runtime"],
        timeout_seconds=float(wanted.get("Timeout", 3)),
        memory_mb=int(wanted.get("MemorySize", 128)),
        environment={k: str(v) for k, v in variables.items()},
        code=code,
        layers=layers,
        log_format=logging.get("LogFormat", "Text"),
        log_level=logging.get("ApplicationLogLevel", "INFO"),
        log_group=logging.get("LogGroup", f"/aws/lambda/{name}"),
        reserved_concurrency=None if reserved is None else int(reserved),
        dead_letter_arn=wanted.get("DeadLetterConfig", {}).get("TargetArn"),
    )


def _permission(order: Order) -> Result:
    function = order.site.functions.get(order.properties["FunctionName"])
    source_arn = order.properties.get("SourceArn", "")
    function.permissions.append((order.properties["Principal"], source_arn))
    return order.site.generated(order.logical_id), {}


def _event_invoke_config(order: Order) -> Result:
    order.only(
        "FunctionName", "Qualifier", "MaximumEventAgeInSeconds", "MaximumRetryAttempts",
        "DestinationConfig",
    )  # fmt: skip
    wanted = order.properties
    destinations = wanted.get("DestinationConfig", {})
    arn = destinations.get("OnFailure", {}).get("Destination")
    if "OnSuccess" in destinations or (arn and ":sqs:" not in arn):
        raise TemplateError(f"{order.logical_id}: only OnFailure to a queue is supported")
    order.site.functions.get(wanted["FunctionName"]).async_policy = AsyncPolicy(
        max_retry_attempts=int(wanted.get("MaximumRetryAttempts", 2)),
        max_event_age_seconds=float(wanted.get("MaximumEventAgeInSeconds", 21_600)),
        on_failure_arn=arn,
    )
    return order.site.generated(order.logical_id), {}


MAKERS: dict[str, Callable[[Order], Result]] = {
    **EC2_MAKERS,
    "AWS::CloudWatch::Alarm": _alarm,
    "AWS::CloudWatch::Dashboard": _dashboard,
    "AWS::DynamoDB::Table": _table,
    "AWS::Events::EventBus": _event_bus,
    "AWS::Events::Rule": _rule,
    "AWS::Lambda::EventInvokeConfig": _event_invoke_config,
    "AWS::Lambda::Function": _function,
    "AWS::Lambda::Permission": _permission,
    "AWS::Logs::LogGroup": _log_group,
    "AWS::SNS::Subscription": _subscription,
    "AWS::SNS::Topic": _topic,
    "AWS::SQS::Queue": _queue,
}

UPDATERS: dict[str, Callable[[Order], None]] = {
    "AWS::Lambda::Function": _update_function,
    "AWS::Logs::LogGroup": _retain_logs,
}
"""What can be changed in place, which is all that the template's parameters change."""
