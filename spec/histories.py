"""An exported history as values: what each line says of rule, term, nodes and order.

Nothing is judged here but the form. What a sentence does not say, or says in words that are not
known here, stays unsaid, and the specification may then choose it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

NOBODY = "nobody"
EVERY_RESOURCE = "*"
RUNS = ("started", "starting")
PACEMAKER_RUNS = ("online", "standby", "maintenance", "pending")
CLAIM, RELEASE, UNKNOWN = "claim", "release", "unknown"

_SAYS = {
    "grant": re.compile(
        r"(?:order (?P<order>\S+) ends: .*; )?(?P<who>\S+) gets \S+ \(.*?\) "
        r"under term (?P<term>\d+): (?P<why>.*)"
    ),
    "release": re.compile(r"\S+ \(.*?\) is taken off (?P<who>[^\s,]+)"),
    "R072": re.compile(r"(?P<who>\S+) keeps .*?, so (?P<whom>\S+)'s claim"),
    "R999": re.compile(r"the challenge of (?P<who>\S+) is over"),
    "R020": re.compile(r"order (?P<order>\S+) ends: (?:(?P<whom>\S+) claims )?"),
    "order": re.compile(
        r"order (?P<order>\S+) is accepted: \S+ \(.*?\) "
        r"from (?P<whom>[^\s,;]+) to (?P<who>[^\s,;]+)"
    ),
    "pause": re.compile(r".* is paused for (?P<minutes>\d+) min"),
}
_RESUMED = re.compile(r"the move of .*? to (?P<who>\S+) \(term (?P<term>\d+)\) was not finished")
_WHY = {
    "R020": re.compile(r".*\(order (?P<order>[^\s)]+)\)"),
    "R060": re.compile(r"EC2 says that (?P<whom>\S+) is"),
    "R061": re.compile(r"(?P<whom>\S+) (?:released|failed|is|says)"),
    "R070": re.compile(r"(?P<whom>\S+) did not answer"),
    "R071": re.compile(r".*, (?P<whom>\S+) is cut off"),
    "R080": re.compile(r"(?P<whom>\S+) holds it"),
}


class NoHistoryError(ValueError):
    """The text is no history; the message says what is missing."""


@dataclass(frozen=True)
class Line:
    """One line.

    `says` has the parts of its sentence, `seen` for each node the words that its report, by the
    evidence, can have meant, and `aliases` the instance of each name.
    """

    number: int
    at_ms: int
    cluster: str
    resource: str
    term: int
    kind: str
    rule: str
    sentence: str
    resumed: bool = False
    says: Mapping[str, str] = field(default_factory=dict)
    seen: Mapping[str, frozenset[str]] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)


def read(text: str) -> tuple[Line, ...]:
    """The lines of an export, oldest first.

    Args:
        text: what the verb `history` answered, a list of lines, or one JSON line each.

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


def _line(number: int, raw: Mapping[str, Any]) -> Line:
    try:
        at = raw["at"] if "at" in raw else raw["at_ms"]
        at_ms = at if isinstance(at, int) else int(1000 * datetime.fromisoformat(at).timestamp())
        sentence, rule = str(raw["sentence"]), str(raw.get("rule", ""))
        if not rule:
            rule, _, sentence = sentence.partition(": ")
        resource, term, kind = str(raw["resource"]), int(raw["term"]), str(raw["kind"])
        evidence = raw.get("evidence") or {}
        evidence = json.loads(evidence) if isinstance(evidence, str) else evidence
    except (KeyError, TypeError, ValueError) as error:
        raise NoHistoryError(f"line {number} is no line of a history: {error!r}") from None
    resumed = _RESUMED.match(sentence)
    return Line(
        number=number,
        at_ms=at_ms,
        cluster=str(raw.get("cluster", raw.get("cluster_id", ""))),
        resource=resource,
        term=term,
        kind=kind,
        rule=rule,
        sentence=sentence,
        resumed=resumed is not None,
        says=_said(resumed) if resumed else _says(kind, rule, sentence),
        seen=_seen(evidence, resource),
        aliases=dict(_aliases(evidence)),
    )


def _says(kind: str, rule: str, sentence: str) -> dict[str, str]:
    how = kind if kind in _SAYS else "order" if rule in ("failover", "switchover") else rule
    said = _said(_SAYS[how].match(sentence)) if how in _SAYS else {}
    if "why" in said and rule in _WHY:
        said |= _said(_WHY[rule].match(said["why"]))
    return said


def _said(match: re.Match[str] | None) -> dict[str, str]:
    return {name: value for name, value in match.groupdict().items() if value} if match else {}


def _aliases(evidence: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Each instance's name, for it may be called by either."""
    for key, node in evidence.items():
        instance = str(node.get("instance", key))
        for name in (key, node.get("name"), node.get("node")):
            if isinstance(name, str) and name != instance:
                yield name, instance


def _seen(evidence: Mapping[str, Any], resource: str) -> dict[str, frozenset[str]]:
    return {
        str(node.get("instance", key)): _words(node, resource) for key, node in evidence.items()
    }


def _words(node: Mapping[str, Any], resource: str) -> frozenset[str]:
    """What a node's report in the evidence can have meant; the evidence does not say its health."""
    state = node.get("resources", {}).get(resource, "unknown")
    pacemaker = node.get("pacemaker", "unknown")
    if state in ("stopped", "failed") or pacemaker == "offline":
        return frozenset({RELEASE})
    if state in RUNS and pacemaker in PACEMAKER_RUNS:
        return frozenset({CLAIM, RELEASE})
    if state == "starting":
        return frozenset({CLAIM, RELEASE, UNKNOWN})
    return frozenset({RELEASE, UNKNOWN})
