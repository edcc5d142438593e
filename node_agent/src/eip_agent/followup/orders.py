"""Has Pacemaker follow an operator's order to this node."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eip_contract.fields import NAME
from eip_contract.report import OrderProgress
from eip_contract.state_item import SETTLED

from eip_agent.conclude.verdicts import is_seen_now
from eip_agent.conclude.view import lost_peers, resource_state
from eip_agent.followup.asking import Run, Say
from eip_agent.remember.memory import read_json, replace_file
from eip_agent.remember.sight import NEVER

if TYPE_CHECKING:
    from eip_contract.state_item import AddressStatus

    from eip_agent.remember.sight import Sight

_ASK_AGAIN_SECONDS = 30.0
_BEGIN_SECONDS = 10.0
"""For a start to begin, once it runs nowhere and Pacemaker does nothing."""

_LIFETIME, _LIFETIME_SECONDS = "PT1M", 60.0
_DETAIL_CHARACTERS = 120


@dataclass
class _Followed:
    """An order to this node about one resource, and the constraint that was made for it.

    `banned`: the nodes that it ran on then, which the constraint keeps it off.
    """

    id: str
    state: str = ""
    moved_top: str = ""
    asked_at: float = NEVER
    nowhere_since: float | None = None
    banned: tuple[str, ...] = ()


@dataclass
class _Elsewhere:
    """An order to another node, when it was seen last, and whether its constraints were cleared.

    `ran_here`: so that it was this node which the move banned.
    """

    resource: str
    target: str
    seen_at: float
    ran_here: bool = False
    freed: bool = False


def _ran_lately(s: Sight, resource: str) -> bool:
    """Whether it ran here within a move's lifetime: this may be read after Pacemaker followed."""
    word = s.words.get(resource)
    if word is not None:
        return word.state == "started" or s.now - word.at < _LIFETIME_SECONDS
    return s.now - s.ran_here_at.get(resource, NEVER) < _LIFETIME_SECONDS


