"""What a planted bug is: names of the shipped code that it replaces while its runs last."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

Patch = tuple[Any, str, Any]


@dataclass(frozen=True)
class Mutant:
    """One planted bug."""

    name: str
    patches: Callable[[], list[Patch]]


MUTANTS: list[Mutant] = []


def mutant(function: Callable[[], list[Patch]]) -> Callable[[], list[Patch]]:
    """Adds a mutant; its function's name is its name, its docstring what is wrong with it."""
    MUTANTS.append(Mutant(function.__name__, function))
    return function


def cached(owner: type, name: str, function: Callable[[Any], Any]) -> Patch:
    """The patch of a cached property."""
    replacement = cached_property(function)
    replacement.__set_name__(owner, name)
    return (owner, name, replacement)
