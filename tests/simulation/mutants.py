"""Planted bugs: each breaks one rule, commit condition, move step or agent's rule on purpose.

The simulation must catch every one of them, and not by one lucky seed. A mutant replaces names of
the shipped modules, or conditions of the memory store that stand for those of the DynamoDB store,
while its runs last. Bugs that matter at an instant only (when exactly a challenge was opened, say)
are planted in front of the corpus, in tests/decision.
"""

# ruff: noqa: ARG001, ARG005, T201 - planted bugs ignore what they should look at

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import eip_arbiter.decision as decision_package
from eip_agent import operations as agent_operations
from eip_agent import verdicts, view
from eip_agent.followup import CleanUp, Orders
from eip_arbiter import arbitration
from eip_arbiter.arbitration import Arbiter
from eip_arbiter.decision import case as case_module
from eip_arbiter.decision import rules, transition
from eip_arbiter.decision.case import Case
from eip_arbiter.decision.outcome import Keep
from eip_arbiter.decision.snapshot import Address, Order, Snapshot
from eip_arbiter.ports import Association, MoveFailedError

from simulation.memory_store import MemoryStore
from simulation.setup import make_setup
from simulation.shrink import broken
from simulation.world import run

AT_LEAST, ENOUGH = 2, 4
Patch = tuple[Any, str, Any]


@dataclass(frozen=True)
class Mutant:
    """One planted bug."""

    name: str
    patches: Callable[[], list[Patch]]


MUTANTS: list[Mutant] = []


def mutant(function: Callable[[], list[Patch]]) -> Callable[[], list[Patch]]:
    """Adds a mutant; its function's name is its name, its docstring what is wrong with it."""
    MUTANTS.append(Mutant(function.__name__, function))
    return function


def _cached(owner: type, name: str, function: Callable[[Any], Any]) -> Patch:
    replacement = cached_property(function)
    replacement.__set_name__(owner, name)
    return (owner, name, replacement)


def _rules_without(*names: str) -> list[Patch]:
    left = tuple(rule for rule in rules.RULES if rule.__name__.split("_")[0] not in names)
    return [(decision_package, "RULES", left)]


# The questions that rules ask.


@mutant
def any_old_claim_counts() -> list[Patch]:
    """A claim counts for ever."""
    return [(Case, "is_fresh", lambda self, node: node.report is not None)]


@mutant
def claim_from_before_the_grant_counts() -> list[Patch]:
    """The last word of a node that just lost the address is a claim against the new holder."""

    def claimants(self: Case) -> Any:
        others = [n for n in self.snapshot.nodes.values() if n.instance_id != self.address.holder]
        return tuple(sorted((n for n in others if self.claims(n)), key=self._rank))

    return [_cached(Case, "claimants", claimants)]


@mutant
def stale_answer_counts() -> list[Patch]:
    """Whatever the holder said last, however long ago, is an answer."""

    def holder_answers(self: Case) -> bool:
        return self.holder is not None and self.says_it_runs(self.holder)

    def silent(self: Case, claimant: Any) -> int:
        return 0 if self.holder_answers else 10**9

    return [
        _cached(Case, "holder_answers", holder_answers),
        (Case, "holder_silent_ms", silent),
    ]


@mutant
def silence_lasts_until_now() -> list[Patch]:
    """A claim that EventBridge kept back counts as if it had just been said."""
    return [
        (Case, "holder_silent_ms", lambda self, claimant: self.now_ms - self.holder_owes_since_ms),
        (case_module, "LATE_MS", 10**9),
    ]


@mutant
def no_time_to_answer() -> list[Patch]:
    """The holder has half a second to answer."""
    return [(Case, "allowed_silence_ms", lambda self, claimant: 500)]


@mutant
def joining_is_giving_up() -> list[Patch]:
    """A holder whose Pacemaker is just joining has given up."""
    fewer = tuple(s for s in case_module.RUNNING_PACEMAKER if s != "pending")
    return [(case_module, "RUNNING_PACEMAKER", fewer)]


@mutant
def release_is_not_believed() -> list[Patch]:
    """A holder that released the address is waited for as if it were silent."""
    return [_cached(Case, "holder_gave_up", lambda self: None), *_rules_without("r070")]


