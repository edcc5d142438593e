"""How deliveries are lost, doubled and delayed, repeatably for a seed."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    Event = dict[str, Any]


@dataclasses.dataclass(eq=False)
class Tampering:
    """What happens to deliveries while it is in force; `clear()` ends it.

    `drop` and `duplicate` are probabilities; `delay_seconds` is a range that is drawn from for each
    delivery, so that it also reorders. `hits` counts what was done.
    """

    drop: float
    duplicate: float
    delay_seconds: tuple[float, float]
    match: Callable[[Event], bool]
    chance: random.Random
    active: bool = True
    hits: dict[str, int] = dataclasses.field(
        default_factory=lambda: {"drop": 0, "duplicate": 0, "delay": 0}
    )

    def clear(self) -> None:
        """Deliver as usual from now on."""
        self.active = False

    def delays(self, event: Event) -> list[float]:
        """Return one delay for each copy to deliver."""
        if not self.active or not self.match(event):
            return [0.0]
        if self.chance.random() < self.drop:
            self.hits["drop"] += 1
            return []
        copies = 1
        if self.chance.random() < self.duplicate:
            self.hits["duplicate"] += 1
            copies = 2
        delays = [self.chance.uniform(*self.delay_seconds) for _ in range(copies)]
        self.hits["delay"] += sum(d > 0 for d in delays)
        return delays
