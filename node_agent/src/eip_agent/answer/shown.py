"""The running agent's status for people: what it sees, what it last said, what it was answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def status_page(answer: Mapping[str, Any], now_epoch_ms: int) -> str:
    """The lines of `eip-agent status`; text of other machines loses what a terminal would obey."""
    report = answer["report"]
    lines = [f"agent        version {answer['version']}"]
    failing = [f"             failing check: {name}" for name in answer["failing_checks"]]
    if report:
        lines += _sees(report, answer) + failing + _said(report, answer, now_epoch_ms)
    lines += _answered(answer)
    lines += [
        f"pending      a refused start of {name} is to be forgotten" for name in _owed(answer)
    ]
    return "\n".join("".join(c if c.isprintable() else "?" for c in line) for line in lines)


def _sees(report: Mapping[str, Any], answer: Mapping[str, Any]) -> list[str]:
    pacemaker = report["pacemaker"]
    quorate = "quorate" if pacemaker["quorate"] else "not quorate"
    members = ", ".join(pacemaker["members"]) or "nobody"
    lines = [f"sees         Pacemaker {pacemaker['state']}, {quorate}, members: {members}"]
    lines += [f"             {name}: {raw['state']}" for name, raw in report["resources"].items()]
    lines += [f"             lost sight of {raw['node_name']}" for raw in report["suspects"]]
    lines += [f"             {text}" for text in report["health"]["failing"]]
    if answer.get("looking", "ok") != "ok":
        lines.append(f"             as last seen: {answer['looking']}")
    ips = report["public_ips"]
    here = "unknown" if ips is None else ", ".join(ips) or "none"
    return [*lines, f"             public addresses here: {here}"]


def _said(report: Mapping[str, Any], answer: Mapping[str, Any], now_epoch_ms: int) -> list[str]:
    age = max(0.0, (now_epoch_ms - report["observed_at_ms"]) / 1000)
    order = f"{report['incarnation']}.{report['seq']}"
    lines = [
        f"last said    report {order}, {report['cause']}, {age:.1f} s ago",
        f"             publishing: {answer['publishing']}, {answer['reports_sent']} sent",
    ]
    if answer.get("passed_over"):
        text = f"the control plane had report {answer['passed_over']} of this node: goes on above"
        lines.append(f"             {text}")
    return lines


def _answered(answer: Mapping[str, Any]) -> list[str]:
    age = answer["status_age_seconds"]
    when = "never" if age is None else f"{age} s ago"
    lines = [f"was answered {when}, reading: {answer['reading']}"]
    for name, raw in answer["addresses"].items():
        holder = answer["node_names"].get(raw["holder"], raw["holder"]) or "nobody"
        text = f"{name}: {raw['public_ip']} is held by {holder}, term {raw['term']}, {raw['phase']}"
        lines.append(f"             {text}")
    if answer.get("endangered"):
        text = (
            f"a move to this node would throw off {answer['endangered']}, an Elastic IP of its own"
        )
        lines.append(f"             {text}")
    return lines


def _owed(answer: Mapping[str, Any]) -> list[str]:
    return list(answer["refused_starts"])
