"""`python -m bench.page`: docs/measured.md, written from bench/results.json and nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.rows import CONTENDERS, Row, rows

ROOT = Path(__file__).parents[1]
RESULTS, PAGE = ROOT / "bench" / "results.json", ROOT / "docs" / "measured.md"

_HEAD = """# Measured

Written by `make bench` from `bench/results.json`. Figures of one run on one machine (Debian 12, two
cores, {machine}, Python {python}): the columns of one line are made for each other, not for another
machine. AWS is the [embedded one](lab.md), which answers in milliseconds: **control plane only**.

## On real clusters

Two nodes, Pacemaker and Corosync as Debian has them, the classic properties; `ocf:heartbeat:awseip`
with Debian's AWS CLI and Pacemaker's default `migration-threshold`. Dummy is the cluster's own
time; where somebody is faster, that is the chance of Corosync's elections. Median (lowest to
highest) of {runs} runs. Between the runs Dummy and `awseip` are cleaned up by hand; nobody cleans
up for the EIP Arbiter.

"""
_CONTEST = """
![Seconds after the fault until the other node serves](failover.svg)

What is done: a planned stop is SIGTERM to Pacemaker, then Corosync; a power loss takes links and
processes at once; a partition cuts the ring while both reach AWS, heals, and 15 s later the node
that serves loses its power. Refused means a reset for each packet to AWS, silent means that none
comes back. Links are 15 s old when a takeover is timed. "Started" is asked for by `crm_mon` in a
loop, which adds up to 0.2 s to everybody's. Starts and stops are those in Pacemaker's log.

## Without AWS and without a cluster

| | median | p90 | beside | ratio | goal |
|---|---|---|---|---|---|
"""


def page(results: Mapping[str, Any]) -> str:
    """The page as Markdown."""
    samples = results["contest"]
    runs = max(len(found) for trial in samples.values() for found in trial.values())
    if "planned stop" in samples:
        runs = len(samples["planned stop"]["EIP Arbiter"])
    text = _HEAD.format(runs=runs, machine=results["machine"], python=results["python"])
    text += _line(("", *CONTENDERS, "goal", "")) + _line(("---",) * (len(CONTENDERS) + 3))
    text += "".join(_line(_cells(row)) for row in rows(samples))
    text += _CONTEST
    for one in results["figures"]:
        text += _line(
            (
                one["name"],
                f"{one['median_ms']:.3g} ms",
                f"{one['p90_ms']:.3g} ms",
                f"{one['peer']}: {one['peer_median_ms']:.3g} ms",
                f"{one['ratio']:.3g}",
                one["goal"],
            )
        )
    return text


def write() -> Path:
    """Writes the page; returns where."""
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    PAGE.write_text(page(results), encoding="utf-8")
    return PAGE


def _cells(row: Row) -> tuple[str, ...]:
    verdict = {True: "met", False: "**missed**", None: ""}[row.met]
    return (row.name, *(row.cell(name) for name in CONTENDERS), row.goal, verdict)


def _line(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cells) + " |\n"


if __name__ == "__main__":
    write()