@mutant
def ec2_word_stands_for_ever() -> list[Patch]:
    """That an instance was stopped once is held against it after it came back."""

    def goes(node: Any) -> str | None:
        return node.ec2.state if node and node.ec2 else None

    return [(Case, "instance_goes", staticmethod(goes))]


@mutant
def quorum_of_two() -> list[Patch]:
    """Each half of a two-node cluster has a quorum that counts."""

    def alone(self: Case, claimant: Any) -> bool:
        return claimant.report is not None and claimant.report.quorate

    return [(Case, "alone_quorate", alone)]


# The rules.


@mutant
def pause_forgotten() -> list[Patch]:
    """The pause is no rule."""
    return _rules_without("r010")


@mutant
def order_does_not_pin() -> list[Patch]:
    """An order grants, but does not hold the address until its target claims."""
    original = rules.r020_order

    def order(case: Case) -> Any:
        decided = original(case)
        return None if isinstance(decided, Keep) else decided

    return _replaced("r020", order)


@mutant
def order_dropped() -> list[Patch]:
    """An order is answered as accepted, and never written."""

    def on_order(
        self: Arbiter, snapshot: Snapshot, resource: str, order: Order, _line: str
    ) -> Snapshot:
        address = dataclasses.replace(snapshot.addresses[resource], order=order)
        addresses = {**snapshot.addresses, resource: address}
        return dataclasses.replace(snapshot, addresses=addresses)

    return [(Arbiter, "on_order", on_order)]


@mutant
def never_resumed() -> list[Patch]:
    """A move that nobody finished stays unfinished."""
    return _replaced("r031", lambda case: Keep("R031", "whatever") if case.is_moving else None)


@mutant
def silent_holder_kept() -> list[Patch]:
    """A holder that does not answer keeps the address."""
    return _rules_without("r070")


@mutant
def drift_kept() -> list[Patch]:
    """An address that is not where it belongs stays there."""
    return _rules_without("r080")


@mutant
def drift_without_patience() -> list[Patch]:
    """The metadata service's lag is taken for drift."""
    return _with_policy(drift_ms=1)


@mutant
def unused_at_once() -> list[Patch]:
    """A released address is taken off at once, before anybody can claim it."""
    return _with_policy(release_ms=1)


# Commit conditions.


@mutant
def commit_without_version() -> list[Patch]:
    """A commit looks at the reports only."""
    check = staticmethod(lambda now, seen, rested_on: MemoryStore.still_newest(now, rested_on))
    return [(MemoryStore, "may_commit", check)]


@mutant
def commit_without_reports() -> list[Patch]:
    """A commit looks at the version only: a holder that answered meanwhile is overrun."""
    return [(MemoryStore, "still_newest", staticmethod(lambda now, rested_on: True))]


@mutant
def commit_without_conditions() -> list[Patch]:
    """A commit always succeeds."""
    return [(MemoryStore, "may_commit", staticmethod(lambda now, seen, rested_on: True))]


@mutant
def old_reports_are_taken() -> list[Patch]:
    """A late or doubled report overwrites a newer one."""
    return [(MemoryStore, "is_newer", staticmethod(lambda known, report: True))]


@mutant
def order_of_reports_without_incarnation() -> list[Patch]:
    """Only the sequence number orders reports: a restarted agent is not heard."""
    return [(MemoryStore, "is_newer", staticmethod(lambda known, report: known.seq < report.seq))]


@mutant
def settle_without_term() -> list[Patch]:
    """Whoever was stalled settles whatever is in force."""

    def may_settle(known: Address, granted: Address) -> bool:
        return True

    return [(MemoryStore, "may_settle", staticmethod(may_settle))]


@mutant
def settle_overwrites() -> list[Patch]:
    """A settlement writes the whole address as it was read, with its term and holder."""

    def settle(self: MemoryStore, snapshot: Snapshot, address: Address) -> Any:
        now = self.read(snapshot.cluster_id)
        return self._put_address(now or snapshot, address)

    return [(MemoryStore, "settle", settle)]


# Steps of a move.


