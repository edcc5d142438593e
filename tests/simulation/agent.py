"""The shipped agent's parts wired together as `eip_agent.agent` does, on a modelled node.

Modelled here are the ways to AWS, the metadata service, the disk and the local socket. What
watches, judges, reports, answers and follows up is shipped code.
"""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from eip_agent.answer.operations import Operations
from eip_agent.calls.channel import ExchangeError
from eip_agent.conclude.verdicts import taken_away
from eip_agent.followup.asking import COMMAND_SECONDS
from eip_agent.followup.clean_up import CleanUp
from eip_agent.followup.losses import Losses
from eip_agent.followup.orders import Orders
from eip_agent.observe.corosync import NoReadingError
from eip_agent.observe.watchers import Watchers
from eip_agent.remember.board import Board
from eip_agent.remember.memory import AHEAD_SECONDS
from eip_agent.remember.sight import Word
from eip_agent.report.publisher import Publisher
from eip_agent.report.reporter import Reporter
from eip_agent.settings import Settings
from eip_contract.report import NodeReport
from eip_contract.state_item import ClusterStatus

from simulation import clock
from simulation.clock import Event, Process

if TYPE_CHECKING:
    from simulation.node import Node

_FOLLOW_UP_SECONDS = 1.0
_BEAT_SECONDS = 1.0


