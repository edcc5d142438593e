"""Values that a JSON Schema allows, as far as the schemas in events/ go.

The package for this rests on another package's internals and fell behind them; the part of JSON
Schema that is used here is small. What a strategy cannot see (`if`, `then`, `else`) the validator
filters.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jsonschema
from hypothesis import strategies as st

KNOWN = {
    *("$schema", "title", "description", "type", "const", "enum", "anyOf", "pattern"),
    *("minimum", "maximum", "items", "minItems", "maxItems", "properties", "required"),
    *("propertyNames", "additionalProperties", "maxProperties", "if", "then", "else"),
}


def allowed_by(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that the whole schema allows."""
    validator = jsonschema.Draft202012Validator(schema)
    return _allowed_by(schema).filter(validator.is_valid)


def _allowed_by(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    if unknown := set(schema) - KNOWN:
        raise ValueError(f"not read here: {', '.join(sorted(unknown))}")
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "anyOf" in schema:
        return st.one_of([_allowed_by(one) for one in schema["anyOf"]])
    made: dict[str, Callable[[], st.SearchStrategy[Any]]] = {
        "null": st.none,
        "boolean": st.booleans,
        "integer": lambda: st.integers(schema["minimum"], schema["maximum"]),
        "string": lambda: _matching(schema["pattern"]),
        "array": lambda: st.lists(
            _allowed_by(schema["items"]),
            min_size=schema.get("minItems", 0),
            max_size=schema["maxItems"],
        ),
        "object": lambda: _object(schema),
    }
    return made[schema["type"]]()


def _object(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    known = {name: _allowed_by(one) for name, one in schema.get("properties", {}).items()}
    required = set(schema.get("required", ()))
    named = st.fixed_dictionaries(
        {name: known[name] for name in known if name in required},
        optional={name: known[name] for name in known if name not in required},
    )
    if not isinstance(schema.get("additionalProperties"), dict):
        return named
    names = _matching(schema["propertyNames"]["pattern"])
    others = st.dictionaries(
        names, _allowed_by(schema["additionalProperties"]), max_size=schema["maxProperties"]
    )
    return st.tuples(others, named).map(lambda pair: pair[0] | pair[1])


def _matching(pattern: str) -> st.SearchStrategy[str]:
    # Python's `$` also matches before a newline at the end, JSON Schema's does not.
    return st.from_regex(pattern.replace("$", r"\Z"))
