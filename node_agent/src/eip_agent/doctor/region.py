"""Judges the way to AWS: metadata service, clock, endpoints, what the role may, who knows us.

Nothing is written to AWS. Whether the role may publish cannot be tried without a report, so the
running agent's own reports are the proof.
"""

from __future__ import annotations

import calendar
import dataclasses
import email.utils
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from eip_agent.calls.aws import Credentials
from eip_agent.calls.channel import Channel, ExchangeError
from eip_agent.calls.ways import Ways, source_towards
from eip_agent.doctor.finding import Finding, failure, note, ok, warning
from eip_agent.doctor.way import Facts, judge_own, judge_way
from eip_agent.observe.metadata import Identity, Keyring, MetadataService
from eip_agent.observe.table import Table

if TYPE_CHECKING:
    from eip_contract.state_item import ClusterStatus

    from eip_agent.settings import Settings

CLUSTER_TAG = "eip-arbiter:cluster"
_SENT_MEANWHILE = 1000
"""So many reports an agent cannot send while the doctor works."""

_SKEW_SECONDS, _SIGNATURE_SECONDS = 30.0, 300.0
_SERVICES = {"events": "EventBridge", "dynamodb": "DynamoDB"}
_REMEDY = {
    "dns": "look at the VPC's DNS (enableDnsSupport) and /etc/resolv.conf",
    "connect": "look at the route (NAT gateway or VPC endpoint) and the security groups",
    "timeout": "look at the VPC endpoint's security group, and at proxies on the way",
    "tls": "install the distribution's ca-certificates",
    "credentials": "attach an instance profile whose role has the stack's NodePolicy",
}
_METADATA_REMEDY = (
    "enable the instance metadata service (HttpEndpoint), and let no firewall block it"
)


def examine(
    settings: Settings, fixed: Credentials | None, answer: Mapping[str, Any] | None
) -> list[Finding]:
    """Asks the metadata service and AWS; `answer` is the running agent's status, if there is one.

    Bounded: each question by the settings' own time-outs, and there are about ten of them.
    """
    findings: list[Finding] = []
    service = MetadataService(settings.metadata_endpoint)
    keyring = Keyring(service, fixed)
    identity = _ask_metadata(findings, service, keyring, settings)
    region = settings.region or (identity.region if identity else "")
    if not region and not settings.endpoint_url:
        return findings
    domain = settings.domain or (identity.domain if identity else "")
    settings = dataclasses.replace(settings, region=region, domain=domain)
    reached = _try_endpoints(findings, settings)
    if not reached:
        return findings
    dates = [channel.server_date for channel in reached.values()]
    findings.append(judge_clock(dates[0], time.time()))
    status = _read_table(findings, settings, keyring)
    if status is not None and identity is not None:
        findings += judge_status(status, settings, identity.instance_id, answer)
    try:
        interfaces = service.interfaces()
    except ExchangeError:
        return findings  # said already
    peers = {name: channel.peer for name, channel in reached.items()}
    facts = Facts(peers, interfaces, source=_source(peers.values()))
    if status is not None and identity is not None:
        facts = dataclasses.replace(
            facts,
            elastic=frozenset(address.public_ip for address in status.addresses.values()),
            own=status.own_elastic_ips.get(identity.instance_id, {}),
            endangered=status.endangered.get(identity.instance_id, ""),
        )
    endangered = judge_own(facts)
    return [*findings, judge_way(facts), *([endangered] if endangered else [])]


def _source(peers: Iterable[str]) -> str:
    """The private address from which this node speaks to AWS by IPv4, "" where it does not."""
    found = [source_towards(socket.AF_INET, (ip, 443)) for ip in peers if ":" not in ip]
    return (found and found[0]) or ""


def _ask_metadata(
    findings: list[Finding], service: MetadataService, keyring: Keyring, settings: Settings
) -> Identity | None:
    identity = None
    try:
        identity = service.identity()
        text = f"{identity.instance_id} in {identity.availability_zone}, by version 2"
        findings.append(ok("Metadata service", text))
        findings.append(_tag(service.tag(CLUSTER_TAG), settings.cluster_id))
        keyring.refresh()
        findings.append(_credentials(keyring.current().expires_at))
    except ExchangeError as error:
        todo = _METADATA_REMEDY if error.kind != "credentials" else _REMEDY["credentials"]
        findings.append(failure("Metadata service", str(error), todo))
    return identity


def _credentials(expires_at: int | None) -> Finding:
    check = "Credentials"
    if expires_at is None:
        return note(check, "from the environment, not from the instance's role")
    left = expires_at - time.time()
    if left <= 0:
        text = "the role's keys in the metadata service have expired"
        return failure(check, text, "look at the role's trust in ec2.amazonaws.com, and the clock")
    return ok(check, f"the role's keys are good for {left / 3600:.1f} hours")


def _tag(value: str | None, cluster_id: str) -> Finding:
    check = f"Tag {CLUSTER_TAG}"
    if value is None:
        todo = "allow tags in instance metadata to have it checked here"
        return note(check, "cannot be seen from this node", todo)
    if value != cluster_id:
        text = f"is {value!a} on the instance, but cluster_id is {cluster_id!a}"
        return failure(check, text, "correct the instance's tag or the settings")
    return ok(check, f"the instance is tagged for {cluster_id}")


