"""Whether a history is a run of the protocol: a process made of its lines, which Spin composes.

The judge is `protocol.pml`. Here lines are put in order and written as Promela; the arbiter, the
operator and the state item are the model's own, and the reports that nobody exported may have said
anything that the lines and their evidence allow.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from spec.histories import EVERY_RESOURCE, NOBODY, Line, NoHistoryError
from spec.spinning import MODEL, ModelError, names_of_numbers, need_tools, verify

CLOCKS_MS = 2_000
"""So far apart may the clocks of two Lambda environments be."""
REQUEST_MS = 10_000
"""A pause has the time of its request; it is in the state up to so much later."""
RULES = ("R020", "R050", "R060", "R061", "R070", "R071", "R072", "R080", "R090", "R999")
VERBS = ("failover", "switchover", "pause", "resume")
MOST_NODES = 9
ANY = "_"
UNKNOWN_ORDER = 999

_FILE = """\
#define NODES {nodes}
#define EACH(X) {each}
#define ORDERS {orders}
{lost}
#include "{trace}"
proctype world() {{
    run reports();
{steps}
    c_code {{ printf("ACCEPTED\\n"); }};
    assert(false)
}}
"""


@dataclass(frozen=True)
class Answer:
    """Whether all lines are steps that the specification allows, and one sentence for people."""

    allowed: bool
    sentence: str


def validate(lines: Sequence[Line], *, lost_lines: bool = False, move_ms: int = 10_000) -> Answer:
    """Has Spin decide whether a history is possible.

    Args:
        lines: as `histories.read` gives them, oldest first.
        lost_lines: an invocation may have died after its step and before its line.
        move_ms: the deadline of a move.

    Raises:
        MissingToolError: Spin or the C compiler is not there.
        NoHistoryError: there are more nodes than the model can have.
        ModelError: Spin came to no verdict.
    """
    need_tools()
    for line, why in _misformed(lines):
        return _refused(lines, line, why)
    sections = _sections(lines)
    if not sections:
        return Answer(allowed=True, sentence=_all(lines))
    trace = _Trace(sections, move_ms)
    with tempfile.TemporaryDirectory(prefix="eip-trace-") as folder:
        work = Path(folder)
        model = work / "trace.pml"
        model.write_text(trace.text(lost_lines=lost_lines))
        said = verify(model, work, small=not lost_lines).said
        if re.search(r"^ACCEPTED$", said, re.MULTILINE):
            return Answer(allowed=True, sentence=_all(lines))
        reached = max((int(k) for k in re.findall(r"REACHED (\d+)", said)), default=0)
        if reached >= len(trace.expected):
            raise ModelError(said)
        names = names_of_numbers(work)
    offers = re.findall(rf"OFFERED {reached} (\d+) (\d+) (\d+) (\d+) (\d+)", said)
    found = sorted(
        trace.in_words(reached, names[int(rule)], [int(field) for field in fields])
        for rule, *fields in offers
    )
    return _refused(lines, trace.expected[reached], trace.why(reached, found))


def _all(lines: Sequence[Line]) -> str:
    return f"{len(lines)} lines: each is a step the specification allows"


def _refused(lines: Sequence[Line], line: Line, why: str) -> Answer:
    return Answer(
        allowed=False,
        sentence=f"line {line.number} of {len(lines)} is no step that the specification allows: "
        f"{line.kind} {line.rule} of {line.resource}, term {line.term}: {line.sentence!r}: {why}",
    )


def _misformed(lines: Sequence[Line]) -> Iterable[tuple[Line, str]]:
    """Lines that contradict themselves or the one before."""
    last_ms = 0
    for line in lines:
        if line.at_ms < last_ms:
            yield line, "its time is before that of the line before it"
        last_ms = line.at_ms
        said = line.says.get("term")
        if said and int(said) != line.term:
            yield line, f"its sentence says term {said}"
        expected = {"R090": "release", "R072": "note", "R999": "note"}.get(line.rule, "grant")
        if re.fullmatch(r"R\d+", line.rule):
            if line.rule not in RULES:
                yield line, "no such rule moves an address or leaves a line"
            elif line.kind != expected and (line.rule, line.kind) != ("R020", "note"):
                yield line, f"{line.rule} leaves a {expected}, not a {line.kind}"
        elif line.kind != "note":
            yield line, "a grant or a release has a rule"


Section = list[Line]


def _sections(lines: Sequence[Line]) -> list[Section]:
    """The lines of each address in the order in which their steps were committed.

    Terms give that order where the clocks of two Lambda environments differ.
    """
    sections = []
    for cluster, resource in sorted({(n.cluster, n.resource) for n in lines}):
        if resource == EVERY_RESOURCE:
            continue
        own = [n for n in lines if (n.cluster, n.resource) == (cluster, resource)]
        own = [n for n in own if n.rule in (*RULES, *VERBS)]
        own = sorted(own, key=lambda n: n.at_ms)
        for later in range(1, len(own)):
            _in_order(own, later)
        both = [n for n in lines if (n.cluster, n.resource) == (cluster, EVERY_RESOURCE)]
        if own:
            sections.append(_merged(own, [n for n in both if n.rule in VERBS]))
    return sections


def _in_order(own: Section, later: int) -> None:
    """Puts a line before those that have a higher term and hardly an earlier time."""
    line, place = own[later], later
    while place and _is_before(line, own[place - 1]):
        own[place] = own[place - 1]
        place -= 1
    own[place] = line


def _is_before(line: Line, other: Line) -> bool:
    earlier = (line.term, line.kind != "grant") < (other.term, other.kind != "grant")
    return earlier and line.at_ms - other.at_ms <= CLOCKS_MS


def _merged(own: Section, cluster: Section) -> Section:
    """A pause counts from when it is surely in the state, but before the next word about pauses."""
    result = list(own)
    for index, verb in enumerate(cluster):
        counts_ms = verb.at_ms
        if verb.rule == "pause":
            following = [each.at_ms for each in cluster[index + 1 : index + 2]]
            counts_ms = min([counts_ms + REQUEST_MS, *following])
        place = len(result)
        while place and _comes_after(result[place - 1], counts_ms):
            place -= 1
        result.insert(place, verb)
    return result


def _comes_after(line: Line, counts_ms: int) -> bool:
    return line.resource != EVERY_RESOURCE and line.at_ms >= counts_ms


class _Trace:
    """The Promela of all sections."""

    def __init__(self, sections: list[Section], move_ms: int) -> None:
        self.expected: list[Line] = []
        self._move_ms = move_ms
        self._ids: dict[str, int] = {NOBODY: 0}
        self._orders: dict[str, int] = {}
        self._base, self._top = 0, 1
        self._aliases = {a: i for s in sections for n in s for a, i in n.aliases.items()}
        self._bases: list[int] = []
        self._steps: list[str] = []
        self._most_orders = 0
        for section in sections:
            self._section(section)
        if len(self._ids) - 1 > MOST_NODES:
            raise NoHistoryError(f"more than {MOST_NODES} nodes are named")

    def text(self, *, lost_lines: bool) -> str:
        """The whole model: this history composed with the protocol."""
        nodes = max(len(self._ids) - 1, 1)
        return _FILE.format(
            nodes=nodes,
            each=" ".join(f"X({n})" for n in range(1, nodes + 1)),
            orders=self._most_orders,
            lost="#define LOST" if lost_lines else "",
            trace=MODEL.with_name("trace.pml"),
            steps="\n".join(self._steps),
        )

    def _section(self, section: Section) -> None:
        first = next(n for n in section if n.resource != EVERY_RESOURCE)
        self._base = first.term - (first.kind == "grant")
        starts_at = 1 if self._base else 0
        self._base -= starts_at
        self._orders, self._top = {}, 1
        mentions = [n for n in section if n.says.get("order")]
        stood = bool(mentions) and mentions[0].rule not in VERBS[:2]
        for line in mentions:
            self._orders.setdefault(line.says["order"], len(self._orders) + 1)
        self._most_orders = max(self._most_orders, len(self._orders))
        self._steps.append(f"    begins({starts_at}, {1 if stood else UNKNOWN_ORDER});")
        moved_ms, paused_until_ms = 0, 0
        for line in section:
            slow = line.at_ms - moved_ms >= self._move_ms - CLOCKS_MS
            self._expect(line, slow=slow, pause_over=line.at_ms >= paused_until_ms)
            if line.kind != "note":
                moved_ms = line.at_ms
            if line.rule == "pause":
                # The line tells whole minutes, rounded up.
                minutes = int(line.says.get("minutes", "1"))
                paused_until_ms = line.at_ms + 60_000 * (minutes - 1)

    def _expect(self, line: Line, *, slow: bool, pause_over: bool) -> None:
        self._bases.append(self._base)
        highest = self._highest(line)
        what = ", ".join(self._fields(line))
        self._steps.append(
            f"    expect({len(self.expected)}, {highest}, {str(slow).lower()}, "
            f"{str(pause_over).lower()}, {self._evidence(line)}, {what});"
        )
        self.expected.append(line)

    def _highest(self, line: Line) -> int:
        """The highest term that a step up to this line can have."""
        self._top = max(self._top, line.term - self._base)
        return self._top

    def _fields(self, line: Line) -> tuple[str, str, str, str, str]:
        """Rule, term, who, whom and order, as `line` has them in the model."""
        says = line.says
        term = ANY if line.resource == EVERY_RESOURCE else str(line.term - self._base)
        who, whom = (self._node(says.get(name)) for name in ("who", "whom"))
        order = str(self._orders[says["order"]]) if "order" in says else ANY
        if line.rule == "R050":
            whom = "0"
        if line.rule == "R020" and line.kind == "note":
            who = "0"
        elif line.rule in RULES and line.rule != "R020" and "why" in says and "order" not in says:
            order = "0"
        if line.kind == "release" and line.resumed:
            who = ANY
        return line.rule, term, who, whom, order

    def _node(self, name: str | None) -> str:
        if name is None:
            return ANY
        name = self._aliases.get(name, name)
        return str(self._ids.setdefault(name, len(self._ids)))

    def _evidence(self, line: Line) -> str:
        """What the reports, as they were at the step, cannot have meant."""
        if line.resumed:
            return "true"  # Written when the move was resumed.
        not_said = []
        for name, words in line.seen.items():
            if name not in self._ids:
                continue
            for word in {"claim", "release", "unknown"} - words:
                forbidden = ("claim", "misses") if word == "claim" else (word,)
                not_said += [f"word[{self._ids[name]}] != {each}" for each in forbidden]
        return f"({' && '.join(sorted(not_said))})" if not_said else "true"

    def in_words(self, step: int, rule: str, offer: Sequence[int]) -> str:
        """A line that the model would have written there; `offer` is term, who, whom, order."""
        term, who, _, order = offer
        if rule in VERBS:
            return rule
        node = {number: name for name, number in self._ids.items()}[who]
        if not who:
            return f"{rule}, the end of its order"
        if rule in ("R072", "R999", "R090"):
            return f"{rule} of {node}"
        ends = " and the end of an order" if order and rule != "R020" else ""
        return f"{rule} to {node} under term {term + self._bases[step]}{ends}"

    def why(self, step: int, found: list[str]) -> str:
        """Why a line is refused: what would have been allowed in its place."""
        after = f"after line {self.expected[step - 1].number}" if step else "at the beginning"
        if not found:
            return f"{after} no line could follow"
        return f"{after} it could have been {'; '.join(dict.fromkeys(found))}"
