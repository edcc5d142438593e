"""Answers that rest on evidence: is a start granted, an address lost, a failure to be forgotten.

Pure functions of one `Sight`. "Someone else has it" and "nobody could say" are never one answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from eip_contract.state_item import SETTLED

from eip_agent.conclude.view import (
    ORDER_PATIENCE_SECONDS,
    SETTLED_STATES,
    SETTLING_SECONDS,
    holder_runs_it,
    lost_peers,
    makes_room,
    runs_there_as_well,
)
from eip_agent.remember.sight import NEVER, Sight, Word

if TYPE_CHECKING:
    from eip_contract.state_item import AddressStatus

READABLE_SECONDS = 15.0
SILENT_SECONDS = 10.0
HEARD_SECONDS = 20.0
"""A calm node reports every 10 s and reads every 5 s what was taken in of that."""

LINK_BACK_SECONDS = 0.5
ABSENCE_SECONDS = 5.0


@dataclass(frozen=True)
class Verdict:
    """An outcome and the sentence for it.

    Outcomes of a start: `granted`, `refused` (somebody else has the address), `waiting`; of a
    monitor: `holds`, `lost`, `unknown`.
    """

    outcome: str
    reason: str
    term: int | None = None
    public_ip: str = ""
    table_id: str = ""


def start_verdict(s: Sight, resource: str) -> Verdict:
    """Whether a start that waits is granted, must give up at once, or waits on.

    A grant is believed only from a status that was read after the start and that has seen a report
    of it: a holder's record from before its own release says nothing about this start.
    """
    word, address = s.words[resource], s.address(resource)
    if s.status is None or address is None or s.status_at <= word.at:
        return Verdict("waiting", _nothing_known(s, resource))
    seen = s.status.last_reports.get(s.instance_id, (0, 0)) >= word.claim
    if address.holder == s.instance_id and address.phase == SETTLED and seen:
        grant = address.term, address.public_ip, s.status.table_id
        return Verdict("granted", "granted to this node", *grant)
    if not seen:
        trouble = s.publish_trouble or "it has not taken in this node's claim"
        return Verdict("waiting", f"the control plane did not answer in time: {trouble}")
    if address.holder in (None, s.instance_id):
        return Verdict("waiting", f"the control plane is still giving {address.public_ip} away")
    why = ""
    if makes_room(s, address):
        why = "; an order sends it there, and Pacemaker cannot follow before this start ends"
    elif s.pacemaker_at > word.at and holder_runs_it(s, resource, address):
        why = "; it runs there"
    elif holder_is_back(s, word, address):
        why = "; its link is back"
    return Verdict("refused" if why else "waiting", _held_by(s, address) + why)


def holder_is_back(s: Sight, word: Word, address: AddressStatus) -> bool:
    """Whether the link to a holder that still speaks came back while this start was waiting.

    Pacemaker lets the holder join only once this start has ended, so its view cannot tell.
    """
    node_id = s.pacemaker.node_ids.get(s.holder_name(address), 0)
    up_since = s.link_changed_at.get(node_id, NEVER)
    return (
        bool(s.links and s.links.get(node_id))
        and up_since > word.at
        and s.now - up_since >= LINK_BACK_SECONDS
        and s.advanced_at.get(address.holder or "", NEVER) > up_since
    )


def monitor_verdict(s: Sight, resource: str, now_epoch_ms: int, lag_seconds: float) -> Verdict:
    """Whether a resource that was started here still has its address.

    `lost` needs positive evidence from after the grant: another holder by a grant that outlived
    ours, or the metadata service saying twice that the address is not here while the table cannot
    be read.
    """
    word, address = s.words[resource], s.address(resource)
    # One failed read since does not make a young status less true.
    readable = s.now - s.status_at < READABLE_SECONDS
    if address is not None and address.holder is not None and s.status_at > word.at:
        if address.holder == s.instance_id:
            if readable:
                return Verdict("holds", f"held by term {address.term}", address.term)
        elif _is_outlived(s, word, address):
            if _comes_here_by_order(s, address):
                text = f"an operator's order moves {address.public_ip} here"
                return Verdict("unknown", text, word.term)
            ordered = address.order_target == address.holder
            if ordered and address.order_until_ms > now_epoch_ms:
                text = f"an operator's order moves {address.public_ip} to {s.holder_name(address)}"
                return Verdict("holds", f"{text}; Pacemaker is asked to follow", word.term)
            return Verdict("lost", _held_by(s, address), address.term)
    if not readable and _is_absent(s, resource, word.at + lag_seconds):
        text = f"the metadata service says that {word.public_ip} is not on this instance"
        return Verdict("lost", text, word.term)
    return Verdict("unknown", s.status_trouble or "nothing says otherwise", word.term)


def _is_outlived(s: Sight, word: Word, address: AddressStatus) -> bool:
    """Whether another node's grant came after the one that a copy here was started by.

    Within one table the later term says so. A new table counts anew: it has decided about this copy
    once it has taken in a report of this node and the address is settled elsewhere.
    """
    if s.status is None or word.term is None:
        return s.status is not None
    if word.table_id == s.status.table_id:
        return address.term > word.term
    return address.phase == SETTLED and s.instance_id in s.status.last_reports


def _comes_here_by_order(s: Sight, address: AddressStatus) -> bool:
    """Whether an order that sends the address here has just come: it makes this copy the right one.

    One that was not carried out soon may not be at all, or was and was overtaken.
    """
    since = s.orders_since.get(address.order_id or "", s.now)
    return address.order_target == s.instance_id and s.now - since < ORDER_PATIENCE_SECONDS


def _is_absent(s: Sight, resource: str, after: float) -> bool:
    """Whether the metadata service has just said twice that the address is not here.

    The row must end after the last status could be trusted: while that was true, an absence was
    the metadata service's lag.
    """
    first, last = s.absent.get(resource, (NEVER, NEVER))
    fresh = s.now - last < ABSENCE_SECONDS
    return fresh and last > first and last >= max(after, s.status_at + READABLE_SECONDS)


def taken_away(s: Sight, resource: str) -> bool:
    """Whether a copy that was started here by a grant lost it to a later one.

    An order's target is let be: Pacemaker is asked to follow it, which stops this copy.
    """
    word, address = s.words.get(resource), s.address(resource)
    if word is None or word.state != "started" or word.term is None or address is None:
        return False
    later = _is_outlived(s, word, address) and s.status_at > word.at
    spared = None, s.instance_id, address.order_target
    return later and address.holder not in spared and not _comes_here_by_order(s, address)


def runs_twice(s: Sight, resource: str) -> bool:
    """Whether Pacemaker sees copies both here and on the holder, which is in sight."""
    address = s.address(resource)
    return address is not None and runs_there_as_well(s, resource, address)


def is_behind_a_cut(s: Sight, resource: str) -> bool:
    """Whether Pacemaker here does not see the holder."""
    address = s.address(resource)
    holder = "" if address is None else s.holder_name(address)
    return holder not in s.pacemaker.members or holder in lost_peers(s)


def is_seen_now(s: Sight) -> bool:
    """Whether Pacemaker's view is settled and no look since has failed: only then may one act."""
    return s.pacemaker.state in SETTLED_STATES and not s.pacemaker_trouble