@mutant
def call_before_commit() -> list[Patch]:
    """EC2 is called first, and the grant is committed after it."""
    original = Arbiter._commit  # noqa: SLF001

    def commit(self: Arbiter, snapshot: Snapshot, address: Address, change: Any) -> Any:
        holder = getattr(change, "holder", None)
        if holder:
            node = snapshot.nodes[holder]
            with contextlib.suppress(MoveFailedError):
                self.elastic_ips.associate(
                    address.allocation_id, node.interface_id, node.private_ips[0]
                )
        return original(self, snapshot, address, change)

    return [(Arbiter, "_commit", commit)]


@mutant
def settled_without_the_call() -> list[Patch]:
    """A grant settles although EC2 was never asked."""

    def place(self: Arbiter, snapshot: Snapshot, address: Address, **how: Any) -> Any:
        if address.holder is None:
            return None
        node = snapshot.nodes[address.holder]
        return Association("", node.interface_id, node.private_ips[0])

    return [(Arbiter, "_place", place)]


@mutant
def failure_taken_for_success() -> list[Patch]:
    """What EC2 refused is settled as if it were done."""
    original = Arbiter._place  # noqa: SLF001

    def place(self: Arbiter, snapshot: Snapshot, address: Address, **how: Any) -> Any:
        try:
            return original(self, snapshot, address, **how)
        except MoveFailedError:
            if address.holder is None:
                return None
            node = snapshot.nodes[address.holder]
            return Association("", node.interface_id, node.private_ips[0])

    return [(Arbiter, "_place", place)]


@mutant
def no_deadline_check() -> list[Patch]:
    """A stalled invocation calls EC2 however late it is."""

    def place(self: Arbiter, snapshot: Snapshot, address: Address, **how: Any) -> Any:
        if address.holder is None:
            if address.association_id:
                self.elastic_ips.disassociate(address.association_id)
            return None
        node = snapshot.nodes[address.holder]
        ip = node.private_ips[address.private_ip_index]
        association_id = self.elastic_ips.associate(address.allocation_id, node.interface_id, ip)
        return Association(association_id, node.interface_id, ip)

    return [(Arbiter, "_place", place)]


@mutant
def disassociated_by_address() -> list[Patch]:
    """A release takes off whatever association the address has when the call is made."""
    original = Arbiter._place  # noqa: SLF001

    def place(self: Arbiter, snapshot: Snapshot, address: Address, **how: Any) -> Any:
        if address.holder is not None:
            return original(self, snapshot, address, **how)
        found = self.elastic_ips.locate(address.allocation_id)
        if found:
            self.elastic_ips.disassociate(found.association_id)
        return None

    return [(Arbiter, "_place", place)]


@mutant
def disassociated_first() -> list[Patch]:
    """A move takes the address off its old node before it puts it on the new one."""
    original = Arbiter._place  # noqa: SLF001

    def place(self: Arbiter, snapshot: Snapshot, address: Address, **how: Any) -> Any:
        if address.holder is not None and address.association_id:
            self.elastic_ips.disassociate(address.association_id)
        return original(self, snapshot, address, **how)

    return [(Arbiter, "_place", place)]


@mutant
def term_stays() -> list[Patch]:
    """A grant keeps the term of the one before."""
    original = transition.apply

    def apply(address: Address, change: Any, policy: Any, now_ms: int) -> Address:
        after = original(address, change, policy, now_ms)
        return dataclasses.replace(after, term=max(1, address.term))

    return [(arbitration, "apply", apply)]


@mutant
def all_addresses_on_the_first_private_address() -> list[Patch]:
    """Each address goes to the node's primary private address."""
    original = Arbiter._place  # noqa: SLF001

    def place(self: Arbiter, snapshot: Snapshot, address: Address, **how: Any) -> Any:
        return original(self, snapshot, dataclasses.replace(address, private_ip_index=0), **how)

    return [(Arbiter, "_place", place)]


# The node's side.


@mutant
def grant_believed_from_an_old_read() -> list[Patch]:
    """A start is granted by what was read before it began."""

    def verdict(s: Any, resource: str) -> Any:
        address = s.address(resource)
        if address is not None and address.holder == s.instance_id:
            return verdicts.Verdict("granted", "", address.term, address.public_ip)
        return original(s, resource)

    original = verdicts.start_verdict
    return [(agent_operations, "start_verdict", verdict)]


