"""Strict reading of YAML: an unknown key, a missing one or a wrong type is an error with its place.

Durations are written as people write them (`3 s`, `500 ms`, `10 min`), with `ago` or `in` where a
point in time is meant.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

UNITS_MS = {"ms": 1, "s": 1_000, "min": 60_000, "h": 3_600_000}
T = TypeVar("T")
_DURATION = re.compile(r"(\d+(?:\.\d+)?) (ms|s|min|h)")


class CorpusError(ValueError):
    """A scenario that does not say what it means; the message says where."""


class Section:
    """One mapping of a document; what is not taken out of it is unknown."""

    def __init__(self, where: str, value: Any) -> None:
        if not isinstance(value, dict):
            raise CorpusError(f"{where}: a mapping is wanted, not {value!r}")
        self.where = where
        self._left: dict[str, Any] = dict(value)

    def has(self, key: str) -> bool:
        """Whether the key is there and not taken yet."""
        return key in self._left

    def take(self, key: str, default: Any = None) -> Any:
        """A value as it stands."""
        return self._left.pop(key, default)

    def text(self, key: str, default: str | None = None) -> str:
        """A string; without a default it must be there."""
        return self._typed(key, str, default)

    def whole(self, key: str, default: int | None = None) -> int:
        """A whole number."""
        return self._typed(key, int, default)

    def flag(self, key: str, default: bool | None = None) -> bool:
        """A truth value."""
        return self._typed(key, bool, default)

    def texts(self, key: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        """A list of strings."""
        value = self.take(key, list(default))
        if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
            raise CorpusError(f"{self.where}.{key}: a list of strings is wanted, not {value!r}")
        return tuple(value)

    def duration_ms(self, key: str, default: str | None = None) -> int:
        """A duration in milliseconds."""
        return duration_ms(f"{self.where}.{key}", self.text(key, default))

    def ago_ms(self, key: str, default: str | None = None) -> int:
        """How long ago something was; negative for `in 3 s`."""
        where, text = f"{self.where}.{key}", self.text(key, default)
        if text.endswith(" ago"):
            return duration_ms(where, text.removesuffix(" ago"))
        if text.startswith("in "):
            return -duration_ms(where, text.removeprefix("in "))
        raise CorpusError(f"{where}: {text!r} is neither `... ago` nor `in ...`")

    def sections(self, key: str) -> dict[str, Section]:
        """A mapping of mappings."""
        entries = Section(f"{self.where}.{key}", self.take(key, {})).rest()
        return {name: Section(f"{self.where}.{key}.{name}", entries[name]) for name in entries}

    def section(self, key: str) -> Section:
        """A mapping in this one, empty where it is missing."""
        return Section(f"{self.where}.{key}", self.take(key, {}))

    def rest(self) -> Mapping[str, Any]:
        """All that is left, which is thereby taken."""
        rest, self._left = self._left, {}
        return rest

    def end(self) -> None:
        """Nothing may be left.

        Raises:
            CorpusError: with the unknown keys.
        """
        if self._left:
            raise CorpusError(f"{self.where}: unknown: {', '.join(sorted(map(str, self._left)))}")

    def _typed(self, key: str, wanted: type[T], default: T | None) -> T:
        value = self.take(key, default)
        # A truth value is no number here, although Python says so.
        if not isinstance(value, wanted) or type(value) is not wanted:
            raise CorpusError(f"{self.where}.{key}: {wanted.__name__} is wanted, not {value!r}")
        return value


def duration_ms(where: str, text: str) -> int:
    """`3 s` as 3000.

    Raises:
        CorpusError: where it is not written like that.
    """
    found = _DURATION.fullmatch(text)
    if not found:
        raise CorpusError(f"{where}: {text!r} is no duration such as `3 s` or `500 ms`")
    return round(float(found[1]) * UNITS_MS[found[2]])
