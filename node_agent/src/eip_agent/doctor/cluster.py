"""Judges Corosync's and Pacemaker's settings from what their own tools print."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence

from eip_agent.doctor.finding import Finding, failure, note, ok, warning

START_TIMEOUT_SECONDS, LEAST_START_TIMEOUT_SECONDS = 60.0, 20.0
"""The stack's StartTimeoutSeconds, by default and at least; a node cannot see its own value."""

ALERT_AGENT = "/usr/lib/eip-agent/eip-agent-alert"
RESOURCE_AGENT = "ocf:eip-arbiter:eip"
_RIVALS = ("ocf:heartbeat:awseip", "ocf:heartbeat:eip")
_SLOW_TOKEN_MS, _NERVOUS_TOKEN_MS, _ADVISED_TOKEN_MS = 5000, 500, 1000
_ELECTION_MS = 1000
_LONGEST_INTERVAL_SECONDS = 60.0
_TWO_NODES = 2
_DURATION = re.compile(r"([0-9]+) *(us|ms|s|sec|m|min|h|hr)?\Z")
_SECONDS = {"us": 1e-6, "ms": 1e-3, "m": 60.0, "min": 60.0, "h": 3600.0, "hr": 3600.0}


def check_corosync(cmap: str, quorum: str) -> Iterator[Finding]:
    """Judges the token and the quorum.

    Args:
        cmap: the output of `corosync-cmapctl`.
        quorum: the output of `corosync-quorumtool -s`.
    """
    values = dict(re.findall(r"^(\S+) \(\w+\) = (.*)$", cmap, re.MULTILINE))
    token_ms = int(values.get("runtime.config.totem.token", "0"))
    consensus_ms = int(values.get("runtime.config.totem.consensus", "0"))
    if not token_ms:
        text = "corosync-cmapctl prints no settings: Corosync does not run, or you may not ask it"
        yield failure("Corosync", text, "systemctl start corosync; run doctor as root")
        return
    yield _token(token_ms, consensus_ms)
    nodes = sum(bool(re.match(r"nodelist\.node\.\d+\.nodeid\Z", name)) for name in values)
    yield _quorum(nodes, values.get("quorum.two_node") == "1", quorum)


def _token(token_ms: int, consensus_ms: int) -> Finding:
    fastest = (token_ms + consensus_ms) / 1000
    text = (
        f"token {token_ms} ms: a lost node leaves the membership after {fastest:.1f} to"
        f" {fastest + _ELECTION_MS / 1000:.1f} s"
    )
    if token_ms > _SLOW_TOKEN_MS:
        return warning("Corosync token", text, "set token: 1000 in corosync.conf on all nodes")
    if token_ms < _NERVOUS_TOKEN_MS:
        todo = "set token: 1000 in corosync.conf: a pause of the machine must not look like a loss"
        return warning("Corosync token", text, todo)
    if token_ms > _ADVISED_TOKEN_MS:
        return note("Corosync token", text, "token: 1000 would notice it after 2.2 to 3.2 s")
    return ok("Corosync token", text)


def _quorum(nodes: int, two_node: bool, quorum: str) -> Finding:
    device = "Qdevice" in quorum
    if two_node and nodes > _TWO_NODES:
        text = f"two_node is set, but there are {nodes} nodes: each of them alone is quorate"
        return failure("Corosync quorum", text, "remove two_node from corosync.conf")
    if nodes == _TWO_NODES and not two_node and not device:
        text = "two nodes without two_node and without a quorum device: none is quorate alone"
        return failure("Corosync quorum", text, "set two_node: 1 in corosync.conf, section quorum")
    if nodes < _TWO_NODES:
        text = "there is no other node in corosync.conf"
        return failure("Corosync quorum", text, "add the other nodes to the nodelist")
    if "Quorate:          Yes" not in quorum:
        text = "this node is not quorate now"
        return warning("Corosync quorum", text, "look at corosync-quorumtool -s and the links")
    kind = "a quorum device" if device else "two_node" if two_node else "a majority"
    return ok("Corosync quorum", f"{nodes} nodes, by {kind}; quorate")


def check_pacemaker(
    cib: str, watched: Sequence[str], *, health_checks: bool = False
) -> Iterator[Finding]:
    """Judges what `cibadmin -Q` prints.

    Args:
        cib: that output.
        watched: the resources that the agent watches.
        health_checks: whether the agent feeds `#health-eip-agent`.
    """
    try:
        configuration = ET.fromstring(cib).find("configuration")  # noqa: S314 - Pacemaker's own
    except ET.ParseError:
        configuration = None
    if configuration is None:
        text = "cibadmin -Q prints no configuration: Pacemaker does not run, or you may not ask it"
        yield failure("Pacemaker", text, "systemctl start pacemaker; run doctor as root")
        return
    values = _pairs(configuration.find("crm_config/cluster_property_set"))
    yield from _properties(configuration, values)
    if health_checks and values.get("node-health-strategy", "none") == "none":
        text = "the agent checks this node's health, but Pacemaker takes no notice"
        todo = "pcs property set node-health-strategy=migrate-on-red"
        yield warning("Node health", text, todo)
    yield from _rivals(configuration)
    yield _alert(configuration)
    for name in watched:
        yield from _resource(configuration, name)
    for constraint in configuration.iterfind("constraints/rsc_location"):
        if constraint.get("id", "").startswith(("cli-ban", "cli-prefer")):
            resource = constraint.get("rsc", "?")
            text = f"a move by hand left the constraint {constraint.get('id')}"
            todo = f"crm_resource --clear --resource {resource}"
            yield warning("Pacemaker constraints", text, todo)


