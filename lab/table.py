"""The table at the end of a story, and its JSON for machines."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from lab.stage import Outcome

COLUMNS = ("suspicion", "claim", "grant", "association", "started")


def render(outcomes: list[Outcome], kind: str) -> str:
    """The table as text: seconds after the fault, control plane only where AWS takes part."""
    header = f"{'fault':<18}" + "".join(f"{name:>12}" for name in COLUMNS)
    lines = [
        f"seconds after the fault, {kind} cluster, embedded AWS (control plane only)",
        f"{header}  {'rule':<5}{'term':>5}{'moves':>6}  outcome",
    ]
    for outcome in outcomes:
        times = (getattr(outcome, f"{name}_seconds") for name in COLUMNS)
        cells = "".join(f"{'-' if t is None else f'{t:.2f}':>12}" for t in times)
        term = str(outcome.term) if outcome.term else "-"
        verdict = "as it must be" if outcome.ok else f"WRONG: {'; '.join(outcome.problems)}"
        lines.append(
            f"{outcome.scene:<18}{cells}  {outcome.rule or '-':<5}{term:>5}{outcome.moves:>6}"
            f"  {verdict}"
        )
    return "\n".join(lines)


def write_json(path: Path, outcomes: list[Outcome], kind: str, extra: dict[str, object]) -> None:
    """Writes what the table says, and more, as one JSON document."""
    document = {
        "cluster": kind,
        "timings": "seconds; embedded AWS, control plane only",
        "ok": all(outcome.ok for outcome in outcomes),
        "scenes": [{**dataclasses.asdict(o), "ok": o.ok} for o in outcomes],
        **extra,
    }
    path.write_text(json.dumps(document, indent=2) + "\n")
