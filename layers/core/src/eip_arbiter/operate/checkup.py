"""What `doctor` checks of a cluster, in words: its nodes, its addresses, and what EC2 says of both.

Each check says how it is, whether it holds or not, so that the answer can be read from the top.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from eip_arbiter.decision import readiness
from eip_arbiter.decision.case import Case
from eip_arbiter.decision.policy import Policy
from eip_arbiter.decision.snapshot import Address, Node, Phase, Snapshot
from eip_arbiter.ports import Association, MoveFailedError
from eip_arbiter.watch.watching import drift, elsewhere

ASKING_MS = 4_000
"""No call to EC2 begins later than this after the request came: with the longest one the answer is
still there before the function's time is over."""


class Looks(Protocol):
    """What EC2 says without changing anything; both raise `MoveFailedError` without an answer."""

    def tagged(self) -> Mapping[str, Mapping[str, Association | None]]:
        """Where the tagged addresses are: by cluster id and allocation id, None for nowhere."""
        ...

    def dry_run(self, allocation_id: str, interface_id: str, private_ip: str) -> str | None:
        """Why EC2 would refuse to associate the address there, or None."""
        ...


@dataclass
class Asking:
    """The questions to EC2 of one visit: the first that is not answered is the last one.

    `trouble` says why not all was asked; what is returned from then on says nothing.
    """

    looks: Looks
    clock: Callable[[], int]
    until_ms: int
    trouble: str | None = None

    def places(self, cluster_id: str) -> Mapping[str, Association | None]:
        """Where EC2 has the cluster's tagged addresses, by allocation id."""
        try:
            return self.looks.tagged().get(cluster_id, {}) if self._may_ask() else {}
        except MoveFailedError as error:
            self.trouble = f"EC2 does not answer: {error.code}"
            return {}

    def refusal(self, address: Address, node: Node) -> str | None:
        """Why EC2 would refuse to associate the address with the node."""
        private_ip = node.private_ips[address.private_ip_index]
        try:
            if self._may_ask():
                return self.looks.dry_run(address.allocation_id, node.interface_id, private_ip)
        except MoveFailedError as error:
            self.trouble = f"EC2 does not answer: {error.code}"
        return None

    def _may_ask(self) -> bool:
        if self.trouble is None and self.clock() > self.until_ms:
            self.trouble = "EC2 answers so slowly that not everything could be asked"
        return self.trouble is None


@dataclass(frozen=True, slots=True)
class Check:
    """One check, and one sentence that says how it is."""

    name: str
    ok: bool
    sentence: str


def checks(snapshot: Snapshot, policy: Policy, now_ms: int, asking: Asking) -> list[Check]:
    """Every check of a cluster, at one instant of the arbiter's clock."""
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
    of_nodes = {n.instance_id: _node(snapshot, n, policy, now_ms) for n in snapshot.nodes.values()}
    found += of_nodes.values()
    places = asking.places(snapshot.cluster_id)
    for address in snapshot.addresses.values():
        case = Case(snapshot, address, policy, now_ms)
        found.append(_address(case))
        if asking.trouble is None:
            found.append(_place(case, places))
        found += [_split_brain(address), *_readiness(case)]
        for node in readiness.standbys(case):
            found += _standby(case, node, of_nodes[node.instance_id], asking)
    if asking.trouble:
        found.append(Check("ec2", ok=False, sentence=asking.trouble))
    return found


def _node(snapshot: Snapshot, node: Node, policy: Policy, now_ms: int) -> Check:
    """Whether the node speaks, and sees what it has to."""
    report = node.report
    if report is None:
        return Check("node", ok=False, sentence=f"{node.name} has never reported: is its agent up?")
    age_s = (now_ms - report.said_at_ms) // 1000
    any_address = next(iter(snapshot.addresses.values()), Address("", "", ""))
    fresh = Case(snapshot, any_address, policy, now_ms).is_fresh(node)
    wrong = []
    if not fresh:
        wrong.append(
            f"has not reported lately, {age_s} s ago at the last: "
            "is its agent up, and can it reach AWS?"
        )
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
    """Whether EC2 agrees with the state, as far as its descriptions can show that yet."""
    wrong = drift(case, places)
    if not wrong and elsewhere(case, places):
        age_s = (case.now_ms - case.address.changed_at_ms) // 1000
        waits = f"{_it(case.address)} was moved {age_s} s ago, which EC2 may show a minute late"
        return Check("place", ok=True, sentence=f"{waits}: it does not yet")
    sentence = "; ".join(wrong) or f"EC2 has {_it(case.address)} where the state says"
    return Check("place", not wrong, sentence)


def _split_brain(address: Address) -> Check:
    if address.refusal is None:
        return Check("split-brain", ok=True, sentence=f"nobody else claims {_it(address)}")
    sentence = f"another node claims {_it(address)} and is refused: the nodes do not see each other"
    return Check("split-brain", ok=False, sentence=sentence)


def _readiness(case: Case) -> list[Check]:
    """What holds back a failover to whichever node, but what other checks say already."""
    told_else = replace(
        case,
        snapshot=replace(case.snapshot, paused_until_ms=0),
        address=replace(case.address, phase=Phase.SETTLED),
    )
    it = _it(case.address)
    found = [
        Check("readiness", ok=False, sentence=f"{it}: {obstacle}")
        for obstacle in readiness.obstacles(told_else)
    ]
    if readiness.brake_is_on(case):
        # It lets go of a holder that is silent, but whoever counts on a planned move has to know.
        brake = "the flap brake is on and keeps it on a holder that still runs it"
        found.append(Check("readiness", ok=False, sentence=f"{it}: {brake}; `acknowledge` ends it"))
    calm = Check("readiness", ok=True, sentence=f"nothing holds a failover of {it} back")
    return found or [calm]


def _standby(case: Case, node: Node, of_node: Check, asking: Asking) -> list[Check]:
    """Whether this node could take the address over, EC2's word included; none without its word."""
    it = _it(case.address)
    wrong = readiness.unfit(case, node)
    if wrong:
        if not of_node.ok and wrong.removeprefix(node.name) in of_node.sentence:
            wrong = f"{node.name} could not take {it} over"
        return [Check("standby", ok=False, sentence=wrong)]
    code = asking.refusal(case.address, node)
    if asking.trouble:
        return []
    if code:
        wrong = f"EC2 would not associate {it} with {node.name}: {code}"
        return [Check("standby", ok=False, sentence=wrong)]
    sentence = f"{node.name} could take {it} over: EC2 would associate it (dry run)"
    return [Check("standby", ok=True, sentence=sentence)]


def _it(address: Address) -> str:
    return f"{address.public_ip} ({address.resource})"
