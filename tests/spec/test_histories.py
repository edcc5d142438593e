"""Histories that the shipped arbiter wrote are runs of the specification; forged ones are not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from needs import needed
from simulation import mutants, shims
from simulation.setup import make_setup
from simulation.world import World

from spec.histories import NoHistoryError, read
from spec.spinning import TOOLS
from spec.validate import Answer, validate

ROOT = Path(__file__).parents[2]
Raw = dict[str, Any]


@pytest.fixture(autouse=True)
def _tools() -> None:
    for tool in TOOLS:
        needed(tool, there=shutil.which(tool) is not None)


def simulated(seed: int) -> list[Raw]:
    """The history of a run of the unkind simulation, as DynamoDB has it."""
    with shims.installed():
        world = World(make_setup(seed))
        world.run()
    entries = sorted(world.region.store.history.values(), key=lambda entry: entry.at_ms)
    return [{name: getattr(entry, name) for name in entry.__slots__} for entry in entries]


def line(second: float, term: int, rule: str, sentence: str, **more: Any) -> Raw:
    notes = ("R031", "R072", "R999", "failover", "pause")
    kind = "note" if rule in notes else "grant"
    kind = "release" if rule == "R090" else kind
    return {
        "at": f"2026-11-22T21:{int(second) // 60:02}:{second % 60:06.3f}Z",
        "resource": "eip",
        "term": term,
        "kind": kind,
        "rule": rule,
        "sentence": sentence,
        **more,
    }


def gets(who: str, term: int, why: str) -> str:
    return f"{who} gets 203.0.113.10 (eip) under term {term}: {why}"


HISTORY = (
    line(0, 1, "R050", gets("n1", 1, "nobody held it")),
    line(30, 1, "R072", "n1 keeps 203.0.113.10 (eip): it answers, so n2's claim is a split-brain"),
    line(40, 1, "R999", "the challenge of n1 is over; n1 keeps 203.0.113.10 (eip)"),
    line(60, 2, "R070", gets("n2", 2, "n1 did not answer for 3.1 s")),
    line(
        90,
        2,
        "failover",
        "order ops-1 is accepted: 203.0.113.10 (eip) from n2 to n3 by Ann: 'a test'",
    ),
    line(90.1, 3, "R020", gets("n3", 3, "an operator ordered it (order ops-1)")),
    line(95, 3, "R020", "order ops-1 ends: n3 claims 203.0.113.10 (eip)", kind="note"),
    line(99, 3, "R090", "203.0.113.10 (eip) is taken off n3, which released it 60 s ago"),
    line(120, 4, "R050", gets("n1", 4, "nobody held it")),
)


def judged(lines: list[Raw] | tuple[Raw, ...]) -> Answer:
    return validate(read(json.dumps({"lines": list(lines)})))


def changed(index: int, **fields: Any) -> list[Raw]:
    return [*HISTORY[:index], HISTORY[index] | fields]


@pytest.mark.parametrize("seed", range(1, 21))
def test_a_history_of_the_simulation_is_a_run_of_the_protocol(seed: int) -> None:
    lines = simulated(seed)
    answer = validate(read("\n".join(json.dumps(each) for each in lines)))
    assert answer.sentence == f"{len(lines)} lines: each is a step the specification allows"


@pytest.mark.parametrize(
    ("bug", "seed"),
    [
        ("commit_without_version", 6),
        ("commit_without_conditions", 6),
        ("old_reports_are_taken", 6),
        ("term_stays", 1),
        ("claim_from_before_the_grant_counts", 4),
        ("joining_is_giving_up", 23),
        ("pause_forgotten", 5),
        ("order_does_not_pin", 23),
        ("no_reading_is_a_release", 12),
        ("split_brain_is_told_each_time", 4),
    ],
)
def test_the_history_of_a_planted_bug_is_refused(bug: str, seed: int) -> None:
    with mutants.planted(bug):
        lines = simulated(seed)
    assert not judged(lines).allowed


def test_a_query_of_the_table_is_a_history_with_its_evidence() -> None:
    items = [
        {
            "pk": {"S": f"cluster#{raw['cluster_id']}"},
            "sk": {
                "S": f"history#{raw['at_ms']:013}#{raw['version']:010}"
                f"#{raw['resource']}#{raw['term']}#{raw['kind']}"
            },
            "sentence": {"S": raw["sentence"]},
            "evidence": {"S": raw["evidence"]},
            "ttl": {"N": "1"},
        }
        for raw in simulated(6)
    ]
    lines = read(json.dumps({"Items": items}))
    assert lines[0].version
    assert lines[0].evidence
    assert validate(lines).allowed


def test_a_history_may_be_the_newest_line_first_and_may_begin_anywhere() -> None:
    assert judged(HISTORY).sentence == "9 lines: each is a step the specification allows"
    assert judged(HISTORY[::-1]).allowed
    assert judged(HISTORY[6:]).allowed


def seen(second: float, name: str, state: str, seq: int = 1) -> Raw:
    """A report in the evidence, received at that second of the history."""
    at_ms = int(1000 * datetime(2026, 11, 22, 21, tzinfo=UTC).timestamp() + 1000 * second)
    report = {"node": name, "report": f"1.{seq}", "received_at_ms": at_ms, "late_ms": 0}
    return report | {"resources": {"eip": state}, "pacemaker": "online"}


def numbered(*lines: Raw) -> list[Raw]:
    """With the versions of the state, which the table has."""
    return [{"version": number, **each} for number, each in enumerate(lines, 7)]


STOPPED = {"node": "n2", "resources": {"eip": "stopped"}, "pacemaker": "online"}
FORGED = {
    "a term is skipped": changed(3, term=3, sentence=gets("n2", 3, "n1 did not answer for 3 s")),
    "a sentence of another term": changed(3, term=3),
    "a sentence of another rule": changed(3, rule="R060"),
    "two holders of one term": [
        *HISTORY[:4],
        line(75, 2, "R061", gets("n3", 2, "n2 released it")),
    ],
    "granted to a node that has stopped": changed(3, evidence={"i-2": STOPPED}),
    "taken off a node that does not hold it": changed(
        3, sentence=gets("n2", 2, "n3 did not answer for 3.1 s")
    ),
    "nobody held it, but somebody did": changed(
        3, rule="R050", sentence=gets("n2", 2, "nobody held it")
    ),
    "released from another node": changed(7, sentence="203.0.113.10 (eip) is taken off n2, which"),
    "an order that nobody gave": [*HISTORY[:4], *HISTORY[5:]],
    "another order ends": changed(6, sentence="order ops-2 ends: n3 claims 203.0.113.10 (eip)"),
    "a standing order's target loses it": [
        *HISTORY[:6],
        line(92, 4, "R061", gets("n1", 4, "n3 released it")),
    ],
    "moved while paused": [
        *HISTORY[:3],
        line(45, 0, "pause", "web is paused for 60 min: nothing moves but by order", resource="*"),
        HISTORY[3],
    ],
    "granted against an answer": changed(
        3, evidence={"i-1": seen(59.9, "n1", "started"), "i-2": seen(59, "n2", "starting")}
    ),
    "granted for a claim of before the grant in force": [
        *HISTORY[:4],
        line(
            75,
            3,
            "R061",
            gets("n1", 3, "n2 released it"),
            evidence={"i-1": seen(55, "n1", "started"), "i-2": seen(74, "n2", "stopped")},
        ),
    ],
    "granted for a report older than one before": numbered(
        HISTORY[0] | {"evidence": {"i-1": seen(0, "n1", "started")}},
        HISTORY[1]
        | {"evidence": {"i-1": seen(30, "n1", "started"), "i-2": seen(30, "n2", "started", 9)}},
        HISTORY[3]
        | {"evidence": {"i-1": seen(50, "n1", "started"), "i-2": seen(59, "n2", "started", 8)}},
    ),
    "two steps on one version": numbered(*HISTORY[:3], HISTORY[3] | {"version": 9}),
    "put back under a term that is over": [
        *HISTORY[:4],
        line(75, 1, "R031", "203.0.113.10 (eip) is on n1 under term 1, but a call of term 1 ended"),
    ],
    "time goes back": changed(2, at="2026-11-22T20:59:00.000Z"),
    "a rule that leaves no grant": changed(3, rule="R072"),
}


@pytest.mark.parametrize("how", FORGED)
def test_a_forged_history_is_told_with_its_first_line_that_cannot_be(how: str) -> None:
    answer = judged(FORGED[how])
    assert not answer.allowed
    assert answer.sentence.startswith("line ")


def test_the_answer_says_what_could_have_come_instead() -> None:
    answer = judged(FORGED["a term is skipped"])
    assert "line 4 of 4 is no step" in answer.sentence
    assert "after line 3, where n1 holds it under term 1, it could have been" in answer.sentence
    assert "; R070 to n2 under term 2; " in answer.sentence


def test_an_address_is_put_back_that_a_late_call_took_away() -> None:
    sentence = "203.0.113.10 (eip) is on n2 under term 2, but a call of term 1 ended late"
    assert judged([*HISTORY[:4], line(75, 2, "R031", sentence), *HISTORY[4:]]).allowed


def test_a_new_table_begins_anew() -> None:
    assert judged([*numbered(*HISTORY), *numbered(line(200, 1, "R050", gets("n2", 1, "")))]).allowed


def test_a_pause_holds_nothing_back_that_was_decided_before_it_was_written() -> None:
    pause = line(59.9, 0, "pause", "web is paused for 60 min", resource="*")
    assert judged([*HISTORY[:3], pause, HISTORY[3]]).allowed


@pytest.mark.parametrize("text", ["", "[1]", "nothing", '{"lines": [{"at": "yesterday"}]}'])
def test_what_is_no_history_is_said_to_be_none(text: str) -> None:
    with pytest.raises(NoHistoryError):
        read(text)


@pytest.mark.parametrize(
    ("lines", "status", "path"),
    [(HISTORY, 0, None), (FORGED["a term is skipped"], 1, None), (HISTORY, 69, "/nowhere")],
    ids=["allowed", "forged", "without spin"],
)
def test_the_command_ends_with_a_status_for_scripts(
    lines: list[Raw], status: int, path: str | None, tmp_path: Path
) -> None:
    file = tmp_path / "history.json"
    file.write_text(json.dumps({"outcome": "told", "cluster": "web", "lines": list(lines)[::-1]}))
    done = subprocess.run(
        [sys.executable, "-m", "spec", "--history", str(file)],
        cwd=ROOT,
        env={**os.environ, "PATH": path or os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stderr
    if status == 69:
        assert "apt-get install spin" in done.stderr
