"""What a judge knows of a round, all of it from outside the arbiter, as plain values.

Times are `time.monotonic()` seconds; nodes are named as Pacemaker names them, "" is nobody.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lab.rounds.plan import KINDS, Kind, Plan

_RESUMED = re.compile(r"the move of \S+ \(\S+\) to (\S+) \(term ")


@dataclass(frozen=True)
class Put:
    """A fault as it really was: being put on, in force, being lifted, lifted.

    `not_real` says in what way it did not do what its name says; empty when it did.
    """

    kind_name: str
    node: str
    put_at: float
    in_force_at: float
    lifting_at: float
    lifted_at: float
    not_real: str = ""

    @property
    def kind(self) -> Kind:
        """What is known of its kind."""
        return KINDS[self.kind_name]

    def hits(self, node: str) -> bool:
        """Whether this node is among those it was put on."""
        return self.node == node or self.kind.everywhere

    def overlaps(self, since: float, until: float) -> bool:
        """Whether it was, in part at least, there in this time."""
        return self.put_at <= until and self.lifted_at >= since

    def __str__(self) -> str:
        where = f" {self.node}" if not self.kind.everywhere else ""
        return f"{self.kind_name}{where} {self.lifting_at - self.in_force_at:.1f} s"


@dataclass(frozen=True)
class Operation:
    """One line of Pacemaker's log about the resource: an operation begins (`rc` None) or ended."""

    at: float
    node: str
    action: str
    rc: int | None


@dataclass(frozen=True)
class Move:
    """One change of the address's association in EC2's journal."""

    at: float
    operation: str
    principal: str
    source: str
    target: str


@dataclass(frozen=True)
class Line:
    """One line of the arbiter's history; `node` is whom a grant is for."""

    at: float
    kind: str
    term: int
    rule: str
    sentence: str

    @property
    def node(self) -> str:
        """Whom a grant is for: its sentence begins with the name, that of a resumed move has it."""
        resumed = _RESUMED.match(self.sentence)
        return resumed[1] if resumed else self.sentence.partition(" ")[0]


@dataclass(frozen=True)
class Heard:
    """A report that the bus took, as far as it says something new of its node."""

    at: float
    node: str
    text: str


@dataclass(frozen=True)
class End:
    """How a round ended. `trouble` says what was still wrong when nobody waited any longer."""

    seconds: float
    trouble: str
    started_on: tuple[str, ...]
    ec2_holder: str
    table_holder: str
    table_term: int
    phase: str
    failures: tuple[str, ...] = ()
    constraints: int = 0
    dead_letters: int = 0


@dataclass(frozen=True)
class Facts:
    """Everything about one round.

    `holder` and `term` are those of its begin; `mark_before` and `mark_after` tell when the
    resource that runs on that node at its begin and at its end was started there. `calls` says who
    called what, `agents_ended` whose agent ended by itself. `export` is the whole history since the
    cluster was made, as a query of the table gives it; empty where there is none.
    """

    plan: Plan
    nodes: tuple[str, ...]
    holder: str
    term: int
    began_at: float
    agents_ended: tuple[str, ...]
    puts: tuple[Put, ...]
    operations: tuple[Operation, ...]
    moves: tuple[Move, ...]
    lines: tuple[Line, ...]
    heard: tuple[Heard, ...]
    function_errors: tuple[tuple[float, str], ...]
    calls: frozenset[tuple[str, str]]
    mark_before: float | None
    mark_after: float | None
    end: End
    export: str = ""

    @property
    def grants(self) -> tuple[Line, ...]:
        """The lines of the history that give the address to somebody."""
        return tuple(line for line in self.lines if line.kind == "grant")
