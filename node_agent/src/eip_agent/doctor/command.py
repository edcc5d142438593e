"""Asks the programs and services, has the answers judged, and prints. All judging is elsewhere."""

from __future__ import annotations

import dataclasses
import grp
import json
import os
import shlex
import sys

from eip_agent.answer.client import NoAnswerError, ask_status
from eip_agent.calls.aws import Credentials
from eip_agent.calls.commands import run
from eip_agent.doctor import cluster, local, region
from eip_agent.doctor.finding import Finding, exit_status, failure, ok, worst
from eip_agent.observe.pacemaker import parse_crm_mon
from eip_agent.settings import Settings, SettingsError, load_settings

_COMMAND_SECONDS = 5.0
_COLOURS = {"ok": "32", "note": "36", "warning": "33", "failure": "31"}


def doctor(config: str, fixed: Credentials | None, *, as_json: bool) -> int:
    """Checks everything and prints it; the exit status says whether a failover would work."""
    findings = examine(config, fixed)
    if as_json:
        plain = [dataclasses.asdict(finding) for finding in findings]
        sys.stdout.write(json.dumps({"verdict": worst(findings), "findings": plain}, indent=2))
        sys.stdout.write("\n")
    else:
        colours = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        sys.stdout.write(page(findings, colours=colours))
    return exit_status(findings)


def examine(config: str, fixed: Credentials | None) -> list[Finding]:
    """All findings, those of this machine first."""
    findings: list[Finding] = []
    usable = True
    try:
        settings = load_settings(config, os.environ)
        findings.append(ok("Settings", f"{config}: cluster {settings.cluster_id}"))
    except SettingsError as error:
        findings.append(failure("Settings", str(error), f"edit {config}: see eip-agent.conf(5)"))
        settings, usable = Settings(node_name=os.uname().nodename), False
    crm_mon = shlex.split(settings.crm_mon)
    versions = _ask([*crm_mon, "--version"]), _ask(["corosync", "-v"])
    findings += local.check_versions(tuple(sys.version_info[:3]), *versions)
    answer = None
    try:
        answer = ask_status(settings.socket)
        findings += local.check_agent(answer)
    except NoAnswerError as error:
        findings.append(local.no_agent(str(error), refused=error.refused))
    findings += _about_the_socket(settings.socket)
    findings += local.check_service(_ask(["systemctl", "is-enabled", "eip-agent.service"]).strip())
    quorum = _ask([*shlex.split(settings.corosync_quorumtool), "-s"])
    findings += cluster.check_corosync(_ask(["corosync-cmapctl"]), quorum)
    health_checks = bool(settings.health_units + settings.health_tcp + settings.health_http)
    findings += cluster.check_pacemaker(
        _ask(["cibadmin", "-Q"]), settings.resources, health_checks=health_checks
    )
    text = _ask([*crm_mon, "-1", "--output-as=xml"])
    view = parse_crm_mon(text, settings.node_name, settings.resources)
    failed = not view.failed_here.isdisjoint(settings.resources)
    findings += local.check_here(view.state, failed=failed, failing=bool(view.failing))
    return findings + (region.examine(settings, fixed, answer) if usable else [])


def _ask(command: list[str]) -> str:
    return run(command, _COMMAND_SECONDS)


def _about_the_socket(path: str) -> list[Finding]:
    try:
        found = os.stat(path)
        group = grp.getgrgid(found.st_gid).gr_name
    except (OSError, KeyError):
        return []  # that nobody answers is said already
    return list(local.check_socket(found.st_mode, group))


def page(findings: list[Finding], *, colours: bool) -> str:
    """The findings for people: one line each, below it what to do."""
    width = max(len(finding.check) for finding in findings)
    lines = []
    for finding in findings:
        level = finding.level.ljust(7)
        if colours:
            level = f"\x1b[{_COLOURS[finding.level]}m{level}\x1b[0m"
        lines.append(f"{level}  {finding.check.ljust(width)}  {printable(finding.found)}")
        if finding.todo:
            lines.append(f"{'':7}  {'':{width}}  -> {printable(finding.todo)}")
    counts = {level: sum(f.level == level for f in findings) for level in _COLOURS}
    verdicts = {
        "failure": f"{counts['failure']} of these break a failover",
        "warning": "a failover works; mind the warnings",
    }
    lines.append("")
    lines.append(verdicts.get(worst(findings), "a failover would work"))
    return "\n".join(lines) + "\n"


def printable(text: str) -> str:
    """Text as a terminal may see it: some of it comes from other machines."""
    return "".join(c if c.isprintable() else "?" for c in text)
