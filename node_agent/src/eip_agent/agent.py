"""The agent: its parts put together, its threads, and the beat of its main thread."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shlex
import threading
import time
from typing import TYPE_CHECKING, Callable

from eip_contract.envelope import source_for

from eip_agent.answer.operations import Operations
from eip_agent.answer.server import LocalServer
from eip_agent.calls.aws import Clock, Credentials
from eip_agent.calls.channel import ExchangeError
from eip_agent.followup.asking import crm_resource
from eip_agent.followup.clean_up import CleanUp
from eip_agent.followup.losses import Losses
from eip_agent.followup.orders import Orders
from eip_agent.observe.corosync import CommandLinks, LibraryLinks
from eip_agent.observe.health import Health
from eip_agent.observe.metadata import Identity, Keyring, MetadataService
from eip_agent.observe.table import Table
from eip_agent.observe.watchers import Watchers
from eip_agent.remember.board import Board
from eip_agent.remember.memory import Words, next_incarnation
from eip_agent.report.events import Events
from eip_agent.report.publisher import Publisher
from eip_agent.report.reporter import Reporter

if TYPE_CHECKING:
    from eip_agent.settings import Settings

_FOLLOW_UP_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 1.0


class Agent:
    """One node's agent, from its first look at the cluster to its last report."""

    def __init__(
        self,
        settings: Settings,
        identity: Identity,
        metadata: MetadataService,
        fixed: Credentials | None,
        say: Callable[..., None],
    ) -> None:
        settings = _located(settings, identity)
        run_dir = os.path.dirname(settings.socket)
        os.makedirs(run_dir, exist_ok=True)
        with contextlib.suppress(OSError):  # what cannot be written there is said below
            os.makedirs(settings.state_dir, exist_ok=True)
        keyring = Keyring(metadata, fixed)
        try:
            keyring.refresh()
        except ExchangeError as error:
            say("There are no credentials yet", reason=error)
        words = Words(run_dir)
        self._clock = Clock()
        table = Table(settings, keyring, self._clock)
        incarnation = next_incarnation(
            settings.state_dir, _epoch_seconds(self._clock, metadata, table), say
        )
        self._board = Board(settings.node_name, identity.instance_id, words, say)
        source = source_for(
            identity.partition, identity.region, identity.account, identity.instance_id
        )
        events = Events(settings, keyring, source)
        self._publisher = Publisher(events.put_report, self._board.publishing)
        command = shlex.split(settings.crm_resource)

        def ask_pacemaker(arguments: list[str]) -> str:
            return crm_resource([*command, *arguments])

        debts = os.path.join(settings.state_dir, "failed-starts.json")
        self._clean_up = CleanUp(
            debts,
            ask_pacemaker,
            say,
            time.monotonic(),
            lambda: words.take_notes("failed", settings.resources),
        )
        self._losses = Losses(ask_pacemaker, self._clean_up, say)
        self._orders = Orders(ask_pacemaker, say, os.path.join(run_dir, "orders.json"))
        self._health = Health(settings, say)
        self._reporter = Reporter(
            self._board,
            settings,
            identity=identity,
            incarnation=incarnation,
            publisher=self._publisher,
            orders=self._orders,
            say=say,
        )
        sources = (table, metadata, keyring, _links(settings, say))
        self._watchers = Watchers(
            self._board, settings, sources, say, lambda: _drop_ipv4(table, events)
        )
        operations = Operations(
            self._board,
            settings,
            reporter=self._reporter,
            publisher=self._publisher,
            clean_up=self._clean_up,
            health=self._health,
            say=say,
            now_ms=self._clock.now_ms,
        )
        self._server = LocalServer(settings.socket, operations.handle, say)

    def start(self, alive: Callable[[], None]) -> None:
        """Looks once, so that the first report is a true one, then starts all threads.

        Each look is bounded, but all together may take longer than systemd waits for a sign:
        `alive` is called after each.
        """
        board, watchers = self._board, self._watchers
        # The links come before Pacemaker too: without them nothing tells that Corosync is gone.
        for look in (
            watchers.watch_links,
            watchers.observe,
            watchers.watch_links,
            watchers.read_status,
        ):
            look()
            alive()
        self._publisher.start()
        self._server.start()
        never = threading.Event()
        for step, wake in (
            (watchers.observe, board.observer_wake),
            (watchers.watch_links, never),
            (watchers.read_status, board.status_wake),
            (watchers.ask_metadata, board.metadata_wake),
            (self._follow_up, never),
            (self._clean_up.save, self._clean_up.save_wake),
            (self._health.step, never),
        ):
            threading.Thread(target=_repeat, args=(step, wake), daemon=True).start()

    def beat(self) -> None:
        """Reports if there is news or a report is due, then waits for more; for the main thread."""
        self._board.wait(min(self._reporter.pulse(), _LONGEST_WAIT_SECONDS))

    def shut_down(self) -> None:
        """Says goodbye; nothing is released."""
        self._reporter.shut_down()

    def _follow_up(self) -> float:
        s = self._board.sight()
        self._clean_up.step(s, self._clock.now_ms())
        owed = frozenset(self._clean_up.resources)
        if owed != s.owed:
            self._board.know(owed=owed)
        self._losses.step(s)
        if self._orders.step(s, self._clock.now_ms()):
            self._board.know()
        return _FOLLOW_UP_SECONDS


def _located(settings: Settings, identity: Identity) -> Settings:
    """The settings with what the metadata service says of the place, where they leave that out."""
    region, domain = settings.region or identity.region, settings.domain or identity.domain
    return dataclasses.replace(settings, region=region, domain=domain)


def _drop_ipv4(table: Table, events: Events) -> None:
    table.drop_ipv4()
    events.drop_ipv4()


def _epoch_seconds(clock: Clock, metadata: MetadataService, table: Table) -> int:
    """Now, by the metadata service's clock, else by AWS's; this machine's own may be days off."""
    clock.heard(metadata.server_date)
    if not clock.is_heard:
        with contextlib.suppress(ExchangeError):
            table.get_status(consistent=False)
    return clock.now_ms() // 1000


def _repeat(step: Callable[[], float], wake: threading.Event) -> None:
    while True:
        if wake.wait(step()):
            wake.clear()


def _links(settings: Settings, say: Callable[..., None]) -> CommandLinks | LibraryLinks:
    if not settings.corosync_cfgtool:
        try:
            return LibraryLinks()
        except OSError:
            say("Corosync's library is missing: corosync-cfgtool is asked instead")
    return CommandLinks(shlex.split(settings.corosync_cfgtool or "corosync-cfgtool"))
