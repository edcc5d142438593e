"""Judges whether this node's way to AWS lasts when an Elastic IP comes or leaves. Asks nobody.

EC2 releases the public IPv4 address that a subnet assigned when an Elastic IP comes to the node,
and gives another one some minutes after it has left; but none to an instance with more than one
interface, or with another Elastic IP on a secondary private address:
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/using-instance-addressing.html
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field

from eip_agent.doctor.finding import Finding, failure, note, ok, warning
from eip_agent.observe.metadata import Interface

CHECK = "Way to AWS"
_ADVICE = (
    "give the node IPv6, its subnets VPC endpoints (events, dynamodb), or a NAT gateway:"
    " docs/nodes.md"
)


@dataclass(frozen=True)
class Facts:
    """What the judgement rests on.

    `peers` are the addresses at which EventBridge and DynamoDB answered, by `events` and
    `dynamodb`; `source` is the private address that this node speaks to them from; `elastic` are
    the cluster's Elastic IPs, `own` by private address this node's others, as EC2 says, and
    `endangered` is the one among them that a move throws off.
    """

    peers: Mapping[str, str]
    interfaces: tuple[Interface, ...]
    elastic: frozenset[str] = frozenset()
    source: str = ""
    own: Mapping[str, str] = field(default_factory=dict)
    endangered: str = ""


def judge_way(f: Facts) -> Finding:
    """Whether this node can still report when the Elastic IP moves."""
    independent = {service: how for service, ip in f.peers.items() if (how := _independent(ip))}
    if len(independent) == len(f.peers):
        how = " and ".join(sorted(set(independent.values())))
        return ok(CHECK, f"{how}, whoever holds the Elastic IP")
    public = {ip: private for i in f.interfaces for ip, private in i.public.items()}
    if not public:
        return ok(CHECK, "without a public address of this node: by a NAT gateway or an endpoint")
    if "events" in independent:
        text = f"EventBridge {independent['events']}, whoever holds the Elastic IP; DynamoDB's name"
        text += " is public, and whether its gateway endpoint is there cannot be seen from here"
        todo = "look at the subnet's route table: it needs a route to a DynamoDB gateway endpoint"
        return note(CHECK, text, todo)
    used = f.own.get(f.source, "")
    if used and used != f.endangered:
        return ok(CHECK, f"by {used}, an Elastic IP of its own that no move takes away")
    return _taken_away(f, public)


def judge_own(f: Facts) -> Finding | None:
    """Tells of an Elastic IP of the node's own that a move would throw off."""
    if not f.endangered:
        return None
    text = f"a move to this node would throw {f.endangered} off, which is none of the cluster's"
    todo = "move it to another private address of this node, or take it off"
    return failure("Own Elastic IP", text, todo)


def _taken_away(f: Facts, public: Mapping[str, str]) -> Finding:
    """The way is by a public IPv4 address that a move takes away."""
    own = ", ".join(sorted(public.keys() - f.elastic))
    text = f"by the public IPv4 address {own}, which EC2 takes away when the Elastic IP comes"
    if not own:
        text = "by the Elastic IP, which the next move takes away"
    why = _no_new_address(f, public)
    if why:
        return failure(CHECK, f"{text}; AWS gives it no new one afterwards, since {why}", _ADVICE)
    text += "; another one comes only minutes after the Elastic IP has left, and until then this"
    return warning(CHECK, f"{text} node can neither report nor take over", _ADVICE)


def _no_new_address(f: Facts, public: Mapping[str, str]) -> str:
    """Why EC2 never assigns this node another public address, "" where it does."""
    if len(f.interfaces) > 1:
        return f"the node has {len(f.interfaces)} network interfaces"
    primary = {i.private_ips[0] for i in f.interfaces if i.private_ips}
    secondary = sorted(ip for ip, private in public.items() if private not in primary)
    if secondary:
        return f"{secondary[0]} is on a secondary private address"
    if len(f.elastic) > 1:
        return "the cluster has several Elastic IPs, which are on secondary private addresses"
    return ""


def _independent(peer: str) -> str:
    """How a peer is reached without a public IPv4 address of this node; "" if not."""
    address = ipaddress.ip_address(peer.partition("%")[0])
    if address.version == 6:  # noqa: PLR2004 - the Internet Protocol's
        return "by IPv6"
    return "by endpoints in the VPC" if address.is_private else ""
