"""The names of what is put right here, where a simulation was kinder than AWS or plainly other.

`docs/fidelity.md` has a row for each name: how AWS's behaviour is known, and what
happens if it is otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

CORRECTIONS: dict[str, str] = {}
"""By name, where it is made."""

T = TypeVar("T")


def corrects(*names: str) -> Callable[[T], T]:
    """Marks what makes a correction, or several.

    Raises:
        ValueError: another place has that name already.
    """

    def mark(made: T) -> T:
        place = f"{made.__module__}.{made.__qualname__}"  # type: ignore[attr-defined]
        for name in names:
            if CORRECTIONS.setdefault(name, place) != place:
                raise ValueError(f"{name} is the name of {CORRECTIONS[name]}")
        made.corrects = names  # type: ignore[attr-defined]
        return made

    return mark