class Orders:
    """Has Pacemaker follow operators' orders whose target is this node, each resource by itself.

    `progress` is what changed last: a report has room for one. What Pacemaker was asked is kept in
    a file in a folder that a reboot empties: an agent that starts anew takes back what is over.
    """

    def __init__(self, run: Run, say: Say, path: str = "") -> None:
        self._run, self._say, self._path = run, say, path
        self._followed: dict[str, _Followed] = {}
        self.of_others: dict[str, _Elsewhere] = {}
        self.progress: OrderProgress | None = None
        self._saved = read_json(path) if path else {}
        self._load(self._saved)

    def step(self, s: Sight, now_epoch_ms: int) -> bool:
        """Does the next thing for each order to this node; tells whether the progress changed."""
        before = self.progress
        try:
            return self._next(s, now_epoch_ms) != before
        finally:
            self._save()

    def _next(self, s: Sight, now_epoch_ms: int) -> OrderProgress | None:
        before = self.progress
        addresses = () if s.status is None else tuple(s.status.addresses.values())
        ordered = {
            address.resource: address
            for address in addresses
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
                    self._clear(s, followed)
        self._free_from_the_lost(s, addresses)
        return self.progress

    def _free_from_the_lost(self, s: Sight, addresses: tuple[AddressStatus, ...]) -> None:
        """Takes back for a lost target what it had Pacemaker do: a ban of the node before.

        It cannot do so itself, and its ban, which may outlive the order, would keep the only node
        from the service.
        """
        for address in addresses:
            target = address.order_target or s.instance_id
            if address.order_id and target != s.instance_id and s.status:
                name = s.status.node_names.get(target, target)
                known = self.of_others.setdefault(
                    address.order_id, _Elsewhere(address.resource, name, s.now)
                )
                known.seen_at = s.now
                known.ran_here = known.ran_here or _ran_lately(s, address.resource)
        for order_id, order in list(self.of_others.items()):
            if s.now - order.seen_at > _LIFETIME_SECONDS:
                del self.of_others[order_id]
                continue
            # Not for a link that is down: it may be up before Pacemaker has moved it.
            lost = order.target in s.pacemaker.lost and is_seen_now(s)
            if lost and order.ran_here and not order.freed:
                top = s.pacemaker.tops.get(order.resource, order.resource)
                trouble = self._clear_on(top, s.node_name, order.target)
                order.freed = not trouble
                self._say(
                    "An order's constraints are taken back: its target is lost",
                    order=order_id,
                    resource=order.resource,
                    why=trouble,
                )

    def _follow(self, s: Sight, address: AddressStatus, order_id: str) -> None:
        resource = address.resource
        followed = self._followed.get(resource)
        if followed is None or followed.id != order_id:
            moved_top, banned = (followed.moved_top, followed.banned) if followed else ("", ())
            followed = _Followed(order_id, moved_top=moved_top, banned=banned)
            self._followed[resource] = followed
            self._tell(followed, "seen", "none", resource)
        word = s.words.get(resource)
        if not is_seen_now(s) and (word is None or word.state != "started"):
            return  # nothing is asked, and nothing called done, on a view that is not of now
        state = followed.state
        in_vain = self._in_vain(s, resource, followed) if state == "moving" else ""
        if in_vain:
            # Its ban of the node before would keep it from the service for a minute.
            self._tell(followed, "failed", self._clear(s, followed) or in_vain, resource)
        elif state in ("seen", "moving") and resource_state(s, resource) == "started":
            self._tell(followed, "done", self._clear(s, followed) or "it is started here", resource)
        elif state == "seen" or self._is_to_be_asked_again(s, address, followed):
            if s.pacemaker.state != "online" or not is_seen_now(s):
                return
            if address.holder == s.instance_id and address.phase != SETTLED:
                return  # until EC2 has it here, it serves where it is
            followed.asked_at, followed.nowhere_since = s.now, None
            running_on = s.pacemaker.running_on.get(resource, frozenset())
            followed.banned = tuple(sorted({*followed.banned, *running_on} - {s.node_name}))
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

    def _in_vain(self, s: Sight, resource: str, followed: _Followed) -> str:
        """Why Pacemaker was asked in vain, or nothing while that is not known."""
        word = s.words.get(resource)
        refused = word is not None and word.state == "stopped" and word.at > followed.asked_at
        if refused and resource in s.owed:
            return "its start here was refused"
        if self._runs_nowhere(s, resource, followed):
            return "Pacemaker was asked to move it, and runs it nowhere"
        return ""

    @staticmethod
    def _runs_nowhere(s: Sight, resource: str, followed: _Followed) -> bool:
        """Whether Pacemaker has stopped it elsewhere, and will not start it here.

        A constraint of somebody's, for example, may keep it off this node.
        """
        seen = s.pacemaker
        nowhere = (
            is_seen_now(s)
            and s.pacemaker_at > followed.asked_at
            and resource_state(s, resource) == "stopped"
            and not seen.running_on.get(resource)
            and resource not in seen.incomplete
            # What it needs may still be stopping there, or starting here.
            and not seen.under_way
        )
        if not nowhere:
            followed.nowhere_since = None
            return False
        if followed.nowhere_since is None:
            followed.nowhere_since = s.pacemaker_at
        return s.pacemaker_at - followed.nowhere_since >= _BEGIN_SECONDS

    def _clear(self, s: Sight, followed: _Followed) -> str:
        """Takes back the constraints of a move, which would keep other nodes from taking over.

        By their nodes: without one Pacemaker forgets an operator's bans of others as well. Only
        where it was not seen where it ran, it is not known whom the move banned.
        """
        top, followed.moved_top = followed.moved_top, ""
        banned, followed.banned = followed.banned, ()
        if not top:
            return ""
        if not banned:
            return self._run(["--clear", "--resource", top])
        return self._clear_on(top, s.node_name, *banned)

    def _clear_on(self, top: str, *nodes: str) -> str:
        clear = ["--clear", "--resource", top, "--node"]
        return "; ".join(filter(None, [self._run([*clear, node]) for node in nodes]))

    def _load(self, kept: dict[str, Any]) -> None:
        try:
            now = time.monotonic()
            for resource, (order_id, top, banned) in kept.get("moved", {}).items():
                nodes = tuple(map(str, banned))
                followed = _Followed(str(order_id), "moving", str(top), now, None, nodes)
                self._followed[resource] = followed
            for order_id, (resource, target, ran_here) in kept.get("elsewhere", {}).items():
                other = _Elsewhere(str(resource), str(target), now, bool(ran_here))
                self.of_others[order_id] = other
        except (AttributeError, TypeError, ValueError):
            self._say("The orders that were under way cannot be read", path=self._path)

    def _save(self) -> None:
        followed, others = self._followed.items(), self.of_others.items()
        keep = {
            "moved": {
                name: [f.id, f.moved_top, [*f.banned]] for name, f in followed if f.moved_top
            },
            "elsewhere": {i: [o.resource, o.target, o.ran_here] for i, o in others if not o.freed},
        }
        if not self._path or keep == self._saved:
            return
        self._saved = keep
        try:
            replace_file(self._path, json.dumps(keep))
        except OSError as error:
            self._say("The orders under way could not be kept", reason=error)

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
