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
from eip_agent.conclude.presence import absent_row, arrival_row
from eip_agent.conclude.view import SETTLED_STATES, SETTLING_SECONDS, lost_peers
from eip_agent.observe.corosync import CommandLinks, LibraryLinks, NoReadingError
from eip_agent.observe.pacemaker import parse_crm_mon, parse_quorum_mode
from eip_agent.remember.board import Board, Outcome
from eip_agent.remember.sight import NEVER, PacemakerView, Sight, Word

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eip_contract.state_item import ClusterStatus

    from eip_agent.observe.metadata import Keyring, MetadataService
    from eip_agent.observe.table import Table
    from eip_agent.settings import Settings

_COMMAND_SECONDS, _STARTING_SECONDS, _TROUBLED_SECONDS = 5.0, 0.5, 2.0
_STATUS_STARTING_SECONDS, _FRESH_GRANT_SECONDS = 0.1, 30.0
_STANDING_SECONDS, _STANDING_LOOKS = 30.0, 3
"""For so long, but at least for so many looks of a calm node, what was read last stands for looks
that bring nothing: a look that fails is the absence of a reading, and no word of Pacemaker's."""

_QUORUM_AGAIN_SECONDS = 300.0
_UNREADABLE = ("offline", "unknown")


class Watchers:
    """The steps of all watching threads; each step runs in one thread only."""

    def __init__(
        self,
        board: Board,
        settings: Settings,
        sources: tuple[Table, MetadataService, Keyring, LibraryLinks | CommandLinks],
        say: Callable[..., None],
        public_changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._board, self._settings, self._say = board, settings, say
        self._public_changed = public_changed
        self._table, self._metadata, self._keyring, self._links = sources
        self._asking_metadata = Outcome("Asking the metadata service", say)
        self._asking_corosync = Outcome("Asking Corosync for its links", say)
        self._stands_seconds = max(_STANDING_SECONDS, _STANDING_LOOKS * settings.calm_seconds)
        self._first_look_at: float | None = None
        self._links_at = NEVER
        self._quorum_known: tuple[object, float] = (None, NEVER)

    def observe(self) -> float:
        """Asks Pacemaker, and reads notes that the resource agent left while nobody answered."""
        began = time.monotonic()
        command = [*shlex.split(self._settings.crm_mon), "-1", "--output-as=xml"]
        text = run(command, _COMMAND_SECONDS)
        seen = parse_crm_mon(text, self._settings.node_name, self._settings.resources)
        mode = self._quorum_mode(seen, began)
        with self._board.changed:
            before = self._board.sight()
            for resource in self._board.words.take_notes("released", self._settings.resources):
                self._say("The resource was stopped while the agent was away", resource=resource)
                self._board.set_word(resource, Word("stopped", began))
            self._note_reading(seen, gone=before.corosync_gone)
            if seen.state not in _UNREADABLE:
                facts = self._facts(before, seen, began)
                self._board.know(pacemaker=seen, pacemaker_at=began, quorum_mode=mode, **facts)
            elif self._stands(before, began):
                self._board.know()
            else:
                # Corosync may still tell of links: keep who is who. While it answers, no
                # connection to Pacemaker is no more than a look that failed: both must say so.
                kept, state = before.pacemaker, seen.state
                if not before.corosync_gone:
                    state = "unknown"
                seen = dataclasses.replace(
                    seen, state=state, node_ids=kept.node_ids, left=kept.left
                )
                self._board.know(pacemaker=seen, quorum_mode=mode)
        s = self._board.sight()
        self._tell_membership(before.pacemaker, s.pacemaker)
        if _starting(s):
            return _STARTING_SECONDS
        troubled = seen.state not in ("online", "standby") or lost_peers(s)
        return _TROUBLED_SECONDS if troubled else self._settings.calm_seconds

    def _note_reading(self, seen: PacemakerView, *, gone: bool) -> None:
        if seen.state == "unknown":
            self._board.looking.failed("unreadable", "crm_mon gives no readable answer in time")
        elif seen.state == "offline" and not gone:
            self._board.looking.failed("offline", "crm_mon is not connected, but Corosync is there")
        else:
            self._board.looking.succeeded()

    def _stands(self, before: Sight, now: float) -> bool:
        """Whether the view in force, for want of a reading, goes on to stand.

        Not where Corosync is gone: Pacemaker cannot do without, so two sources agree. Nor does it
        stand that Pacemaker is offline, once Corosync, whose absence told so, is back.
        """
        if before.corosync_gone or before.pacemaker.state == "offline":
            return False
        if self._first_look_at is None:
            self._first_look_at = now
        since = max(before.pacemaker_at, self._first_look_at)
        return now - since < self._stands_seconds

    @staticmethod
    def _facts(before: Sight, seen: PacemakerView, began: float) -> dict[str, Any]:
        """What follows from a view that was read; only a settled one tells of resources."""
        if seen.state not in SETTLED_STATES:
            return {}
        incomplete_since = {
            name: before.incomplete_since.get(name, began) for name in seen.incomplete
        }
        # A part that runs alone is a start under way only for as long as the rest may follow.
        for_good = {
            name: seen.incomplete[name]
            for name, since in incomplete_since.items()
            if began - since > SETTLING_SECONDS
        }
        here = {name: began for name, role in seen.roles.items() if role == "started"}
        return {
            "last_roles": {**seen.roles, **for_good},
            "ran_here_at": {**before.ran_here_at, **here},
            "incomplete_since": incomplete_since,
            "ever_seen": before.ever_seen | set(seen.members),
            "contradicted_since": {
                name: before.contradicted_since.get(name, began)
                for name, word in before.words.items()
                if word.state == "started" and seen.roles.get(name) == "stopped"
            },
        }

    def _quorum_mode(self, seen: PacemakerView, now: float) -> str:
        """The quorum mode, asked for again when who takes part has changed, and now and then."""
        if seen.state in _UNREADABLE:
            return "unknown"
        who, known = (seen.members, seen.node_ids), self._board.sight().quorum_mode
        asked_for, at = self._quorum_known
        if known != "unknown" and who == asked_for and now - at < _QUORUM_AGAIN_SECONDS:
            return known
        command = [*shlex.split(self._settings.corosync_quorumtool), "-s"]
        mode = parse_quorum_mode(run(command, _COMMAND_SECONDS))
        if mode == "unknown":
            return known  # a tool that fails says nothing of the quorum; the next look asks again
        self._quorum_known = (who, now)
        return mode

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
        links, gone = self._read_links(s, names)
        now = time.monotonic()
        if links != s.links or gone != s.corosync_gone:
            reached = ",".join(sorted(names.get(i, "?") for i, up in (links or {}).items() if up))
            self._say("Corosync's links changed", reaches=reached, readable=links is not None)
            before = s.links or {}
            changed = {i: now for i, up in (links or {}).items() if before.get(i) != up}
            self._board.know(
                links=links, corosync_gone=gone, link_changed_at={**s.link_changed_at, **changed}
            )
            self._board.observer_wake.set()
        return self._settings.link_seconds

    def _read_links(
        self, s: Sight, names: Mapping[int, str]
    ) -> tuple[Mapping[int, bool] | None, bool]:
        """What the links reach, None where that is not known, and whether Corosync is gone."""
        began = time.monotonic()
        try:
            links = self._links.read(names)
        except NoReadingError as error:
            self._asking_corosync.failed("unreadable", str(error))
            self._board.know(links_unread=True)
            stands = began - self._links_at < self._stands_seconds
            return (s.links, s.corosync_gone) if stands else (None, False)
        self._asking_corosync.succeeded()
        if s.links_unread:
            self._board.know(links_unread=False)
        self._links_at = began
        return links, links is None

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
        same = s.status is not None and status is not None and s.status.table_id == status.table_id
        before = s.status.last_reports if s.status is not None and same else {}
        reports = {} if status is None else status.last_reports
        late = frozenset() if status is None else status.late
        advanced = {
            # A word that comes late, as after an outage, may be that of a node that is dead; and
            # this read, which need not be consistent, may be older than the last one.
            instance: s.advanced_at.get(instance, NEVER if instance in late else began)
            if before.get(instance, (0, 0)) >= order or instance in late
            else began
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
        addresses = () if status is None else status.addresses.values()
        orders = {address.order_id for address in addresses if address.order_id}
        orders_since = {order: s.orders_since.get(order, began) for order in sorted(orders)}
        with self._board.changed:
            self._board.know(
                status=status, status_at=began, advanced_at=advanced, orders_since=orders_since
            )
            self._renew_words()

    def _renew_words(self) -> None:
        """A copy that runs by a grant remembers the grant in force, not the one of its start.

        Another table counts its terms anew; whoever holds the address there holds it by those.
        """
        s = self._board.sight()
        for resource, word in s.words.items():
            address = s.address(resource)
            if s.status is None or address is None or address.holder != s.instance_id:
                continue
            table_id, seen = s.status.table_id, s.status.last_reports.get(s.instance_id, (0, 0))
            # A read may be older than the last one: nothing from before the start renews its word.
            counts = word.state == "started" and s.status_at > word.at and seen >= word.claim
            if counts and (word.term, word.table_id) != (address.term, table_id):
                new = dataclasses.replace(
                    word, term=address.term, table_id=table_id, public_ip=address.public_ip
                )
                self._board.set_word(resource, new)

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
        if ips is not None and ips != self._board.glance().public_ips:
            # EC2 took or gave an address: a connection that was made by the old one is dead.
            self._public_changed()
        with self._board.changed:
            s = self._board.sight()
            rows = {name: absent_row(s, name, ips, asked) for name in s.words}
            absent = {name: row for name, row in rows.items() if row}
            arrivals = {name: row for name in s.words if (row := arrival_row(s, name, ips, asked))}
            self._board.know(public_ips=ips, absent=absent, arrivals=arrivals)
        fresh = any(s.now - word.at < _FRESH_GRANT_SECONDS for word in s.words.values())
        near = fresh or _starting(s) or ips is None or bool(absent) or _is_missed(s, ips)
        return self._settings.alert_seconds if near else self._settings.calm_seconds


def _starting(s: Sight) -> bool:
    return any(word.state == "starting" for word in s.words.values())


def _is_missed(s: Sight, ips: tuple[str, ...]) -> bool:
    """Whether an address that is granted to this instance does not show here, or not yet."""
    addresses = s.status.addresses.values() if s.status else ()
    return any(a.holder == s.instance_id and a.public_ip not in ips for a in addresses)
