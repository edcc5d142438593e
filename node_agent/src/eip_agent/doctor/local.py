"""Judges what is on this machine: versions, the running agent, its socket and its service."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator, Mapping
from typing import Any

from eip_agent import __version__
from eip_agent.doctor.finding import Finding, failure, note, ok, warning

_OLDEST_PYTHON = (3, 9)
_OLDEST_PACEMAKER, _OLDEST_COROSYNC = (2, 1, 3), (3, 0)
_START = "systemctl enable --now eip-agent"


def check_versions(python: tuple[int, ...], pacemaker: str, corosync: str) -> Iterator[Finding]:
    """Judges versions.

    Args:
        python: of the interpreter that runs this.
        pacemaker: the output of `crm_mon --version`.
        corosync: the output of `corosync -v`.
    """
    text = ".".join(map(str, python))
    if python < _OLDEST_PYTHON:
        yield failure("Python", f"{text} is older than 3.9", "run the agent by Python 3.9 or newer")
    else:
        yield ok("Python", text)
    found = _version(pacemaker)
    if found is None:
        yield warning("Pacemaker version", "crm_mon does not tell", "install pacemaker-cli-utils")
    elif found < _OLDEST_PACEMAKER:
        text = f"{_dotted(found)} is older than all that the agent was tried with"
        yield warning("Pacemaker version", text, "upgrade to Pacemaker 2.1.3 or newer")
    else:
        yield ok("Pacemaker version", _dotted(found))
    found = _version(corosync)
    if found is None:
        yield warning("Corosync version", "corosync does not tell", "install corosync")
    elif found < _OLDEST_COROSYNC:
        text = f"{_dotted(found)} cannot show its links, which tell of a loss early"
        yield warning("Corosync version", text, "upgrade to Corosync 3")
    else:
        yield ok("Corosync version", _dotted(found))


def _version(text: str) -> tuple[int, ...] | None:
    found = re.search(r"\b([0-9]+(?:\.[0-9]+)+)", text)
    return tuple(int(part) for part in found[1].split(".")) if found else None


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def check_agent(answer: Mapping[str, Any]) -> Iterator[Finding]:
    """Judges what the running agent says of itself."""
    running = answer.get("version", "")
    if running != __version__:
        text = f"version {running or 'unknown'} runs, but {__version__} is installed"
        yield warning("Agent", text, "systemctl restart eip-agent")
    else:
        yield ok("Agent", f"version {running} runs")
    if answer.get("passed_over"):
        text = f"the control plane had report {answer['passed_over']} of this node, ahead of the"
        text += " agent's own; it goes on above that"
        todo = "look at the clock, and whether another agent reports as this instance"
        yield warning("Agent", text, todo)
    for check, key in (("Publishing", "publishing"), ("Reading the state", "reading")):
        if answer[key] != "ok":
            text = f"fails now: {answer[key]}"
            yield failure(check, text, "see the findings about AWS, and journalctl -u eip-agent")
    if not answer["reports_sent"]:
        text = "EventBridge has taken no report of this agent since its start"
        yield failure("Publishing", text, "attach the stack's NodePolicy to the instance's role")
    elif answer["publishing"] == "ok":
        yield ok("Publishing", f"EventBridge has taken {answer['reports_sent']} reports")
    down = sorted(node for node, up in (answer.get("links") or {}).items() if not up)
    if down:
        text = f"do not reach node {', '.join(down)}"
        yield warning("Corosync's links", text, "look at corosync-cfgtool -n")
    for resource in answer["refused_starts"]:
        text = f"a start of {resource} was refused here; it is forgotten when the reason is gone"
        yield note("Agent", text)


def no_agent(reason: str, *, refused: bool) -> Finding:
    """The finding for an agent that says nothing."""
    if refused:
        return warning("Agent", reason, "run doctor as root or as a member of haclient")
    return failure("Agent", reason, _START)


def check_socket(mode: int, group: str) -> Iterator[Finding]:
    """Judges the socket's permissions; `group` is its group's name."""
    if group != "haclient":
        text = f"the socket's group is {group}: Pacemaker's alert agent, hacluster, cannot ask"
        yield warning("Socket", text, "run the agent by its unit: Group=haclient")
    elif stat.S_IMODE(mode) != 0o660:  # noqa: PLR2004 - a file's mode
        text = f"the socket's mode is {stat.S_IMODE(mode):04o} instead of 0660"
        yield warning("Socket", text, "systemctl restart eip-agent")
    else:
        yield ok("Socket", "for root, haclient and the agent's own user")


def check_service(state: str) -> Iterator[Finding]:
    """Judges the word of `systemctl is-enabled`; empty where there is no systemd."""
    if state in ("disabled", "masked"):
        text = f"eip-agent.service is {state}: there will be no agent after a reboot"
        yield warning("Service", text, _START)
    elif state:
        yield ok("Service", f"eip-agent.service is {state}")


def check_here(view_state: str, *, failed: bool, failing: bool) -> Iterator[Finding]:
    """Judges this node in Pacemaker's eyes; `failed`: it remembers a failure of ours here."""
    if view_state in ("offline", "unknown"):
        text = "Pacemaker does not answer on this node"
        yield failure("This node", text, "systemctl start pacemaker")
    elif view_state != "online":
        text = f"this node is {view_state}: it takes nothing over"
        yield warning("This node", text, "pcs node unstandby, pcs node unmaintenance, or wait")
    elif failing:
        text = "Pacemaker's node health is red here: it takes nothing over"
        yield warning("This node", text, "look at the health attributes: crm_mon -A")
    else:
        yield ok("This node", "online in Pacemaker")
    if failed:
        text = "Pacemaker remembers a failure on this node, and may not start the resource here"
        yield failure(
            "This node", text, "find the reason (crm_mon -1), then crm_resource --cleanup"
        )
