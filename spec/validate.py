"""Whether a history is a run of the protocol: Spin follows it line by line.

The judge is `protocol.pml`. Here lines are put in order and written as numbers; what nodes said may
be anything that the lines and their evidence leave open.
"""

from __future__ import annotations

import atexit
import functools
import itertools
import re
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from spec.histories import NOBODY, TAKEN_OUT, Line
from spec.rows import MOST_NODES, Row, rows_of, stale_reports
from spec.sections import RULES, VERBS, Section, eras, sections
from spec.spinning import MODEL, ModelError, make, names_of_numbers, need_tools, search

FEW_NODES = 5
"""Most clusters have no more; their verifier is made and runs faster."""
SECONDS = 60.0
MEGABYTES = 1024
_OPTIONS = ("-w16", "-m100000")
_NUMBERS = re.compile(r"^(AT|COULD)((?: -?\d+){6})$", re.MULTILINE)


@dataclass(frozen=True)
class Answer:
    """Whether all lines are steps that the specification allows, and one sentence for people."""

    allowed: bool
    sentence: str


def validate(lines: Sequence[Line]) -> Answer:
    """Has Spin decide whether a history is possible.

    Args:
        lines: as `histories.read` gives them, oldest first.

    Raises:
        MissingToolError: Spin or the C compiler is not there.
        NoHistoryError: there are more nodes than the model can have.
        ModelError: Spin came to no verdict.
    """
    need_tools()
    for line, why in _misformed(lines):
        return _refused(lines, line, why)
    found = sections(lines)
    for line, why in _doubled(found):
        return _refused(lines, line, why)
    stale = {k: v for era in eras(lines) for k, v in stale_reports(era).items()}
    rows = [row for section in found for row in rows_of(section, stale)]
    if not rows:
        return Answer(allowed=True, sentence=_all(lines))
    most = max(len(row.nodes) for row in rows)
    tool = _tool(FEW_NODES if most <= FEW_NODES else MOST_NODES)
    said = tool.follow(rows)
    if "ACCEPTED" in said:
        return Answer(allowed=True, sentence=_all(lines))
    refused = _Refused(rows, said, tool.names)
    return _refused(lines, refused.line, refused.why)


def _all(lines: Sequence[Line]) -> str:
    return f"{len(lines)} lines: each is a step the specification allows"


def _refused(lines: Sequence[Line], line: Line, why: str) -> Answer:
    of = f"{line.cluster}/{line.resource}" if line.cluster else line.resource
    return Answer(
        allowed=False,
        sentence=f"line {line.number} of {len(lines)} is no step that the specification allows: "
        f"{line.kind} {line.rule} of {of}, term {line.term}: {line.sentence!r}: {why}",
    )


def _misformed(lines: Sequence[Line]) -> Iterable[tuple[Line, str]]:
    """Lines that contradict themselves, or the one before in an export that has only times."""
    last_ms = 0
    for line in lines:
        if not line.version and line.at_ms < last_ms:
            yield line, "its time is before that of the line before it"
        last_ms = line.at_ms
        said = line.says.get("term")
        if said and int(said) != line.term:
            yield line, f"its sentence says term {said}"
        reason_of = line.says.get("reason_of", line.rule)
        if reason_of != line.rule:
            yield line, f"its sentence has the reason of {reason_of}"
        expected = {"R090": "release", "R072": "note", "R999": "note", "R031": "note"}
        kind = expected.get(line.rule, "grant")
        if re.fullmatch(r"R\d+", line.rule):
            if line.rule not in RULES:
                yield line, "no such rule moves an address or leaves a line"
            elif line.kind != kind and (line.rule, line.kind) != ("R020", "note"):
                yield line, f"{line.rule} leaves a {kind}, not a {line.kind}"
        elif line.kind != "note":
            yield line, "a grant or a release has a rule"


