"""The judgement of what was measured, and the settings that follow from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from eip_agent.settings import Settings
from eip_arbiter.settings import EC2_READ_SECONDS
from eip_arbiter.watch.watching import DESCRIBED_LATE_MS
from samtranslator.yaml_helper import yaml_parse  # type: ignore[import-untyped]

from acceptance import judge
from acceptance.judge import Outage, outage
from acceptance.rows import QUESTIONS, Row

ROOT = Path(__file__).parents[2]


def changes(*seen: tuple[float, bool]) -> list[dict[str, Any]]:
    return [{"at": at, "ok": ok} for at, ok in seen]


@pytest.mark.parametrize(
    ("seen", "seconds"),
    [
        ([(0, True)], 0.0),
        ([(0, True), (12, False), (18, True)], 6.0),
        ([(0, True), (12, False), (13, True), (14, False), (19, True)], 7.0),
        ([(0, True), (5, False), (6, True)], 0.0),
        ([(0, True), (12, False)], None),
        ([(0, True), (12, False), (31, True)], None),
    ],
    ids=["none", "one", "flapping", "before the cause", "for ever", "back after this cause"],
)
def test_an_outage_is_what_lies_between_its_cause_and_the_next_one(
    seen: list[tuple[float, bool]], seconds: float | None
) -> None:
    assert outage(changes(*seen), 10, 30).seconds == seconds


def test_ipv4_may_be_away_for_a_while_and_the_other_ways_not_at_all() -> None:
    short, long, never = Outage(6.0, 45), Outage(180.0, 300), Outage(None, 300)
    assert judge.way("way_ipv4", short, long).verdict == "as expected"
    assert judge.way("way_ipv4", short, never).verdict == "as expected", "AWS says so of some"
    assert judge.way("way_ipv4", Outage(25.0, 45), long).verdict == "otherwise"
    assert judge.way("way_ipv4", never, long).verdict == "otherwise"
    for row in ("way_ipv6", "way_endpoint"):
        assert judge.way(row, Outage(0.0, 45), Outage(0.5, 45)).verdict == "as expected"
        assert judge.way(row, short, Outage(0.0, 45)).verdict == "otherwise"
        assert judge.way(row, Outage(0.0, 45), never).verdict == "otherwise"


def test_a_call_or_a_look_that_is_too_slow_is_otherwise() -> None:
    assert judge.associate([0.4, 4.9]).verdict == "as expected"
    assert judge.associate([0.4, 5.1]).verdict == "otherwise"
    assert judge.describe([0.0, 2.0], 180).measured.startswith("1 of 2 moves were shown late")
    assert judge.describe([0.0, 61.0], 180).verdict == "otherwise"
    assert judge.describe([0.0, None], 180).figures == {"most": None}
    assert judge.metadata_lag(3.0, 44.0, 45).verdict == "as expected"
    assert judge.metadata_lag(3.0, None, 45).verdict == "otherwise"
    assert judge.metadata_alone(64, 0, 5).verdict == "as expected"
    assert judge.metadata_alone(64, 1, 5).verdict == "otherwise"
    assert judge.metadata_alone(0, 0, 5).verdict == "otherwise"


def test_a_node_that_may_speak_for_another_one_is_otherwise() -> None:
    refused = "refused: AccessDeniedException: not authorized to perform: events:PutEvents"
    assert judge.identity(refused).verdict == "as expected"
    assert judge.identity("accepted").verdict == "otherwise"
    assert judge.identity("timeout: no answer").verdict == "otherwise", "that says nothing"


def test_a_missing_tag_has_to_show_in_the_doctor() -> None:
    check = {"check": "standby", "ok": False, "sentence": "EC2 would not: UnauthorizedOperation"}
    assert judge.untagged({"checks": [check]}).verdict == "as expected"
    assert judge.untagged({"checks": [{**check, "ok": True}]}).verdict == "otherwise"


def test_a_notice_has_to_be_json_and_a_raw_quote_is_told_as_it_is() -> None:
    assert judge.notice('"Move Failed, cluster web: it is so"', "it is so").verdict == "as expected"
    assert judge.notice('"Move Failed, "it" is so"', "it is so").verdict == "otherwise"
    assert judge.notice(None, "it is so").measured == "nothing came"
    assert judge.raw_quote('"an "un"escaped text"', None).verdict == "as expected"
    assert judge.raw_quote(None, "INVALID_JSON").verdict == "as expected"
    assert judge.raw_quote('"an \\"escaped\\" text"', None).verdict == "otherwise"
    assert judge.raw_quote(None, None).verdict == "otherwise"


def test_a_failover_needs_a_grant_the_service_in_time_and_no_failure_that_stays() -> None:
    assert judge.moved("order", 0.1, 9.0, []).verdict == "as expected"
    assert judge.moved("order", None, 9.0, []).verdict == "otherwise"
    assert judge.moved("order", 0.1, 61.0, []).verdict == "otherwise"
    assert judge.moved("order", 0.1, 9.0, ["eip_start_0 on n1"]).verdict == "otherwise"


def test_a_page_and_graphs_without_content_are_otherwise() -> None:
    assert judge.page("<p>n1 and n2</p>", ["n1", "n2"]).verdict == "as expected"
    assert judge.page("<p>n1</p>", ["n1", "n2"]).verdict == "otherwise"
    assert judge.page({"errorMessage": "n1 n2"}, ["n1", "n2"]).verdict == "otherwise"
    assert judge.search({"moves": 3, "failed": 0}, []).verdict == "as expected"
    assert judge.search({"moves": 0}, []).verdict == "otherwise"
    assert judge.search({"moves": 3}, ["Invalid SEARCH"]).verdict == "otherwise"


def values(rows: dict[str, Row]) -> dict[str, int]:
    return {setting.name: setting.value for setting in judge.settings(rows)}


def test_settings_stay_at_their_defaults_where_the_figures_allow_it_or_are_missing() -> None:
    defaults = {s.name: s.default for s in judge.settings({})}
    assert values({}) == defaults
    quick = {
        "associate": judge.associate([0.5]),
        "metadata_lag": judge.metadata_lag(4.0, 9.0, 45),
        "way_ipv4": judge.way("way_ipv4", Outage(6.0, 45), Outage(180.0, 300)),
    }
    assert values(quick) == defaults
    never = {"metadata_lag": judge.metadata_lag(4.0, None, 45)}
    assert values(never) == defaults, "no figure, no advice"


def test_settings_are_raised_to_twice_of_what_was_seen_and_something() -> None:
    slow = {
        "associate": judge.associate([0.5, 3.2]),
        "metadata_lag": judge.metadata_lag(31.0, 28.0, 45),
        "way_ipv4": judge.way("way_ipv4", Outage(26.0, 45), Outage(180.0, 300)),
    }
    assert values(slow) == {
        "EC2_READ_SECONDS": 7,
        "metadata_lag_seconds": 65,
        "StartTimeoutSeconds": 80,
    }


def test_the_defaults_are_the_products() -> None:
    parameters = yaml_parse((ROOT / "template.yaml").read_text())["Parameters"]
    assert judge.READ_SECONDS == EC2_READ_SECONDS
    assert Settings().metadata_lag_seconds == judge.METADATA_LAG_SECONDS
    assert judge.MOVED_SECONDS * 1000 == DESCRIBED_LATE_MS
    assert parameters["StartTimeoutSeconds"]["Default"] == judge.START_TIMEOUT_SECONDS
    told = QUESTIONS["metadata_lag"].expects + QUESTIONS["describe"].expects
    assert f"{judge.METADATA_LAG_SECONDS} s" in told
    assert f"{judge.MOVED_SECONDS} s" in told
