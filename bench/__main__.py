"""`make bench`: a table for people, `bench/results.json` for machines.

A figure says little about another machine; its ratio to the peer beside it says more. The contest
on real clusters needs root and the packages of `make packages`; where it cannot run, that is said.
What was left out keeps the figures of its last run.
"""

# ruff: noqa: T201 - a command speaks to its terminal, and starts Python

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PARTS = (".", "tests", "layers/contract/src", "layers/core/src", "node_agent/src")
sys.path[:0] = [str(ROOT / part) for part in PARTS]

from bench import page, plot  # noqa: E402 - the path comes first
from bench.cluster import PARTS as CLUSTER_PARTS  # noqa: E402
from bench.decision import calm_heartbeat, failover, read_json  # noqa: E402
from bench.rows import CONTENDERS, Row, rows  # noqa: E402
from lab.cluster import enclosure  # noqa: E402

ROUNDS, STARTS = 2_000, 7
RESULTS = ROOT / "bench" / "results.json"
PICTURE = ROOT / "docs" / "failover.svg"
_SETTINGS = """
import os
os.environ.update(AWS_DEFAULT_REGION="eu-central-1", AWS_ACCESS_KEY_ID="x",
    AWS_SECRET_ACCESS_KEY="x", AWS_ENDPOINT_URL="http://127.0.0.1:9")
"""
_CLIENTS = f"""{_SETTINGS}
import boto3
boto3.client("dynamodb"); boto3.client("ec2")
"""


@dataclass(frozen=True)
class Figure:
    """A measured thing beside its peer: median, 90th percentile, and the medians' ratio."""

    name: str
    median_ms: float
    p90_ms: float
    peer: str
    peer_median_ms: float
    ratio: float
    goal: str


def measured(work: Callable[[], object], rounds: int) -> list[float]:
    """Milliseconds of each round, after a tenth of them to warm up."""
    for _ in range(rounds // 10):
        work()
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        times.append((time.perf_counter() - began) * 1000)
    return times


def started(code: str) -> Callable[[], object]:
    """One start of a fresh interpreter that runs this code to its end."""
    path = [str(ROOT / part) for part in PARTS[2:4]]
    setup = f"import sys\nsys.path[:0] = {path!r}\n"
    return lambda: subprocess.run([sys.executable, "-c", setup + code], check=True)


def handler_start() -> str:
    """Code that starts the arbitrate function as Lambda's init phase does."""
    sys.path.insert(0, str(ROOT))
    from lab.embedded.translate import translate  # noqa: PLC0415 - slow, and for this only

    translation = translate(ROOT / "template.yaml", {}, "eu-central-1")
    function = translation.template["Resources"]["Arbitrate"]["Properties"]
    variables = {
        name: value if isinstance(value, str) else "bench"
        for name, value in function["Environment"]["Variables"].items()
    }
    defaults = {name: str(value) for name, value in translation.parameters.items()}
    for name, value in function["Environment"]["Variables"].items():
        if isinstance(value, dict) and value.get("Ref") in defaults:
            variables[name] = defaults[value["Ref"]]
    folder = str(ROOT / "functions" / "arbitrate")
    return (
        f"{_SETTINGS}\nos.environ.update({variables!r})\nsys.path.insert(0, {folder!r})\n"
        "import handler"
    )


def figure(name: str, times: list[float], peer: str, peer_times: list[float], goal: str) -> Figure:
    """Both measured in this run."""
    median, peer_median = statistics.median(times), statistics.median(peer_times)
    p90 = statistics.quantiles(times, n=10)[8]
    return Figure(
        name,
        round(median, 4),
        round(p90, 4),
        peer,
        round(peer_median, 4),
        round(median / peer_median, 2),
        goal,
    )


def decisions() -> list[Figure]:
    """Decisions and cold starts, without AWS."""
    print("measuring decisions", flush=True)
    peer = measured(read_json(), ROUNDS)
    reading = "json.loads of one report's event"
    figures = [
        figure("calm heartbeat", measured(calm_heartbeat(), ROUNDS), reading, peer, "1 ms"),
        figure("failover decided", measured(failover(), ROUNDS), reading, peer, "1 ms"),
    ]
    print("measuring cold starts", flush=True)
    start, bare = started(handler_start()), started(_CLIENTS)
    pairs = [(measured(start, 1), measured(bare, 1)) for _ in range(STARTS)]
    figures.append(
        figure(
            "cold start of arbitrate",
            [one[0] for one, _ in pairs],
            "boto3 and the same two clients",
            [other[0] for _, other in pairs],
            "ratio 1.25",
        )
    )
    print(f"\n{'':26}{'median':>10}{'p90':>10}{'ratio':>8}  beside                    goal")
    for one in figures:
        print(
            f"{one.name:26}{one.median_ms:8.3f}ms{one.p90_ms:8.3f}ms{one.ratio:8.2f}  "
            f"{one.peer:34}{one.goal}"
        )
    return figures


def contest(parts: list[str], options: list[str]) -> dict[str, Any]:
    """The contest's samples: each part on clusters of its own, all parts at once."""
    print(f"\nthe contest on real clusters: {', '.join(parts)}", flush=True)
    samples: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="eip-arbiter-bench-") as folder:
        files = {part: Path(folder) / f"{part}.json" for part in parts}
        running = {
            part: subprocess.Popen(
                [sys.executable, "-m", "bench.cluster", part, *options, "--json", str(file)],
                cwd=ROOT,
            )
            for part, file in files.items()
        }
        try:
            failed = [part for part, process in running.items() if process.wait() != 0]
        finally:
            for process in running.values():
                process.terminate()
        if failed:
            raise SystemExit(f"not measured: {', '.join(failed)}")
        for file in files.values():
            samples |= json.loads(file.read_text(encoding="utf-8"))
    return samples


