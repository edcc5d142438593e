"""What every request of an operator goes through: it is whole, its cluster is known, or refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from eip_contract.fields import NAME, TEXT, shown

from eip_arbiter.decision.snapshot import Address, Node, Snapshot
from eip_arbiter.ports import Committed, LostRace, Store, StoreUnansweredError

A_NAME = "at most 64 letters, digits, dots, dashes and underscores"
SOME_TEXT = "at most 120 printable ASCII characters"
MOST_SHOWN = 3
DASHBOARDS_OWN = "widgetContext"
"""CloudWatch adds this field when a button of the dashboard calls the function.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/add_custom_widget_dashboard_about.html
"""


class RefusedError(Exception):
    """A request that was not carried out; the message is for the operator."""


@dataclass
class Request:
    """The fields of a request for one verb. All that is wrong is collected, and said at once.

    A field is known once it was read, so no list of them can differ from what the verb reads. An
    unknown one is refused: a mistyped `dry_run` must not move an address.
    """

    verb: str
    payload: Mapping[str, Any]
    _known: set[str] = field(default_factory=lambda: {"verb"})
    _wrong: list[str] = field(default_factory=list)

    def has(self, name: str) -> bool:
        """Whether a field that may be left out is given."""
        self._known.add(name)
        return name in self.payload

    def wrong(self, problem: str) -> None:
        """Notes one problem."""
        self._wrong.append(problem)

    def name(self, name: str, says: str, default: str | None = None) -> str:
        """A name; `says` what of."""
        return self._text(name, NAME, f"it names {says}", A_NAME, default)

    def author(self) -> str:
        """Who asks and why, as the history's line ends; empty if neither is said."""
        by = self._text("by", TEXT, "it names who asks", SOME_TEXT, "")
        reason = self._text("reason", TEXT, "it says why", SOME_TEXT, "")
        said = ": ".join(part for part in (f"by {by}" if by else "", reason) if part)
        return f" ({said})" if said else ""

    def whole(self, name: str, low: int, high: int, default: int | None = None) -> int:
        """A whole number in the range."""
        self._known.add(name)
        value = self.payload.get(name, default)
        # A bool is an int in Python, but not in JSON.
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        self._is_wrong(name, f"it is a whole number from {low} to {high}")
        return low

    def flag(self, name: str) -> bool:
        """A JSON boolean, false unless it is given."""
        self._known.add(name)
        value = self.payload.get(name, False)
        if isinstance(value, bool):
            return value
        self._is_wrong(name, "it is true or false")
        return False

    def complete(self) -> None:
        """Ends the reading.

        Raises:
            RefusedError: with all that is wrong, unknown fields first.
        """
        unknown = sorted(self.payload.keys() - self._known - {DASHBOARDS_OWN})
        if unknown:
            names = ", ".join(shown(name) for name in unknown[:MOST_SHOWN])
            more = len(unknown) - MOST_SHOWN
            names += f" and {more} more" if more > 0 else ""
            knows = ", ".join(sorted(self._known - {"verb"}))
            self._wrong.insert(0, f"{self.verb} does not know {names}: it knows {knows}")
        if self._wrong:
            raise RefusedError("; ".join(self._wrong))

    def _text(
        self, name: str, pattern: re.Pattern[str], means: str, bounds: str, default: str | None
    ) -> str:
        self._known.add(name)
        if name not in self.payload and default is not None:
            return default
        value = self.payload.get(name)
        if isinstance(value, str) and pattern.match(value):
            return value
        self._is_wrong(name, f"{means}, {bounds}" if name in self.payload else means)
        return ""

    def _is_wrong(self, name: str, means: str) -> None:
        what = f"is {shown(self.payload[name])}" if name in self.payload else "is missing"
        self.wrong(f"{name} {what}: {means}")


def known_cluster(store: Store, cluster: str) -> Snapshot:
    """The cluster's state."""
    try:
        snapshot = store.read(cluster)
    except StoreUnansweredError as error:
        raise RefusedError(f"nothing was done, the state cannot be read: {error}") from error
    if snapshot is None:
        raise RefusedError(f"no cluster {cluster!r} is known: none of its nodes has reported")
    return snapshot


def known_address(snapshot: Snapshot, resource: str) -> Address:
    """The address of a resource."""
    address = snapshot.addresses.get(resource)
    if address is None:
        raise RefusedError(f"{snapshot.cluster_id} has no address for {resource!r}")
    return address


def known_node(snapshot: Snapshot, name: str) -> Node:
    """The node of a Pacemaker name or instance id."""
    named = snapshot.nodes_named(name)
    if not named:
        raise RefusedError(f"{snapshot.cluster_id} has no node {name!r}")
    if len(named) > 1:
        ids = " and ".join(sorted(node.instance_id for node in named))
        raise RefusedError(
            f"{name} is what {ids} call themselves: say which one by its instance id "
            "(`forget` takes out one that is no more)"
        )
    return named[0]


def unless_lost(outcome: Committed | LostRace) -> Snapshot:
    """The state after a write; refuses where somebody else wrote first.

    Raises:
        RefusedError: nothing was written.
        StoreUnansweredError: nobody can tell any more whether it was written.
    """
    if isinstance(outcome, Committed):
        return outcome.snapshot
    if outcome.unsure:
        raise StoreUnansweredError("DynamoDB's first answer was lost, and others wrote since")
    raise RefusedError("the state changed meanwhile and nothing was done; ask again")
