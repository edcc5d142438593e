"""The shipped arbiter, run on states of the bounded world one port call at a time.

`Arbiter.on_snapshot` runs from its begin with ports that answer what was answered before, and stops
at the first call that was not: that call is what the invocation does next. Runs are remembered,
since equal questions have equal answers.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from eip_arbiter import decision
from eip_arbiter.arbitrate.arbitration import Arbiter
from eip_arbiter.decision.case import Case
from eip_arbiter.decision.outcome import ReportSeen
from eip_arbiter.decision.snapshot import Address as ShippedAddress
from eip_arbiter.decision.snapshot import HistoryEntry, Node, Snapshot
from eip_arbiter.ports import Association, Committed
from eip_contract.report import NodeReport

from exploration import concrete, world
from exploration.world import Address, Item

Answers = tuple[tuple[int, str], ...]
"""What the calls so far answered, each after how many ticks."""


LOCATED = "eipassoc-located"


class Call(NamedTuple):
    """The port call that an invocation makes next, in the world's terms.

    `address` is what a commit would write, as of the decision; `granted` how many terms it adds,
    `rested` a bit for each report that it rests on. For EC2's calls and a settlement, `interface`
    is where the address goes or was found; for a removal, 1 if EC2 was asked for what to remove.
    `end` is the end of the invocation.
    """

    kind: str
    rule: str = ""
    address: Address | None = None
    granted: int = 0
    rested: int = 0
    interface: int = 0


PLANS: list[tuple[Call, Item]] = []
"""What was decided, with one item that leads to it; an invocation's `plan` is the index."""
_PLAN_OF: dict[Call, int] = {}
_DECIDED: dict[Item, int] = {}
_CONTINUED: dict[tuple[int, Answers], Call] = {}
_FIT: dict[tuple[Item, int], bool] = {}


def forget() -> None:
    """Before another set of rules is explored."""
    PLANS.clear()
    for memory in (_PLAN_OF, _DECIDED, _CONTINUED, _FIT):
        memory.clear()


def decided(item: Item) -> int:
    """The plan of an invocation that has read this item, -1 if there is nothing to do."""
    found = _DECIDED.get(item)
    if found is None:
        call = _run(item, ())
        found = -1
        if call.kind != "end":
            found = _PLAN_OF.setdefault(call, len(PLANS))
            if found == len(PLANS):
                PLANS.append((call, item))
        _DECIDED[item] = found
    return found


def continued(plan: int, answers: Answers) -> Call:
    """The next call of an invocation whose calls so far were answered like this."""
    found = _CONTINUED.get((plan, answers))
    if found is None:
        found = _CONTINUED[plan, answers] = _run(PLANS[plan][1], answers)
    return found


def is_fit(item: Item, target: int) -> bool:
    """Whether the operator may send the address there without force."""
    found = _FIT.get((item, target))
    if found is None:
        snapshot = concrete.snapshot(item)
        case = Case(snapshot, snapshot.addresses["eip"], world.POLICY, concrete.NOW)
        found = case.unfit(snapshot.nodes[concrete.instance(target)]) is None
        _FIT[item, target] = found
    return found


def sentence(item: Item) -> str:
    """What the arbiter says about this item."""
    said = decision.decide(concrete.snapshot(item), "eip", world.POLICY, concrete.NOW)
    return f"{said.rule}: {said.sentence}"


def _run(item: Item, answers: Answers) -> Call:
    snapshot = concrete.snapshot(item)
    rule = decision.decide(snapshot, "eip", world.POLICY, concrete.NOW).rule
    ports = _Ports(rule, list(answers))
    arbiter = Arbiter(
        store=ports,
        elastic_ips=ports,
        inventory=ports,
        telemetry=_Silent(),
        policy=world.POLICY,
        clock=lambda: ports.now_ms,
    )
    try:
        arbiter.on_snapshot(snapshot)
    except _Pending as pending:
        return pending.call
    return Call("end", rule)


class _Pending(BaseException):
    """The call that comes next; no exception that anybody catches."""

    def __init__(self, call: Call) -> None:
        super().__init__()
        self.call = call


class UnaskedError(AssertionError):
    """A port that an arbitration from a snapshot has no business with was called."""


