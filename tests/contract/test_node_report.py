"""The schema in events/ and the reader in the contract agree, sample by sample."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from eip_contract.envelope import parse_envelope, parse_instance_state, source_for
from eip_contract.report import ReportRejected, parse_report
from hypothesis import given, settings
from hypothesis import strategies as st

EVENTS = Path(__file__).parents[2] / "events"
SCHEMA = json.loads((EVENTS / "node-report.schema.json").read_text())
ACCEPTED = sorted((EVENTS / "accepted").glob("*.json"))
REJECTED = sorted((EVENTS / "rejected").glob("*.json"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def load(path: Path) -> Any:
    return json.loads(path.read_text())


def test_there_are_samples_of_both_kinds() -> None:
    assert len(ACCEPTED) >= 10
    assert len(REJECTED) >= 25


@pytest.mark.parametrize("path", ACCEPTED, ids=lambda p: p.stem)
def test_an_accepted_sample_is_read_and_written_again_without_loss(path: Path) -> None:
    event = load(path)
    VALIDATOR.validate(event["detail"])
    report = parse_envelope(event).report
    again = report.to_detail()
    VALIDATOR.validate(again)
    assert parse_report(again) == report
    assert {k: event["detail"][k] for k in again if k != "pacemaker"} == {
        k: v for k, v in again.items() if k != "pacemaker"
    }


@pytest.mark.parametrize("path", REJECTED, ids=lambda p: p.stem)
def test_a_rejected_sample_is_rejected_for_its_stated_reason(path: Path) -> None:
    sample = load(path)
    with pytest.raises(ReportRejected) as caught:
        parse_envelope(sample["event"])
    assert caught.value.reason == sample["reason"]
    assert str(caught.value).isascii()
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("path", REJECTED, ids=lambda p: p.stem)
def test_the_schema_rejects_what_the_reader_rejects_in_the_body(path: Path) -> None:
    sample = load(path)
    detail = sample["event"].get("detail")
    in_envelope = sample["reason"] == "identity" or path.stem == "other-detail-type"
    # JSON Schema cannot relate two properties: the reader alone can.
    if in_envelope or path.stem == "awaiting-a-resource-it-does-not-name":
        return
    # In JSON Schema 1 and true differ, and so they must here.
    assert not VALIDATOR.is_valid(detail)


def test_all_problems_are_said_at_once() -> None:
    detail = load(ACCEPTED[0])["detail"] | {"seq": "x", "cause": "whim", "node_name": ""}
    with pytest.raises(ReportRejected, match=r"node_name.*seq.*cause"):
        parse_report(detail)


def test_the_source_that_the_agent_uses_is_the_one_that_is_read() -> None:
    event = load(ACCEPTED[0])
    report = parse_report(event["detail"])
    event["source"] = source_for("aws", "eu-central-1", "123456789012", report.instance_id)
    assert parse_envelope(event).report == report


def test_a_report_was_said_by_the_end_of_the_second_in_which_eventbridge_took_it() -> None:
    event = {**load(ACCEPTED[0]), "time": "2026-11-22T13:00:00Z"}
    assert parse_envelope(event).said_at_ms == 1_795_352_400_999


def test_ec2_names_instance_and_state() -> None:
    event = load(EVENTS / "ec2-instance-stopping.json")
    said_at_ms = 1_795_352_400_000  # 2026-11-22T13:00:00Z
    assert parse_instance_state(event) == (event["detail"]["instance-id"], "stopping", said_at_ms)


@pytest.mark.parametrize("time", [None, "", 7, "yesterday", "2026-11-22T13:00:00"])
@pytest.mark.parametrize(
    ("read", "path"),
    [
        (parse_instance_state, EVENTS / "ec2-instance-stopping.json"),
        (parse_envelope, ACCEPTED[0]),
    ],
)
def test_an_event_without_a_time_is_malformed(
    read: Callable[[Any], object], path: Path, time: Any
) -> None:
    with pytest.raises(ReportRejected, match="the event tells no time") as caught:
        read({**load(path), "time": time})
    assert caught.value.reason == "malformed"


@pytest.mark.parametrize("detail", [None, [], {}, {"instance-id": "i-1"}, {"instance-id": 7}])
def test_an_ec2_event_without_an_instance_is_malformed(detail: Any) -> None:
    with pytest.raises(ReportRejected) as caught:
        parse_instance_state({"source": "aws.ec2", "detail": detail})
    assert caught.value.reason == "malformed"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(field=st.sampled_from(sorted(SCHEMA["properties"])), value=JSON)
def test_the_reader_and_the_schema_agree_on_any_value_of_any_property(
    field: str, value: Any
) -> None:
    detail = load(ACCEPTED[0])["detail"] | {field: value}
    try:
        parse_report(detail)
    except ReportRejected:
        accepted = False
    else:
        accepted = True
    related = field in {"awaiting", "resources"}
    if related and VALIDATOR.is_valid(detail):
        return
    # A float that is whole is an integer to JSON Schema; the reader is stricter about it.
    assert accepted == VALIDATOR.is_valid(detail) or isinstance(value, float)
