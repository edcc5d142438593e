"""Scenarios: files of the corpus to snapshots, policies and expected decisions.

A scenario says what differs from a calm cluster, in which every node has just reported, is
online, sees all others, and has the resource stopped for a minute. One that begins with `like`
is another scenario with the facts under `but` changed, each named by its path.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from builders import NOW
from eip_arbiter.decision import decide
from eip_arbiter.decision.outcome import Decision, Grant
from eip_arbiter.decision.policy import Policy
from eip_arbiter.decision.snapshot import Snapshot

from scenarios.facts import address_from, choice, node_from, policy_from
from scenarios.fields import CorpusError, Section

CORPUS = Path(__file__).with_name("corpus")


@dataclass(frozen=True, slots=True)
class Expected:
    """The decision that must come; `to` is the node that gets it, by its key in the scenario."""

    rule: str
    kind: str
    sentence: str
    to: str | None
    calm: bool


@dataclass(frozen=True, slots=True)
class Scenario:
    """One situation; `narrowly_not` is the rule that decides the one it is like, one fact away.

    `keys` are the scenario's own names of instances.
    """

    name: str
    says: str
    snapshot: Snapshot
    resource: str
    policy: Policy
    expected: Expected
    like: str | None
    but: tuple[str, ...]
    narrowly_not: str | None
    keys: Mapping[str, str]

    def decided(self) -> Decision:
        """What the shipped rules decide."""
        return decide(self.snapshot, self.resource, self.policy, NOW)


@cache
def corpus(folder: Path = CORPUS) -> dict[str, Scenario]:
    """All scenarios by name, in the order of files and lines.

    Raises:
        CorpusError: for anything that is unknown, missing or doubled.
    """
    raw: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.glob("*.yaml")):
        for entry in yaml.safe_load(path.read_text(encoding="utf-8")):
            name = entry.get("name")
            if not isinstance(name, str) or name in raw:
                raise CorpusError(f"{path.name}: a scenario has no name, or a doubled one: {name}")
            raw[name] = entry
    return {name: read(name, raw) for name in raw}


def read(name: str, raw: dict[str, dict[str, Any]]) -> Scenario:
    """One scenario, with those that it is like."""
    root = Section(name, expanded(name, raw))
    expect = root.section("expect")
    nodes = root.sections("nodes")
    names = tuple(node.take("name", key) for key, node in nodes.items())
    made = {
        key: node_from(node, number, names[number - 1], names)
        for number, (key, node) in enumerate(nodes.items(), 1)
    }
    instances = {key: node.instance_id for key, node in made.items()}
    addresses = {
        resource: address_from(section, resource, number, instances)
        for number, (resource, section) in enumerate(root.sections("addresses").items(), 1)
    }
    paused_ms = root.duration_ms("paused_for", "0 s")
    scenario = Scenario(
        name=root.text("name"),
        says=root.text("says"),
        snapshot=Snapshot(
            cluster_id="web",
            version=12,
            nodes={node.instance_id: node for node in made.values()},
            addresses=addresses,
            paused_until_ms=NOW + paused_ms if paused_ms else 0,
        ),
        resource=root.text("address", next(iter(addresses), "")),
        policy=policy_from(root.section("policy")),
        expected=_expected(expect),
        like=root.take("like"),
        but=tuple(root.take("but", {})),
        narrowly_not=root.take("narrowly_not"),
        keys={instance: key for key, instance in instances.items()},
    )
    root.end()
    return scenario


def expanded(name: str, raw: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The scenario with what it takes from the one it is like."""
    entry = raw[name]
    if "like" not in entry:
        return entry
    if entry["like"] not in raw:
        raise CorpusError(f"{name}: is like {entry['like']!r}, which is no scenario")
    base = copy.deepcopy(expanded(entry["like"], raw))
    for key in ("like", "but", "narrowly_not", "says", "expect"):
        base.pop(key, None)
    for path, value in entry.get("but", {}).items():
        *parents, last = path.split(".")
        place = base
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    unknown = set(entry) - {"name", "says", "like", "but", "narrowly_not", "expect"}
    if unknown:
        raise CorpusError(f"{name}: changes belong under `but`: {', '.join(sorted(unknown))}")
    return {**base, **entry}


def _expected(section: Section) -> Expected:
    expected = Expected(
        rule=section.text("rule"),
        kind=choice(section, "kind", "", ("keep", "note", "grant", "release", "resume")),
        sentence=section.text("sentence"),
        to=section.take("to"),
        calm=section.flag("calm", default=False),
    )
    section.end()
    return expected


def found(scenario: Scenario) -> Expected:
    """What the shipped rules make of a scenario, in the words of the corpus."""
    decision = scenario.decided()
    to = scenario.keys[decision.holder] if isinstance(decision, Grant) else None
    return Expected(
        rule=decision.rule,
        kind=type(decision).__name__.lower(),
        sentence=decision.sentence,
        to=to,
        calm=getattr(decision, "calm", False),
    )