class _Ports:
    """All ports of the arbiter; each call is answered from the script, or is the next one."""

    def __init__(self, rule: str, script: list[tuple[int, str]]) -> None:
        self._rule = rule
        self._script = script
        self._located: Association | None = None
        self.now_ms = concrete.NOW

    def _answer(self, call: Call) -> str:
        if not self._script:
            raise _Pending(call)
        ticks, answer = self._script.pop(0)
        self.now_ms += ticks * world.TICK_MS
        return answer

    def commit(
        self,
        snapshot: Snapshot,
        address: ShippedAddress,
        rested_on: tuple[ReportSeen, ...],
        line: HistoryEntry | None = None,  # noqa: ARG002 - the history decides nothing
        told: Collection[int] = (),  # noqa: ARG002
    ) -> Committed:
        rested = sum(1 << concrete.number_of(seen.instance_id) for seen in rested_on)
        granted = address.term - concrete.TERM
        self._answer(Call("commit", self._rule, concrete.abstract(address), granted, rested))
        return Committed(
            replace(snapshot, version=snapshot.version + 1, addresses={"eip": address})
        )

    def settle(
        self,
        snapshot: Snapshot,  # noqa: ARG002
        address: ShippedAddress,
        told: Collection[int] = (),  # noqa: ARG002
    ) -> Committed:
        settled = concrete.abstract(address)
        self._answer(Call("settle", self._rule, settled, interface=settled.interface))
        raise AssertionError("nothing follows a settlement")

    def locate(self, _allocation_id: str, after_ms: int = 0) -> Association | None:
        if after_ms:
            return self._located  # EC2 says the same again.
        answer = self._answer(Call("locate", self._rule))
        number = int(answer)
        if number:
            self._located = Association(LOCATED, f"eni-{number}", f"10.0.0.{number}")
        return self._located

    def associate(self, _allocation_id: str, interface_id: str, _private_ip: str) -> str:
        interface = concrete.number_of(interface_id)
        self._answer(Call("associate", self._rule, interface=interface))
        return "eipassoc-1"

    def disassociate(self, association_id: str) -> None:
        located = int(association_id == LOCATED)
        self._answer(Call("disassociate", self._rule, interface=located))

    def append_history(self, entry: HistoryEntry) -> None:
        """The history decides nothing."""

    def read(self, cluster_id: str) -> Snapshot | None:
        raise UnaskedError(cluster_id)

    def drop_waiting(self, cluster_id: str, told: Collection[int]) -> None:
        """The history decides nothing."""

    def pause(
        self, snapshot: Snapshot, until_ms: int, line: HistoryEntry | None = None
    ) -> Committed:
        raise UnaskedError(snapshot, until_ms, line)

    def record_report(self, report: NodeReport, received_at_ms: int, late_ms: int = 0) -> Any:
        raise UnaskedError(report, received_at_ms, late_ms)

    def record_instance_state(self, instance_id: str, state: str, at_ms: int) -> Snapshot | None:
        raise UnaskedError(instance_id, state, at_ms)

    def register(self, cluster_id: str, node: Node, addresses: tuple[ShippedAddress, ...]) -> str:
        raise UnaskedError(cluster_id, node, addresses)

    def readdress(self, snapshot: Snapshot, addresses: Mapping[str, ShippedAddress]) -> Committed:
        raise UnaskedError(snapshot, addresses)

    def forget(
        self, snapshot: Snapshot, instance_ids: Collection[str], line: HistoryEntry | None = None
    ) -> Committed:
        raise UnaskedError(snapshot, instance_ids, line)

    def node(self, instance_id: str) -> tuple[str, Node] | None:
        raise UnaskedError(instance_id)

    def addresses(self, cluster_id: str) -> tuple[ShippedAddress, ...]:
        raise UnaskedError(cluster_id)


class _Silent:
    """Tells nobody."""

    def decided(self, rule: str, sentence: str, **fields: Any) -> None: ...
    def kept(self, rule: str, sentence: str, **fields: Any) -> None: ...
    def count(self, metric: str, cluster_id: str, value: float = 1) -> None: ...
    def rejected(self, reason: str, sentence: str, **fields: Any) -> None: ...
    def failed(self, sentence: str, **fields: Any) -> None: ...
