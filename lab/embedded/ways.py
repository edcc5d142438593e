"""Each node's own public IPv4 address, and its way to AWS by it, as EC2 takes and gives them.

EC2 releases the address that it assigned to an interface when an Elastic IP comes to the primary
private address. The connections by the old address are dead at once, and packets flow by the
Elastic IP only some seconds later. When the Elastic IP leaves, EC2 assigns another address within a
few minutes, or none where the interface is one of several, or has an Elastic IP on another private
address.
"""

from __future__ import annotations

import dataclasses
import itertools
import threading
from typing import TYPE_CHECKING

from lab.embedded.fidelity import corrects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lab.embedded.later import Later

MAPPING_SECONDS = 6.0
"""Five to six seconds were measured by others, and 20 were feared."""

NEW_ADDRESS_SECONDS = 180.0
"""AWS says "within a few minutes"."""


@dataclasses.dataclass(frozen=True, slots=True)
class Layout:
    """How the nodes of a cluster reach AWS.

    `assigns`: EC2 assigned each a public IPv4 address. `independent`: each also has a way that no
    Elastic IP touches: IPv6, a NAT gateway or endpoints. `assigns_again`: whether a node gets
    another address once its Elastic IP has gone.
    """

    name: str
    assigns: bool = False
    independent: bool = False
    assigns_again: bool = True
    mapping_seconds: float = MAPPING_SECONDS
    new_address_seconds: float = NEW_ADDRESS_SECONDS


LAYOUTS = {
    layout.name: layout
    for layout in (
        # What examples/classic makes: assigned addresses, and IPv6 beside them.
        Layout("classic", assigns=True, independent=True),
        Layout("private", independent=True),
        # What people made by hand: the assigned address is the only way.
        Layout("public", assigns=True),
        Layout("public-slow", assigns=True, mapping_seconds=20.0),
        # EC2 assigns none to an instance with a second interface: only with a way beside it.
        Layout("two-interfaces", assigns=True, independent=True, assigns_again=False),
    )
}


class OwnAddresses:
    """The assigned addresses of one cluster's nodes; every method may be called from any thread.

    Args:
        layout: How the nodes reach AWS.
        later: What is due in some seconds runs there.
        told: Is told when an assigned address comes or goes.
    """

    def __init__(self, layout: Layout, later: Later, told: Callable[[], None]) -> None:
        self._layout, self._later, self._told = layout, later, told
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._own: dict[str, str] = {}
        self._changes: dict[str, int] = {}
        self._mute: set[str] = set()
        self.way_changed: Callable[[str, bool], None] = lambda _node, _works: None
        """Is told of a node that its way to AWS is gone, or works again."""

    def begin(self, nodes: Iterable[str]) -> None:
        """Each node has been launched with an address."""
        for node in nodes:
            self._assign(node)

    def of(self, node: str) -> str | None:
        """The node's own address now."""
        with self._lock:
            return self._own.get(node)

    def mute(self) -> frozenset[str]:
        """The nodes that have no way to AWS now."""
        with self._lock:
            return frozenset(self._mute)

    @property
    def patience_seconds(self) -> float:
        """How long it may take until a node that lost its way has one again."""
        if self._layout.independent:
            return 0.0
        return max(self._layout.mapping_seconds, self._layout.new_address_seconds)

    @corrects("assigned-address-is-released", "packets-flow-later")
    def gained(self, node: str) -> None:
        """An Elastic IP came to the node's primary private address."""
        change = self._released(node)
        self._later.run(self._layout.mapping_seconds, lambda: self._works(node, change))

    @corrects("assigned-address-comes-back-late")
    def lost(self, node: str) -> None:
        """The Elastic IP left it."""
        change = self._released(node)
        if self._layout.assigns_again:

            def assign() -> None:
                if self._is_last(node, change):
                    self._assign(node)
                    self._told()
                    self._works(node, change)

            self._later.run(self._layout.new_address_seconds, assign)

    def _assign(self, node: str) -> None:
        if self._layout.assigns:
            with self._lock:
                self._own[node] = f"192.0.2.{next(self._numbers) % 254 + 1}"

    def _released(self, node: str) -> int:
        with self._lock:
            self._own.pop(node, None)
            change = self._changes[node] = self._changes.get(node, 0) + 1
        if self._layout.assigns and not self._layout.independent:
            with self._lock:
                self._mute.add(node)
            self.way_changed(node, False)
        return change

    def _works(self, node: str, change: int) -> None:
        if self._is_last(node, change) and self._layout.assigns and not self._layout.independent:
            with self._lock:
                self._mute.discard(node)
            self.way_changed(node, True)

    def _is_last(self, node: str, change: int) -> bool:
        with self._lock:
            return self._changes.get(node) == change
