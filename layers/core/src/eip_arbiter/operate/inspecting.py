"""The operator's verbs that change nothing: `history`, `plan` and `doctor`.

Each answers in words, and in fields that say the same. `events/invoke/` has a sample of each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from eip_contract.report import ResourceState

from eip_arbiter.arbitrate.arbitration import Arbiter
from eip_arbiter.decision import decide, readiness
from eip_arbiter.decision.case import Case
from eip_arbiter.decision.outcome import Decision, Grant
from eip_arbiter.decision.snapshot import Address, Node, Snapshot
from eip_arbiter.operate.checkup import ASKING_MS, Asking, Check, Looks, checks
from eip_arbiter.operate.requests import Request, known_cluster, known_node
from eip_arbiter.ports import History, HistoryLine, WatchReader

USUAL_LINES, MOST_LINES = 20, 100


@dataclass(frozen=True)
class Inspection:
    """What the verbs read from."""

    arbiter: Arbiter
    history: History
    memory: WatchReader
    looks: Looks

    def verbs(self) -> dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]]:
        """The verbs by their names; each raises `RefusedError` for what it cannot answer."""
        return {"history": self.tell_history, "plan": self.plan, "doctor": self.doctor}

    def tell_history(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """The last moves, refusals and orders of a cluster, newest first."""
        fields = Request("history", payload)
        cluster = fields.name("cluster", "the cluster")
        limit = fields.whole("limit", 1, MOST_LINES, USUAL_LINES)
        fields.complete()
        # The state first: a line that waits there now may be in the history by then, not neither.
        snapshot = known_cluster(self.arbiter.store, cluster)
        lines = _with_waiting(self.history.newest(cluster, limit), snapshot)[:limit]
        return {
            "outcome": "told",
            "cluster": cluster,
            "lines": [
                {
                    "at": moment(line.at_ms),
                    "resource": line.resource,
                    "term": line.term,
                    "kind": line.kind,
                    "rule": line.rule,
                    "sentence": line.sentence,
                }
                for line in lines
            ],
            "sentence": f"the newest line of {cluster} is of {moment(lines[0].at_ms)}: "
            f"{lines[0].sentence}"
            if lines
            else f"nothing is told of {cluster} yet",
        }

    def plan(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """What would become of each address if this node failed now, and why not."""
        fields = Request("plan", payload)
        cluster = fields.name("cluster", "the cluster")
        name = fields.name("node", "the node that would fail")
        fields.complete()
        snapshot = known_cluster(self.arbiter.store, cluster)
        node = known_node(snapshot, name)
        seen = self.memory.seen(cluster)
        now = self.arbiter.clock()
        addresses = []
        for address in snapshot.addresses.values():
            lasting = seen.unready.get(address.resource)
            planned = self._planned(snapshot, address, node, now)
            planned["last_look"] = list(lasting.problems) if lasting else []
            addresses.append(planned)
        return {
            "outcome": "planned",
            "cluster": cluster,
            "node": node.name,
            "addresses": addresses,
            "sentence": "; ".join(f"{planned['sentence']}" for planned in addresses),
        }

    def _planned(
        self, snapshot: Snapshot, address: Address, failed: Node, now_ms: int
    ) -> dict[str, Any]:
        case = Case(snapshot, address, self.arbiter.policy, now_ms)
        answer = {
            "resource": address.resource,
            "public_ip": address.public_ip,
            "from": case.name(address.holder) if address.holder else None,
        }
        if address.holder != failed.instance_id:
            sentence = (
                f"{address.public_ip} ({address.resource}) stays with {case.name(address.holder)}"
            )
            return {**answer, "to": None, "rule": None, "why_not": [], "sentence": sentence}
        decision = _decision_after_the_death_of(failed, case)
        to = snapshot.nodes[decision.holder].name if isinstance(decision, Grant) else None
        others = [readiness.unfit(case, node) for node in readiness.standbys(case)]
        return {
            **answer,
            "to": to,
            "rule": decision.rule,
            "why_not": [*readiness.obstacles(case), *(why for why in others if why)],
            "sentence": decision.sentence,
        }

    def doctor(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Every check of the control plane's side, in words."""
        fields = Request("doctor", payload)
        cluster = fields.name("cluster", "the cluster")
        fields.complete()
        policy, clock = self.arbiter.policy, self.arbiter.clock
        asking = Asking(self.looks, clock, clock() + ASKING_MS)
        snapshot = known_cluster(self.arbiter.store, cluster)
        found = checks(snapshot, policy, clock(), asking)
        ill = dict.fromkeys(check.sentence for check in found if not check.ok)
        return {
            "outcome": "ill" if ill else "well",
            "cluster": cluster,
            "checks": [_shown(check) for check in found],
            "sentence": "; ".join(ill) or f"{cluster} is well: all {len(found)} checks hold",
        }


def _with_waiting(told: tuple[HistoryLine, ...], snapshot: Snapshot) -> list[HistoryLine]:
    """The history, newest first, with the lines that wait in the state to get there."""
    known = {line.version for line in told}
    waiting = []
    for entry in snapshot.waiting:
        if entry.version not in known:
            rule, _, sentence = entry.sentence.partition(": ")
            of = entry.at_ms, entry.resource, entry.term, entry.kind
            waiting.append(HistoryLine(*of, rule, sentence, entry.version))
    return sorted([*told, *waiting], key=lambda line: (line.at_ms, line.version), reverse=True)


def moment(at_ms: int) -> str:
    """A time of the arbiter's clock as people write it, in UTC."""
    at = datetime.fromtimestamp(at_ms / 1000, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _shown(check: Check) -> dict[str, Any]:
    return {"check": check.name, "ok": check.ok, "sentence": check.sentence}


def _decision_after_the_death_of(failed: Node, case: Case) -> Decision:
    """What the rules say once the holder's time to answer is over.

    Pacemaker decides where it starts the resource: here every node that could claims.
    """
    at_ms = case.now_ms + case.policy.answer_ms
    claimed = replace(case, snapshot=_claimed(failed, case, at_ms), now_ms=at_ms)
    if claimed.claimant:
        at_ms = case.now_ms + claimed.allowed_silence_ms(claimed.claimant)
    resource = case.address.resource
    return decide(_claimed(failed, case, at_ms), resource, case.policy, at_ms)


def _claimed(failed: Node, case: Case, at_ms: int) -> Snapshot:
    """The cluster as it will be when the fit standbys claim and the failed node has been silent."""
    nodes = dict(case.snapshot.nodes)
    for node in readiness.standbys(case):
        report = node.report
        if report is None or readiness.unable(case, node):
            continue
        claim = replace(
            report,
            received_at_ms=at_ms,
            late_ms=0,
            next_report_within_ms=case.policy.alert_report_ms,
            members=tuple(name for name in report.members if name != failed.name),
            suspects={failed.name: at_ms - case.now_ms},
            resources={**report.resources, case.address.resource: ResourceState("starting", 0)},
            awaiting=(case.address.resource,),
        )
        nodes[node.instance_id] = replace(node, report=claim, alarm_since_ms=case.now_ms)
    return replace(case.snapshot, nodes=nodes)