def render(lines: list[Row]) -> str:
    """The contest as text: median (lowest to highest)."""
    table: list[tuple[str, ...]] = [("", *CONTENDERS, "goal", "")]
    for row in lines:
        verdict = {True: "met", False: "MISSED", None: ""}[row.met]
        table.append((row.name, *(row.cell(name) for name in CONTENDERS), row.goal, verdict))
    widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
    return "\n".join(
        "  ".join(f"{cell:<{w}}" for cell, w in zip(line, widths, strict=True)).rstrip()
        for line in table
    )


def main() -> int:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    known = ("decisions", *CLUSTER_PARTS)
    parser.add_argument("--only", nargs="+", choices=known, default=list(known), metavar="PART")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each trial of the contest")
    parser.add_argument("--calm", type=float, default=600.0, help="seconds of calm to watch")
    parser.add_argument("--flaps", type=int, default=50, help="flaps of the link")
    arguments = parser.parse_args()
    told = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    told |= {"python": platform.python_version(), "machine": platform.machine()}
    if "decisions" in arguments.only:
        told["figures"] = [asdict(one) for one in decisions()]
    parts = [part for part in CLUSTER_PARTS if part in arguments.only]
    missing = enclosure.requirements_missing() if parts else []
    if missing:
        print("\nthe contest on real clusters is left out; missing: " + "; ".join(missing))
    elif parts:
        options = [f"--{name}={getattr(arguments, name)}" for name in ("rounds", "calm", "flaps")]
        samples = told["contest"] = contest(parts, options)
        told["rows"] = [asdict(row) for row in rows(samples)]
        print(f"\nmedian (lowest to highest), embedded AWS\n{render(rows(samples))}")
        if plot.draw(samples, PICTURE):
            print(f"\ndrawn: {PICTURE.relative_to(ROOT)}")
    RESULTS.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    print(f"\nwritten to {RESULTS.relative_to(ROOT)}")
    if "contest" in told and "figures" in told:
        print(f"told in {page.write().relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
