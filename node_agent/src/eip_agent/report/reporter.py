"""Composes reports from the board and sends one when there is news or the promise falls due."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, Callable

from eip_contract.fields import MAX_COUNTER
from eip_contract.report import (
    MAX_NODES,
    MAX_PUBLIC_IPS,
    NodeReport,
    Pacemaker,
    ResourceState,
    Suspect,
)

from eip_agent.conclude import view
from eip_agent.remember.sight import NEVER

if TYPE_CHECKING:
    from eip_agent.followup.orders import Orders
    from eip_agent.observe.metadata import Identity
    from eip_agent.remember.board import Board
    from eip_agent.remember.sight import Sight
    from eip_agent.report.publisher import Publisher
    from eip_agent.settings import Settings


class Reporter:
    """The order of this node's reports; every method may be called from any thread."""

    def __init__(
        self,
        board: Board,
        settings: Settings,
        *,
        identity: Identity,
        incarnation: int,
        publisher: Publisher,
        orders: Orders,
        say: Callable[..., None],
    ) -> None:
        self._board, self._settings, self._say = board, settings, say
        self._identity, self._incarnation = identity, incarnation
        self._publisher, self._orders = publisher, orders
        self._next_seq = 0
        self._sent_at = NEVER
        self._since: dict[str, tuple[str, float]] = {}
        self.last: NodeReport | None = None
        self.passed_over = ""
        """The report of this node in the table that was ahead of this agent; empty if none was."""

    @property
    def next_order(self) -> tuple[int, int]:
        """Incarnation and `seq` of the next report; to be read with the board held."""
        self._keep_ahead(self._board.sight())
        return self._incarnation, self._next_seq

    def _keep_ahead(self, s: Sight) -> bool:
        """Goes on above what the table has of this node, where that is ahead; tells whether it was.

        A clock that was wrong, a lost state folder or somebody else's report did that. The control
        plane takes in only what is newer than it has, so that this node would not be heard; nor
        would one that it has forgotten meanwhile.
        """
        reports = {**s.status.former, **s.status.last_reports} if s.status else {}
        known = reports.get(s.instance_id, (0, 0))
        if known < (self._incarnation, self._next_seq) or known[0] >= MAX_COUNTER:
            return False
        self.passed_over = f"{known[0]}.{known[1]}"
        self._say(
            "The control plane has a later report of this node than this agent has sent",
            report=self.passed_over,
            own=f"{self._incarnation}.{self._next_seq}",
        )
        self._incarnation, self._next_seq = known[0] + 1, 0
        return True

    def pulse(self) -> float:
        """Sends a report if there is news or one is due; returns the seconds until the next."""
        with self._board.changed:
            s = self._board.sight()
            unheard = self._keep_ahead(s)
            report = self._draft(s)
            news = self.last is None or unheard or view.news(report) != view.news(self.last)
            if news or time.monotonic() >= self._due_at():
                self._send(report)
            return self._due_at() - time.monotonic()

    def flush(self, seconds: float) -> None:
        """Sends what is news, and waits at most so long until the newest report is sent."""
        self.pulse()
        if self.last is not None:
            self._publisher.wait_sent(self.last.seq, seconds)

    def shut_down(self) -> None:
        """Sends a last report; nothing is released, as Pacemaker has not stopped anything."""
        with self._board.changed:
            calm_ms = int(self._settings.calm_seconds * 1000)
            report = self._draft(self._board.sight())
            self._send(dataclasses.replace(report, cause="shutdown", next_report_within_ms=calm_ms))
        self._publisher.wait_sent(report.seq, 1.0)

    def _due_at(self) -> float:
        within = 0.0 if self.last is None else self.last.next_report_within_ms / 1000
        if self._board.publishing.trouble:
            within = min(within, self._settings.alert_seconds)
        return self._sent_at + within

    def _send(self, report: NodeReport) -> None:
        self._next_seq += 1
        self.last, self._sent_at = report, time.monotonic()
        self._board.cadence_seconds = report.next_report_within_ms / 1000
        self._publisher.offer(report)
        if report.cause != "heartbeat":
            states = (f"{name}:{raw.state}" for name, raw in sorted(report.resources.items()))
            self._say(
                "Reporting",
                cause=report.cause,
                seq=report.seq,
                resources=",".join(states),
                suspects=",".join(suspect.node_name for suspect in report.suspects),
                awaiting=",".join(report.awaiting),
            )

    def _draft(self, s: Sight) -> NodeReport:
        states = {name: view.resource_state(s, name) for name in self._settings.resources}
        suspects = view.lost_peers(s)
        for name in s.pacemaker.node_ids:
            self._for_ms(f"peer {name}", "lost" if name in suspects else "seen", s.now)
        pending = view.awaiting(s, states)
        claimed_for = self._claimed_for_seconds(s, suspects, pending)
        within = view.cadence_seconds(s, self._settings, suspects, pending, claimed_for)
        report = NodeReport(
            cluster_id=self._settings.cluster_id,
            node_name=s.node_name,
            instance_id=s.instance_id,
            availability_zone=self._identity.availability_zone,
            incarnation=self._incarnation,
            seq=self._next_seq,
            observed_at_ms=int(time.time() * 1000),
            next_report_within_ms=int(within * 1000),
            cause="heartbeat",
            pacemaker=Pacemaker(
                state=s.pacemaker.state,
                dc=s.pacemaker.dc,
                quorate=s.pacemaker.quorate,
                quorum_mode=s.quorum_mode,
                members=_members(s),
            ),
            suspects=tuple(
                Suspect(name, self._for_ms(f"peer {name}", "lost", s.now))
                for name in sorted(suspects)[:MAX_NODES]
            ),
            resources={
                name: ResourceState(state, self._for_ms(f"resource {name}", state, s.now))
                for name, state in states.items()
            },
            awaiting=pending,
            failing=view.failing(s),
            public_ips=_shown(s),
            order=self._orders.progress,
        )
        return dataclasses.replace(report, cause=view.cause(self.last, report))

    def _claimed_for_seconds(
        self, s: Sight, suspects: frozenset[str], pending: tuple[str, ...]
    ) -> float:
        """For how long the youngest claim has met the same holder, with the same nodes lost."""
        durations = []
        for name in self._settings.resources:
            address = s.address(name)
            against = f"{address and address.holder} without {','.join(sorted(suspects))}"
            ms = self._for_ms(f"claim {name}", against if name in pending else "none", s.now)
            durations += [ms / 1000] if name in pending else []
        return min(durations, default=0.0)

    def _for_ms(self, key: str, value: str, now: float) -> int:
        """For how long a value has been what it is now."""
        known = self._since.get(key)
        if known is None or known[0] != value:
            known = self._since[key] = (value, now)
        return max(0, int((now - known[1]) * 1000))


def _members(s: Sight) -> tuple[str, ...]:
    """Pacemaker's members, this node first: a report has room for some."""
    return tuple(sorted(s.pacemaker.members, key=lambda name: name != s.node_name)[:MAX_NODES])


def _shown(s: Sight) -> tuple[str, ...] | None:
    """This instance's public addresses, the cluster's own first: a report has room for some."""
    if s.public_ips is None:
        return None
    ours = {a.public_ip for a in s.status.addresses.values()} if s.status else set()
    return tuple(sorted(s.public_ips, key=lambda ip: ip not in ours)[:MAX_PUBLIC_IPS])