def _try_endpoints(findings: list[Finding], settings: Settings) -> dict[str, Channel]:
    """Tries both services by all their ways; the channel of the first that answers for each."""
    reached: dict[str, Channel] = {}
    for service, name in _SERVICES.items():
        failed: list[tuple[str, str]] = []
        for way in Ways(service, settings).order():
            channel = Channel(way.url, settings.connect_seconds, settings.read_seconds, way.family)
            began = time.monotonic()
            try:
                channel.request("GET", "/", None, {})
            except ExchangeError as error:
                todo = _REMEDY.get(error.kind, "look at proxies and firewalls on the way")
                failed.append((str(error), todo))
                continue
            milliseconds = (time.monotonic() - began) * 1000
            text = f"{channel.host} answers in {milliseconds:.0f} ms"
            findings.append(ok(f"{name} endpoint", text))
            reached[service] = channel
            break
        judge = warning if service in reached else failure
        findings += [judge(f"{name} endpoint", text, todo) for text, todo in failed]
    return reached


def judge_clock(server_date: str, now: float) -> Finding:
    """Compares this machine's clock with the date of an answer of AWS."""
    parsed = email.utils.parsedate(server_date)
    if parsed is None:
        return note("Clock", "AWS's answer has no date to compare with")
    skew = now - calendar.timegm(parsed)
    text = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} AWS"
    todo = "run a time service, for example chrony with 169.254.169.123"
    if abs(skew) > _SIGNATURE_SECONDS:
        return failure("Clock", f"{text}: AWS refuses requests signed more than 5 min off", todo)
    if abs(skew) > _SKEW_SECONDS:
        return warning("Clock", text, todo)
    return ok("Clock", "agrees with AWS")


def _read_table(
    findings: list[Finding], settings: Settings, keyring: Keyring
) -> ClusterStatus | None:
    """Reads the state, which also proves that the role may."""
    try:
        status = Table(settings, keyring).get_status(consistent=True)
    except ExchangeError as error:
        todo = _REMEDY.get(error.kind, "attach the stack's NodePolicy to the instance's role")
        if "NotFound" in str(error):
            todo = "correct `table` and `region`: the stack's outputs have both"
        elif "Signature" in str(error) or "Expired" in str(error):
            todo = "look at the clock"
        findings.append(failure("Table", str(error), todo))
        return None
    findings.append(ok("Table", f"{settings.table} can be read"))
    if status is None:
        text = f"no cluster {settings.cluster_id} is known; it becomes known with its first report"
        todo = f"start the agents; tag the Elastic IP and the instances with {CLUSTER_TAG}"
        findings.append(failure("Control plane", text, todo))
    return status


def judge_status(
    status: ClusterStatus,
    settings: Settings,
    instance_id: str,
    answer: Mapping[str, Any] | None,
) -> Iterator[Finding]:
    """Judges what the control plane knows of this node, of the others, and of its addresses."""
    for resource in settings.resources:
        address = status.addresses.get(resource)
        if address is None:
            todo = f"tag the Elastic IP: {CLUSTER_TAG} = {settings.cluster_id}"
            todo += f", eip-arbiter:resource = {resource}" if resource != "eip" else ""
            text = f"the control plane knows no Elastic IP for resource {resource}"
            yield failure("Address", text, todo)
            continue
        holder = status.node_names.get(address.holder or "", address.holder) or "nobody"
        text = f"{address.public_ip} of {resource} is held by {holder}, term {address.term}"
        yield ok("Address", text)
    name = status.node_names.get(instance_id)
    if name is None:
        text = f"the control plane has taken in no report of {instance_id}"
        yield failure("Control plane", text, f"tag the instance: {CLUSTER_TAG}, start its agent")
        return
    if name != settings.node_name:
        text = f"it knows this node as {name}, but its name is {settings.node_name}"
        yield warning("Control plane", text, "restart the agent")
    others = sorted(other for i, other in status.node_names.items() if i != instance_id)
    if not others:
        text = "it knows no other node: nobody could take over"
        yield failure("Control plane", text, "install the agent on the other nodes")
    yield _taken_in(status.last_reports[instance_id], answer, others)


def _taken_in(
    last: tuple[int, int], answer: Mapping[str, Any] | None, others: list[str]
) -> Finding:
    """Whether reports arrive: what the control plane has last seen, against what was last sent."""
    report = (answer or {}).get("report")
    seen = f"report {last[0]}.{last[1]} of this node"
    if not report:
        text = f"it has {seen}; whether the role may publish is not proven without an agent"
        return warning("Control plane", text, "systemctl enable --now eip-agent")
    newest = (report["incarnation"], report["seq"])
    age = max(0.0, time.time() - report["observed_at_ms"] / 1000)
    if last[0] > newest[0] or (last[0] == newest[0] and last[1] > newest[1] + _SENT_MEANWHILE):
        text = f"it has {seen}, ahead of {newest[0]}.{newest[1]}, which the agent sent last: what"
        text += " the agent says is not taken in"
        todo = "look at the clock, and whether another agent reports as this instance; have the"
        return failure("Control plane", text, f"{todo} control plane forget this node")
    if last < (newest[0], newest[1] - 1):
        text = f"it has {seen}, but the agent sent {newest[0]}.{newest[1]} {age:.0f} s ago"
        todo = "look at the rule and the arbitrate function: its log, its dead letters"
        return failure("Control plane", text, todo)
    peers = f"; also knows {', '.join(others)}" if others else ""
    return ok("Control plane", f"has taken in {seen}, {age:.0f} s old{peers}")
