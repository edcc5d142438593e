"""The nodes' ways to AWS where each talks by the public IPv4 address that it was given.

EC2 releases that address when an Elastic IP comes to the interface, and packets flow by the Elastic
IP only some seconds later. When the Elastic IP leaves, EC2 gives another address within a few
minutes; until then nothing of the node reaches AWS, while the metadata service goes on to answer.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import TYPE_CHECKING

from eip_arbiter.ports import Association

from simulation.ec2 import Landing
from simulation.node import Node

if TYPE_CHECKING:
    from simulation.world import SimulatedCluster

MAPPING_SECONDS = (3.0, 20.0)
"""From AssociateAddress until packets flow by the address: what people measured."""

NEW_ADDRESS_SECONDS = (60.0, 200.0)
"""From the loss of an Elastic IP until EC2 gives the interface an address of its own again."""


class PublicWays:
    """Cuts the ways of who gains or loses an Elastic IP on its primary private address."""

    def __init__(self, clusters: Iterable[SimulatedCluster], seed: int) -> None:
        self._nodes = {node.interface_id: node for each in clusters for node in each.nodes}
        self._rng = random.Random(f"{seed} ways")  # noqa: S311 - a run must be repeatable

    def landed(self, landing: Landing) -> None:
        """EC2 changed an association."""
        before, after = self._node(landing.before), self._node(landing.after)
        if before is after:
            return
        for node, seconds in ((before, NEW_ADDRESS_SECONDS), (after, MAPPING_SECONDS)):
            if node is not None:
                lasts = self._rng.uniform(*seconds)
                node.way_back_at = landing.at + lasts
                node.say(f"has no way to AWS for {lasts:.1f} s")

    def _node(self, association: Association | None) -> Node | None:
        """Whose primary private address it is on; others leave the node's own address alone."""
        if association is None or association.private_ip.split(".")[2] != "0":
            return None
        return self._nodes[association.interface_id]