@mutant
def no_answer_is_a_loss() -> list[Patch]:
    """A monitor fails when the table cannot be read."""
    original = verdicts.monitor_verdict

    def verdict(s: Any, *rest: Any) -> Any:
        return verdicts.Verdict("lost", "") if s.status_trouble else original(s, *rest)

    return [(agent_operations, "monitor_verdict", verdict)]


@mutant
def refused_start_is_never_forgotten() -> list[Patch]:
    """Nobody cleans up after a refused start."""
    return [(CleanUp, "step", lambda self, s: None)]


@mutant
def order_is_not_followed() -> list[Patch]:
    """Pacemaker is never asked to follow an order."""
    return [(Orders, "step", lambda self, s, now_epoch_ms: False)]


@mutant
def no_alert_cadence() -> list[Patch]:
    """An agent that lost sight of a peer goes on at calm cadence."""
    return [(view, "cadence_seconds", lambda s, settings, suspects, pending: settings.calm_seconds)]


@mutant
def nothing_is_pending() -> list[Patch]:
    """A waiting start is not told as pending."""
    return [(view, "awaiting", lambda s, states: ())]


def _replaced(prefix: str, rule: Any) -> list[Patch]:
    changed = tuple(rule if known.__name__.startswith(prefix) else known for known in rules.RULES)
    return [(decision_package, "RULES", changed)]


def _with_policy(**changes: int) -> list[Patch]:
    original = decision_package.decide

    def decide(snapshot: Snapshot, resource: str, policy: Any, now_ms: int) -> Any:
        return original(snapshot, resource, dataclasses.replace(policy, **changes), now_ms)

    return [(arbitration, "decide", decide)]


@contextlib.contextmanager
def planted(name: str) -> Iterator[None]:
    """While this lasts, the bug is there."""
    chosen = next(m for m in MUTANTS if m.name == name)
    patches = chosen.patches()
    kept = [(owner, attribute, owner.__dict__[attribute]) for owner, attribute, _ in patches]
    for owner, attribute, value in patches:
        setattr(owner, attribute, value)
    try:
        yield
    finally:
        for owner, attribute, value in kept:
            setattr(owner, attribute, value)


def catch(job: tuple[str, int]) -> tuple[str, int, set[str]]:
    """Runs one seed with one bug; returns what broke, or the error that stopped it."""
    name, seed = job
    setup = make_setup(seed)
    with planted(name) if name else contextlib.nullcontext():
        try:
            return name, seed, broken(run(setup).violations)
        except Exception as error:  # noqa: BLE001 - an assertion of the shipped code caught it
            return name, seed, {type(error).__name__}


def chase(job: tuple[str, int, int]) -> tuple[str, int, dict[int, set[str]]]:
    """Runs seeds with one bug until enough of them caught it; returns how many were run."""
    name, first, seeds = job
    hits: dict[int, set[str]] = {}
    for number, seed in enumerate(range(first, first + seeds), 1):
        problems = catch((name, seed))[2]
        # What breaks without the bug as well is not the bug's doing.
        if problems and (new := problems - catch(("", seed))[2]):
            hits[seed] = new
        if len(hits) >= ENOUGH:
            return name, number, hits
    return name, seeds, hits


def hunt(seeds: int, first: int, jobs: int, only: str) -> int:
    """Runs every mutant on at most so many seeds and tells which of them caught it."""
    work = [(m.name, first, seeds) for m in MUTANTS if only in m.name]
    missed = []
    with multiprocessing.Pool(jobs) as pool:
        for name, tried, hits in pool.imap_unordered(chase, work):
            by = ", ".join(sorted({problem for found in hits.values() for problem in found}))
            which = ", ".join(map(str, hits)) or "none"
            print(f"{name}: caught by {len(hits)} of {tried} seeds ({which}) {by}", flush=True)
            if len(hits) < AT_LEAST:
                missed.append(name)
    found = len(work) - len(missed)
    print(f"{found} of {len(work)} planted bugs caught by at least {AT_LEAST} seeds")
    if missed:
        print("NOT CAUGHT: " + ", ".join(sorted(missed)))
    return bool(missed)
