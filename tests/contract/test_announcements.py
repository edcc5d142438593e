"""The schemas of what is announced, their samples, and what the core builds: all three agree."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from builders import N2, NOW, address, going, snapshot, standing_by
from eip_arbiter.arbitrate import announcing
from eip_arbiter.arbitrate.announcing import SOURCE, Announcement
from eip_arbiter.decision.snapshot import Phase, Refusal

EVENTS = Path(__file__).parents[2] / "events"
SAMPLES = sorted((EVENTS / "announced").glob("*.json"))

GRANTED = address(holder=N2, term=8, phase=Phase.MOVING, changed_at_ms=NOW, rule="R070")
REFUSED = address(refusal=Refusal(N2, NOW))
MOVED = snapshot(at=replace(GRANTED, phase=Phase.SETTLED, changed_at_ms=NOW + 41))
CALM = snapshot()
BUILT = [
    announcing.address_moved(MOVED, GRANTED, "eni-00000000000000001", "said"),
    announcing.split_brain(snapshot(at=REFUSED), REFUSED, "R072", "said", NOW),
    announcing.move_failed(CALM, GRANTED, "UnauthorizedOperation", "said", NOW),
    announcing.blocked(CALM, address(), "R040", "said", NOW),
    announcing.holder_silent(CALM, address(), "said", NOW, 58_000),
    announcing.not_ready(CALM, address(), ("n2 has not reported lately",), "said", NOW),
]


def schema_of(kind: str) -> jsonschema.Draft202012Validator:
    """The schema of a detail-type, as strict as a writer has to be: no property beside the known.

    Its file has the detail-type's name in small letters.
    """
    path = EVENTS / f"{kind.lower().replace(' ', '-')}.schema.json"
    return jsonschema.Draft202012Validator(
        json.loads(path.read_text()) | {"additionalProperties": False}
    )


@pytest.mark.parametrize("built", BUILT, ids=lambda built: built.kind)
def test_what_the_core_builds_is_what_the_schema_says(built: Announcement) -> None:
    schema_of(built.kind).validate(json.loads(json.dumps(built.detail)))


def test_there_is_one_sample_and_one_schema_of_each_kind() -> None:
    kinds = sorted(built.kind for built in BUILT)
    assert [json.loads(path.read_text())["detail-type"] for path in SAMPLES] == kinds
    schemas = {path.name for path in EVENTS.glob("*.schema.json")} - {"node-report.schema.json"}
    assert len(schemas) == len(kinds)


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_sample_holds_and_each_of_its_properties_is_needed(path: Path) -> None:
    event: dict[str, Any] = json.loads(path.read_text())
    assert event["source"] == SOURCE
    schema, detail = schema_of(event["detail-type"]), event["detail"]
    schema.validate(detail)
    for name in detail:
        rest = {key: value for key, value in detail.items() if key != name}
        assert not schema.is_valid(rest), name


def test_a_move_says_from_where_to_where_and_how_long_it_took() -> None:
    moved = BUILT[0].detail
    assert (moved["from"]["node"], moved["holder"]["node"]) == ("n1", "n2")
    assert (moved["term"], moved["rule"], moved["duration_ms"]) == (8, "R070", 41)


def test_an_address_that_comes_from_no_node_of_the_cluster_says_so() -> None:
    foreign = announcing.address_moved(MOVED, GRANTED, "eni-99999999999999999", "said")
    assert foreign.detail["from"] is None


def test_a_refused_claimant_is_named_even_if_its_instance_goes() -> None:
    leaving = snapshot(*CALM.nodes.values(), going("stopping", standing_by()), at=REFUSED)
    said = announcing.split_brain(leaving, REFUSED, "R072", "said", NOW)
    assert said.detail["claimant"]["node"] == "n2"
