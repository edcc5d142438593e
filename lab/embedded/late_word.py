"""What EC2's descriptions say of an association: the word of some time ago.

A change is in force at once, but DescribeAddresses and DescribeInstances may go on telling of what
was before it. Moto's types are internal, so values of its classes are `Any` here.
"""

from __future__ import annotations

import copy
import time
from typing import Any

FIELDS = ("eni", "instance", "association_id", "embedded_private_ip")
"""Where an address is, in moto's ElasticAddress."""


class LateWord:
    """Remembers where addresses were before their last changes."""

    def __init__(self) -> None:
        self._before: dict[str, list[tuple[float, dict[str, Any]]]] = {}

    def changes(self, eip: Any) -> None:
        """An address is about to change its place."""
        was = {name: getattr(eip, name, None) for name in FIELDS}
        self._before.setdefault(eip.allocation_id, []).append((time.monotonic(), was))

    def shown(self, eip: Any, lag_seconds: float) -> Any:
        """The address as a description shows it that is so many seconds behind."""
        since = time.monotonic() - lag_seconds
        later = [was for at, was in self._before.get(eip.allocation_id, ()) if at > since]
        if not later:
            return eip
        view = copy.copy(eip)
        for name, value in later[0].items():
            setattr(view, name, value)
        return view
