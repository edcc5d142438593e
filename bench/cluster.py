"""The contest on a real cluster: Dummy, awseip and the project, one machine, one run.

`python -m bench.cluster PART --json FILE` runs a part in an enclosure of its own, on clusters
of its own, and writes the samples.
"""

# ruff: noqa: T201 - a command speaks to its terminal

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Any

from lab.cluster import enclosure
from lab.contest.contenders import Awseip, Contender, Dummy, EipArbiter
from lab.contest.light import corosync_to_wire, lightness
from lab.contest.trials import Trials
from lab.real_site import Place, real_cluster

TOKENS_MS = (1000, 3000)
Samples = dict[str, dict[str, list[Any]]]
"""Trial -> contender (or node) -> what came of each run, as plain values."""


class Contest:
    """Runs trials and keeps what came of them."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.samples: Samples = {}
        self._arguments, self._began = arguments, time.monotonic()

    def takeovers(self) -> None:
        """Planned stops and power losses, at both tokens; what one monitor costs; link flaps."""
        for token_ms in TOKENS_MS:
            with real_cluster(token_ms=token_ms) as place:
                for contender in (Dummy(), Awseip(), EipArbiter()):
                    trials = self._join(place, contender)
                    if token_ms == TOKENS_MS[0]:
                        self._keep("monitor CPU", contender, trials.monitor_cpu_seconds())
                        for _ in range(self._arguments.rounds):
                            came = trials.takeover("planned stop")
                            self._keep("planned stop", contender, came)
                    for _ in range(self._arguments.rounds):
                        came = trials.takeover("power loss")
                        self._keep(f"power loss, token {token_ms}", contender, came)
                    contender.leave(place)
                if token_ms == TOKENS_MS[0]:
                    self._say(f"{self._arguments.flaps} flaps of the link")
                    times = corosync_to_wire(place, trials, self._arguments.flaps)
                    self.samples["Corosync to the wire"] = {contender.name: times}

    def partitions(self) -> None:
        """Partitions, their heals and what can take over then; the agents while all is calm."""
        with real_cluster(token_ms=TOKENS_MS[0]) as place:
            for contender in (Awseip(), EipArbiter()):
                trials = self._join(place, contender)
                for _ in range(self._arguments.rounds):
                    self._keep("partition", contender, trials.partition())
                contender.leave(place)
            trials.settle()
            self._say(f"agents at calm cadence for {self._arguments.calm:.0f} s")
            for name, found in lightness(place, self._arguments.calm).items():
                self.samples.setdefault("agent", {})[name] = [dataclasses.asdict(found)]

    def outages(self) -> None:
        """AWS away from both, and from the holder alone until it dies."""
        with real_cluster(token_ms=TOKENS_MS[0]) as place:
            for contender in (Awseip(), EipArbiter()):
                trials = self._join(place, contender)
                for _ in range(self._arguments.rounds):
                    self._keep("AWS refused", contender, trials.refused())
                for _ in range(self._arguments.rounds):
                    self._keep("AWS blackholed", contender, trials.blackholed())
                contender.leave(place)

    def _join(self, place: Place, contender: Contender) -> Trials:
        self._say(f"{contender.name} joins a cluster")
        contender.join(place)
        trials = Trials(place, contender)
        trials.settle()
        return trials

    def _say(self, text: str) -> None:
        print(f"  {time.monotonic() - self._began:7.0f} s  {text}", flush=True)

    def _keep(self, trial: str, contender: Contender, came: Any) -> None:
        plain = dataclasses.asdict(came) if dataclasses.is_dataclass(came) else came  # type: ignore[arg-type]
        self.samples.setdefault(trial, {}).setdefault(contender.name, []).append(plain)
        text = " ".join(f"{k}={v}" for k, v in plain.items()) if isinstance(plain, dict) else plain
        self._say(f"{trial:24}{contender.name:12} {text}")


PARTS = ("takeovers", "partitions", "outages")


def main() -> int:
    """Runs one part of the contest and writes the samples."""
    parser = argparse.ArgumentParser(prog="python -m bench.cluster", description=__doc__)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--rounds", type=int, default=5, help="runs of each trial")
    parser.add_argument("--calm", type=float, default=600.0, help="seconds of calm to watch")
    parser.add_argument("--flaps", type=int, default=50, help="flaps of the link")
    parser.add_argument("--json", type=Path, required=True)
    arguments = parser.parse_args()
    if missing := enclosure.requirements_missing():
        print(*(f"missing: {what}" for what in missing), sep="\n", file=sys.stderr)
        return 2
    enclosure.ensure_inside()
    contest = Contest(arguments)
    getattr(contest, arguments.part)()
    arguments.json.write_text(json.dumps(contest.samples, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