class MemoryWords:
    """Stands in for `eip_agent.remember.memory.Words`: only a reboot empties it."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def load(self, now: float) -> dict[str, Word]:
        """As the shipped one does."""
        return {
            name: Word(w.state, now, term=w.term, public_ip=w.public_ip, table_id=w.table_id)
            for name, w in self._node.words.items()
            if w.state in ("started", "stopped")
        }

    def save(self, words: dict[str, Word]) -> None:
        """Remembers the words."""
        self._node.words = dict(words)

    def take_notes(self, kind: str, resources: tuple[str, ...]) -> list[str]:
        """Resources of which this was noted while the agent was away."""
        return [resource for resource in resources if self.drop_note(kind, resource)]

    def drop_note(self, kind: str, resource: str) -> bool:
        """Removes a note and tells whether there was one."""
        return self._node.resource_agent.files.pop(f"{kind}.{resource}", None) is not None


class AgentProcess:
    """One life of a node's agent."""

    def __init__(self, node: Node) -> None:
        # As the shipped agent, which needs the metadata service to start, and takes its clock.
        epoch = int(node.loop.now + clock.EPOCH_SECONDS)
        last = node.incarnation if node.incarnation <= epoch + AHEAD_SECONDS else epoch
        node.incarnation = max(last + 1, epoch)
        self.node, self.loop = node, node.loop
        self.process = Process(f"{node.key} agent {node.incarnation}", node.clock_offset)
        self.waiting: list[Callable[[str], None]] = []
        self.settings = Settings(
            cluster_id=node.cluster_id,
            bus="bus",
            table="table",
            resources=node.watched,
            node_name=node.said_name,
            crm_mon=f"crm_mon {node.key}",
            corosync_quorumtool=f"corosync-quorumtool {node.key}",
        )
        self._serving = self._heard = False

    def start(self) -> None:
        """The agent's start, as systemd sees it."""
        self.loop.spawn(self._start, self.process)

    def _start(self) -> None:
        node, settings = self.node, self.settings
        say = node.say
        words = MemoryWords(node)
        board = self.board = Board(node.said_name, node.instance_id, words, say)  # type: ignore[arg-type]
        publisher = self.publisher = Publisher(self._put, board.publishing)
        path = f"{node.key}/failed-starts.json"
        self.clean_up = CleanUp(
            path,
            self._crm_resource,
            say,
            self._monotonic(),
            lambda: words.take_notes("failed", settings.resources),
        )
        self.losses = Losses(self._crm_resource, self.clean_up, say)
        self.orders = Orders(self._crm_resource, say, f"{node.key}/run/orders.json")
        self.reporter = Reporter(
            board,
            settings,
            identity=types.SimpleNamespace(availability_zone=node.zone),  # type: ignore[arg-type]
            incarnation=node.incarnation,
            publisher=publisher,
            orders=self.orders,
            say=say,
        )
        sources = (self, self, types.SimpleNamespace(refresh=lambda: None), self)
        watchers = self.watchers = Watchers(board, settings, sources, say)  # type: ignore[arg-type]
        self.operations = Operations(
            board,
            settings,
            reporter=self.reporter,
            publisher=publisher,
            clean_up=self.clean_up,
            health=types.SimpleNamespace(failing=[]),  # type: ignore[arg-type]
            say=say,
            now_ms=self._aws_ms,
        )
        watchers.watch_links()
        watchers.observe()
        watchers.watch_links()
        watchers.read_status()
        self._serving = True
        never = Event()
        self.links_wake = Event()
        self.loop.spawn(publisher.run, self.process)
        self.loop.spawn(self._beat, self.process)
        for step, wake in (
            (watchers.observe, board.observer_wake),
            (self._watch_links, self.links_wake),
            (watchers.read_status, board.status_wake),
            (watchers.ask_metadata, board.metadata_wake),
            (self._follow_up, never),
            (self.clean_up.save, self.clean_up.save_wake),
        ):
            self.loop.spawn(lambda s=step, w=wake: _repeat(s, w), self.process)  # type: ignore[misc]

    def end(self, *, cleanly: bool) -> None:
        """The process ends; whoever waits for it hears the connection close."""
        if cleanly and self._serving and not self.process.frozen:
            report = self.reporter._draft(self.board.sight())  # noqa: SLF001 - as shut_down does
            self._try_put(report)
        self._serving = False
        self.process.kill()
        for answer in self.waiting[:]:
            answer("")

    def push(self) -> None:
        """Pacemaker's alert agent tells the agent to look."""
        if self._serving:
            self.loop.at(0.02, self.board.observer_wake.set, self.process)

    def links_changed(self) -> None:
        """Where the shipped agent polls every 250 ms, the model polls when there is news."""
        if self._serving:
            delay = 0.25 - (self.loop.now + self.node.number * 0.07) % 0.25
            self.loop.at(delay, self.links_wake.set, self.process)

    def handle(self, request: Mapping[str, Any], alive: Callable[[], bool]) -> Mapping[str, Any]:
        """One request over the socket."""
        return self.operations.handle(request, alive)

    @property
    def last_report(self) -> NodeReport | None:
        """What it reported last."""
        return self.reporter.last if self._serving else None

    @property
    def serves(self) -> bool:
        """Whether the socket is there."""
        return self._serving

    def _beat(self) -> None:
        known, due = None, 0.0
        while True:
            # A pulse without news that is not due does nothing: it is left out, as it is costly.
            if self._facts() != known or self.loop.now >= due:
                due = self.loop.now + max(0.001, self.reporter.pulse())
                known = self._facts()
            self.board.wait(min(due - self.loop.now, self._patience()))

    def _patience(self) -> float:
        """How long nothing but news can be new; the shipped agent looks each second anyway."""
        return _BEAT_SECONDS if self.board.glance().orders_since else math.inf

    def _facts(self) -> object:
        """All that a report tells of what the board knows; none while time alone is news."""
        s = self.board.glance()
        if s.contradicted_since or s.orders_since:
            return object()
        addresses = s.status.addresses if s.status else None
        trouble = bool(self.board.publishing.trouble)
        return (
            s.words,
            s.links,
            addresses,
            s.public_ips,
            s.quorum_mode,
            trouble,
            self.orders.progress,
            s.pacemaker,
            s.last_roles,
            s.ever_seen,
            s.owed,
            s.links_unread,
            bool(self.board.looking.trouble),
        )

    def _watch_links(self) -> float:
        self.watchers.watch_links()
        return 3600.0

    def _follow_up(self) -> float:
        owed = frozenset(self.clean_up.resources)
        if owed != self.board.glance().owed:
            self.board.know(owed=owed)
        if owed or self._ordered() or self._lost() or self._noted():
            s = self.board.sight()
            self.clean_up.step(s, self._aws_ms())
            self.losses.step(s)
            if self.orders.step(s, self._aws_ms()):
                self.board.know()
        return _FOLLOW_UP_SECONDS

    def _ordered(self) -> bool:
        """Whether `Orders.step` may have anything to do: there is, or was, an order."""
        status = self.board._sight.status  # noqa: SLF001 - without the cost of a whole sight
        ordered = status and any(a.order_id for a in status.addresses.values())
        return bool(ordered or self.orders.progress or self.orders.of_others)

    def _noted(self) -> bool:
        """Whether the resource agent left a note of a failure."""
        files = self.node.resource_agent.files
        return any(f"failed.{resource}" in files for resource in self.settings.resources)

    def _lost(self) -> bool:
        """Whether `Losses.step` may have anything to do."""
        s = self.board._sight  # noqa: SLF001 - without the cost of a whole sight
        return any(taken_away(s, resource) for resource in s.words)

    # What the shipped parts ask for: AWS, the metadata service, Corosync, crm_resource.

    def _monotonic(self) -> float:
        return float(clock.time.monotonic())

    def _aws_ms(self) -> int:
        """Stands in for `eip_agent.calls.aws.Clock`: the node's own until the table answers."""
        true_ms = int((self.loop.now + clock.EPOCH_SECONDS) * 1000)
        return true_ms if self._heard else self.node.wall_ms()

    def _reach_aws(self) -> None:
        loop, node = self.loop, self.node
        loop.sleep(node.rng.uniform(0.005, 0.03))
        if node.aws_cut:
            loop.sleep(0.5 if node.rng.random() < 0.5 else 2.0)
            raise ExchangeError("connect", "events.example took no connection")

    def _try_put(self, report: NodeReport) -> None:
        if not self.node.aws_cut:
            self.node.region.report(report)

    def _put(self, report: NodeReport) -> None:
        self._reach_aws()
        if self.node.region.weather.strikes("publish_error"):
            raise ExchangeError("throttled", "events.example")
        self.node.region.report(report)

    def get_status(self, *, consistent: bool) -> ClusterStatus | None:
        """Stands in for `eip_agent.observe.table.Table`."""
        self._reach_aws()
        if self.node.region.weather.strikes("dynamodb_error"):
            raise ExchangeError("throttled", "dynamodb.example")
        self._heard = True
        return self.node.region.status(self.node.cluster_id, consistent=consistent)

    def public_ips(self) -> tuple[str, ...] | None:
        """Stands in for the metadata service, which a cut from AWS does not touch."""
        self.loop.sleep(0.003)
        if self.node.region.weather.strikes("metadata_error"):
            raise ExchangeError("timeout", "metadata")
        return self.node.metadata_ips()

    def read(self, node_ids: Mapping[int, str]) -> Mapping[int, bool] | None:
        """Stands in for `eip_agent.observe.corosync.LibraryLinks`, which asks the kernel too.

        An error of the library's is no word that Corosync is gone.
        """
        trouble = self.node.trouble("corosync-cfgtool")
        if trouble:
            self.loop.sleep(2.0 if trouble == "hangs" else 0.01)
            raise NoReadingError(trouble)
        return self.node.links(node_ids)

    def _crm_resource(self, arguments: list[str]) -> str:
        trouble = self.node.trouble("crm_resource")
        self.loop.sleep(COMMAND_SECONDS if trouble == "hangs" else self.node.rng.uniform(0.05, 0.3))
        if trouble:
            return "TimeoutExpired" if trouble == "hangs" else "exit status 1: Error performing it"
        return self.node.crm_resource(arguments)


def _repeat(step: Callable[[], float], wake: Event) -> None:
    while True:
        if wake.wait(step()):
            wake.clear()
