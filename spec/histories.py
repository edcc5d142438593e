"""An exported history as values: what each line says of rule, term, nodes, order and evidence.

Nothing is judged here but the form. What a sentence does not say, or says in words that are not
known here, stays unsaid, and the specification may then choose it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

NOBODY = "nobody"
EVERY_RESOURCE = "*"
TAKEN_OUT, RENAMED, ADDED = "taken_out", "renamed", "added"
"""What EC2's tags changed, in place of a rule."""

_GOING = ("shutting-down", "stopping", "stopped", "terminated")
_RUNS = ("started", "starting")
_PACEMAKER_RUNS = ("online", "standby", "maintenance", "pending")

_SAYS = {
    "grant": re.compile(
        r"(?:order (?P<order>\S+) ends: .*; )?(?P<who>\S+) gets \S+ \(.*?\) "
        r"under term (?P<term>\d+): (?P<why>.*)"
    ),
    "release": re.compile(r"\S+ \(.*?\) is taken off (?P<who>[^\s,]+)"),
    "R072": re.compile(r"(?P<who>\S+) keeps .*?, so (?P<whom>\S+)'s claim"),
    "R999": re.compile(r"the challenge of (?P<who>\S+) is over"),
    "R020": re.compile(r"order (?P<order>\S+) ends: (?:(?P<whom>\S+) claims )?"),
    "R031": re.compile(
        r"\S+ \(.*?\) is (?:being moved to|on) (?P<who>\S+) under term (?P<term>\d+)"
    ),
    "order": re.compile(
        r"order (?P<order>\S+) is accepted: \S+ \(.*?\) "
        r"from (?P<whom>[^\s,;]+) to (?P<who>[^\s,;]+)"
    ),
    "pause": re.compile(r".* is paused for (?P<minutes>\d+) min"),
}
_WHY = {
    "R020": re.compile(r".*\(order (?P<order>[^\s)]+)\)"),
    "R050": re.compile(r"nobody held it"),
    "R060": re.compile(r"EC2 says that (?P<whom>\S+) is"),
    "R061": re.compile(
        r"(?P<whom>\S+) (?P<gave_up>released it|failed it|is unhealthy|says that its Pacemaker)"
    ),
    "R070": re.compile(r"(?P<whom>\S+) did not answer"),
    "R071": re.compile(r".*, (?P<whom>\S+) is cut off"),
    "R080": re.compile(r"(?P<whom>\S+) holds it"),
}
_TAGS = {
    TAKEN_OUT: re.compile(r"(?P<who>\S+) \(i-\w+\) (?:lost its tag|is tagged \S+): it has no say "),
    RENAMED: re.compile(r"\S+ \((?P<before>.*)\) is .* from now on, by EC2's tags"),
    ADDED: re.compile(r"\S+ \(.*\) is tagged for this cluster"),
}


class NoHistoryError(ValueError):
    """The text is no history; the message says what is missing."""


@dataclass(frozen=True)
class Report:
    """What a line's evidence says of one node; of its health it says nothing.

    `number` is (incarnation, seq), empty where it is not known; `said_ms` is 0 then. Times are
    milliseconds since the epoch, by the arbiter's clock.
    """

    name: str
    state: str
    pacemaker: str
    number: tuple[int, ...] = ()
    received_ms: int = 0
    said_ms: int = 0
    going: bool = False

    @property
    def may_claim(self) -> bool:
        """Whether it can have been a claim."""
        reads = self.pacemaker in _PACEMAKER_RUNS
        return self.state in _RUNS if reads else self._starts_unread

    @property
    def _starts_unread(self) -> bool:
        return self.state == "starting" and self.pacemaker == "unknown"

    @property
    def gave_up(self) -> str:
        """How it lets the address go, if it does whatever the node's health is; else empty."""
        if self.pacemaker == "offline":
            return "says that its Pacemaker"
        return {"stopped": "released it", "failed": "failed it"}.get(self.state, "")

    @property
    def may_be_unknown(self) -> bool:
        """Whether it can have been no reading."""
        return not self.gave_up and (not self.may_claim or self._starts_unread)


@dataclass(frozen=True)
class Line:
    """One line.

    `version` is the state's after the step, 0 where the export does not say it. `says` has the
    parts of the sentence; `evidence` the reports by instance id, None where none were exported.
    """

    number: int
    at_ms: int
    version: int
    cluster: str
    resource: str
    term: int
    kind: str
    rule: str
    sentence: str
    says: Mapping[str, str] = field(default_factory=dict)
    evidence: Mapping[str, Report] | None = None


