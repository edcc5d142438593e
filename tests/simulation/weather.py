"""How bad the region is right now: probabilities of what can go wrong, by name.

A run has a climate for all its time, and faults make weather for some of it.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

CLIMATE_LIMITS = {
    "event_loss": 0.10,
    "event_double": 0.10,
    "event_late": 0.05,
    "event_reordered": 0.20,
    "invocation_crash": 0.02,
    "invocation_stall": 0.005,
    "dynamodb_error": 0.02,
    "dynamodb_lost_reply": 0.01,
    "dynamodb_retried": 0.02,
    "dynamodb_slow": 0.40,
    "ec2_error": 0.05,
    "ec2_lost_reply": 0.05,
    "ec2_late": 0.02,
    "ec2_slow": 0.10,
}
"""The worst climate of a run; what is not named here comes with faults only."""


@dataclass
class Weather:
    """The probabilities in force; `happened` counts what they brought about."""

    rng: random.Random
    climate: dict[str, float] = field(default_factory=dict)
    happened: Counter[str] = field(default_factory=Counter)
    now: Callable[[], float] = lambda: 0.0
    struck_at: float = 0.0
    front_at: float = 0.0
    _fronts: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    _level: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._level = dict(self.climate)

    def begin(self, kind: str, probability: float) -> None:
        """A fault raises a probability."""
        self._fronts[kind].append(probability)
        self._refresh(kind)

    def end(self, kind: str, probability: float) -> None:
        """The fault is over."""
        self._fronts[kind].remove(probability)
        self.front_at = self.now()
        self._refresh(kind)

    def clear(self) -> None:
        """From now on nothing goes wrong."""
        self.climate, self._level = {}, {}
        self._fronts.clear()

    def _refresh(self, kind: str) -> None:
        self._level[kind] = max([self.climate.get(kind, 0.0), *self._fronts[kind]])

    @property
    def is_bad(self) -> bool:
        """Whether a fault's weather is on."""
        return any(self._fronts.values())

    def strikes(self, kind: str) -> bool:
        """Whether it happens this time."""
        level = self._level.get(kind)
        if not level or self.rng.random() >= level:
            return False
        self.happened[kind] += 1
        self.struck_at = self.now()
        return True
