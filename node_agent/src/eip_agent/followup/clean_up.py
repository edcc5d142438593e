"""What the agent asks of Pacemaker: forget a refused start, follow an order, stop a lost copy.

Only `crm_resource` is run here, never while a resource that runs could be disturbed by it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Callable

from eip_contract.fields import NAME
from eip_contract.report import OrderProgress

from eip_agent.calls.commands import ended
from eip_agent.conclude.verdicts import (
    clean_up_reason,
    failure_came_back,
    failure_is_gone,
    is_behind_a_cut,
    runs_twice,
    taken_away,
)
from eip_agent.conclude.view import NEVER, SETTLED_STATES, lost_peers, resource_state
from eip_agent.remember.memory import read_json, replace_file

if TYPE_CHECKING:
    from eip_contract.state_item import AddressStatus

    from eip_agent.conclude.view import Sight, Word

_STABLE_SECONDS = 2.0
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 5.0, 300.0
_UNRELATED_SECONDS = 10.0
"""A start that begins so long after the last clean-up is not what that clean-up set off."""

_ASK_AGAIN_SECONDS, _LOOK_AGAIN_SECONDS = 30.0, 10.0
_LIFETIME = "PT1M"
_COMMAND_SECONDS = 30.0
_DETAIL_CHARACTERS = 120
_SAVE_AGAIN_SECONDS, _SAVED_SECONDS = 1.0, 3600.0

Say = Callable[..., None]
Run = Callable[[list[str]], str]
"""Runs `crm_resource` with these arguments; returns what went wrong, empty when nothing did."""


@dataclass
class _Debt:
    """A failed start that we caused; times are monotonic."""

    noted_at: float
    ready_since: float | None = None
    next_try_at: float = 0.0


class CleanUp:
    """Remembers refused starts and has Pacemaker forget each one once its reason is gone."""

    def __init__(
        self, path: str, run: Run, say: Say, now: float, take_notes: Callable[[], list[str]] = list
    ) -> None:
        self._path, self._run, self._say, self._take_notes = path, run, say, take_notes
        self._debts = {name: _Debt(now) for name in read_json(path)}
        self._tries: dict[str, int] = {}
        self._tried_at: dict[str, float] = {}
        self._unsaved, self._trouble = False, ""
        self.save_wake = threading.Event()

    @property
    def resources(self) -> list[str]:
        """Resources with a failed start that is still to be forgotten."""
        return sorted(self._debts)

    def note(self, resource: str, now: float, began_at: float | None = None) -> None:
        """Remembers that a start, which began then, failed since it was not granted."""
        began_at = now if began_at is None else began_at
        if began_at - self._tried_at.get(resource, NEVER) >= _UNRELATED_SECONDS:
            # One split-brain after another must not keep this node banned ever longer.
            self._tries.pop(resource, None)
        pause = _FIRST_PAUSE_SECONDS * 2.0 ** min(self._tries.get(resource, 0), 10)
        first = resource not in self._tries
        next_try_at = now if first else now + min(_LONGEST_PAUSE_SECONDS, pause)
        self._debts[resource] = _Debt(now, next_try_at=next_try_at)
        self._changed()

    def settled(self, resource: str) -> None:
        """Begins anew, since it was granted here; what Pacemaker still remembers is yet to go."""
        self._tries.pop(resource, None)

    def step(self, s: Sight) -> None:
        """Cleans up what may be cleaned up now."""
        for resource in self._take_notes():
            self._say(
                "The resource agent reported a failure while the agent was away", resource=resource
            )
            self.note(resource, s.now)
        for resource in s.words:
            if resource not in self._debts and failure_came_back(s, resource):
                self.note(resource, s.now)
        for resource, debt in list(self._debts.items()):
            if failure_is_gone(s, resource, debt.noted_at):
                # Another thread may have noted a new one, of which this look knows nothing.
                if self._debts.get(resource) is debt:
                    del self._debts[resource]
                    self._changed()
                continue
            reason = clean_up_reason(s, resource)
            stopped = resource_state(s, resource) == "stopped"
            if not reason or not (stopped or failure_came_back(s, resource)):
                debt.ready_since = None
                continue
            if debt.ready_since is None:
                debt.ready_since = s.now
            if s.now - debt.ready_since >= _STABLE_SECONDS and s.now >= debt.next_try_at:
                self._clean_up(s, resource, debt, reason)

    def _clean_up(self, s: Sight, resource: str, debt: _Debt, reason: str) -> None:
        tries = self._tries[resource] = self._tries.get(resource, 0) + 1
        self._tried_at[resource] = s.now
        pause = _FIRST_PAUSE_SECONDS * 2.0 ** min(tries, 10)
        debt.next_try_at = s.now + min(_LONGEST_PAUSE_SECONDS, pause)
        trouble = self._run(["--cleanup", "--resource", resource, "--node", s.node_name])
        if trouble:
            self._say("Pacemaker did not forget the refused start", resource=resource, why=trouble)
        else:
            debt.noted_at = s.now
            self._say("Pacemaker forgets the refused start", resource=resource, since=reason)

    def _changed(self) -> None:
        self._unsaved = True
        self.save_wake.set()

    def save(self) -> float:
        """Writes what is owed to the disk; returns the seconds until that should be tried again.

        A disk may hang: this has a thread of its own, so that nobody's answer, and no call of
        Pacemaker, waits for it. What is owed is known meanwhile.
        """
        if not self._unsaved:
            return _SAVED_SECONDS
        self._unsaved = False
        try:
            replace_file(self._path, json.dumps(dict.fromkeys(list(self._debts), "start")))
        except OSError as error:
            self._unsaved = True
            if not self._trouble:
                self._say("Refused starts could not be kept on disk", reason=error)
            self._trouble = str(error)
            return _SAVE_AGAIN_SECONDS
        self._trouble = ""
        return _SAVED_SECONDS


class Losses:
    """Tells Pacemaker that a copy here lost its address, instead of waiting for its next monitor.

    In a heal Pacemaker would find two good copies, and may keep this one, or neither look nor
    choose (`multiple-active=block`; it monitors nothing that it found after a restart of its own).
    Two reads must say so: in such a heal the address may be on its way back here already.
    """

    def __init__(self, run: Run, clean_up: CleanUp, say: Say) -> None:
        self._run, self._clean_up, self._say = run, clean_up, say
        self._told: dict[str, Word] = {}
        self._noticed_at: dict[str, float] = {}
        self._look_at: dict[str, float] = {}

    def step(self, s: Sight) -> None:
        """Tells of each loss; where Pacemaker does not run here, the monitor tells of it."""
        for resource, word in s.words.items():
            if s.pacemaker.state not in SETTLED_STATES or not taken_away(s, resource):
                self._noticed_at.pop(resource, None)
                continue
            if s.status_at <= self._noticed_at.setdefault(resource, s.status_at):
                continue
            if runs_twice(s, resource):
                self._have_looked(s, resource)
            elif self._told.get(resource) is not word and is_behind_a_cut(s, resource):
                self._told[resource] = word
                self._fail(s, resource)

    def _have_looked(self, s: Sight, resource: str) -> None:
        """Has Pacemaker look anew at this copy, which then says that it does not run."""
        if s.now < self._look_at.get(resource, NEVER):
            return
        self._look_at[resource] = s.now + _LOOK_AGAIN_SECONDS
        trouble = self._run(["--refresh", "--resource", resource, "--node", s.node_name])
        self._say("Pacemaker is asked to look at a lost copy", resource=resource, why=trouble)

    def _fail(self, s: Sight, resource: str) -> None:
        trouble = self._run(["--fail", "--resource", resource, "--node", s.node_name])
        if not trouble:
            # With migration-threshold=1 the failure would keep this node from taking over.
            self._clean_up.note(resource, s.now)
        self._say("Pacemaker is told that the address is lost", resource=resource, why=trouble)


@dataclass
class _Followed:
    """An order to this node about one resource, and the constraint that was made for it."""

    id: str
    state: str = ""
    moved_top: str = ""
    asked_at: float = NEVER


class Orders:
    """Has Pacemaker follow operators' orders whose target is this node, each resource by itself.

    `progress` is what changed last: a report has room for one.
    """

    def __init__(self, run: Run, say: Say) -> None:
        self._run, self._say = run, say
        self._followed: dict[str, _Followed] = {}
        self.progress: OrderProgress | None = None

    def step(self, s: Sight, now_epoch_ms: int) -> bool:
        """Does the next thing for each order to this node; tells whether the progress changed."""
        before = self.progress
        ordered = {
            address.resource: address
            for address in (() if s.status is None else s.status.addresses.values())
            if address.order_target == s.instance_id
            and address.order_until_ms > now_epoch_ms
            and NAME.match(address.order_id or "")
        }
        for address in ordered.values():
            self._follow(s, address, address.order_id or "")
            if self.progress != before:
                break  # the next one's turn is with the next step, once this has been reported
        starting = any(word.state == "starting" for word in s.words.values())
        if s.status is not None and not starting:
            for resource, followed in self._followed.items():
                if resource not in ordered:
                    # Withdrawn or expired before Pacemaker followed: leave no ban of other nodes.
                    self._clear(followed)
        return self.progress != before

    def _follow(self, s: Sight, address: AddressStatus, order_id: str) -> None:
        resource = address.resource
        followed = self._followed.get(resource)
        if followed is None or followed.id != order_id:
            moved_top = followed.moved_top if followed else ""
            followed = self._followed[resource] = _Followed(order_id, moved_top=moved_top)
            self._tell(followed, "seen", "none", resource)
        state = followed.state
        if state in ("seen", "moving") and resource_state(s, resource) == "started":
            self._tell(followed, "done", self._clear(followed) or "it is started here", resource)
        elif state == "seen" or self._is_to_be_asked_again(s, address, followed):
            if s.pacemaker.state != "online":
                return
            followed.asked_at = s.now
            top = followed.moved_top = s.pacemaker.tops.get(resource, resource)
            # A failure that Pacemaker remembers of this node would beat the operator's word.
            self._run(["--cleanup", "--resource", top, "--node", s.node_name])
            # Without --force an infinite stickiness would keep the resource where it is.
            where = ["--resource", top, "--node", s.node_name]
            trouble = self._run(["--move", *where, "--lifetime", _LIFETIME, "--force"])
            state = "failed" if trouble else "moving"
            self._tell(followed, state, trouble or "Pacemaker was asked to move it", resource)

    def _is_to_be_asked_again(self, s: Sight, address: AddressStatus, followed: _Followed) -> bool:
        """Whether Pacemaker has not followed for long, or no longer does, while the order stands.

        A join may have dropped its constraint, or have kept another copy than the one started here.
        Where it could not be asked, as with Corosync just gone, an order is over unless the address
        is here already: the service must not stay behind.
        """
        is_here = address.holder == s.instance_id
        goes_on = followed.state in ("moving", "done") or (followed.state == "failed" and is_here)
        waiting = goes_on and resource_state(s, address.resource) == "stopped"
        return waiting and not lost_peers(s) and s.now - followed.asked_at >= _ASK_AGAIN_SECONDS

    def _clear(self, followed: _Followed) -> str:
        """Takes back the constraints of a move, which would keep other nodes from taking over."""
        top, followed.moved_top = followed.moved_top, ""
        return self._run(["--clear", "--resource", top]) if top else ""

    def _tell(self, followed: _Followed, state: str, detail: str, resource: str) -> None:
        printable = "".join(c if " " <= c <= "~" else " " for c in detail)[:_DETAIL_CHARACTERS]
        followed.state = state
        self.progress = OrderProgress(id=followed.id, state=state, detail=printable or "none")
        self._say(
            "The operator's order goes on",
            order=followed.id,
            resource=resource,
            state=state,
            detail=printable,
        )


def crm_resource(command: Sequence[str]) -> str:
    """Runs `crm_resource`; returns its complaint in one line, empty when it succeeded."""
    done = ended(command, _COMMAND_SECONDS, with_errors=True)
    if done.status is None:
        return done.output
    text = " ".join(done.output.split())
    return f"exit status {done.status}: {text}" if done.status else ""