def read(text: str) -> tuple[Line, ...]:
    """The lines of an export, oldest first.

    Args:
        text: what the verb `history` answered, what a query of the table answered, a list of
            lines, or one JSON line each.

    Raises:
        NoHistoryError: it is none of these.
    """
    found = _parsed(text)
    lines = [_line(number, raw) for number, raw in enumerate(found, 1)]
    if lines and lines[0].at_ms > lines[-1].at_ms:
        lines.reverse()
    return tuple(lines)


def _parsed(text: str) -> list[Mapping[str, Any]]:
    if not text.strip():
        raise NoHistoryError("there is nothing in it")
    try:
        whole = json.loads(text)
    except ValueError:
        try:
            whole = [json.loads(line) for line in text.splitlines() if line.strip()]
        except ValueError as error:
            raise NoHistoryError(f"neither JSON nor one JSON value a line: {error}") from None
    if isinstance(whole, dict) and "Items" in whole:
        return [_of_item(item) for item in _all_objects(whole["Items"])]
    if isinstance(whole, dict):
        whole = [
            {"cluster": whole.get("cluster", ""), **line}
            for line in _all_objects(whole.get("lines", [whole]))
        ]
    return _all_objects(whole)


def _all_objects(lines: Any) -> list[Mapping[str, Any]]:
    if not isinstance(lines, list) or not all(isinstance(line, dict) for line in lines):
        raise NoHistoryError("the lines are no list of objects")
    return lines


def _of_item(item: Mapping[str, Any]) -> Mapping[str, Any]:
    """A line as it lies in the table; its key has time, version, resource, term and kind."""
    plain = {name: next(iter(value.values())) for name, value in item.items()}
    try:
        _, at_ms, version, resource, term, kind = plain["sk"].split("#")
        cluster = plain["pk"].partition("#")[2]
        keys = {"at_ms": int(at_ms), "version": int(version), "term": int(term)}
    except (KeyError, ValueError):
        raise NoHistoryError(f"{plain.get('sk')!r} is no key of a line of history") from None
    return {**plain, **keys, "cluster": cluster, "resource": resource, "kind": kind}


def _line(number: int, raw: Mapping[str, Any]) -> Line:
    try:
        at = raw["at"] if "at" in raw else raw["at_ms"]
        at_ms = at if isinstance(at, int) else int(1000 * datetime.fromisoformat(at).timestamp())
        sentence, rule = str(raw["sentence"]), str(raw.get("rule", ""))
        resource, term, kind = str(raw["resource"]), int(raw["term"]), str(raw["kind"])
        version = int(raw.get("version", 0))
        text = f"{rule}: {sentence}" if rule and sentence else rule or sentence
        evidence = raw.get("evidence")
        evidence = json.loads(evidence) if isinstance(evidence, str) else evidence
        reports = None if evidence is None else _reports(evidence, resource)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise NoHistoryError(f"line {number} is no line of a history: {error!r}") from None
    rule, _, sentence = text.partition(": ")
    says = _says(kind, rule, sentence)
    for tag, pattern in _TAGS.items():
        if match := pattern.match(text):
            rule, sentence, says = tag, text, _said(match)
    return Line(
        number=number,
        at_ms=at_ms,
        version=version,
        cluster=str(raw.get("cluster", raw.get("cluster_id", ""))),
        resource=resource,
        term=term,
        kind=kind,
        rule=rule,
        sentence=sentence,
        says=says,
        evidence=reports,
    )


def _says(kind: str, rule: str, sentence: str) -> dict[str, str]:
    how = kind if kind in _SAYS else "order" if rule in ("failover", "switchover") else rule
    said = _said(_SAYS[how].match(sentence)) if how in _SAYS else {}
    for other, pattern in _WHY.items():
        if "why" in said and (match := pattern.match(said["why"])):
            said |= _said(match) | {"reason_of": other}
    return said


def _said(match: re.Match[str] | None) -> dict[str, str]:
    return {name: value for name, value in match.groupdict().items() if value} if match else {}


def _reports(evidence: Mapping[str, Any], resource: str) -> dict[str, Report]:
    return {instance: _report(node, resource) for instance, node in evidence.items()}


def _report(node: Mapping[str, Any], resource: str) -> Report:
    received_ms = int(node.get("received_at_ms", 0))
    number = tuple(int(part) for part in str(node.get("report", "")).split(".") if part)
    return Report(
        name=str(node["node"]),
        state=str(node.get("resources", {}).get(resource, "unknown")),
        pacemaker=str(node.get("pacemaker", "unknown")),
        number=number,
        received_ms=received_ms,
        said_ms=received_ms - int(node.get("late_ms", 0)),
        going=node.get("ec2") in _GOING,
    )
