"""Event patterns as EventBridge matches them. Pure; an operator that is not known is an error."""

from __future__ import annotations

import operator
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_ABSENT = object()
_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
    ">": operator.gt,
    ">=": operator.ge,
}
_FIELDS = {
    "version", "id", "detail-type", "source", "account", "time", "region", "resources", "detail",
}  # fmt: skip


class PatternError(ValueError):
    """The pattern is not one that EventBridge, or this stand-in for it, takes."""


def check(pattern: Any) -> None:
    """Refuse a pattern that is malformed or uses an operator that is not supported here.

    Raises:
        PatternError: Says what is wrong with it.
    """
    if not isinstance(pattern, dict) or not pattern:
        raise PatternError("an event pattern is an object that is not empty")
    if unknown := set(pattern) - _FIELDS - {"$or"}:
        raise PatternError(f"no event has a field {sorted(unknown)}")
    _check_object(pattern, "")


def _check_object(pattern: Mapping[str, Any], path: str) -> None:
    for key, rule in pattern.items():
        where = f"{path}.{key}" if path else key
        if key == "$or":
            if not isinstance(rule, list):
                raise PatternError(f"{where} must be a list")
            for alternative in rule:
                _check_object(alternative, where)
        elif isinstance(rule, dict):
            _check_object(rule, where)
        elif not isinstance(rule, list) or not rule:
            raise PatternError(f"{where} must be an object or a list that is not empty")
        else:
            for item in rule:
                _matches_rule(item, "")  # raises for what it does not know
                if isinstance(item, list):
                    raise PatternError(f"{where} holds a list in a list")


def matches(pattern: Mapping[str, Any], event: Any) -> bool:
    """Tell whether the event matches: every field must, by at least one of its rules."""
    return all(_matches_field(key, rule, event) for key, rule in pattern.items())


def _matches_field(key: str, rule: Any, event: Any) -> bool:
    if key == "$or":
        return any(matches(alternative, event) for alternative in rule)
    value = event.get(key, _ABSENT) if isinstance(event, dict) else _ABSENT
    if isinstance(rule, dict):
        members = value if isinstance(value, list) else [value]
        return any(matches(rule, member) for member in members)
    values = value if isinstance(value, list) and value else [value]
    return any(_matches_rule(item, one) for item in rule for one in values)


def _matches_rule(rule: Any, value: Any) -> bool:
    if not isinstance(rule, dict):
        return type(rule) is type(value) and bool(rule == value)
    if len(rule) != 1:
        raise PatternError(f"{rule} must hold exactly one operator")
    [(name, wanted)] = rule.items()
    text = value if isinstance(value, str) else None
    match name:
        case "exists":
            return bool(wanted) == (value is not _ABSENT)
        case "prefix" | "suffix" | "equals-ignore-case" | "wildcard":
            return text is not None and _matches_text(name, wanted, text)
        case "numeric":
            return _matches_numeric(wanted, value)
        case "anything-but":
            return value is not _ABSENT and not _matches_any(wanted, value)
    raise PatternError(f"the operator {name!r} is not supported by the embedded AWS")


def _matches_any(wanted: Any, value: Any) -> bool:
    if isinstance(wanted, dict):
        [(name, texts)] = wanted.items()
        listed = texts if isinstance(texts, list) else [texts]
        return any(_matches_rule({name: item}, value) for item in listed)
    return value in (wanted if isinstance(wanted, list) else [wanted])


def _matches_text(name: str, wanted: Any, text: str) -> bool:
    if isinstance(wanted, dict):
        if set(wanted) != {"equals-ignore-case"} or name not in {"prefix", "suffix"}:
            raise PatternError(f"{name}: {wanted} is not supported by the embedded AWS")
        wanted, text = wanted["equals-ignore-case"].lower(), text.lower()
    if not isinstance(wanted, str):
        raise PatternError(f"{name} takes a text, not {wanted!r}")
    match name:
        case "prefix":
            return text.startswith(wanted)
        case "suffix":
            return text.endswith(wanted)
        case "equals-ignore-case":
            return text.lower() == wanted.lower()
    return re.fullmatch(".*".join(map(re.escape, wanted.split("*"))), text, re.DOTALL) is not None


def _matches_numeric(wanted: Any, value: Any) -> bool:
    if not isinstance(wanted, list) or len(wanted) % 2 or not wanted:
        raise PatternError(f"numeric takes pairs of a comparison and a number, not {wanted}")
    pairs = list(zip(wanted[::2], wanted[1::2], strict=True))
    if unknown := [name for name, _ in pairs if name not in _COMPARISONS]:
        raise PatternError(f"numeric does not know {unknown}")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return all(_COMPARISONS[name](value, number) for name, number in pairs)
