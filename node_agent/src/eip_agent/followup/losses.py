"""Has Pacemaker stop a copy here that lost its address."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eip_agent.conclude.verdicts import is_behind_a_cut, is_seen_now, runs_twice, taken_away
from eip_agent.followup.asking import Run, Say
from eip_agent.followup.clean_up import CleanUp
from eip_agent.remember.sight import NEVER

if TYPE_CHECKING:
    from eip_agent.remember.sight import Sight, Word

_LOOK_AGAIN_SECONDS = 10.0


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
            if not is_seen_now(s) or not taken_away(s, resource):
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