def _doubled(found: Sequence[Section]) -> Iterable[tuple[Line, str]]:
    """Steps that were written on one version of the state. Tags may change several addresses."""
    for section in found:
        steps = [line for line in section if line.version and line.rule in (*RULES, *VERBS)]
        for line, following in itertools.pairwise(steps):
            if line.version == following.version:
                yield following, f"line {line.number} was written on the same version of the state"


class _Tool:
    """A verifier that follows histories of so many nodes at the most; it goes with the process."""

    def __init__(self, nodes: int) -> None:
        self._nodes = nodes
        folder = Path(tempfile.mkdtemp(prefix="eip-history-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        self._verifier = make(
            MODEL.with_name("history.pml"),
            folder,
            defines=(f"NODES={nodes}",),
            small=True,
            megabytes=MEGABYTES,
        )
        self.names = names_of_numbers(folder)
        self._numbers = {name: number for number, name in self.names.items()}

    def follow(self, rows: Sequence[Row]) -> str:
        """What the verifier prints of these rows.

        Raises:
            ModelError: it came to no verdict.
        """
        numbers = [self._number(row) for row in rows]
        numbers.append([0] * len(numbers[0]))
        with tempfile.TemporaryDirectory(prefix="eip-rows-") as folder:
            text = "\n".join(" ".join(map(str, each)) for each in numbers)
            (Path(folder) / "rows").write_text(f"{len(numbers)}\n{text}\n")
            return search(self._verifier, *_OPTIONS, work=Path(folder), seconds=SECONDS).said

    def _number(self, row: Row) -> list[int]:
        words = [0, *row.words, *[0] * (self._nodes - len(row.words))]
        rule = self._numbers[row.rule]
        return [rule, row.term, row.who, row.whom, row.order, row.may, *words]


_tool = functools.cache(_Tool)


class _Refused:
    """Why a history is refused: how things were, and what would have been allowed instead."""

    def __init__(self, rows: Sequence[Row], said: str, names: dict[int, str]) -> None:
        told = [(what, tuple(map(int, rest.split()))) for what, rest in _NUMBERS.findall(said)]
        if not told:
            raise ModelError(f"it followed no line:\n{said}")
        place = max(numbers[0] for _, numbers in told)
        self._row, self._names = rows[place], names
        if self._row.line is None:
            raise ModelError(f"it followed no line:\n{said}")
        self.line: Line = self._row.line
        told = [(what, numbers) for what, numbers in told if numbers[0] == place]
        before = rows[place - 1].line
        after = f"after line {before.number}" if before else "at the beginning"
        states = self._texts(self._state(numbers) for what, numbers in told if what == "AT")
        steps = self._texts(self._step(numbers) for what, numbers in told if what == "COULD")
        could = f"it could have been {'; '.join(steps)}" if steps else "no line could follow"
        self.why = f"{after}, where {' or '.join(states)}, {could}"

    @staticmethod
    def _texts(texts: Iterable[str]) -> list[str]:
        return sorted(set(texts))

    def _node(self, number: int) -> str:
        if not number:
            return NOBODY
        known = self._row.nodes[number - 1]
        report = (self.line.evidence or {}).get(known)
        return f"{report.name} ({known})" if report else known

    def _state(self, numbers: tuple[int, ...]) -> str:
        _, holder, term, order, target, paused = numbers
        held = f"{self._node(holder)} holds it under term {term + self._row.base}"
        stands = f", a {self._names[order]} to {self._node(target)} stands" if order else ""
        return f"{held}{stands}{', the cluster is paused' if paused else ''}"

    def _step(self, numbers: tuple[int, ...]) -> str:
        _, number, term, who, _, order = numbers
        rule = self._names[number]
        if rule in VERBS or rule == TAKEN_OUT:
            return f"{rule} of another"
        if rule == "R020" and not who:
            return "R020, the end of its order"
        if rule in ("R031", "R072", "R090", "R999"):
            return f"{rule} of {self._node(who)}"
        ends = " and the end of an order" if order and rule != "R020" else ""
        return f"{rule} to {self._node(who)} under term {term + self._row.base}{ends}"
