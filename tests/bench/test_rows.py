"""The table says what the samples say: the goals can be missed, and what never happened shows."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from bench import page
from bench.rows import Row, rows


def samples(**changes: Any) -> dict[str, dict[str, list[Any]]]:
    def takeover(address: float, nobody: float = 0.0) -> dict[str, float]:
        return {
            "address_seconds": address,
            "started_seconds": address + 0.1,
            "nobody_seconds": nobody,
        }

    partition = {
        "moves": 0,
        "away_seconds": 0.0,
        "doubled_seconds": 0.0,
        "idle_seconds": 0.0,
        "restarts": 0,
        "successor_seconds": 4.0,
    }
    return {
        "planned stop": {
            "Dummy": [takeover(0.1), takeover(0.2), takeover(0.3)],
            "awseip": [takeover(8.0, nobody=5.0)],
            "EIP Arbiter": [takeover(0.2), takeover(0.3), takeover(0.4)],
        },
        "partition": {"EIP Arbiter": [partition, {**partition, **changes}]},
    }


def row(name: str, **changes: Any) -> Row:
    (found,) = (one for one in rows(samples(**changes)) if one.name == name)
    return found


def test_a_cell_is_the_median_and_the_spread() -> None:
    stop = row("planned stop: fault to address, s")
    assert stop.cell("EIP Arbiter") == "0.3 (0.2 to 0.4)"
    assert stop.cell("awseip") == "8 (8 to 8)"
    assert stop.met is True
    assert row("planned stop: address with nobody, s").cell("Dummy") == "-"


def test_a_takeover_far_beyond_the_bare_cluster_misses_its_goal() -> None:
    made = samples()
    for one in made["planned stop"]["EIP Arbiter"]:
        one["address_seconds"] += 0.5
    (found,) = (o for o in rows(made) if o.name == "planned stop: fault to address, s")
    assert found.met is False


def test_the_page_is_what_the_results_say() -> None:
    results = json.loads(page.RESULTS.read_text(encoding="utf-8"))
    assert page.PAGE.read_text(encoding="utf-8") == page.page(results)
    assert results["rows"] == [dataclasses.asdict(one) for one in rows(results["contest"])]


@pytest.mark.parametrize(
    ("name", "changes", "cell"),
    [
        ("partition of 40 s: address moves", {"moves": 2}, "1 (0 to 2)"),
        ("heal: starts and stops on the winner", {"restarts": 2}, "1 (0 to 2)"),
        (
            "heal, then the winner dies: takeover, s",
            {"successor_seconds": None},
            "4 (4 to 4), never 1 of 2",
        ),
    ],
)
def test_one_bad_run_misses_the_goal(name: str, changes: dict[str, Any], cell: str) -> None:
    assert row(name).met is True
    bad = row(name, **changes)
    assert (bad.met, bad.cell("EIP Arbiter")) == (False, cell)
