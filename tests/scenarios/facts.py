"""The facts of a scenario: sections of its document to values of a snapshot.

What a section leaves out is a calm node's, or a settled address's.
"""

from __future__ import annotations

from dataclasses import fields, replace

from builders import NOW, POLICY, instance_id
from eip_arbiter.decision.policy import Policy
from eip_arbiter.decision.snapshot import (
    Address,
    Ec2Evidence,
    LastReport,
    Node,
    Order,
    OrderKind,
    Phase,
    Refusal,
)
from eip_contract.report import (
    PACEMAKER_STATES,
    QUORUM_MODES,
    RESOURCE_STATES,
    ResourceState,
)

from scenarios.fields import CorpusError, Section, duration_ms

INSTANCE_STATES = ("pending", "running", "stopping", "stopped", "shutting-down", "terminated")


def node_from(section: Section, number: int, name: str, names: tuple[str, ...]) -> Node:
    """A node; `names` are those of all nodes, which see each other unless it says otherwise."""
    instance = instance_id(section.whole("instance", number))
    made = Node(
        instance_id=instance,
        interface_id=instance.replace("i-", "eni-"),
        private_ips=(f"10.0.{number - 1}.10", f"10.0.{number - 1}.11"),
        priority=section.whole("priority", 0),
        nofailover=section.flag("nofailover", default=False),
    )
    if not section.flag("reported", default=True):
        section.end()
        return made
    alarm = section.take("in_alarm_for")
    incarnation = section.whole("incarnation", 1)
    evidence = _evidence(section, incarnation)
    made = replace(
        made,
        report=_report(section, number, name, names, incarnation),
        alarm_since_ms=alarm and NOW - duration_ms(f"{section.where}.in_alarm_for", alarm),
        ec2=evidence,
    )
    section.end()
    return made


def _report(
    section: Section, number: int, name: str, names: tuple[str, ...], incarnation: int
) -> LastReport:
    lost = {
        peer: duration_ms(f"{section.where}.lost.{peer}", text)
        for peer, text in section.section("lost").rest().items()
    }
    members = tuple(dict.fromkeys(n for n in names if n not in lost))
    ips = section.take("public_ips", "unknown")
    resources = section.section("resources").rest() or {"eip": "stopped for 60 s"}
    return LastReport(
        received_at_ms=NOW - section.ago_ms("heard", "0 s ago"),
        incarnation=incarnation,
        seq=100 + number,
        next_report_within_ms=section.duration_ms("next_within", "10 s"),
        node_name=name,
        pacemaker_state=choice(section, "pacemaker", "online", PACEMAKER_STATES),
        quorate=section.flag("quorate", default=True),
        quorum_mode=choice(
            section, "quorum", "two_node" if len(set(names)) == 2 else "majority", QUORUM_MODES
        ),
        members=section.texts("members", members),
        suspects=lost,
        resources={r: _state(f"{section.where}.resources.{r}", t) for r, t in resources.items()},
        awaiting=section.texts("awaiting"),
        failing=section.texts("failing"),
        public_ips=None if ips == "unknown" else tuple(ips),
        late_ms=section.duration_ms("late", "0 s"),
    )


def _state(where: str, text: str) -> ResourceState:
    state, _, lasting = text.partition(" for ")
    if state not in RESOURCE_STATES:
        raise CorpusError(f"{where}: {state!r} is none of {', '.join(RESOURCE_STATES)}")
    return ResourceState(state, duration_ms(where, lasting))


def choice(section: Section, key: str, default: str, allowed: tuple[str, ...]) -> str:
    """One of the values that are allowed."""
    value = section.text(key, default)
    if value not in allowed:
        raise CorpusError(f"{section.where}.{key}: {value!r} is none of {', '.join(allowed)}")
    return value


def _evidence(section: Section, incarnation: int) -> Ec2Evidence | None:
    if not section.has("ec2"):
        return None
    of = section.section("ec2")
    evidence = Ec2Evidence(
        state=choice(of, "state", "", INSTANCE_STATES),
        at_ms=NOW - of.ago_ms("heard", "50 ms ago"),
        incarnation=of.whole("incarnation", incarnation),
    )
    of.end()
    return evidence


def address_from(
    section: Section, resource: str, number: int, instances: dict[str, str]
) -> Address:
    """An address, the cluster's `number`th; `instances` are those of the scenario's nodes."""
    holder = section.text("holder")
    order = section.section("order") if section.has("order") else None
    refusal = section.section("refused") if section.has("refused") else None
    instance = None if holder == "nobody" else instances.get(holder, holder)
    at = instances[section.text("interface")] if section.has("interface") else instance
    made = Address(
        resource=resource,
        allocation_id=f"eipalloc-{number:017x}",
        public_ip=f"203.0.113.{9 + number}",
        private_ip_index=section.whole("private_ip_index", number - 1),
        holder=instance,
        term=section.whole("term", 7),
        phase=Phase(section.text("phase", "settled")),
        association_id=f"eipassoc-{number:017x}" if instance else None,
        interface_id=at.replace("i-", "eni-") if at else None,
        deadline_ms=NOW - section.ago_ms("deadline", "50 s ago"),
        changed_at_ms=NOW - section.ago_ms("granted", "60 s ago"),
        rule="R050",
        order=_order(order, instances) if order else None,
        refusal=_refusal(refusal, instances) if refusal else None,
        recent_moves_ms=tuple(
            NOW - duration_ms(f"{section.where}.moved", text.removesuffix(" ago"))
            for text in section.texts("moved")
        ),
    )
    for part in (section, order, refusal):
        if part:
            part.end()
    return made


def _order(section: Section, instances: dict[str, str]) -> Order:
    target = section.text("target")
    return Order(
        id=section.text("id", "ops-1"),
        target=instances.get(target, target),
        force=section.flag("force", default=False),
        issued_at_ms=NOW - section.ago_ms("issued", "1 s ago"),
        until_ms=NOW - section.ago_ms("until", "in 60 s"),
        kind=OrderKind(section.text("kind", OrderKind.FAILOVER.value)),
    )


def _refusal(section: Section, instances: dict[str, str]) -> Refusal:
    return Refusal(instances[section.text("claimant")], NOW - section.ago_ms("at", "1 s ago"))


def policy_from(section: Section) -> Policy:
    """The tests' policy with what the scenario says of it."""
    known = {field.name: field for field in fields(Policy)}
    changes = section.rest()
    unknown = set(changes) - set(known)
    if unknown:
        raise CorpusError(f"{section.where}: unknown: {', '.join(sorted(unknown))}")
    return replace(POLICY, **changes)
