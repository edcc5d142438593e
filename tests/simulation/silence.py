"""`python -m simulation --silence`: what each way to bound a holder's silence costs and spares.

The question is how long a holder may be silent towards a claimant that says it lost it, while the
holder's own last report does not show the cut. docs/timing.md has the figures, and the choice.
"""

# ruff: noqa: S311, T201 - a run must be repeatable, and a command speaks to its terminal

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import multiprocessing
import random
import statistics
from collections.abc import Callable, Iterator
from typing import Any

from eip_arbiter.decision.case import Case
from eip_contract.state_item import ClusterStatus

from simulation.agent import AgentProcess
from simulation.faults import Fault
from simulation.setup import Setup, make_setup
from simulation.world import Result, run

HEARD_MS = 6_000
"""The holder reads the table every 5 s while it is calm, and its report takes its time."""

DEATHS, DEATH_SECONDS = 4, 30.0
FORGERIES, FORGERY_SECONDS = 3, 20.0
GAP_SECONDS = 60.0
SHOWN = ("deaths", "forged claims", "all faults")

Allowed = Callable[[Case, Any], int]


def _shipped(allowed: Allowed) -> Allowed:
    return allowed


def _own_promise(allowed: Allowed) -> Allowed:
    def promised(case: Case, claimant: Any) -> int:
        report = case.holder.report if case.holder else None
        within_ms = report.next_report_within_ms if report else 0
        return max(allowed(case, claimant), within_ms + 1_000)

    return promised


def _time_to_hear(allowed: Allowed) -> Allowed:
    def heard(case: Case, claimant: Any) -> int:
        mine, theirs = claimant.report, case.holder.report if case.holder else None
        sees_it = (
            mine is not None
            and theirs is not None
            and (mine.node_name in theirs.suspects or mine.node_name not in theirs.members)
        )
        return max(allowed(case, claimant), 0 if sees_it else HEARD_MS)

    return heard


VARIANTS: dict[str, Callable[[Allowed], Allowed]] = {
    "`AnswerSeconds`, as shipped": _shipped,
    "the holder's own promise": _own_promise,
    "time to hear of it": _time_to_hear,
}


def _told_of_challenges(get_status: Any) -> Any:
    """A holder that reads the table learns of a claim that stands against it, and answers."""

    def read(self: AgentProcess, *, consistent: bool) -> ClusterStatus | None:
        status: ClusterStatus | None = get_status(self, consistent=consistent)
        snapshot = self.node.region.store.read(self.node.cluster_id)
        if status is None or snapshot is None:
            return status
        addresses = {}
        for name, address in status.addresses.items():
            claiming = [n.instance_id for n in snapshot.nodes.values() if _claims(n, name)]
            ours = address.holder == self.node.instance_id and claiming
            refused = claiming[0] if ours else address.refused_claimant
            addresses[name] = dataclasses.replace(address, refused_claimant=refused)
        return dataclasses.replace(status, addresses=addresses)

    return read


def _claims(node: Any, resource: str) -> bool:
    report = node.report
    return node.alarm_since_ms is not None and report is not None and resource in report.awaiting


@contextlib.contextmanager
def _in_force(variant: str) -> Iterator[None]:
    allowed, get_status = Case.allowed_silence_ms, AgentProcess.get_status
    Case.allowed_silence_ms = VARIANTS[variant](allowed)  # type: ignore[method-assign,assignment]
    if VARIANTS[variant] is _time_to_hear:
        AgentProcess.get_status = _told_of_challenges(get_status)  # type: ignore[method-assign]
    try:
        yield
    finally:
        Case.allowed_silence_ms = allowed  # type: ignore[method-assign]
        AgentProcess.get_status = get_status  # type: ignore[method-assign]


def one_kind(seed: int, kind: str, count: int, seconds: float) -> Setup:
    """One fault of a kind after the other on a small cluster, which has time to get well."""
    rng = random.Random(f"{seed} {kind}")
    size = rng.choice((2, 2, 3))
    faults, at = [], 60.0
    for _ in range(count):
        # Above a half: whoever dies is powered on again.
        amount = rng.uniform(0.5, 1.0)
        faults.append(Fault(kind, at, seconds, 0, rng.randrange(size), amount))
        at += seconds + GAP_SECONDS + rng.uniform(0.0, 10.0)
    plain = dataclasses.replace(make_setup(seed), sizes=(size,), addresses=1, climate={})
    return dataclasses.replace(
        plain,
        faults=tuple(faults),
        serial=True,
        calm_from=at,
        answer_ms=3_000,
        token_seconds=1.0,
        plain=False,
        later=False,
        spares=(False,),
        skews=(),
    )


def _setup(seed: int, what: str) -> Setup:
    if what == "deaths":
        return one_kind(seed, "holder_dies", DEATHS, DEATH_SECONDS)
    if what == "forged claims":
        return one_kind(seed, "forged_claims", FORGERIES, FORGERY_SECONDS)
    return dataclasses.replace(make_setup(seed), answer_ms=3_000)


def _play(job: tuple[str, str, int]) -> Result:
    variant, what, seed = job
    with _in_force(variant):
        return run(_setup(seed, what))


def tell(runs: int, first: int, jobs: int) -> int:
    """Plays every variant on the same seeds, and tells its figures."""
    seeds = range(first, first + runs)
    with multiprocessing.Pool(jobs, maxtasksperchild=50) as pool:
        for what, variant in itertools.product(SHOWN, VARIANTS):
            work = [(variant, what, seed) for seed in seeds]
            results = list(pool.imap_unordered(_play, work, 8))
            print(f"{what}, {variant}: {_figures(results)}", flush=True)
    return 0


def _figures(results: list[Result]) -> str:
    waits = sorted(seconds for result in results for seconds in result.claim_to_grant)
    moves = sum(result.counts["moves off a node that ran it"] for result in results)
    p99 = waits[int(0.99 * (len(waits) - 1))] if waits else 0.0
    median = statistics.median(waits) if waits else 0.0
    away = [seconds for result in results for seconds in result.wrong_place] or [0.0]
    elsewhere = f"{sum(away) / len(away):.1f} s for each fault, at most {max(away):.1f} s"
    broken = sum(bool(result.violations) for result in results)
    return (
        f"{len(waits)} starts granted, median {median:.2f} s, p99 {p99:.2f} s; "
        f"{moves} moves off a node that ran it; elsewhere than it runs {elsewhere}; "
        f"violations in {broken} of {len(results)} runs"
    )
