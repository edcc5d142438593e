"""Bugs that aimed faults show: counters, states for ever, terms left out, and words that are old.

Each is the way in which one kind of fault came about, or would come about again.
"""

# ruff: noqa: ARG005 - planted bugs ignore what they should look at

from __future__ import annotations

from typing import Any

from eip_agent.conclude import view
from eip_agent.observe import watchers
from eip_agent.observe.watchers import Watchers
from eip_agent.report.reporter import Reporter
from eip_arbiter.arbitrate.arbitration import Arbiter
from eip_arbiter.decision import claims
from eip_arbiter.decision.case import MOST_DOUBLINGS, Case
from eip_arbiter.decision.policy import DRIFT_RULE, Policy

from simulation import memory_store
from simulation.mutant import Patch, cached, mutant


@mutant
def any_counter_is_taken() -> list[Patch]:
    """A node's incarnation has no bound: who says the highest one mutes the node for ever."""
    return [(Arbiter, "_refuse_ahead", lambda self, report: None)]


@mutant
def agent_stays_behind_its_own_reports() -> list[Patch]:
    """An agent whose node said a later number to the control plane goes on below it, unheard."""
    return [(Reporter, "_keep_ahead", lambda self, s: False)]


@mutant
def part_of_a_group_starts_for_ever() -> list[Patch]:
    """A group of which only a part can run is a start under way, for as long as it lasts."""
    return [(watchers, "SETTLING_SECONDS", 10.0**9)]


@mutant
def copies_of_a_clone_claim_for_ever() -> list[Patch]:
    """What runs on every node as Pacemaker means it is claimed by all but the holder."""
    return [(view, "runs_there_as_well", lambda s, resource, address: False)]


@mutant
def claim_is_never_old_news() -> list[Patch]:
    """A claim that nothing answers is repeated four times a second for ever."""
    return [(view, "URGENT_SECONDS", 10.0**9)]


@mutant
def timing_rule_without_its_terms() -> list[Patch]:
    """The rule of the times knows neither the reserve, nor the reports, nor the doubled wait.

    What is deployed is the longest answer time that it lets pass.
    """

    def problems(self: Policy) -> list[str]:
        late = self.answer_ms + self.move_ms >= self.start_timeout_ms
        return ["a start gives up before its grant settles"] if late else []

    return [(Policy, "_start_problems", problems)]


@mutant
def claimant_says_since_when_it_waits() -> list[Patch]:
    """A challenge is as old as the claimant says, not as old as the arbiter knows."""

    def opening(self: Case, node: Any) -> int | None:
        opened: int | None = original(self, node)
        report, resource = node.report, self.address.resource
        if opened is None or report is None:
            return opened
        lost = report.suspects.get(self.holder.name, 0) if self.holder else 0
        claimed = report.resources[resource].for_ms if resource in report.awaiting else 0
        return min(opened, int(report.received_at_ms - max(lost, claimed)))

    original = Case._opening  # noqa: SLF001
    return [(Case, "_opening", opening)]


@mutant
def forgotten_node_leaves_no_trace() -> list[Patch]:
    """What a node said before it was forgotten counts as new once it is registered again."""
    return [(memory_store, "former_with", lambda snapshot, instance_ids: {})]


@mutant
def late_word_is_an_answer() -> list[Patch]:
    """What EventBridge kept back answers a challenge when it arrives, not when it was said."""
    return [(claims, "spoke_at_ms", _spoke_when_it_arrived(claims.spoke_at_ms))]


def _spoke_when_it_arrived(original: Any) -> Any:
    def spoke_at_ms(node: Any, resource: str) -> int:
        report = node.report
        said = report and (claims.is_claim(node, resource) or claims.gave_up(node, resource))
        return int(report.received_at_ms if said else original(node, resource))

    return spoke_at_ms


@mutant
def offline_goes_on_to_stand() -> list[Patch]:
    """That Pacemaker is offline stands for looks that bring nothing, though Corosync is back."""
    original = Watchers._stands  # noqa: SLF001

    def stands(self: Watchers, before: Any, now: float) -> bool:
        offline = before.pacemaker.state == "offline" and not before.corosync_gone
        stands = offline and now - before.pacemaker_at < self._stands_seconds
        return stands or bool(original(self, before, now))

    return [(Watchers, "_stands", stands)]


@mutant
def old_view_releases() -> list[Patch]:
    """A view that only stands for want of a reading, and says "stopped", gives an address up."""
    original = view.resource_state

    def state(s: Any, resource: str) -> str:
        unread = s.pacemaker_trouble and s.pacemaker.state not in ("offline", "unknown")
        if unread and resource not in s.words and s.last_roles.get(resource) == "stopped":
            return "stopped"
        return original(s, resource)

    return [(view, "resource_state", state)]


@mutant
def real_drift_waits_ever_longer() -> list[Patch]:
    """Each address that was elsewhere indeed doubles the wait before it is put right again."""

    def pause_ms(self: Case) -> int:
        again = self.moves_in_window if self.address.rule == DRIFT_RULE else 0
        return self.policy.drift_ms << min(again, MOST_DOUBLINGS)

    return [cached(Case, "drift_pause_ms", pause_ms)]
