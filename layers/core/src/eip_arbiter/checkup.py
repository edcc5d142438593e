"""What `doctor` checks of a cluster, in words: its nodes, its addresses, and what EC2 says of both.

Each check says how it is, whether it holds or not, so that the answer can be read from the top.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from eip_arbiter import readiness
from eip_arbiter.decision.case import Case
from eip_arbiter.decision.policy import Policy
from eip_arbiter.decision.snapshot import Address, Node, Phase, Snapshot
from eip_arbiter.ports import Association
from eip_arbiter.watching import Preflight, drift


@dataclass(frozen=True, slots=True)
class Check:
    """One check, and one sentence that says how it is."""

    name: str
    ok: bool
    sentence: str


def checks(
    snapshot: Snapshot,
    policy: Policy,
    now_ms: int,
    places: Mapping[str, Association | None],
    preflight: Preflight,
) -> list[Check]:
    """Every check of a cluster.

    Args:
        snapshot: the cluster.
        policy: the times to obey.
        now_ms: the arbiter's clock.
        places: where EC2 has the cluster's tagged addresses, by allocation id.
        preflight: asks EC2 about each standby.
    """
    paused = now_ms < snapshot.paused_until_ms
    found = [
        Check(
            "pause",
            not paused,
            f"{snapshot.cluster_id} is paused: nothing moves but by order; `resume` ends it"
            if paused
            else f"{snapshot.cluster_id} is not paused",
        )
    ]
    found += [_node(snapshot, node, policy, now_ms) for node in snapshot.nodes.values()]
    for address in snapshot.addresses.values():
        case = Case(snapshot, address, policy, now_ms)
        found += [_address(case), _place(case, places), _split_brain(address)]
        found += [_standby(case, node, preflight) for node in readiness.standbys(case)]
    return found


def _node(snapshot: Snapshot, node: Node, policy: Policy, now_ms: int) -> Check:
    """Whether the node speaks, and sees what it has to."""
    report = node.report
    if report is None:
        return Check("node", ok=False, sentence=f"{node.name} has never reported: is its agent up?")
    age_s = (now_ms - report.said_at_ms) // 1000
    any_address = next(iter(snapshot.addresses.values()))
    fresh = Case(snapshot, any_address, policy, now_ms).is_fresh(node)
    wrong = []
    if not fresh:
        wrong.append(f"last reported {age_s} s ago: is its agent up, and can it reach AWS?")
    if report.pacemaker_state != "online":
        wrong.append(f"says that its Pacemaker is {report.pacemaker_state}")
    if report.failing:
        wrong.append(f"is unhealthy ({', '.join(report.failing)})")
    if report.suspects:
        wrong.append(f"lost sight of {', '.join(sorted(report.suspects))}")
    if report.public_ips is None:
        wrong.append("cannot read its metadata service: drift would not be seen")
    if gone := Case.instance_goes(node):
        wrong.append(f"is {gone}, says EC2")
    if wrong:
        return Check("node", ok=False, sentence=f"{node.name} {', and '.join(wrong)}")
    return Check("node", ok=True, sentence=f"{node.name} reported {age_s} s ago and is online")


def _address(case: Case) -> Check:
    """Whether somebody holds the address and runs its resource."""
    address, it = case.address, _it(case.address)
    if address.phase is Phase.MOVING:
        stuck = case.now_ms >= address.deadline_ms
        state = "is stuck on its way" if stuck else "is being moved"
        return Check("address", not stuck, f"{it} {state} under term {address.term}")
    if case.holder is None:
        return Check("address", ok=False, sentence=f"{it} is with nobody: no node claims it")
    if not case.claims(case.holder):
        said = case.state_on(case.holder)
        sentence = f"{case.holder.name} holds {it} and does not claim it: {said} there"
        return Check("address", ok=False, sentence=sentence)
    sentence = f"{case.holder.name} holds {it} under term {address.term} and runs it"
    return Check("address", ok=True, sentence=sentence)


def _place(case: Case, places: Mapping[str, Association | None]) -> Check:
    """Whether EC2 agrees with the state."""
    wrong = drift(case, places)
    sentence = "; ".join(wrong) or f"EC2 has {_it(case.address)} where the state says"
    return Check("place", not wrong, sentence)


def _split_brain(address: Address) -> Check:
    if address.refusal is None:
        return Check("split-brain", ok=True, sentence=f"nobody else claims {_it(address)}")
    sentence = f"another node claims {_it(address)} and is refused: the nodes do not see each other"
    return Check("split-brain", ok=False, sentence=sentence)


def _standby(case: Case, node: Node, preflight: Preflight) -> Check:
    """Whether this node could take the address over, EC2's word included."""
    address = case.address
    wrong = readiness.unfit(case, node)
    if wrong is None:
        private_ip = node.private_ips[address.private_ip_index]
        code = preflight.refusal(address.allocation_id, node.interface_id, private_ip)
        wrong = code and f"EC2 would not associate {_it(address)} with {node.name}: {code}"
    if wrong:
        return Check("standby", ok=False, sentence=wrong)
    sentence = f"{node.name} could take {_it(address)} over: EC2 would associate it (dry run)"
    return Check("standby", ok=True, sentence=sentence)


def _it(address: Address) -> str:
    return f"{address.public_ip} ({address.resource})"
