"""The decision: `decide(snapshot, resource, policy, now_ms)`, pure, from a table of rules.

Nothing below this package reads a clock, a setting, the network or a log. `rules.py` is the table,
`case.py` the questions it asks, `snapshot.py` what is known, `outcome.py` what can come of it, and
`transition.py` what an outcome makes of an address.
"""

from __future__ import annotations

from eip_arbiter.decision.case import Case
from eip_arbiter.decision.outcome import Decision
from eip_arbiter.decision.policy import Policy
from eip_arbiter.decision.rules import RULES, first_of
from eip_arbiter.decision.snapshot import Snapshot

__all__ = ["decide"]


def decide(snapshot: Snapshot, resource: str, policy: Policy, now_ms: int) -> Decision:
    """Decides what becomes of one address of a cluster.

    Args:
        snapshot: the cluster at one instant, read at once.
        resource: the Pacemaker resource whose address it is; a key of `snapshot.addresses`.
        policy: the times to obey.
        now_ms: the arbiter's clock, milliseconds since the epoch.

    Returns:
        The decision of the first rule that applies; the last rule always does.
    """
    case = Case(snapshot, snapshot.addresses[resource], policy, now_ms)
    return first_of(RULES, case)