def _properties(configuration: ET.Element, values: Mapping[str, str]) -> Iterator[Finding]:
    fencing = _true(values.get("stonith-enabled", "true"))
    devices = configuration.find(".//primitive[@class='stonith']") is not None
    if fencing and not devices:
        text = "stonith-enabled is true, but there is no fencing device: Pacemaker starts nothing"
        todo = "configure fencing, or pcs property set stonith-enabled=false"
        yield failure("Pacemaker fencing", text, todo)
    elif not fencing:
        text = "no fencing: the arbiter keeps the address on one node, but it fences no data"
        yield note("Pacemaker fencing", text, "keep STONITH where nodes share state")
    else:
        yield ok("Pacemaker fencing", "enabled, with a device")
    if _true(values.get("maintenance-mode", "false")):
        text = "maintenance-mode is on: Pacemaker starts and stops nothing"
        yield failure("Pacemaker mode", text, "pcs property set maintenance-mode=false")
    if not _true(values.get("start-failure-is-fatal", "true")):
        text = "start-failure-is-fatal is false: a start that was refused is tried for ever"
        yield warning("Pacemaker mode", text, "pcs property unset start-failure-is-fatal")
    policy = values.get("no-quorum-policy", "stop")
    yield ok("Pacemaker quorum policy", f"no-quorum-policy is {policy}")


def _rivals(configuration: ET.Element) -> Iterator[Finding]:
    for primitive in configuration.iter("primitive"):
        if _type(primitive) in _RIVALS:
            name = primitive.get("id", "?")
            text = f"{name} is a {_type(primitive)}: it moves an address behind the arbiter's back"
            yield failure("Other agents", text, f"pcs resource delete {name}, once ours is tried")


def _alert(configuration: ET.Element) -> Finding:
    for alert in configuration.iterfind("alerts/alert"):
        if alert.get("path", "").endswith("/eip-agent-alert"):
            return ok(
                "Pacemaker alert", f"{alert.get('id')} tells the agent of each change at once"
            )
    text = "no alert tells the agent of changes: it sees them seconds later, when it looks"
    return warning("Pacemaker alert", text, f"pcs alert create id=eip-agent path={ALERT_AGENT}")


def _resource(configuration: ET.Element, name: str) -> Iterator[Finding]:
    check = f"Resource {name}"
    found = configuration.find(f"resources//*[@id='{name}']")
    if found is None:
        todo = f"pcs resource create {name} {RESOURCE_AGENT} op start timeout=60s monitor"
        todo += " interval=10s meta multiple-active=block; or correct `resources`"
        yield failure(check, "the agent watches it, but Pacemaker does not know it", todo)
        return
    meta = _meta(configuration, found)
    if meta.get("resource-stickiness", "0") == "0":
        text = "resource-stickiness is 0: the service moves back when a failed node returns"
        yield warning(check, text, "pcs resource defaults update resource-stickiness=INFINITY")
    if meta.get("target-role", "Started").lower() == "stopped":
        yield failure(check, "its target-role is Stopped", f"pcs resource enable {name}")
    if not _true(meta.get("is-managed", "true")):
        yield failure(check, "Pacemaker does not manage it", f"pcs resource manage {name}")
    yield from _everywhere(configuration, found)
    primitives = [p for p in found.iter("primitive") if _type(p) == RESOURCE_AGENT]
    if not primitives:
        yield note(check, f"watched as it is, without {RESOURCE_AGENT}")
    for primitive in primitives:
        yield from _our_resource(configuration, check, primitive)
    for primitive in _along_with(configuration, found):
        yield from _restarted_twice(configuration, primitive)


