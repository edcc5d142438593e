"""The corpus is the specification: the shipped rules decide every scenario as it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from eip_arbiter.decision.rules import AUTOMATIC, RULES

from scenarios import page
from scenarios.fields import CorpusError
from scenarios.reading import CORPUS, Scenario, corpus, found, read

RULE_IDS = [page.rule_id(rule.__name__) for rule in RULES]


@pytest.mark.parametrize("scenario", corpus().values(), ids=lambda scenario: scenario.name)
def test_the_rules_decide_as_the_scenario_says(scenario: Scenario) -> None:
    assert found(scenario) == scenario.expected


def test_the_automatic_rules_are_part_of_the_table() -> None:
    assert set(AUTOMATIC) <= set(RULES)


@pytest.mark.parametrize("rule", RULE_IDS)
def test_every_rule_fires_in_some_scenario(rule: str) -> None:
    assert any(found(scenario).rule == rule for scenario in corpus().values())


@pytest.mark.parametrize("rule", RULE_IDS)
def test_every_rule_narrowly_does_not_fire_in_some_scenario(rule: str) -> None:
    assert any(scenario.narrowly_not == rule for scenario in corpus().values())


@pytest.mark.parametrize(
    "scenario",
    [scenario for scenario in corpus().values() if scenario.narrowly_not],
    ids=lambda scenario: scenario.name,
)
def test_a_narrow_miss_is_one_fact_away_from_a_hit(scenario: Scenario) -> None:
    assert scenario.like is not None
    assert len(scenario.but) == 1
    assert found(corpus()[scenario.like]).rule == scenario.narrowly_not
    assert found(scenario).rule != scenario.narrowly_not


def test_a_fact_that_is_changed_is_one_value() -> None:
    for path in CORPUS.glob("*.yaml"):
        for entry in yaml.safe_load(path.read_text(encoding="utf-8")):
            for fact in entry.get("but", {}).values():
                assert not isinstance(fact, dict) or len(fact) == 1, (entry["name"], fact)


def test_every_sentence_is_one_line_that_names_the_address() -> None:
    for scenario in corpus().values():
        address = scenario.snapshot.addresses[scenario.resource]
        named = f"{address.public_ip} ({address.resource})"
        sentence = scenario.expected.sentence
        assert named in sentence or "order ops-1 ends" in sentence, scenario.name
        assert "\n" not in sentence


def test_the_page_is_up_to_date() -> None:
    written = page.PAGE.read_text(encoding="utf-8")
    assert written == page.page(), "docs/rules.md is out of date: run `make docs`"


class TestStrictness:
    """A typing error in a scenario must not make it say less than it seems to."""

    GOOD: dict[str, Any] = {  # noqa: RUF012 - read only
        "name": "a",
        "says": "All is well.",
        "nodes": {"n1": {"resources": {"eip": "started for 60 s"}}, "n2": {}},
        "addresses": {"eip": {"holder": "n1"}},
        "expect": {"rule": "R999", "kind": "keep", "sentence": "", "calm": True},
    }

    def test_a_good_one_is_read(self) -> None:
        assert read("a", {"a": self.GOOD}).name == "a"

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"nods": {}}, "unknown: nods"),
            ({"nodes": {"n1": {"herd": "3 s ago"}, "n2": {}}}, "nodes.n1: unknown: herd"),
            ({"nodes": {"n1": {"heard": "3 s"}, "n2": {}}}, "neither `... ago` nor `in ...`"),
            ({"nodes": {"n1": {"heard": "3s ago"}, "n2": {}}}, "is no duration"),
            ({"nodes": {"n1": {"pacemaker": "up"}, "n2": {}}}, "'up' is none of"),
            ({"nodes": {"n1": {"quorate": 1}, "n2": {}}}, "bool is wanted"),
            ({"nodes": {"n1": {"resources": {"eip": "up for 1 s"}}, "n2": {}}}, "'up' is none of"),
            ({"addresses": {"eip": {"holder": "n1", "tern": 3}}}, "unknown: tern"),
            ({"addresses": {"eip": {}}}, "holder: str is wanted"),
            ({"policy": {"answer": 3}}, "policy: unknown: answer"),
            ({"expect": {"rule": "R999", "kind": "kept", "sentence": ""}}, "'kept' is none of"),
            ({"like": "b"}, "which is no scenario"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_what_is_not_known_is_an_error(self, change: dict[str, Any], message: str) -> None:
        with pytest.raises(CorpusError, match=message.replace(".", r"\.").replace("`", ".")):
            read("a", {"a": self.GOOD | change})

    def test_changes_of_a_likeness_belong_under_but(self) -> None:
        twin = {"name": "b", "says": "", "like": "a", "expect": {}, "paused_for": "3 s"}
        with pytest.raises(CorpusError, match="belong under `but`: paused_for"):
            read("b", {"a": self.GOOD, "b": twin})

    def test_a_doubled_name_is_an_error(self, tmp_path: Path) -> None:
        text = yaml.safe_dump([self.GOOD, self.GOOD])
        (tmp_path / "a.yaml").write_text(text, encoding="utf-8")
        with pytest.raises(CorpusError, match="doubled"):
            corpus(tmp_path)
