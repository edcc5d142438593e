"""The rows of numbers that history.pml reads: one for each line, one where an address begins.

The columns and bits have their names there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from spec.histories import ADDED, EVERY_RESOURCE, NOBODY, Line, NoHistoryError, Report
from spec.sections import CLOCKS_MS, Section

UNSAID = -1
MOST_NODES = 15
_EXPIRE, _END_PAUSE, _HAVE_BEGUN_BEFORE = 1, 2, 4
_CLAIM, _RELEASE, _UNKNOWN, _SILENCE = 1, 2, 4, 8
_GO, _PREDATE, _BE_STALE, _BE_ABSENT = 16, 32, 64, 128
_ANYTHING = _CLAIM | _RELEASE | _UNKNOWN | _SILENCE | _GO
_AN_ORDER_OF_BEFORE = 1_000

Words = tuple[int, ...]


@dataclass(frozen=True)
class Row:
    """What the verifier is told of one line; `line` is None where an address begins.

    `nodes` are the instances or names by their numbers, `base` is the term that is 0 there.
    """

    line: Line | None
    rule: str
    term: int
    who: int
    whom: int
    order: int
    may: int
    words: Words
    nodes: tuple[str, ...]
    base: int


def rows_of(section: Section, stale: Mapping[int, frozenset[str]]) -> list[Row]:
    """The rows of one address.

    Args:
        section: its lines in order.
        stale: by a line's number, the nodes whose report is older than one known before it.

    Raises:
        NoHistoryError: more nodes are named than the model can have.
    """
    return _Section(section, stale).rows()


@dataclass
class _Section:
    section: Section
    stale: Mapping[int, frozenset[str]]
    granted_ms: int = 0
    paused_until_ms: int = 0
    orders: dict[str, int] = field(default_factory=dict)

    def rows(self) -> list[Row]:
        names = _Names(self.section)
        first = next(n for n in self.section if n.resource != EVERY_RESOURCE)
        begins = self._begins(names, first)
        return [begins, *(self._row(names, begins.base, n) for n in self.section if _counts(n))]

    def _begins(self, names: _Names, first: Line) -> Row:
        before = first.term - (first.kind == "grant")
        known = before == 0 or first.rule == ADDED
        mentions = [n for n in self.section if "order" in n.says]
        for line in mentions:
            self.orders.setdefault(line.says["order"], len(self.orders) + 1)
        stood = bool(mentions) and mentions[0].rule not in ("failover", "switchover")
        return Row(
            line=None,
            rule="begins",
            term=0 if before == 0 else 1,
            who=len(names.known),
            whom=UNSAID,
            order=1 if stood else _AN_ORDER_OF_BEFORE,
            may=0 if known else _HAVE_BEGUN_BEFORE,
            words=(),
            nodes=names.known,
            base=0 if before == 0 else before - 1,
        )

    def _row(self, names: _Names, base: int, line: Line) -> Row:
        says = line.says
        who, whom = (names.number(line, says.get(name)) for name in ("who", "whom"))
        order = self.orders[says["order"]] if "order" in says else UNSAID
        if line.rule == "R050":
            whom = 0
        if line.rule == "R020" and line.kind == "note":
            who = 0
        elif line.kind == "grant" and "why" in says and "order" not in says:
            order = 0
        claimed = line.rule == "R020" and "whom" in says
        may = _EXPIRE * (not claimed)
        may |= _END_PAUSE * (line.at_ms + CLOCKS_MS >= self.paused_until_ms)
        words = tuple(self._words(line, name, names) for name in names.known)
        if line.kind == "grant":
            self.granted_ms = line.at_ms
        if line.rule == "pause":
            # The line tells whole minutes, rounded up.
            minutes = int(says.get("minutes", "1"))
            self.paused_until_ms = line.at_ms + 60_000 * (minutes - 1)
        term = UNSAID if line.resource == EVERY_RESOURCE else line.term - base
        return Row(
            line, line.rule, term, who, whom, order, may, words, nodes=names.known, base=base
        )

    def _words(self, line: Line, name: str, names: _Names) -> int:
        """What a node's report can have amounted to when the step was decided."""
        if not line.evidence:
            return _ANYTHING
        report = line.evidence.get(name)
        if report is None:
            return _SILENCE | _BE_ABSENT
        gave_up = line.says.get("gave_up", "")
        is_whom = "whom" in line.says and names.of(line, line.says["whom"]) == name
        bits = _GO * report.going
        if report.gave_up:
            bits |= _RELEASE * (not is_whom or gave_up in ("", report.gave_up, "is unhealthy"))
            bits |= _BE_STALE * (name in self.stale.get(line.number, ()))
            return bits or _SILENCE
        bits |= _CLAIM * report.may_claim | _UNKNOWN * report.may_be_unknown
        bits |= _RELEASE * (not is_whom or gave_up in ("", "is unhealthy"))
        bits |= _SILENCE * (not is_whom or not _answered(report, line, names))
        bits |= _PREDATE * bool(report.said_ms and report.said_ms + CLOCKS_MS < self.granted_ms)
        return bits | _BE_STALE * (name in self.stale.get(line.number, ()))