def _everywhere(configuration: ET.Element, found: ET.Element) -> Iterator[Finding]:
    """A clone or a bundle that runs on several nodes at once: none of them is the address's."""
    check = f"Resource {found.get('id')}"
    text = "it runs on several nodes at once: no node is the one that its address belongs to"
    for clone in configuration.iterfind("resources/clone"):
        meta = _meta(configuration, clone)
        alone = meta.get("clone-max") == "1" or _true(meta.get("promotable", "false"))
        if found in clone.iter() and not alone:
            name = clone.get("id")
            todo = f"pcs resource meta {name} promotable=true, or clone-max=1; or watch another"
            yield warning(check, text, todo)
    for bundle in configuration.iterfind("resources/bundle"):
        container = next(iter(bundle), ET.Element("none"))
        promoted = container.get("promoted-max", container.get("masters", "0"))
        replicas = container.get("replicas", promoted)
        # With promoted replicas only the primitive tells which one is promoted.
        alone = replicas in ("0", "1") or (promoted == "1" and found is not bundle)
        if found in bundle.iter() and not alone:
            todo = f"pcs resource bundle update {bundle.get('id')} container replicas=1"
            yield warning(check, text, f"{todo}; or watch another")


def _along_with(configuration: ET.Element, found: ET.Element) -> list[ET.Element]:
    """The primitives that start and stop with a resource, itself among them, but for clones."""
    if any(found in clone.iter() for clone in configuration.iterfind("resources//clone")):
        return []
    groups = configuration.iterfind("resources//group")
    around = next((group for group in groups if found in group.iter()), found)
    return list(around.iter("primitive"))


def _restarted_twice(configuration: ET.Element, primitive: ET.Element) -> Iterator[Finding]:
    """A copy that runs on after its node's Corosync died is found when that node comes back."""
    multiple = _meta(configuration, primitive).get("multiple-active", "stop_start")
    if _type(primitive) != RESOURCE_AGENT and multiple == "stop_start":
        name = primitive.get("id", "?")
        text = "when a node returns that still runs it, Pacemaker restarts the good copy too"
        todo = f"pcs resource meta {name} multiple-active=stop_unexpected"
        yield warning(f"Resource {name}", text, todo)


def _our_resource(
    configuration: ET.Element, check: str, primitive: ET.Element
) -> Iterator[Finding]:
    name = primitive.get("id", "?")
    if _meta(configuration, primitive).get("multiple-active") != "block":
        text = "at the heal of a partition Pacemaker may restart or move the healthy copy"
        todo = f"pcs resource update {name} meta multiple-active=block"
        yield warning(check, text, todo)
    timeout = _operation(configuration, primitive, "start").get("timeout", "20s")
    seconds = duration_seconds(timeout)
    todo = f"pcs resource update {name} op start timeout=60s"
    if seconds is None or seconds < LEAST_START_TIMEOUT_SECONDS:
        text = f"its start's timeout is {timeout}: it gives up before the arbiter has decided"
        yield failure(check, text, todo)
    elif seconds < START_TIMEOUT_SECONDS:
        text = f"its start's timeout is {timeout}: enough for a grant, but a move that cuts this"
        yield warning(check, f"{text} node's own way to AWS takes longer", todo)
    else:
        text = f"start timeout {timeout}; the stack's StartTimeoutSeconds must not be more"
        yield ok(check, text)
    monitor = _operation(configuration, primitive, "monitor")
    interval = duration_seconds(monitor.get("interval", "0"))
    if not interval or interval > _LONGEST_INTERVAL_SECONDS:
        text = f"its monitor's interval is {monitor.get('interval', 'not set')}"
        yield warning(check, text, f"pcs resource update {name} op monitor interval=10s")


def duration_seconds(text: str) -> float | None:
    """Pacemaker's way to write a time, `20`, `20s`, `20000ms` or `PT20S`; None if it is none."""
    match = _DURATION.match(text.strip())
    if match:
        return int(match[1]) * _SECONDS.get(match[2] or "s", 1.0)
    iso = re.match(r"PT(?:([0-9]+)H)?(?:([0-9]+)M)?(?:([0-9]+)S)?\Z", text.strip())
    if iso and any(iso.groups()):
        hours, minutes, seconds = (int(part or 0) for part in iso.groups())
        return 3600.0 * hours + 60.0 * minutes + seconds
    return None


def _operation(configuration: ET.Element, primitive: ET.Element, name: str) -> dict[str, str]:
    defaults = _pairs(configuration.find("op_defaults/meta_attributes"))
    found = primitive.find(f"operations/op[@name='{name}']")
    return defaults if found is None else {**defaults, **found.attrib}


def _meta(configuration: ET.Element, element: ET.Element) -> dict[str, str]:
    """The meta attributes in force: defaults, then those of groups and clones around, then own."""
    values = _pairs(configuration.find("rsc_defaults/meta_attributes"))
    for outer in configuration.iterfind("resources//*"):
        if outer is element or element in outer.iter():
            values.update(_pairs(outer.find("meta_attributes")))
    return values


def _pairs(element: ET.Element | None) -> dict[str, str]:
    pairs = () if element is None else element.iterfind("nvpair")
    return {pair.get("name", ""): pair.get("value", "") for pair in pairs}


def _type(primitive: ET.Element) -> str:
    return ":".join(primitive.get(part, "") for part in ("class", "provider", "type"))


def _true(text: str) -> bool:
    return text.lower() in ("true", "yes", "on", "1", "y")
