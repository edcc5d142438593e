"""A picture of the failover timelines: from the fault to the address to "Started", run by run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.rows import CONTENDERS

TRIALS = ("planned stop", "power loss, token 1000", "power loss, token 3000")
COLOURS = {"Dummy": "#8a8f98", "awseip": "#c8553d", "EIP Arbiter": "#2a6f97"}


def draw(samples: Mapping[str, Mapping[str, Sequence[Any]]], path: Path) -> bool:
    """Writes the picture as SVG; False where no takeover was measured, or nothing draws here."""
    trials = [trial for trial in TRIALS if trial in samples]
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - `make bench` alone installs it
    except ImportError:
        return False
    if not trials:
        return False
    figure = Figure(figsize=(9, 1.2 + 1.9 * len(trials)), layout="constrained")
    figure.suptitle("Seconds after the fault until the other node serves (embedded AWS)")
    for axes, trial in zip(figure.subplots(len(trials), squeeze=False)[:, 0], trials, strict=True):
        row, labels = 0.0, []
        for name in CONTENDERS:
            runs = samples[trial].get(name, [])
            first = row
            for run in runs:
                address, started = run["address_seconds"], run["started_seconds"]
                # A planned stop hands over: until then the old node serves.
                nobody = run["nobody_seconds"]
                colour = COLOURS[name]
                axes.plot([address - nobody, address], [row, row], color="#d9b44a", lw=5, zorder=1)
                axes.plot([0, max(address, started)], [row, row], color=colour, lw=1, zorder=2)
                axes.plot(address, row, "o", color=colour, ms=6, zorder=3)
                axes.plot(started, row, "|", color=colour, ms=12, mew=2, zorder=3)
                row += 1.0
            if runs:
                labels.append(((first + row - 1) / 2, name))
            row += 1.0
        axes.set_yticks([at for at, _ in labels], [name for _, name in labels])
        axes.invert_yaxis()
        axes.set_xlim(left=0)
        axes.set_title(trial, loc="left", fontsize=10)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(left=False)
    axes.set_xlabel(
        "dot: the address is there   bar: Pacemaker says Started   yellow: the address with nobody"
    )
    figure.savefig(path, metadata={"Date": None})
    return True