@dataclass(frozen=True)
class Circumstances:
    """What a start here depends on: if it changes, another try may end otherwise."""

    grant: tuple[object, ...]
    facts: object
    paused: bool
    readable: bool
    heard: bool
    membership: tuple[frozenset[str], frozenset[str]]


def circumstances(s: Sight, resource: str, now_epoch_ms: int) -> Circumstances:
    """What a start of this resource here would meet now.

    Args:
        s: what is known.
        resource: the resource.
        now_epoch_ms: AWS's time, which tells whether a pause is over.
    """
    address = s.address(resource)
    status, whole = s.status, frozenset(s.pacemaker.members)
    grant = () if address is None else (address.holder, address.term, address.phase)
    return Circumstances(
        grant=grant if status is None else (status.table_id, *grant),
        # By EC2's tags and addresses the control plane may pass this node over, or no more.
        facts=None if status is None else status.facts.get(s.instance_id),
        paused=status is not None and status.paused_until_ms > now_epoch_ms,
        readable=s.now - s.status_at < READABLE_SECONDS and not s.status_trouble,
        heard=s.now - s.advanced_at.get(s.instance_id, NEVER) < HEARD_SECONDS,
        membership=(whole, lost_peers(s)),
    )


def clean_up_reason(s: Sight, resource: str, now_epoch_ms: int) -> str:
    """Why the failure of a refused start may be forgotten now; empty while it may not.

    Only with the control plane answering, and taking in what this node says: otherwise the next
    start would only be refused as well, as it would while the cluster is paused. Forgetting lets
    Pacemaker start the resource here again, so it must know what runs on the holder, or the holder
    must have gone silent.
    """
    address, found = s.address(resource), circumstances(s, resource, now_epoch_ms)
    answers = found.readable and found.heard and not s.publish_trouble
    acts = is_seen_now(s) and s.pacemaker.state != "maintenance"
    if address is None or not answers or not acts:
        return ""
    is_here = address.holder == s.instance_id and address.phase == SETTLED
    if found.paused and not is_here:
        return ""
    return _why_another_start_may_end_otherwise(s, resource, address)


