"""The threads that bring facts in: Pacemaker, Corosync's links, the state, the metadata service.

Each step asks once, puts the answer on the board and returns the seconds until it should run again.
"""

from __future__ import annotations

import dataclasses
import shlex
import time
from typing import TYPE_CHECKING, Any, Callable

from eip_agent.calls.channel import ExchangeError
from eip_agent.calls.commands import run
from eip_agent.conclude.verdicts import ABSENCE_SECONDS
from eip_agent.conclude.view import SETTLED_STATES, lost_peers
from eip_agent.observe.corosync import CommandLinks, LibraryLinks
from eip_agent.observe.pacemaker import parse_crm_mon, parse_quorum_mode
from eip_agent.remember.board import Board, Outcome
from eip_agent.remember.sight import PacemakerView, Sight, Word

if TYPE_CHECKING:
    from eip_contract.state_item import ClusterStatus

    from eip_agent.observe.metadata import Keyring, MetadataService
    from eip_agent.observe.table import Table
    from eip_agent.settings import Settings

_COMMAND_SECONDS = 5.0
_STARTING_SECONDS, _TROUBLED_SECONDS = 0.5, 2.0
_STATUS_STARTING_SECONDS = 0.1
_FRESH_GRANT_SECONDS = 30.0


class Watchers:
    """The steps of all watching threads; each step runs in one thread only."""

    def __init__(
        self,
        board: Board,
        settings: Settings,
        sources: tuple[Table, MetadataService, Keyring, LibraryLinks | CommandLinks],
        say: Callable[..., None],
    ) -> None:
        self._board, self._settings, self._say = board, settings, say
        self._table, self._metadata, self._keyring, self._links = sources
        self._asking_metadata = Outcome("Asking the metadata service", say)

    def observe(self) -> float:
        """Asks Pacemaker, and reads notes that the resource agent left while nobody answered."""
        began = time.monotonic()
        command = [*shlex.split(self._settings.crm_mon), "-1", "--output-as=xml"]
        text = run(command, _COMMAND_SECONDS)
        seen = parse_crm_mon(text, self._settings.node_name, self._settings.resources)
        mode = self._quorum_mode(seen)
        with self._board.changed:
            before = self._board.sight()
            for resource in self._board.words.take_notes("released", self._settings.resources):
                self._say("The resource was stopped while the agent was away", resource=resource)
                self._board.set_word(resource, Word("stopped", began))
            facts: dict[str, Any] = {"pacemaker_at": began, "quorum_mode": mode}
            if seen.state in ("offline", "unknown"):
                # Corosync may still tell of links: keep who is who.
                kept = before.pacemaker
                seen = dataclasses.replace(seen, node_ids=kept.node_ids, left=kept.left)
            elif seen.state in SETTLED_STATES:
                facts["last_roles"] = seen.roles
                facts["ever_seen"] = before.ever_seen | set(seen.members)
                facts["contradicted_since"] = {
                    name: before.contradicted_since.get(name, began)
                    for name, word in before.words.items()
                    if word.state == "started" and seen.roles.get(name) == "stopped"
                }
            self._board.know(pacemaker=seen, **facts)
        self._tell_membership(before.pacemaker, seen)
        s = self._board.sight()
        if _starting(s):
            return _STARTING_SECONDS
        troubled = seen.state not in ("online", "standby") or lost_peers(s)
        return _TROUBLED_SECONDS if troubled else self._settings.calm_seconds

    def _quorum_mode(self, seen: PacemakerView) -> str:
        if seen.state in ("offline", "unknown"):
            return "unknown"
        known = self._board.sight().quorum_mode
        if known != "unknown":
            return known
        command = [*shlex.split(self._settings.corosync_quorumtool), "-s"]
        return parse_quorum_mode(run(command, _COMMAND_SECONDS))

    def _tell_membership(self, before: PacemakerView, after: PacemakerView) -> None:
        if (before.state, before.members) != (after.state, after.members):
            self._say(
                "Pacemaker's view changed",
                state=after.state,
                members=",".join(after.members),
                lost=",".join(sorted(after.lost)),
                quorate=after.quorate,
            )

    def watch_links(self) -> float:
        """Asks Corosync which nodes its links reach."""
        s = self._board.glance()
        names = {i: name for name, i in s.pacemaker.node_ids.items() if name != s.node_name}
        links = self._links.read(names)
        now = time.monotonic()
        if links != s.links:
            reached = ",".join(sorted(names.get(i, "?") for i, up in (links or {}).items() if up))
            self._say("Corosync's links changed", reaches=reached, readable=links is not None)
            before = s.links or {}
            changed = {i: now for i, up in (links or {}).items() if before.get(i) != up}
            self._board.know(links=links, link_changed_at={**s.link_changed_at, **changed})
            self._board.observer_wake.set()
        return self._settings.link_seconds

    def read_status(self) -> float:
        """Reads the cluster's state from the table."""
        s = self._board.sight()
        began = time.monotonic()
        try:
            status = self._table.get_status(consistent=_starting(s))
        except ExchangeError as error:
            self._board.reading.failed(error.kind, str(error))
        else:
            self._board.reading.succeeded()
            self._take_status(s, status, began)
        if _starting(self._board.sight()):
            return _STATUS_STARTING_SECONDS
        calm = self._board.cadence_seconds >= self._settings.calm_seconds
        return self._settings.status_seconds if calm else self._settings.alert_seconds

    def _take_status(self, s: Sight, status: ClusterStatus | None, began: float) -> None:
        before = {} if s.status is None else s.status.last_reports
        reports = {} if status is None else status.last_reports
        advanced = {
            instance: began if before.get(instance) != order else s.advanced_at.get(instance, began)
            for instance, order in reports.items()
        }
        for address in () if status is None else status.addresses.values():
            old = s.address(address.resource)
            if old is None or (old.holder, old.term) != (address.holder, address.term):
                holder = address.holder or "nobody"
                self._say(
                    "The control plane says who holds the address",
                    resource=address.resource,
                    address=address.public_ip,
                    holder=status.node_names.get(holder, holder) if status else holder,
                    term=address.term,
                )
        self._board.know(status=status, status_at=began, advanced_at=advanced)

    def ask_metadata(self) -> float:
        """Renews credentials and reads the public addresses of this instance."""
        ips, asked = None, time.monotonic()
        try:
            self._keyring.refresh()
            asked = time.monotonic()
            ips = self._metadata.public_ips()
        except ExchangeError as error:
            self._asking_metadata.failed(error.kind, str(error))
        else:
            self._asking_metadata.succeeded()
        with self._board.changed:
            s = self._board.sight()
            rows = {name: _absent_row(s, name, ips, asked) for name in s.words}
            absent = {name: row for name, row in rows.items() if row}
            self._board.know(public_ips=ips, absent=absent)
        fresh = any(s.now - word.at < _FRESH_GRANT_SECONDS for word in s.words.values())
        near = fresh or _starting(s) or ips is None or bool(absent)
        return self._settings.alert_seconds if near else self._settings.calm_seconds


def _starting(s: Sight) -> bool:
    return any(word.state == "starting" for word in s.words.values())


def _absent_row(
    s: Sight, resource: str, ips: tuple[str, ...] | None, asked: float
) -> tuple[float, float] | None:
    """The row of reads in which the metadata service says that a granted address is not here.

    A read that failed neither adds to a row nor ends it; a long gap ends it, since a node that was
    frozen must not believe what was said before.
    """
    word, address = s.words[resource], s.address(resource)
    expected = word.public_ip or (address.public_ip if address else "")
    row = s.absent.get(resource)
    if row is not None and s.now - row[1] >= ABSENCE_SECONDS:
        row = None
    if ips is None:
        return row
    if word.state != "started" or not expected or expected in ips:
        return None
    return (row[0] if row else asked, asked)
