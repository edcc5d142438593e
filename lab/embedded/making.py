"""What a maker of resources works with: the site, the order for one resource, and what was made."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import TYPE_CHECKING, Any

from lab.embedded.functions import Functions
from lab.embedded.intrinsics import TemplateError
from lab.embedded.runtime import FunctionSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


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
    exports: dict[str, str] = dataclasses.field(default_factory=dict)
    """Exported name -> value, of all stacks of the account."""

    def arn(self, service: str, resource: str) -> str:
        """Return the ARN of something in this account and region."""
        return f"arn:aws:{service}:{self.region}:{self.account_id}:{resource}"

    def generated(self, logical_id: str) -> str:
        """Return a name as CloudFormation makes them, but the same at every run."""
        suffix = hashlib.sha256(f"{self.name}/{logical_id}".encode()).hexdigest()[:12]
        return f"{self.name}-{logical_id}-{suffix}"


@dataclasses.dataclass(frozen=True, slots=True)
class Order:
    """What a maker is asked to make."""

    code_of: Callable[[Mapping[str, Any]], tuple[Path, tuple[Path, ...]]]
    site: Site
    logical_id: str
    type: str
    properties: dict[str, Any]

    def name(self, property_name: str) -> str:
        """Return the name that the template gives, or a generated one."""
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
