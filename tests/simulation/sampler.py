"""What is looked at each half second of a run: where addresses are, and what lasts too long."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from simulation import liveness, truth

if TYPE_CHECKING:
    from simulation.watch import Watch


class Sampler:
    """Samples where addresses are against where Pacemaker runs their resources."""

    STEP_SECONDS = 0.5

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._wrong: Counter[int] = Counter()
        self._lasting = liveness.Lasting(watch)

    def sample(self) -> None:
        """One look; comes again by itself."""
        watch = self._watch
        for cluster in watch.world.clusters:
            for resource in truth.wanted_resources(cluster):
                running = [node for node in cluster.nodes if truth.runs(node, resource)]
                if truth.is_elsewhere(watch, cluster, resource, running):
                    self._wrong[len(watch.faults)] += 1
                self._lasting.look(cluster, resource, running)
        watch.world.loop.at(self.STEP_SECONDS, self.sample)

    def finish(self) -> None:
        """Puts figures by fault into the result, where one fault came at a time."""
        watch = self._watch
        if not watch.world.setup.serial:
            return
        result = watch.world.result
        for number in range(1, len(watch.faults) + 1):
            result.wrong_place.append(self._wrong[number] * self.STEP_SECONDS)
        for count in truth.moves_by_fault(watch):
            result.moves_per_fault[count] += 1
