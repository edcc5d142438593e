"""The lines of each address in the order in which their steps were committed.

The state's version is that order. An export without versions has only times, of clocks that differ,
and terms.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

from spec.histories import ADDED, EVERY_RESOURCE, RENAMED, TAKEN_OUT, Line

CLOCKS_MS = 2_000
"""So far apart may the clocks of two Lambda environments be."""
REQUEST_MS = 10_000
"""A pause has the time of its request; it is in the state up to so much later."""
RULES = ("R020", "R031", "R050", "R060", "R061", "R070", "R071", "R072", "R080", "R090", "R999")
VERBS = ("failover", "switchover", "pause", "resume")
STEPS = (*RULES, *VERBS, TAKEN_OUT)

Section = tuple[Line, ...]


def sections(lines: Sequence[Line]) -> list[Section]:
    """The lines of each address, with those about its whole cluster.

    A new section begins where a table was replaced by an empty one, and where an address was
    added to a cluster; a renamed address takes its section along.
    """
    found = [section for era in eras(lines) for section in _of_addresses(era)]
    for own in _clusters(lines):
        if not _has_versions(own):
            found += _by_times(own)
    return [section for section in found if any(n.resource != EVERY_RESOURCE for n in section)]


def eras(lines: Sequence[Line]) -> list[list[Line]]:
    """The lines of each cluster in each table, by version, where an export has versions."""
    return [era for own in _clusters(lines) if _has_versions(own) for era in _eras(own)]


def _clusters(lines: Sequence[Line]) -> list[list[Line]]:
    names = sorted({line.cluster for line in lines})
    return [[line for line in lines if line.cluster == name] for name in names]


def _has_versions(lines: Iterable[Line]) -> bool:
    return all(line.version for line in lines)


def _eras(lines: Iterable[Line]) -> Iterator[list[Line]]:
    """In a new table versions and terms begin anew."""
    era: list[Line] = []
    for line in sorted(lines, key=lambda n: n.at_ms):
        is_first = line.kind == "grant" and line.term == 1
        again = any(n.resource == line.resource and n.term == 1 and n.kind == "grant" for n in era)
        if is_first and again and line.version <= max(n.version for n in era):
            yield sorted(era, key=lambda n: n.version)
            era = []
        era.append(line)
    yield sorted(era, key=lambda n: n.version)


def _of_addresses(era: Sequence[Line]) -> list[Section]:
    open_sections: dict[str, list[Line]] = {}
    closed: list[list[Line]] = []
    everywhere: list[Line] = []
    for line in era:
        if line.resource == EVERY_RESOURCE:
            everywhere.append(line)
            for section in open_sections.values():
                section.append(line)
            continue
        if line.rule == RENAMED and line.says["before"] in open_sections:
            before = open_sections.pop(line.says["before"])
            closed += [open_sections.pop(line.resource, [])]
            open_sections[line.resource] = before
        if line.rule == ADDED:
            closed += [open_sections.pop(line.resource, [])]
        open_sections.setdefault(line.resource, list(everywhere)).append(line)
    return [_steps(section) for section in (*closed, *open_sections.values())]


def _steps(section: Iterable[Line]) -> Section:
    return tuple(line for line in section if line.rule in (*STEPS, ADDED))


def _by_times(lines: Sequence[Line]) -> Iterator[Section]:
    everywhere = [n for n in lines if n.resource == EVERY_RESOURCE and n.rule in VERBS]
    for resource in sorted({line.resource for line in lines} - {EVERY_RESOURCE}):
        own = sorted((n for n in lines if n.resource == resource), key=lambda n: n.at_ms)
        for later in range(1, len(own)):
            _in_order(own, later)
        yield _steps(_merged(own, everywhere))


def _in_order(own: list[Line], later: int) -> None:
    """Puts a line before those that have a higher term and hardly an earlier time."""
    line, place = own[later], later
    while place and _is_before(line, own[place - 1]):
        own[place] = own[place - 1]
        place -= 1
    own[place] = line


def _is_before(line: Line, other: Line) -> bool:
    earlier = (line.term, line.kind != "grant") < (other.term, other.kind != "grant")
    return earlier and line.at_ms - other.at_ms <= CLOCKS_MS


def _merged(own: Iterable[Line], everywhere: Sequence[Line]) -> list[Line]:
    """A pause counts from when it is surely in the state, but before the next word about pauses."""
    result = list(own)
    for verb, following in itertools.zip_longest(everywhere, everywhere[1:]):
        counts_ms = verb.at_ms
        if verb.rule == "pause":
            counts_ms += REQUEST_MS
            counts_ms = min(counts_ms, following.at_ms) if following else counts_ms
        place = len(result)
        while place and _comes_after(result[place - 1], counts_ms):
            place -= 1
        result.insert(place, verb)
    return result


def _comes_after(line: Line, counts_ms: int) -> bool:
    return line.resource != EVERY_RESOURCE and line.at_ms >= counts_ms
