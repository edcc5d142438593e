"""What is on a node's disk before it boots: Corosync's configuration and Pacemaker's first CIB."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import quoteattr

from lab.cluster.network import ring_address

if TYPE_CHECKING:
    from collections.abc import Mapping

CLASSIC_PROPERTIES: Mapping[str, str] = {
    "stonith-enabled": "false",
    "no-quorum-policy": "ignore",
    "dc-deadtime": "2s",  # Pacemaker's 20 s would be nearly all of a cold start
}
"""The cluster properties of the classic two-node set-up that this project is for."""

CLASSIC_DEFAULTS: Mapping[str, str] = {"resource-stickiness": "INFINITY"}

TWO_NODES = 2


def corosync_conf(nodes: Mapping[str, int], token_ms: int) -> str:
    """Write corosync.conf for nodes by their numbers; `consensus` stays at its 1.2 x token."""
    two_node = "  two_node: 1\n" if len(nodes) == TWO_NODES else ""
    members = "".join(
        f"  node {{\n    name: {name}\n    nodeid: {number}\n"
        f"    ring0_addr: {ring_address(number)}\n  }}\n"
        for name, number in nodes.items()
    )
    return f"""totem {{
  version: 2
  cluster_name: eip-arbiter-lab
  transport: knet
  crypto_cipher: none
  crypto_hash: none
  token: {token_ms}
}}
# Containers and small virtual machines may refuse what these three would ask for.
system {{
  sched_rr: no
  move_to_root_cgroup: no
  allow_knet_handle_fallback: yes
}}
logging {{
  to_stderr: no
  to_syslog: no
  to_logfile: yes
  logfile: /var/log/corosync/corosync.log
  timestamp: hires
}}
quorum {{
  provider: corosync_votequorum
{two_node}}}
nodelist {{
{members}}}
"""


def first_cib(properties: Mapping[str, str], defaults: Mapping[str, str]) -> str:
    """Write the CIB that every node boots with; Pacemaker upgrades and completes it itself."""
    return (
        '<cib crm_feature_set="3.16.1" validate-with="pacemaker-3.9" admin_epoch="0" epoch="1"'
        ' num_updates="0"><configuration><crm_config>'
        f'<cluster_property_set id="cib-bootstrap-options">{_pairs("option", properties)}'
        "</cluster_property_set></crm_config><nodes/><resources/><constraints/><rsc_defaults>"
        f'<meta_attributes id="build-resource-defaults">{_pairs("default", defaults)}'
        "</meta_attributes></rsc_defaults></configuration><status/></cib>\n"
    )


def _pairs(kind: str, values: Mapping[str, str]) -> str:
    return "".join(
        f"<nvpair id={quoteattr(f'{kind}-{name}')} name={quoteattr(name)}"
        f" value={quoteattr(value)}/>"
        for name, value in values.items()
    )
