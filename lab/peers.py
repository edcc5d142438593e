"""The peers beside our own figures, measured in the same run on the same kind of cluster.

`ocf:heartbeat:Dummy` shows the cluster's own time, below which nobody can get; the real
`ocf:heartbeat:awseip` is what people run today.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from statistics import median

from lab.cluster.baseline import AwseipBaseline, AwseipFigures, DummyFigures, measure_dummy
from lab.real_site import real_cluster
from lab.stage import Outcome


@dataclass(frozen=True)
class Peers:
    """What the peers did."""

    dummy: DummyFigures
    awseip: AwseipFigures

    def to_json(self) -> dict[str, object]:
        """All figures, as plain values."""
        return dataclasses.asdict(self)


def measure(token_ms: int) -> Peers:
    """Runs both peers on a cluster of their own; about four minutes."""
    with real_cluster(token_ms=token_ms) as place:
        dummy = measure_dummy(place.cluster)
        awseip = AwseipBaseline(place.cluster, place.aws, place.world).measure()
    return Peers(dummy, awseip)


def render(peers: Peers, outcomes: list[Outcome], monitor_cpu_seconds: float) -> str:
    """The comparison as text; a dash where the story did not have that scene."""
    ours = {outcome.scene: outcome for outcome in outcomes}
    awseip, dummy = peers.awseip, peers.dummy
    stop, loss = ours.get("planned stop"), ours.get("power loss")
    split, outage = ours.get("split-brain"), ours.get("AWS outage")
    rows = [
        ("", "Dummy", "awseip", "EIP Arbiter"),
        (
            "planned stop: fault to address, s",
            _seconds(median(dummy.planned_stop_seconds)),
            _seconds(median(t.address_seconds for t in awseip.planned_stop)),
            _seconds(stop.association_seconds if stop else None),
        ),
        (
            "planned stop: address with nobody, s",
            "",
            _seconds(median(t.nobody_seconds for t in awseip.planned_stop)),
            _seconds(stop.nobody_seconds if stop else None),
        ),
        (
            "power loss: fault to address, s",
            _seconds(median(dummy.power_loss_seconds)),
            _seconds(median(t.address_seconds for t in awseip.power_loss)),
            _seconds(loss.association_seconds if loss else None),
        ),
        (
            "power loss: fault to Started, s",
            _seconds(median(dummy.power_loss_seconds)),
            _seconds(median(t.started_seconds for t in awseip.power_loss)),
            _seconds(loss.started_seconds if loss else None),
        ),
        (
            "partition: address moves",
            "",
            f"{awseip.partition.moves} in {awseip.partition.seconds:.0f} s",
            f"{split.moves}" if split else "-",
        ),
        (
            "AWS refused to both for 60 s: serves after",
            "",
            ", ".join(awseip.outage.started_on) or "nobody",
            ("as before" if outage.ok else "WRONG") if outage else "-",
        ),
        (
            "CPU of one monitor, ms",
            "",
            f"{awseip.monitor_cpu_seconds * 1000:.0f}",
            f"{monitor_cpu_seconds * 1000:.0f}",
        ),
    ]
    width = max(len(row[0]) for row in rows)
    lines = [f"{row[0]:<{width}}" + "".join(f"{cell:>14}" for cell in row[1:]) for row in rows]
    return "beside its peers, same run (control plane only)\n" + "\n".join(lines)


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
