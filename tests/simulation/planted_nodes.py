"""Bugs planted in the agent."""

# ruff: noqa: ARG005 - planted bugs ignore what they should look at

from __future__ import annotations

from typing import Any

from eip_agent.answer import operations as agent_operations
from eip_agent.conclude import verdicts, view
from eip_agent.followup.clean_up import CleanUp
from eip_agent.followup.orders import Orders

from simulation.mutant import Patch, mutant


@mutant
def grant_believed_from_an_old_read() -> list[Patch]:
    """A start is granted by what was read before it began."""

    def verdict(s: Any, resource: str) -> Any:
        address = s.address(resource)
        if address is not None and address.holder == s.instance_id:
            return verdicts.Verdict("granted", "", address.term, address.public_ip)
        return original(s, resource)

    original = verdicts.start_verdict
    return [(agent_operations, "start_verdict", verdict)]


@mutant
def no_answer_is_a_loss() -> list[Patch]:
    """A monitor fails when the table cannot be read."""
    original = verdicts.monitor_verdict

    def verdict(s: Any, *rest: Any) -> Any:
        return verdicts.Verdict("lost", "") if s.status_trouble else original(s, *rest)

    return [(agent_operations, "monitor_verdict", verdict)]


@mutant
def refused_start_is_never_forgotten() -> list[Patch]:
    """Nobody cleans up after a refused start."""
    return [(CleanUp, "step", lambda self, s, now_epoch_ms: None)]


@mutant
def order_is_not_followed() -> list[Patch]:
    """Pacemaker is never asked to follow an order."""
    return [(Orders, "step", lambda self, s, now_epoch_ms: False)]


@mutant
def no_alert_cadence() -> list[Patch]:
    """An agent that lost sight of a peer goes on at calm cadence."""
    return [(view, "cadence_seconds", lambda s, settings, *rest: settings.calm_seconds)]


@mutant
def nothing_is_pending() -> list[Patch]:
    """A waiting start is not told as pending."""
    return [(view, "awaiting", lambda s, states: ())]
