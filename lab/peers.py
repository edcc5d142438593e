"""The peers beside our own figures, measured in the same run on the same kind of cluster.

One run of each trial; `make bench` has several, and more trials.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from lab.contest.contenders import Awseip, Dummy
from lab.contest.trials import Outage, Partition, Takeover, Trials
from lab.real_site import real_cluster
from lab.stage import Outcome


@dataclass(frozen=True)
class Peers:
    """What the peers did."""

    dummy_stop: Takeover
    dummy_loss: Takeover
    awseip_stop: Takeover
    awseip_loss: Takeover
    awseip_partition: Partition
    awseip_refused: Outage
    awseip_monitor_cpu_seconds: float

    def to_json(self) -> dict[str, object]:
        """All figures, as plain values."""
        return dataclasses.asdict(self)


def measure(token_ms: int) -> Peers:
    """Runs both peers on a cluster of their own; about four minutes."""
    with real_cluster(token_ms=token_ms) as place:
        dummy, awseip = Dummy(), Awseip()
        dummy.join(place)
        bare = Trials(place, dummy)
        stop, loss = bare.takeover("planned stop"), bare.takeover("power loss")
        dummy.leave(place)
        awseip.join(place)
        theirs = Trials(place, awseip)
        return Peers(
            stop,
            loss,
            awseip_monitor_cpu_seconds=theirs.monitor_cpu_seconds(),
            awseip_stop=theirs.takeover("planned stop"),
            awseip_loss=theirs.takeover("power loss"),
            awseip_partition=theirs.partition(),
            awseip_refused=theirs.refused(),
        )


def render(peers: Peers, outcomes: list[Outcome], monitor_cpu_seconds: float) -> str:
    """The comparison as text; a dash where the story did not have that scene."""
    ours = {outcome.scene: outcome for outcome in outcomes}
    stop, loss = ours.get("planned stop"), ours.get("power loss")
    split, outage = ours.get("split-brain"), ours.get("AWS outage")
    rows = [
        ("", "Dummy", "awseip", "EIP Arbiter"),
        (
            "planned stop: fault to address, s",
            _seconds(peers.dummy_stop.address_seconds),
            _seconds(peers.awseip_stop.address_seconds),
            _seconds(stop.association_seconds if stop else None),
        ),
        (
            "planned stop: address with nobody, s",
            "",
            _seconds(peers.awseip_stop.nobody_seconds),
            _seconds(stop.nobody_seconds if stop else None),
        ),
        (
            "power loss: fault to address, s",
            _seconds(peers.dummy_loss.address_seconds),
            _seconds(peers.awseip_loss.address_seconds),
            _seconds(loss.association_seconds if loss else None),
        ),
        (
            "power loss: fault to Started, s",
            _seconds(peers.dummy_loss.started_seconds),
            _seconds(peers.awseip_loss.started_seconds),
            _seconds(loss.started_seconds if loss else None),
        ),
        (
            "partition: address moves",
            "",
            f"{peers.awseip_partition.moves} in {peers.awseip_partition.seconds:.0f} s",
            f"{split.moves}" if split else "-",
        ),
        (
            "AWS refused to both for 60 s: serves after",
            "",
            ", ".join(peers.awseip_refused.serves_on) or "nobody",
            ("as before" if outage.ok else "WRONG") if outage else "-",
        ),
        (
            "CPU of one monitor, ms",
            "",
            f"{peers.awseip_monitor_cpu_seconds * 1000:.0f}",
            f"{monitor_cpu_seconds * 1000:.0f}",
        ),
    ]
    width = max(len(row[0]) for row in rows)
    lines = [f"{row[0]:<{width}}" + "".join(f"{cell:>14}" for cell in row[1:]) for row in rows]
    return "beside its peers, same run (control plane only)\n" + "\n".join(lines)


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
