"""Makes the resources of a translated template, as CloudFormation would.

Moto's own CloudFormation is not used: it skips types silently while it says CREATE_COMPLETE, and
breaks on common references. Here every type is made by a function below, or is in `RECORDED_ONLY`
with the reason, or stops the deployment.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from botocore.exceptions import ClientError, ParamValidationError

from lab.embedded.functions import AsyncPolicy, Function, Functions
from lab.embedded.intrinsics import NO_VALUE, Resolver, TemplateError
from lab.embedded.runtime import FunctionSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from lab.embedded.translate import Translation

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


@dataclasses.dataclass(frozen=True, slots=True)
class Made:
    """A resource that exists: what `Ref` and `Fn::GetAtt` give, and its resolved properties."""

    type: str
    ref: str
    attributes: Mapping[str, str]
    properties: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Site:
    """Where a stack is made, and with what."""

    name: str
    account_id: str
    region: str
    client: Callable[[str], Any]
    functions: Functions
    variables: Callable[[FunctionSpec], Mapping[str, str]]
    say: Callable[[str], None]

    def arn(self, service: str, resource: str) -> str:
        """Return the ARN of something in this account and region."""
        return f"arn:aws:{service}:{self.region}:{self.account_id}:{resource}"

    def generated(self, logical_id: str) -> str:
        """Return a name as CloudFormation makes them, but the same at every run."""
        suffix = hashlib.sha256(f"{self.name}/{logical_id}".encode()).hexdigest()[:12]
        return f"{self.name}-{logical_id}-{suffix}"


class Stack:
    """One deployed template."""

    def __init__(self, translation: Translation, site: Site) -> None:
        self.resources: dict[str, Made] = {}
        self.outputs: dict[str, str] = {}
        self._translation = translation
        self._template = translation.template
        self._site = site
        self._in_progress: list[str] = []
        self._pseudo = {
            "AWS::AccountId": site.account_id,
            "AWS::NoValue": NO_VALUE,
            "AWS::NotificationARNs": [],
            "AWS::Partition": "aws",
            "AWS::Region": site.region,
            "AWS::StackId": site.arn("cloudformation", f"stack/{site.name}/local"),
            "AWS::StackName": site.name,
            "AWS::URLSuffix": "amazonaws.com",
        }
        self._resolver = Resolver(
            self._ref,
            self._get_att,
            self._template.get("Mappings", {}),
            self._template.get("Conditions", {}),
        )

    def deploy(self) -> None:
        """Make every resource whose condition holds, then the outputs.

        Raises:
            TemplateError: Something cannot be made; what was made before stays.
        """
        wanted = self._template["Resources"]
        known = {*_MAKERS, *RECORDED_ONLY}
        strange = {i: r["Type"] for i, r in wanted.items() if r["Type"] not in known}
        if strange:
            raise TemplateError(f"the embedded AWS cannot make {strange}")
        for logical_id, resource in wanted.items():
            if self._applies(resource):
                self._make(logical_id)
        for name, output in self._template.get("Outputs", {}).items():
            if self._applies(output):
                self.outputs[name] = str(self._resolver.resolve(output["Value"]))

    def _applies(self, item: Mapping[str, Any]) -> bool:
        return "Condition" not in item or self._resolver.condition(item["Condition"])

    def _ref(self, name: str) -> Any:
        if name in self._pseudo:
            return self._pseudo[name]
        if name in self._translation.parameters:
            return self._translation.parameters[name]
        return self._make(name).ref

    def _get_att(self, logical_id: str, attribute: str) -> str:
        return self._make(logical_id).attributes[attribute]

    def _make(self, logical_id: str) -> Made:
        if logical_id in self.resources:
            return self.resources[logical_id]
        if logical_id in self._in_progress:
            raise TemplateError(f"circular dependency: {[*self._in_progress, logical_id]}")
        resource = self._template["Resources"][logical_id]
        if not self._applies(resource):
            raise TemplateError(f"{logical_id} is referred to, but its condition does not hold")
        self._in_progress.append(logical_id)
        needed = resource.get("DependsOn", [])
        for name in [needed] if isinstance(needed, str) else needed:
            if self._applies(self._template["Resources"][name]):
                self._make(name)
        properties = self._resolver.resolve(resource.get("Properties", {}))
        maker = _MAKERS.get(resource["Type"], _record)
        try:
            ref, attributes = maker(
                _Order(self, self._site, logical_id, resource["Type"], properties)
            )
        except (ClientError, ParamValidationError) as error:
            raise TemplateError(f"{logical_id} ({resource['Type']}): {error}") from error
        made = Made(resource["Type"], ref, attributes, properties)
        self.resources[logical_id] = made
        self._in_progress.pop()
        return made

    def code_of(self, properties: Mapping[str, Any]) -> tuple[Path, tuple[Path, ...]]:
        """Return a function's code folder and its layers' folders."""
        keys = {
            made.ref: made.properties["Content"]["S3Key"]
            for made in self.resources.values()
            if made.type == "AWS::Lambda::LayerVersion"
        }
        layers = []
        for arn in properties.get("Layers", []):
            code = self._translation.code.get(keys.get(arn, ""))
            if code is None:
                raise TemplateError(f"layer {arn} is not made by this template")
            if code.path is None:
                self._site.say(f"layer {keys[arn]} is not built here: installed packages stand in")
            else:
                layers.append(code.path)
        code = self._translation.code[properties["Code"]["S3Key"]]
        if code.path is None:
            raise TemplateError(f"{properties['Code']['S3Key']} has no folder to run from")
        return code.path, tuple(layers)

    def describe_xml(self) -> str:
        """Return the answer to DescribeStacks."""
        outputs = "".join(
            f"<member><OutputKey>{escape(k)}</OutputKey><OutputValue>{escape(v)}</OutputValue></member>"
            for k, v in self.outputs.items()
        )
        return (
            '<DescribeStacksResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/">'
            f"<DescribeStacksResult><Stacks><member><StackName>{escape(self._site.name)}</StackName>"
            f"<StackId>{self._pseudo['AWS::StackId']}</StackId>"
            "<CreationTime>2026-01-01T00:00:00Z</CreationTime>"
            f"<StackStatus>CREATE_COMPLETE</StackStatus><Outputs>{outputs}</Outputs></member></Stacks>"
            "</DescribeStacksResult></DescribeStacksResponse>"
        )


@dataclasses.dataclass(frozen=True, slots=True)
class _Order:
    """What a maker is asked to make."""

    stack: Stack
    site: Site
    logical_id: str
    type: str
    properties: dict[str, Any]

    def name(self, property_name: str) -> str:
        return str(self.properties.get(property_name) or self.site.generated(self.logical_id))

    def only(self, *allowed: str) -> None:
        """Refuse properties that would be ignored."""
        if unknown := set(self.properties) - set(allowed):
            raise TemplateError(
                f"{self.logical_id}: {sorted(unknown)} of {self.type} not supported"
            )

    def call(self, service: str, operation: str, **arguments: Any) -> Any:
        """Call the API; texts become numbers and booleans where the API wants those."""
        client = self.site.client(service)
        model = client.meta.service_model
        shape = model.operation_model(client.meta.method_to_api_mapping[operation]).input_shape
        return getattr(client, operation)(**_fit(shape, arguments))


def _fit(shape: Any, value: Any) -> Any:
    if shape.type_name == "structure" and isinstance(value, dict):
        return {k: _fit(shape.members[k], v) if k in shape.members else v for k, v in value.items()}
    if shape.type_name == "list" and isinstance(value, list):
        return [_fit(shape.member, item) for item in value]
    if isinstance(value, str):
        if shape.type_name in {"integer", "long"}:
            return int(value)
        if shape.type_name in {"double", "float"}:
            return float(value)
        if shape.type_name == "boolean":
            return value.lower() == "true"
    return str(value) if shape.type_name == "string" and not isinstance(value, str) else value


Result = tuple[str, dict[str, str]]


def _record(order: _Order) -> Result:
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


def _table(order: _Order) -> Result:
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


def _event_bus(order: _Order) -> Result:
    name = order.name("Name")
    made = order.call("events", "create_event_bus", **{**order.properties, "Name": name})
    return name, {"Arn": made["EventBusArn"], "Name": name}


def _rule(order: _Order) -> Result:
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


def _queue(order: _Order) -> Result:
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


def _topic(order: _Order) -> Result:
    order.only("TopicName", "DisplayName", "KmsMasterKeyId", "Subscription", "Tags")
    wanted = order.properties
    attributes = {k: str(wanted[k]) for k in ("DisplayName", "KmsMasterKeyId") if k in wanted}
    name = order.name("TopicName")
    tags = wanted.get("Tags", [])
    arn = order.call("sns", "create_topic", Name=name, Attributes=attributes, Tags=tags)["TopicArn"]
    for subscription in wanted.get("Subscription", []):
        order.call("sns", "subscribe", TopicArn=arn, **subscription)
    return arn, {"TopicArn": arn, "TopicName": name}


def _subscription(order: _Order) -> Result:
    made = order.call("sns", "subscribe", **order.properties, ReturnSubscriptionArn=True)
    return made["SubscriptionArn"], {}


def _alarm(order: _Order) -> Result:
    """The alarm can be described; nothing evaluates it."""
    name = order.name("AlarmName")
    order.call("cloudwatch", "put_metric_alarm", **{**order.properties, "AlarmName": name})
    return name, {"Arn": order.site.arn("cloudwatch", f"alarm:{name}")}


def _composite_alarm(order: _Order) -> Result:
    name = order.name("AlarmName")
    order.call("cloudwatch", "put_composite_alarm", **{**order.properties, "AlarmName": name})
    return name, {"Arn": order.site.arn("cloudwatch", f"alarm:{name}")}


def _dashboard(order: _Order) -> Result:
    order.only("DashboardName", "DashboardBody")
    name, body = order.name("DashboardName"), order.properties["DashboardBody"]
    try:
        json.loads(body)
    except ValueError as error:
        raise TemplateError(f"{order.logical_id}: the body is not JSON: {error}") from error
    order.call("cloudwatch", "put_dashboard", DashboardName=name, DashboardBody=body)
    return name, {}


def _log_group(order: _Order) -> Result:
    order.only("LogGroupName", "RetentionInDays", "Tags", "LogGroupClass")
    name = order.name("LogGroupName")
    order.call("logs", "create_log_group", logGroupName=name)
    if days := order.properties.get("RetentionInDays"):
        order.call("logs", "put_retention_policy", logGroupName=name, retentionInDays=days)
    return name, {"Arn": order.site.arn("logs", f"log-group:{name}:*")}


def _function(order: _Order) -> Result:
    order.only(
        "Architectures", "Code", "DeadLetterConfig", "Description", "Environment", "FunctionName",
        "Handler", "Layers", "LoggingConfig", "MemorySize", "RecursiveLoop",
        "ReservedConcurrentExecutions", "Role", "Runtime", "Tags", "Timeout", "TracingConfig",
    )  # fmt: skip
    wanted, name = order.properties, order.name("FunctionName")
    code, layers = order.stack.code_of(wanted)
    reserved, logging = wanted.get("ReservedConcurrentExecutions"), wanted.get("LoggingConfig", {})
    variables = wanted.get("Environment", {}).get("Variables", {})
    spec = FunctionSpec(
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
    order.site.functions.by_name[name] = Function(spec, order.site.variables(spec))
    return name, {"Arn": spec.arn}


def _permission(order: _Order) -> Result:
    function = order.site.functions.get(order.properties["FunctionName"])
    source_arn = order.properties.get("SourceArn", "")
    function.permissions.append((order.properties["Principal"], source_arn))
    return order.site.generated(order.logical_id), {}


def _event_invoke_config(order: _Order) -> Result:
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


_MAKERS: dict[str, Callable[[_Order], Result]] = {
    "AWS::CloudWatch::Alarm": _alarm,
    "AWS::CloudWatch::CompositeAlarm": _composite_alarm,
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
