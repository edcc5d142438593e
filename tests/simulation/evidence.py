"""What a grant rests on: words that are newest, fresh and true. Predicates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eip_arbiter.decision.snapshot import Address

from simulation.clock import EPOCH_SECONDS
from simulation.truth import claims, is_ordered

if TYPE_CHECKING:
    from simulation.watch import Watch

LATEST_SECONDS, STAMP_SECONDS = 30.0, 1.05
"""How late an event counts at the most; EventBridge's stamp has whole seconds."""


def i3_evidence(watch: Watch, old: Address, after: Address) -> str | None:
    """No grant without a fresh claim of its holder, or an order."""
    if is_ordered(old, after.holder):
        return None
    heard = watch.heard.get(after.holder or "")
    if heard is None or not claims(heard.report, after.resource):
        return f"{after.rule} gave {after.resource} to {after.holder}, which does not claim it"
    # A commit may be slow as well: what counts is when it was decided.
    decided_at = after.changed_at_ms / 1000 - EPOCH_SECONDS - watch.world.region.clock_error()
    age = decided_at - heard.at - watch.clock_error(heard.at)
    allowed = 2 * heard.report.next_report_within_ms / 1000 + 2.0 + 0.05
    if age <= allowed:
        return None
    return f"{after.rule} gave {after.resource} by a claim that was {age:.1f} s old"


def i3_claim_is_not_from_before(watch: Watch, old: Address, after: Address) -> str | None:
    """A claim that does not even await the address is from after the grant that it overturns."""
    heard = watch.heard.get(after.holder or "")
    if old.holder is None or heard is None or is_ordered(old, after.holder):
        return None
    if after.holder == old.holder or after.resource in heard.report.awaiting:
        return None
    report = heard.report
    sent_at = watch.sent[report.instance_id, report.incarnation, report.seq]
    in_force = [g for g in watch.grants.values() if g.after.allocation_id == old.allocation_id]
    if in_force and sent_at < in_force[-1].at:
        return f"{after.rule} gave {after.resource} back by a report from before the last grant"
    return None


def gave_up_in_truth(watch: Watch, old: Address, after: Address) -> str | None:
    """A holder gave up only if its copy did not run unharmed when it said so."""
    heard = watch.heard.get(old.holder or "")
    if after.rule != "R061" or heard is None:
        return None
    report = heard.report
    key = (report.instance_id, report.incarnation, report.seq)
    forged = key in watch.said_twice  # one of two reports of that number, nobody knows which
    if forged or old.resource not in watch.ran_when_sent.get(key, ()):
        return None
    state = report.resources[old.resource].state
    said = f"{state!r}, Pacemaker {report.pacemaker.state!r}"
    return f"R061 took {old.resource} off {old.holder}, which ran it and said {said}"


def i5_newest_word(watch: Watch, old: Address, after: Address) -> str | None:
    """A word that a newer one of the same node took back never counts."""
    if is_ordered(old, after.holder):
        return None
    for instance_id in (old.holder, after.holder):
        heard = watch.heard.get(instance_id or "")
        if heard is None:
            continue
        order = (heard.report.incarnation, heard.report.seq)
        if order < watch.newest[heard.report.instance_id]:
            return f"{after.rule} rests on report {order} of {instance_id}, which said more since"
    return None


def i5_fresh_word(watch: Watch, old: Address, after: Address) -> str | None:
    """A claim counts no longer than it promised, and 30 s, from when it was said in true time."""
    heard = watch.heard.get(after.holder or "")
    if is_ordered(old, after.holder) or heard is None:
        return None
    report = heard.report
    sent_at = watch.sent.get((report.instance_id, report.incarnation, report.seq))
    if sent_at is None:
        return None
    decided_at = after.changed_at_ms / 1000 - EPOCH_SECONDS - watch.world.region.clock_error()
    age = decided_at - sent_at - watch.clock_error(sent_at) - STAMP_SECONDS
    allowed = LATEST_SECONDS + 2 * report.next_report_within_ms / 1000 + 2.0
    if age <= allowed:
        return None
    return f"{after.rule} gave {after.resource} by what was said {age:.1f} s ago"
