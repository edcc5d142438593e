"""The conditions of the store's writes, as `eip_arbiter.aws.dynamodb_store` has them.

Each compares what an invocation read with what is in force. `simulation.test_store_contract` holds
the stores themselves to the same conditions; planted bugs replace them.
"""

from __future__ import annotations

from exploration.shipped import Call
from exploration.world import Address, Invocation, Sent


def may_commit(invocation: Invocation, call: Call) -> bool:
    """The version is still the one read, and so is each report that the decision rested on."""
    return invocation.version and not invocation.overtaken & call.rested


def may_settle(invocation: Invocation, now: Address) -> bool:
    """The move is still the one under way, and nobody has settled or resumed it."""
    return invocation.term and invocation.changed and now.moving


def left_in_flight(flight: tuple[Sent, ...], taken: int) -> tuple[Sent, ...]:
    """The reports of a node that can still change anything once this one was taken.

    One that is older is refused as stale, as is the same one again: neither is looked at further.
    """
    return flight[taken + 1 :]
