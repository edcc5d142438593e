"""What an operator is told is true: refused means nothing changed, accepted means it is on record.

"Unknown" (an error, or an answer that says so) is allowed either way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eip_arbiter.decision.snapshot import Snapshot
from eip_arbiter.operate.requests import RefusedError

if TYPE_CHECKING:
    from simulation.invocation import Invocation
    from simulation.watch import Watch

DONE = ("moved", "accepted", "paused", "resumed", "acknowledged")
SLACK_MS = 5_000


def answer_is_true(
    _watch: Watch, payload: dict[str, Any], answer: Any, invocation: Invocation
) -> str | None:
    """Refused: the state is as it was. Done: the history has it, with its author."""
    verb = payload["verb"]
    changed = [what for what in invocation.wrote if what in ("address", "pause")]
    if isinstance(answer, RefusedError) and changed:
        return f"{verb} was refused ({answer}), and yet the state was changed"
    outcome = answer.get("outcome") if isinstance(answer, dict) else ""
    if outcome not in DONE:
        return None
    # A line that waits in the state is on record: whoever comes next tells it.
    snapshot = invocation.store.read(payload["cluster"])
    waiting = snapshot.waiting if snapshot else ()
    lines = [*waiting, *reversed(list(invocation.store.history.values()))]
    if any(f"by {payload['by']}" in line.sentence for line in lines):
        return None
    return f"{verb} was answered with {outcome!r}, and the history has no line of its author"


def one_target(_watch: Watch, before: Snapshot, target: str) -> str | None:
    """Operators name a node; one whose name two registered nodes say is refused."""
    named = before.nodes[target].name
    twins = [i for i, node in before.nodes.items() if node.report and node.name == named]
    return f"an order was taken for {named}, which is {twins}" if len(twins) > 1 else None


def orders_are_on_record(watch: Watch) -> str | None:
    """Each order that ever stood is in the history with its author, whatever its operator heard."""
    history = watch.world.region.store.history.values()
    told = " ".join(entry.sentence for entry in history)
    for order_id in watch.orders_taken:
        if f"by op-{order_id})" not in told:
            return f"order {order_id} stood, and the history does not say who gave it"
    return None


def pause_is_not_shortened(watch: Watch, before: Snapshot, until_ms: int) -> str | None:
    """A pause ends earlier than was said only by `resume`."""
    now_ms = watch.world.region.clock_ms()
    stands = before.paused_until_ms > now_ms
    if until_ms == 0 or not stands or until_ms >= before.paused_until_ms - SLACK_MS:
        return None
    left = (before.paused_until_ms - until_ms) // 1000
    return f"a pause of {before.cluster_id} was made {left} s shorter by another one"
