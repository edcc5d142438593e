"""What is looked at each minute: readiness, silence, drift, and moves that nobody carries on.

A report drives the arbiter; where none comes, this does. It tells of a condition when it begins, so
it remembers what it saw of each cluster the last time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from eip_arbiter.arbitrate import announcing
from eip_arbiter.arbitrate.arbitration import Arbiter
from eip_arbiter.decision import readiness
from eip_arbiter.decision.case import Case
from eip_arbiter.decision.snapshot import Address, Phase, Snapshot
from eip_arbiter.ports import (
    Association,
    Ec2Word,
    Seen,
    Tagged,
    Unready,
    WatchReader,
)
from eip_arbiter.watch.comparing import Survey, as_tagged, read_tags

CLUSTERS_PER_RUN, RUN_MS = 150, 40_000
"""So many clusters, and so much of the function's time; more take turns: a dry run is counted by
EC2's request limit as the call itself is."""
DRY_RUNS_PER_RUN = 300
"""After so many, one standby that EC2 would take is enough to know."""
MINUTE_MS = 60_000
DESCRIBED_LATE_MS = MINUTE_MS
"""For so long after a change, what EC2 tells of an association may be what was before it."""
RETIRED_MS = 60 * MINUTE_MS
"""An address without a tag of which no node spoke for so long is taken for retired."""


class WatchMemory(WatchReader, Protocol):
    """What the watch remembers from one minute to the next."""

    def keep_clusters(self, cluster_ids: frozenset[str]) -> None:
        """Remembers which clusters there are, even after their tags are gone."""
        ...

    def troubles(self) -> Mapping[str, tuple[int, int]]:
        """Of clusters that take turns: how many addresses were unready, and how many silent."""
        ...

    def keep_troubles(self, troubles: Mapping[str, tuple[int, int]]) -> None:
        """Remembers these."""
        ...

    def keep_seen(self, cluster_id: str, seen: Seen) -> None:
        """Remembers what a look found."""
        ...


class Preflight(Survey, Protocol):
    """What EC2 says without changing anything."""

    def refusal(self, allocation_id: str, interface_id: str, private_ip: str) -> str | None:
        """Why EC2 would refuse to associate the address there, or None."""
        ...


@dataclass
class Budget:
    """The dry runs of this run."""

    spent: int = 0


