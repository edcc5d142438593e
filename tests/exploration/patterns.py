"""Constant patterns: a holder that repeats one report for ever, beside a claimant that claims.

Every combination of what the two can say is played through the shipped arbiter, on a memory store.
Nothing is lost, late or out of order here: what goes wrong in such a world is a hole in the rules.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

from eip_arbiter.arbitrate.arbitration import Arbiter
from eip_arbiter.decision.policy import Policy
from eip_arbiter.decision.snapshot import Address, Node, Phase, Snapshot
from eip_arbiter.ports import Association
from eip_contract.report import NodeReport, Pacemaker, ResourceState, Suspect
from simulation.memory_store import MemoryStore

BEGIN_MS = 1_795_352_400_000
START_WAIT_MS = 18_000
"""How long a start waits for its grant: the time-out of 20 s less the resource agent's reserve."""
PLAYED_MS = 21_000
CLAIM_MS, LATE_MS = 1_000, 7
"""A node that waits claims four times a second; once is enough here, and four times as fast."""
IDS = {"n1": "i-00000001", "n2": "i-00000002"}


@dataclass(frozen=True)
class Said:
    """What a node repeats. `within_ms` is its cadence; `state` is `missing` where it says none."""

    state: str
    pacemaker: str = "online"
    failing: tuple[str, ...] = ()
    quorate: bool = True
    quorum_mode: str = "two_node"
    members: tuple[str, ...] = ("n1", "n2")
    suspects: tuple[str, ...] = ()
    within_ms: int = CLAIM_MS

    @property
    def claims(self) -> bool:
        """Whether this is a claim, as docs/design.md defines it."""
        running = self.pacemaker in ("online", "standby", "maintenance", "pending")
        return self.state in ("started", "starting") and running and not self.failing


def holders() -> Iterator[Said | None]:
    """All that a holder can repeat; None for one that is dead."""
    yield None
    for parts in product(
        ("started", "starting", "stopped", "failed", "unknown", "missing"),
        ("online", "pending", "unknown", "offline", "standby", "maintenance"),
        ((), ("disk",)),
        (True, False),
        ("two_node", "majority"),
        (("n1", "n2"), ("n1",), ()),
        ((), ("n2",)),
        (1_000, 10_000),
    ):
        yield Said(*parts)


def claimants() -> Iterator[Said]:
    """All that a healthy claimant can repeat."""
    for state, quorate, mode, members, suspects in product(
        ("started", "starting"),
        (True, False),
        ("two_node", "majority"),
        (("n1", "n2"), ("n2",)),
        ((), ("n1",)),
    ):
        yield Said(state, "online", (), quorate, mode, members, suspects)


def pairs() -> Iterator[tuple[Said | None, Said]]:
    """All combinations of the two that one cluster can have: its quorum mode is one."""
    for holder, claimant in product(list(holders()), list(claimants())):
        if holder is None or holder.quorum_mode == claimant.quorum_mode:
            yield holder, claimant


def only_claimant_is_quorate(holder: Said, claimant: Said) -> bool:
    """Whether a real quorum decides for the claimant."""
    return claimant.quorum_mode == "majority" and claimant.quorate and not holder.quorate


class _Region:
    """EC2, its inventory, and nobody who listens."""

    def __init__(self) -> None:
        self.where: str | None = None

    def associate(self, _allocation: str, interface: str, _ip: str) -> str:
        self.where = interface
        return "eipassoc-1"

    def disassociate(self, _association: str) -> None:
        self.where = None

    def locate(self, _allocation: str, _after_ms: int = 0) -> Association | None:
        return Association("eipassoc-1", self.where, "10.0.0.1") if self.where else None

    def node(self, instance: str) -> tuple[str, Node]:
        return "web", Node(instance, f"eni-{instance[-1]}", (f"10.0.0.{instance[-1]}",))

    def addresses(self, _cluster: str) -> tuple[Address, ...]:
        return (Address("eip", "eipalloc-1", "203.0.113.1"),)

    def __getattr__(self, _name: str) -> Any:
        return lambda *_, **__: None


class Play:
    """One pair: n1 holds the address in calm, then both begin to repeat theirs."""

    def __init__(self) -> None:
        self.now, self.store, region = BEGIN_MS, MemoryStore(), _Region()
        self._seq, self._region = 0, region
        self._arbiter = Arbiter(
            store=self.store,
            elastic_ips=region,
            inventory=region,
            telemetry=region,
            policy=Policy(ec2_call_ms=7_000),
            clock=lambda: self.now,
        )
        stopped, started = Said("stopped", within_ms=10_000), Said("started", within_ms=10_000)
        for name, said, awaiting in (
            ("n2", stopped, False),
            ("n1", started, True),
            ("n1", started, False),
            ("n2", stopped, False),
        ):
            self._say(name, said, 99_000, awaiting=awaiting)
            self.now += 2_500
        self._begin, self._calm = self.now, self._snapshot

    def _say(self, name: str, said: Said, for_ms: int, *, awaiting: bool) -> None:
        self._seq += 1
        known = said.state != "missing"
        ours = Pacemaker(said.pacemaker, None, said.quorate, said.quorum_mode, said.members)
        report = NodeReport(
            "web",
            name,
            IDS[name],
            "zone",
            5,
            self._seq,
            0,
            said.within_ms,
            "heartbeat",
            ours,
            tuple(Suspect(peer, for_ms) for peer in said.suspects),
            {"eip": ResourceState(said.state, for_ms)} if known else {},
            ("eip",) if awaiting and known else (),
            said.failing,
            None,
        )
        self._arbiter.on_report(report, self.now)

    def granted_after_ms(self, holder: Said | None, claimant: Said) -> int | None:
        """After how long the claimant has the address, or None if it never gets it."""
        begin = self.now = self._begin
        self.store._clusters["web"] = self._calm  # noqa: SLF001 - snapshots are immutable
        self._region.where = "eni-1"
        due = {"n1": begin if holder else begin + 2 * PLAYED_MS, "n2": begin}
        while True:
            name = "n1" if due["n1"] <= due["n2"] else "n2"
            self.now = due[name]
            if self.now > begin + PLAYED_MS:
                return None
            said = holder if name == "n1" else claimant
            assert said is not None
            self._say(name, said, self.now - begin, awaiting=name == "n2")
            due[name] += said.within_ms + (LATE_MS if name == "n1" else 0)
            now = self._snapshot.addresses["eip"]
            if now.holder == IDS["n2"] and now.phase is Phase.SETTLED:
                return self.now - begin

    @property
    def _snapshot(self) -> Snapshot:
        snapshot = self.store.read("web")
        assert snapshot is not None
        return snapshot