def _counts(line: Line) -> bool:
    return line.rule != ADDED


def _answered(holder: Report, line: Line, names: _Names) -> bool:
    """Whether the holder's claim came after the claim that it is to have left unanswered."""
    claimant = (line.evidence or {}).get(names.of(line, line.says.get("who", "")))
    is_claim = holder.may_claim and not holder.may_be_unknown
    return bool(claimant and is_claim and holder.received_ms > claimant.said_ms)


class _Names:
    """Who is meant by a name: the instance that says it in the line's evidence, or in any other.

    `known` are the instances, or the names where no evidence tells their instance.
    """

    def __init__(self, section: Section) -> None:
        self._said: dict[str, set[str]] = {}
        for line in section:
            for instance, report in (line.evidence or {}).items():
                self._said.setdefault(report.name, set()).add(instance)
        meant = [
            self.of(n, n.says[part]) for n in section for part in ("who", "whom") if part in n.says
        ]
        seen = [instance for n in section for instance in n.evidence or {}]
        self.known = tuple(dict.fromkeys(name for name in meant if name))
        if len(self.known) > MOST_NODES:
            raise NoHistoryError(f"more than {MOST_NODES} nodes are named")
        self.known = tuple(dict.fromkeys([*self.known, *seen]))[:MOST_NODES]

    def of(self, line: Line, name: str) -> str:
        """The instance of a name, the name where no evidence has it, "" for nobody or two."""
        evidence = line.evidence or {}
        if name in ("", NOBODY) or name in evidence:
            return name if name in evidence else ""
        own = {instance for instance, report in evidence.items() if report.name == name}
        found = own or self._said.get(name, {name})
        return next(iter(found)) if len(found) == 1 else ""

    def number(self, line: Line, name: str | None) -> int:
        """A node's number, 0 for nobody, -1 if it is not said or may be one of several."""
        if name == NOBODY:
            return 0
        found = self.of(line, name or "")
        return self.known.index(found) + 1 if found in self.known else UNSAID


def stale_reports(lines: Sequence[Line]) -> dict[int, frozenset[str]]:
    """By a line's number, the nodes whose report in it is older than one known before.

    A node that is in no evidence for a while was taken out of the state, and begins anew.
    """
    found: dict[int, frozenset[str]] = {}
    newest: dict[str, tuple[int, ...]] = {}
    for line in lines:
        if line.evidence is None:
            continue
        old = {n for n, r in line.evidence.items() if r.number < newest.get(n, ())}
        found[line.number] = frozenset(old)
        newest = {n: max(r.number, newest.get(n, ())) for n, r in line.evidence.items()}
    return found