@dataclass(frozen=True)
class Watch:
    """One run looks at every cluster, or at as many as one run may; `gauge` writes a metric."""

    arbiter: Arbiter
    preflight: Preflight
    memory: WatchMemory
    gauge: Callable[[str, float], None]
    budget: Budget = field(default_factory=Budget)

    def run(self) -> dict[str, int]:
        """Carries on what no report carries on, and looks; returns how many it looked at.

        What fails at one cluster is raised once the others were looked at.
        """
        began = self.arbiter.clock()
        tags = read_tags(self.preflight, self.arbiter.telemetry)
        known = self.memory.clusters()
        every = known | tags.clusters.keys()
        found: dict[str, tuple[int, int]] = {}
        gone: set[str] = set()
        failed: Exception | None = tags.failed
        self.budget.spent = 0
        for cluster_id in _in_turn(every, began):
            if self.arbiter.clock() - began > RUN_MS:
                break
            try:
                snapshot = self.arbiter.store.read(cluster_id)
                if snapshot is None:
                    continue  # another stack's cluster, or none of its nodes has reported yet
                snapshot, untold = as_tagged(snapshot, tags, self.arbiter.registry)
                snapshot = self.arbiter.on_snapshot(snapshot)
                places = tags.clusters.get(cluster_id, Tagged()).places
                found[cluster_id] = self._look(snapshot, places, untold)
                if self._is_gone(snapshot, places):
                    gone.add(cluster_id)
            except Exception as error:  # noqa: BLE001 - raised below
                failed = error
                self.arbiter.telemetry.failed(
                    f"{cluster_id} could not be looked at: {type(error).__name__}: {error}",
                    cluster=cluster_id,
                )
        self.arbiter.announcer.send()
        now_known = (known | found.keys()) - gone
        if now_known != known:
            self.memory.keep_clusters(now_known)
        unready = sum(count for count, _ in self._with_others(every, found).values())
        self.gauge("NotReady", unready)
        if failed:
            raise failed
        return {"clusters": len(found), "not_ready": unready}

    def _with_others(
        self, every: frozenset[str], found: Mapping[str, tuple[int, int]]
    ) -> Mapping[str, tuple[int, int]]:
        """What was found, with what is known of those whose turn it was not.

        Else an alarm that wants several bad minutes in a row would never go off.
        """
        if len(every) <= CLUSTERS_PER_RUN:
            return found
        before = self.memory.troubles()
        others = {c: counts for c, counts in before.items() if c in every and c not in found}
        for cluster_id, (_, silent) in others.items():
            if silent:
                self.arbiter.telemetry.count("HolderSilent", cluster_id, silent)
        after = {**others, **{c: counts for c, counts in found.items() if any(counts)}}
        if after != before:
            self.memory.keep_troubles(after)
        return after

    def _look(
        self,
        snapshot: Snapshot,
        tagged: Mapping[str, Association | None],
        untold: tuple[str, ...],
    ) -> tuple[int, int]:
        """Tells what began at the cluster's addresses; returns how many are unready and silent."""
        before = self.memory.seen(snapshot.cluster_id)
        silent, unready, ec2, quiet = {}, {}, {}, 0
        for resource, address in snapshot.addresses.items():
            case = Case(snapshot, address, self.arbiter.policy, self.arbiter.clock())
            if retired(case, tagged):
                if resource in before.unready:
                    self._retired(case)
                continue
            if case.holder and not case.is_fresh(case.holder):
                quiet += 1
                since_ms = self._silent(case, before.silent_since_ms.get(resource))
                silent.update({} if since_ms is None else {resource: since_ms})
            word = Ec2Word(case.now_ms, (*drift(case, tagged), *untold), self._refusals(case))
            if word.drift or word.refusals:
                ec2[resource] = word
            found = (*word.drift, *readiness.problems(case, word.refusals))
            if found:
                unready[resource] = self._unready(case, found, before.unready.get(resource))
            elif resource in before.unready:
                ready = f"a failover of {_it(address)} would work again"
                self.arbiter.telemetry.decided("ready", ready, cluster=snapshot.cluster_id)
        seen = Seen(silent, unready, ec2)
        if seen != before:
            self.memory.keep_seen(snapshot.cluster_id, seen)
        return len(unready), quiet

    def _is_gone(self, snapshot: Snapshot, tagged: Mapping[str, Association | None]) -> bool:
        """Whether all of a cluster is retired: it is looked at again once an address is tagged."""
        policy, now = self.arbiter.policy, self.arbiter.clock()
        cases = [Case(snapshot, address, policy, now) for address in snapshot.addresses.values()]
        return not tagged and all(retired(case, tagged) for case in cases)

    def _retired(self, case: Case) -> None:
        sentence = (
            f"{_it(case.address)} is retired: EC2 has no tag of {case.snapshot.cluster_id} on it, "
            "and no node speaks of its resource"
        )
        self.arbiter.telemetry.decided("retired", sentence, cluster=case.snapshot.cluster_id)

    def _refusals(self, case: Case) -> dict[str, str]:
        """By instance id, why EC2 would refuse; asked of the standbys that are fit otherwise."""
        budget = self.budget
        address, found = case.address, {}
        for node in readiness.standbys(case):
            if readiness.unfit(case, node):
                continue
            private_ip = node.private_ips[address.private_ip_index]
            refusal = self.preflight.refusal(address.allocation_id, node.interface_id, private_ip)
            budget.spent += 1
            if not refusal and budget.spent >= DRY_RUNS_PER_RUN:
                break
            if refusal:
                found[node.instance_id] = f"EC2 would not associate it with {node.name}: {refusal}"
        return found

    def _silent(self, case: Case, since_ms: int | None) -> int | None:
        """Tells of the holder's silence when it begins; returns since when, None if left out.

        `HolderSilent` counts each look at which the holder is silent, whether or not another node
        claims. Where one does, the address is off the silent holder by the next look, as a rule:
        counts that follow one another mean that nobody took it over.
        """
        snapshot, address, now = case.snapshot, case.address, case.now_ms
        self.arbiter.telemetry.count("HolderSilent", snapshot.cluster_id)
        if since_ms is not None:
            return since_ms
        claimed = case.claimant
        sentence = (
            f"{case.name(address.holder)} holds {_it(address)} and has not reported in time; "
            + (f"{claimed.name} claims it" if claimed else "no other node claims it, so it stays")
        )
        self.arbiter.telemetry.decided("silent", sentence, cluster=snapshot.cluster_id)
        silent_ms = now - case.holder_owes_since_ms
        told = self.arbiter.announcer.announce(
            announcing.holder_silent(snapshot, address, sentence, now, silent_ms)
        )
        return now if told else None

    def _unready(self, case: Case, found: tuple[str, ...], before: Unready | None) -> Unready:
        """Tells at the second look in a row: a failover under way is over by then."""
        if before is None:
            return Unready(case.now_ms, told=False, problems=found)
        told = before.told
        if not told:
            snapshot, address = case.snapshot, case.address
            sentence = (
                f"{_it(address)} would not fail over by itself now, an order still works: "
                if readiness.order_works(case, found)
                else f"a failover of {_it(address)} would not work now: "
            ) + "; ".join(found)
            self.arbiter.telemetry.decided("not ready", sentence, cluster=snapshot.cluster_id)
            told = self.arbiter.announcer.announce(
                announcing.not_ready(snapshot, address, found, sentence, case.now_ms)
            )
        return Unready(before.since_ms, told=told, problems=found)