def _why_another_start_may_end_otherwise(s: Sight, resource: str, address: AddressStatus) -> str:
    """Where the membership is not whole, a node that stays dead must not be waited for."""
    if not lost_peers(s):
        return "the membership is whole"
    if address.holder in (None, s.instance_id):
        return "no other node holds the address"
    if not is_behind_a_cut(s, resource):
        return f"{s.holder_name(address)} is in sight"
    if s.now - s.advanced_at.get(address.holder, NEVER) >= SILENT_SECONDS:
        return f"{s.holder_name(address)} has been silent for {SILENT_SECONDS:g} s"
    return ""


def failure_came_back(s: Sight, resource: str) -> bool:
    """Whether Pacemaker remembers a failure of what was granted here since, and runs undisturbed.

    A join may lose the news of a failure, so that it cannot be forgotten, and the next one bring it
    back. On the holder it must not stay: in a heal its good copy would be taken for a failed one.
    """
    word = s.words.get(resource)
    return (
        word is not None
        and word.state == "started"
        and word.term is not None
        and s.pacemaker.state == "online"
        and is_seen_now(s)
        and s.pacemaker_at > word.at
        and s.pacemaker.running_on.get(resource) == frozenset({s.node_name})
        and resource in s.pacemaker.failed_here
        and not lost_peers(s)
    )


def failure_is_gone(s: Sight, resource: str, since: float) -> bool:
    """Whether Pacemaker, looked at well after `since`, remembers no failure here."""
    settled = s.pacemaker_at > since + SETTLING_SECONDS
    known = s.pacemaker.state in ("online", "standby")
    return settled and known and resource not in s.pacemaker.failed_here


def _held_by(s: Sight, address: AddressStatus) -> str:
    """Short, since Pacemaker keeps some 120 characters of it."""
    text = f"{s.holder_name(address)} holds {address.public_ip} by term {address.term}"
    seen = s.advanced_at.get(address.holder or "")
    return text if seen is None else f"{text}, heard of {max(0.0, s.now - seen):.1f} s ago"


def _nothing_known(s: Sight, resource: str) -> str:
    if s.status_trouble or s.publish_trouble:
        trouble = s.publish_trouble or s.status_trouble
        return f"the control plane did not answer in time: {trouble}"
    if s.status is not None and resource not in s.status.addresses:
        return f"the control plane knows no address for resource {resource}"
    return "the control plane does not know this cluster yet"
