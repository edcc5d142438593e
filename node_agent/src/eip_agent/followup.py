"""What the agent asks of Pacemaker: forget a refused start, follow an operator's order.

Only `crm_resource` is run here, never while a resource that runs could be disturbed by it.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Callable, Sequence

from eip_agent.memory import read_json, replace_file
from eip_agent.verdicts import clean_up_reason, failure_is_gone
from eip_agent.view import resource_state
from eip_contract.fields import NAME
from eip_contract.report import OrderProgress

if TYPE_CHECKING:
    from eip_agent.view import Sight
    from eip_contract.state_item import AddressStatus

_STABLE_SECONDS = 2.0
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 5.0, 300.0
_LIFETIME = "PT5M"
_DETAIL_CHARACTERS = 120

Say = Callable[..., None]
Run = Callable[[Sequence[str]], str]
"""Runs `crm_resource` with these arguments; returns what went wrong, empty when nothing did."""


@dataclass
class _Debt:
    """A failed start that we caused; times are monotonic."""

    noted_at: float
    ready_since: float | None = None
    next_try_at: float = 0.0


class CleanUp:
    """Remembers refused starts and has Pacemaker forget each one once its reason is gone."""

    def __init__(self, path: str, run: Run, say: Say, now: float) -> None:
        self._path, self._run, self._say = path, run, say
        self._debts = {name: _Debt(now) for name in read_json(path)}
        self._tries: dict[str, int] = {}

    @property
    def resources(self) -> list[str]:
        """Resources with a failed start that is still to be forgotten."""
        return sorted(self._debts)

    def note(self, resource: str, now: float) -> None:
        """Remembers that a start failed since it was not granted."""
        pause = _FIRST_PAUSE_SECONDS * 2.0 ** min(self._tries.get(resource, 0), 10)
        first = resource not in self._tries
        next_try_at = now if first else now + min(_LONGEST_PAUSE_SECONDS, pause)
        self._debts[resource] = _Debt(now, next_try_at=next_try_at)
        self._save()

    def settled(self, resource: str) -> None:
        """Forgets everything about a resource, since it was granted here."""
        self._tries.pop(resource, None)
        if self._debts.pop(resource, None) is not None:
            self._save()

    def step(self, s: Sight) -> None:
        """Cleans up what may be cleaned up now."""
        for resource, debt in list(self._debts.items()):
            if failure_is_gone(s, resource, debt.noted_at):
                del self._debts[resource]
                self._save()
                continue
            reason = clean_up_reason(s, resource)
            if not reason or resource_state(s, resource) != "stopped":
                debt.ready_since = None
                continue
            if debt.ready_since is None:
                debt.ready_since = s.now
            if s.now - debt.ready_since >= _STABLE_SECONDS and s.now >= debt.next_try_at:
                self._clean_up(s, resource, debt, reason)

    def _clean_up(self, s: Sight, resource: str, debt: _Debt, reason: str) -> None:
        tries = self._tries[resource] = self._tries.get(resource, 0) + 1
        pause = _FIRST_PAUSE_SECONDS * 2.0 ** min(tries, 10)
        debt.next_try_at = s.now + min(_LONGEST_PAUSE_SECONDS, pause)
        trouble = self._run(["--cleanup", "--resource", resource, "--node", s.node_name])
        if trouble:
            self._say("Pacemaker did not forget the refused start", resource=resource, why=trouble)
        else:
            debt.noted_at = s.now
            self._say("Pacemaker forgets the refused start", resource=resource, since=reason)

    def _save(self) -> None:
        replace_file(self._path, json.dumps(dict.fromkeys(self._debts, "start")))


class Orders:
    """Has Pacemaker follow an operator's order whose target is this node."""

    def __init__(self, run: Run, say: Say) -> None:
        self._run, self._say = run, say
        self._moved = False
        self.progress: OrderProgress | None = None

    def step(self, s: Sight, now_epoch_ms: int) -> None:
        """Looks at the orders of all addresses and does the next thing for each."""
        for address in () if s.status is None else s.status.addresses.values():
            ours = address.order_target == s.instance_id and address.order_until_ms > now_epoch_ms
            if ours and address.order_id and NAME.match(address.order_id):
                self._follow(s, address, address.order_id)

    def _follow(self, s: Sight, address: AddressStatus, order_id: str) -> None:
        if self.progress is None or self.progress.id != order_id:
            self._moved = False
            self._tell(order_id, "seen", "none", address.resource)
        if self.progress is None or self.progress.state in ("done", "failed"):
            return
        if resource_state(s, address.resource) == "started":
            trouble = self._crm(s, "--clear", address.resource) if self._moved else ""
            self._tell(order_id, "done", trouble or "started here", address.resource)
        elif self.progress.state == "seen" and s.pacemaker.state == "online":
            self._moved = True
            trouble = self._crm(s, "--move", address.resource)
            state = "failed" if trouble else "moving"
            self._tell(order_id, state, trouble or "Pacemaker was asked", address.resource)

    def _crm(self, s: Sight, verb: str, resource: str) -> str:
        top = s.pacemaker.tops.get(resource, resource)
        arguments = [verb, "--resource", top]
        if verb == "--move":
            # Without --force an infinite stickiness would keep the resource where it is.
            arguments += ["--node", s.node_name, "--lifetime", _LIFETIME, "--force"]
        return self._run(arguments)

    def _tell(self, order_id: str, state: str, detail: str, resource: str) -> None:
        printable = "".join(c if " " <= c <= "~" else " " for c in detail)[:_DETAIL_CHARACTERS]
        self.progress = OrderProgress(id=order_id, state=state, detail=printable or "none")
        self._say(
            "The operator's order goes on",
            order=order_id,
            resource=resource,
            state=state,
            detail=printable,
        )


def crm_resource(command: Sequence[str], arguments: Sequence[str]) -> str:
    """Runs `crm_resource`; returns its complaint in one line, empty when it succeeded."""
    try:
        done = subprocess.run(
            [*command, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=30,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{type(error).__name__}: {error}"
    text = " ".join(done.stdout.decode("utf-8", "replace").split())
    return f"exit status {done.returncode}: {text}" if done.returncode else ""
