"""Makes the resources of a translated template in their order, as CloudFormation would.

Moto's own CloudFormation is not used: it skips types silently while it says CREATE_COMPLETE, and
breaks on common references. Here every type is made by a function of `resources.py`, or is in
`RECORDED_ONLY` with the reason, or stops the deployment.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from botocore.exceptions import ClientError, ParamValidationError

from lab.embedded.ec2_resources import ipv6_blocks
from lab.embedded.intrinsics import NO_VALUE, Resolver, TemplateError
from lab.embedded.making import Made, Order, Site
from lab.embedded.resources import MAKERS, RECORDED_ONLY, UPDATERS, record
from lab.embedded.translate import translate

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lab.embedded.translate import Translation


class Stack:
    """One deployed template.

    Args:
        translation: What to make.
        site: Where.
        former: The stack as it was, to be updated: what is the same stays, what differs is changed
            in place. Nothing is replaced or deleted, and nothing rolled back.
    """

    def __init__(self, translation: Translation, site: Site, former: Stack | None = None) -> None:
        self.resources: dict[str, Made] = {}
        self.outputs: dict[str, str] = {}
        self._translation = translation
        self._template = translation.template
        self._site = site
        self._former: Mapping[str, Made] = former.resources if former else {}
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
            {
                "Fn::GetAZs": lambda region: [f"{region or site.region}{a}" for a in "abc"],
                "Fn::ImportValue": self._import,
            },
        )

    def deploy(self) -> None:
        """Make every resource whose condition holds, then the outputs.

        Raises:
            TemplateError: Something cannot be made; what was made before stays.
        """
        wanted = self._template["Resources"]
        if gone := self._former.keys() - {i for i, r in wanted.items() if self._applies(r)}:
            raise TemplateError(f"the embedded AWS cannot delete {sorted(gone)} in an update")
        known = {*MAKERS, *RECORDED_ONLY}
        strange = {i: r["Type"] for i, r in wanted.items() if r["Type"] not in known}
        if strange:
            raise TemplateError(f"the embedded AWS cannot make {strange}")
        for logical_id, resource in wanted.items():
            if self._applies(resource):
                self._make(logical_id)
        for name, output in self._template.get("Outputs", {}).items():
            if self._applies(output):
                self._export(name, self._resolver.resolve(output))

    def _export(self, output: str, resolved: Mapping[str, Any]) -> None:
        self.outputs[output] = str(resolved["Value"])
        if "Export" not in resolved:
            return
        name = resolved["Export"]["Name"]
        if name in self._site.exports and not self._former:
            raise TemplateError(f"{output}: another stack exports {name} already")
        self._site.exports[name] = self.outputs[output]

    def _import(self, name: str) -> str:
        if name not in self._site.exports:
            raise TemplateError(f"no stack exports {name}")
        return self._site.exports[name]

    def _applies(self, item: Mapping[str, Any]) -> bool:
        return "Condition" not in item or self._resolver.condition(item["Condition"])

    def _ref(self, name: str) -> Any:
        if name in self._pseudo:
            return self._pseudo[name]
        if name in self._translation.parameters:
            return self._translation.parameters[name]
        return self._make(name).ref

    def _get_att(self, logical_id: str, attribute: str) -> Any:
        made = self._make(logical_id)
        if (made.type, attribute) == ("AWS::EC2::VPC", "Ipv6CidrBlocks"):
            return ipv6_blocks(self._site.client, made.ref)
        return made.attributes[attribute]

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
        order = Order(self.code_of, self._site, logical_id, resource["Type"], properties)
        try:
            made = self._updated(order) or _make(order)
        except (ClientError, ParamValidationError) as error:
            raise TemplateError(f"{logical_id} ({resource['Type']}): {error}") from error
        self.resources[logical_id] = made
        self._in_progress.pop()
        return made

    def _updated(self, order: Order) -> Made | None:
        """What was there before, as the order wants it; None for what is new."""
        there = self._former.get(order.logical_id)
        if there is None or there.properties == order.properties:
            return there
        if order.type in UPDATERS:
            UPDATERS[order.type](order)
        elif order.type not in RECORDED_ONLY:
            raise TemplateError(f"{order.logical_id}: an update of {order.type} is not supported")
        return dataclasses.replace(there, properties=order.properties)

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


def _make(order: Order) -> Made:
    ref, attributes = MAKERS.get(order.type, record)(order)
    return Made(order.type, ref, attributes, order.properties)


def deploy_beside(
    site: Site, template: Path, name: str, parameters: Mapping[str, str] | None = None
) -> Stack:
    """Deploy one more stack in the account of another one, whose exports it may import.

    Raises:
        TemplateError: It cannot be made.
    """
    stack = Stack(
        translate(template, parameters, site.region), dataclasses.replace(site, name=name)
    )
    stack.deploy()
    return stack
