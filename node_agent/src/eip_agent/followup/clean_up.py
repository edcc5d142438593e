"""Has Pacemaker forget a failure that we caused: a refused start must not ban the node for good."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Callable

from eip_agent.conclude.verdicts import (
    Circumstances,
    circumstances,
    clean_up_reason,
    failure_came_back,
    failure_is_gone,
)
from eip_agent.conclude.view import resource_state
from eip_agent.followup.asking import Run, Say
from eip_agent.remember.memory import read_json, replace_file
from eip_agent.remember.sight import NEVER

if TYPE_CHECKING:
    from eip_agent.remember.sight import Sight

_STABLE_SECONDS = 2.0
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 5.0, 300.0
_UNRELATED_SECONDS = 10.0
"""A start that begins so long after the last clean-up is not what that clean-up set off."""

_SAVE_AGAIN_SECONDS, _SAVED_SECONDS = 1.0, 3600.0


@dataclass
class _Debt:
    """A failed start that we caused; times are monotonic.

    `met` is what it met, as of the last step: a change of that ends the pause.
    """

    noted_at: float
    ready_since: float | None = None
    next_try_at: float = 0.0
    met: Circumstances | None = None


class CleanUp:
    """Remembers refused starts and has Pacemaker forget each one once its reason is gone.

    A try that fails for a reason that nothing here tells of is repeated after a growing pause.
    """

    def __init__(
        self, path: str, run: Run, say: Say, now: float, take_notes: Callable[[], list[str]] = list
    ) -> None:
        self._path, self._run, self._say, self._take_notes = path, run, say, take_notes
        self._debts = {name: _Debt(now) for name in read_json(path)}
        self._tries: dict[str, int] = {}
        self._tried_at: dict[str, float] = {}
        self._tried_in: dict[str, Circumstances | None] = {}
        self._changed_since: set[str] = set()
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

    def step(self, s: Sight, now_epoch_ms: int) -> None:
        """Cleans up what may be cleaned up now; `now_epoch_ms` is AWS's time."""
        for resource in self._take_notes():
            self._say(
                "The resource agent reported a failure while the agent was away", resource=resource
            )
            self.note(resource, s.now)
        self._note_changes(s, now_epoch_ms)
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
            self._mind_changes(s, resource, debt, now_epoch_ms)
            reason = clean_up_reason(s, resource, now_epoch_ms)
            # A failed copy that Pacemaker does not stop is blocked, since another one runs.
            over = resource_state(s, resource) in ("stopped", "failed")
            if not reason or not (over or failure_came_back(s, resource)):
                debt.ready_since = None
                continue
            if debt.ready_since is None:
                debt.ready_since = s.now
            if s.now - debt.ready_since >= _STABLE_SECONDS and s.now >= debt.next_try_at:
                self._clean_up(s, resource, debt, reason)

    def _note_changes(self, s: Sight, now_epoch_ms: int) -> None:
        """Also what came and went while a start waited: it may have refused that start."""
        for resource, tried_in in self._tried_in.items():
            if tried_in not in (None, circumstances(s, resource, now_epoch_ms)):
                self._changed_since.add(resource)

    def _mind_changes(self, s: Sight, resource: str, debt: _Debt, now_epoch_ms: int) -> None:
        """Ends the pause once what it waited out has changed, be it the grant or who can hear."""
        met = circumstances(s, resource, now_epoch_ms)
        # What changed while the start waited has ended it, and is no reason to wait any longer.
        changed = debt.met != met if debt.met else resource in self._changed_since
        if changed:
            debt.next_try_at = min(debt.next_try_at, s.now)
        debt.met = met

    def _clean_up(self, s: Sight, resource: str, debt: _Debt, reason: str) -> None:
        trouble = self._run(["--cleanup", "--resource", resource, "--node", s.node_name])
        if trouble:
            # It set nothing off, so that it is no reason to wait ever longer.
            debt.next_try_at = s.now + _FIRST_PAUSE_SECONDS
            self._say("Pacemaker did not forget the refused start", resource=resource, why=trouble)
            return
        tries = self._tries[resource] = self._tries.get(resource, 0) + 1
        self._tried_at[resource], self._tried_in[resource] = s.now, debt.met
        self._changed_since.discard(resource)
        pause = _FIRST_PAUSE_SECONDS * 2.0 ** min(tries, 10)
        debt.next_try_at = s.now + min(_LONGEST_PAUSE_SECONDS, pause)
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
