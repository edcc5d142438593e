"""CloudFormation's intrinsic functions, resolved against what has been made so far.

Pure: looking a reference up is the caller's business. A function that is not known is an error.
"""

from __future__ import annotations

import base64
import functools
import ipaddress
import itertools
import json
import operator
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_PLACEHOLDER = re.compile(r"\$\{(!?)([^}]+)\}")
NO_VALUE = object()
"""What `AWS::NoValue` resolves to: the property or item that holds it disappears."""


def _cidr(arguments: list[Any]) -> list[str]:
    """So many subnets of a block; their size is in bits of host addresses."""
    block, count, bits = ipaddress.ip_network(arguments[0]), int(arguments[1]), int(arguments[2])
    subnets = block.subnets(new_prefix=block.max_prefixlen - bits)
    return [str(subnet) for subnet in itertools.islice(subnets, count)]


# Those whose arguments are resolved first and which need nothing else.
_PLAIN_FUNCTIONS: Mapping[str, Callable[[Any], Any]] = {
    "Fn::Cidr": _cidr,
    "Fn::Join": lambda a: a[0].join(str(item) for item in a[1]),
    "Fn::Split": lambda a: a[1].split(a[0]),
    "Fn::Select": lambda a: a[1][int(a[0])],
    "Fn::Equals": lambda a: str(a[0]) == str(a[1]),
    "Fn::And": all,
    "Fn::Or": any,
    "Fn::Not": lambda a: not a[0],
    "Fn::Base64": lambda a: base64.b64encode(a.encode()).decode(),
    "Fn::ToJsonString": lambda a: json.dumps(a, separators=(",", ":")),
}


class TemplateError(Exception):
    """The template cannot be used; the message says why."""


class Resolver:
    """Resolves values of a template.

    Args:
        ref: Returns what `Ref` of a name gives; raises KeyError for an unknown name.
        get_att: Returns what `Fn::GetAtt` of a name and an attribute gives; raises KeyError.
        mappings: The template's Mappings.
        conditions: The template's Conditions, unresolved.
        of_the_account: Functions of one resolved argument that the account answers.
    """

    def __init__(
        self,
        ref: Callable[[str], Any],
        get_att: Callable[[str, str], Any],
        mappings: Mapping[str, Any],
        conditions: Mapping[str, Any],
        of_the_account: Mapping[str, Callable[[Any], Any]] | None = None,
    ) -> None:
        self._ref = ref
        self._get_att = get_att
        self._mappings = mappings
        self._conditions = conditions
        self._functions = {**_PLAIN_FUNCTIONS, **(of_the_account or {})}

    def resolve(self, value: Any) -> Any:
        """Return the value with every intrinsic function in it carried out.

        Raises:
            TemplateError: An unknown function, name or attribute.
        """
        if isinstance(value, list):
            items = [self.resolve(item) for item in value]
            return [item for item in items if item is not NO_VALUE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            [(name, argument)] = value.items()
            if name == "Ref":
                return self._look_up(lambda: self._ref(argument), f"Ref {argument}")
            if name == "Condition" and isinstance(argument, str):
                return self.condition(argument)
            if name.startswith("Fn::"):
                return self._function(name, argument)
        resolved = {key: self.resolve(item) for key, item in value.items()}
        return {key: item for key, item in resolved.items() if item is not NO_VALUE}

    def condition(self, name: str) -> bool:
        """Tell whether a condition of the template holds."""
        if name not in self._conditions:
            raise TemplateError(f"there is no condition {name!r}")
        return bool(self.resolve(self._conditions[name]))

    def _look_up(self, look: Callable[[], Any], what: str) -> Any:
        try:
            return look()
        except KeyError as error:
            raise TemplateError(f"{what}: there is no such thing") from error

    def _function(self, name: str, argument: Any) -> Any:
        match name:
            case "Fn::GetAtt":
                path = argument.split(".", 1) if isinstance(argument, str) else argument
                return self._look_up(lambda: self._get_att(*path), f"GetAtt {'.'.join(path)}")
            case "Fn::Sub":
                return self._sub(argument)
            case "Fn::If":
                condition, yes, no = argument
                return self.resolve(yes if self.condition(condition) else no)
            case "Fn::FindInMap":
                keys = [self.resolve(key) for key in argument]
                return self._look_up(
                    lambda: functools.reduce(operator.getitem, keys, self._mappings),
                    f"FindInMap {keys}",
                )
        if name not in self._functions:
            raise TemplateError(f"{name} is not supported by the embedded AWS")
        return self._functions[name](self.resolve(argument))

    def _sub(self, argument: Any) -> str:
        text, names = (argument, {}) if isinstance(argument, str) else argument

        def replace(found: re.Match[str]) -> str:
            literal, name = found.groups()
            if literal:
                return "${" + name + "}"
            if name in names:
                return str(self.resolve(names[name]))
            if "." in name:
                return str(self.resolve({"Fn::GetAtt": name}))
            return str(self.resolve({"Ref": name}))

        return _PLACEHOLDER.sub(replace, text)
