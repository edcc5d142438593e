"""EC2 takes a node's own public address, and gives it another one: what a node can reach."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lab.embedded.ways import LAYOUTS, Layout, OwnAddresses


class Later:
    """What is due later, run by hand."""

    def __init__(self) -> None:
        self.due: list[tuple[float, Callable[[], None]]] = []

    def run(self, seconds: float, what: Callable[[], None]) -> None:
        self.due.append((seconds, what))

    def pass_by(self, seconds: float) -> None:
        for after, what in [due for due in self.due if due[0] <= seconds]:
            self.due.remove((after, what))
            what()


class Ways:
    """One cluster's own addresses and what was told of them."""

    def __init__(self, layout: Layout) -> None:
        self.later, self.rewritten = Later(), 0
        self.told: list[tuple[str, bool]] = []
        later: Any = self.later
        self.own = OwnAddresses(layout, later, self._rewrite)
        self.own.way_changed = lambda node, works: self.told.append((node, works))
        self.own.begin(["n1", "n2"])

    def _rewrite(self) -> None:
        self.rewritten += 1


def test_the_old_address_is_gone_at_once_and_the_elastic_ip_works_after_its_mapping() -> None:
    ways = Ways(LAYOUTS["public"])
    ways.own.gained("n1")
    assert ways.own.of("n1") is None
    assert ways.told == [("n1", False)]
    assert ways.own.mute() == {"n1"}
    ways.later.pass_by(6.0)
    assert ways.told[1:] == [("n1", True)]
    assert ways.own.mute() == frozenset()


def test_who_lost_the_elastic_ip_has_no_way_until_ec2_assigns_another_address() -> None:
    ways = Ways(LAYOUTS["public"])
    before = ways.own.of("n1")
    ways.own.gained("n1")
    ways.own.lost("n1")
    ways.later.pass_by(6.0)
    assert ways.own.mute() == {"n1"}, "the mapping of what it lost helps nobody"
    ways.later.pass_by(180.0)
    assert ways.own.mute() == frozenset()
    assert ways.own.of("n1") not in (None, before)
    assert ways.rewritten == 1, "its metadata service tells of the new one"


def test_who_gets_the_elastic_ip_again_meanwhile_is_assigned_none() -> None:
    ways = Ways(LAYOUTS["public"])
    ways.own.lost("n1")
    ways.own.gained("n1")
    ways.later.pass_by(180.0)
    assert ways.own.of("n1") is None
    assert ways.own.mute() == frozenset()


@pytest.mark.parametrize("name", ["classic", "private", "two-interfaces"])
def test_an_independent_way_is_never_cut(name: str) -> None:
    ways = Ways(LAYOUTS[name])
    ways.own.gained("n1")
    ways.own.lost("n1")
    ways.later.pass_by(180.0)
    assert ways.told == []
    assert ways.own.patience_seconds == 0


def test_ec2_assigns_no_address_to_a_node_with_two_interfaces() -> None:
    ways = Ways(LAYOUTS["two-interfaces"])
    ways.own.lost("n1")
    ways.later.pass_by(180.0)
    assert ways.own.of("n1") is None
    assert ways.own.of("n2") is not None