def _in_turn(cluster_ids: frozenset[str], now_ms: int) -> list[str]:
    """The clusters of this minute: all of them, or those whose turn it is."""
    ordered = sorted(cluster_ids)
    begin = now_ms // MINUTE_MS * CLUSTERS_PER_RUN % (len(ordered) or 1)
    return [*ordered[begin:], *ordered[:begin]][:CLUSTERS_PER_RUN]


def retired(case: Case, tagged: Mapping[str, Association | None]) -> bool:
    """Whether the address was given up on purpose: untagged, and long unknown to every Pacemaker.

    What is only broken says so in one of the two ways for an hour at least, and was told by then.
    """
    if case.address.allocation_id in tagged:
        return False
    reports = [node.report for node in case.snapshot.nodes.values() if node.report]
    return not any(
        case.now_ms - report.said_at_ms < RETIRED_MS
        and (report.pacemaker_state != "online" or case.address.resource in report.resources)
        for report in reports
    )


def drift(case: Case, tagged: Mapping[str, Association | None]) -> tuple[str, ...]:
    """Where EC2 has the address elsewhere than the state says, or not under the cluster's tag.

    What was changed a moment ago is not judged: EC2's descriptions are eventually consistent.
    """
    address = case.address
    if address.allocation_id not in tagged:
        tag = f"eip-arbiter:cluster={case.snapshot.cluster_id}"
        return (f"EC2 has no {address.public_ip} that is tagged {tag}",)
    is_young = case.now_ms - address.changed_at_ms < DESCRIBED_LATE_MS
    where = None if is_young else elsewhere(case, tagged)
    return (where,) if where else ()


def elsewhere(case: Case, tagged: Mapping[str, Association | None]) -> str | None:
    """Where EC2 says that the address is, if the state says that it is settled elsewhere."""
    address, place = case.address, tagged.get(case.address.allocation_id)
    if case.holder is None or address.phase is Phase.MOVING:
        return None
    if place and place.interface_id == case.holder.interface_id:
        return None
    where = place.interface_id if place else "nowhere"
    return f"EC2 has {address.public_ip} at {where}, not at {case.holder.name} (drift)"


def _it(address: Address) -> str:
    return f"{address.public_ip} ({address.resource})"
