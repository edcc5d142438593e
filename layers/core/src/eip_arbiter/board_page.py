"""The page of the dashboard's widget, from what `board` gathered. Pure; no JavaScript.

CloudWatch turns a `cwdb-action` into a confirmed button of the element before it, and calls the
function that it names with its content:
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/add_custom_widget_dashboard.html
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from eip_arbiter.inspecting import HistoryLine, moment
from eip_arbiter.markup import Element, element, together

Tone = Literal["good", "warn", "bad"]

STYLE = """
.eip{--ink:#16191f;--dim:#545b64;--line:#d5dbdb;--back:#fff;--good:#1d6b2c;--warn:#8a5a00;
--bad:#b0150b;font:15px/1.45 system-ui,sans-serif;color:var(--ink);background:var(--back);
padding:8px;overflow-wrap:anywhere}
.eip.dark{--ink:#e9ebed;--dim:#a2aab3;--line:#414d5c;--back:#0f1b2a;--good:#5fc873;--warn:#e8b64c;
--bad:#ff8a80}
.eip h2{font-size:19px;margin:4px 0 8px;color:var(--ink)}
.eip h3{font-size:13px;margin:14px 0 4px;color:var(--dim);font-weight:600}
.eip section{border-top:1px solid var(--line);padding:8px 0 14px}
.eip .row{display:flex;flex-wrap:wrap;gap:10px}
.eip .card{flex:1 1 230px;border:1px solid var(--line);border-radius:8px;padding:10px}
.eip .big{font-size:18px;font-weight:600}
.eip .dim{color:var(--dim);font-size:13px}
.eip .good,.eip .warn,.eip .bad{font-weight:600}
.eip .good{color:var(--good)}.eip .warn{color:var(--warn)}.eip .bad{color:var(--bad)}
.eip ul,.eip ol{margin:4px 0;padding-left:18px}
.eip li{margin:3px 0}
.eip .press{display:inline-block;margin:8px 8px 0 0;padding:9px 14px;border:1px solid var(--ink);
border-radius:6px;color:var(--ink);text-decoration:none;font-weight:600;cursor:pointer}
"""


@dataclass(frozen=True, slots=True)
class AddressView:
    """One address; `targets` are the other nodes: name, instance id, why it is unfit or None."""

    resource: str
    public_ip: str
    holder: str
    term: int
    tone: Tone
    state: str
    problems: Sequence[str]
    targets: Sequence[tuple[str, str, str | None]]


@dataclass(frozen=True, slots=True)
class NodeView:
    """One node: the resources whose addresses it holds, what is wrong, and what is said else."""

    name: str
    instance_id: str
    holds: Sequence[str]
    wrong: Sequence[str]
    said: Sequence[str]


@dataclass(frozen=True, slots=True)
class ClusterView:
    """One cluster, with the last lines of its history."""

    cluster_id: str
    addresses: Sequence[AddressView]
    nodes: Sequence[NodeView]
    lines: Sequence[HistoryLine]


def page(clusters: Sequence[ClusterView], *, left_out: int, dark: bool, operate_arn: str) -> str:
    """The whole widget."""
    sections = [_cluster(cluster, operate_arn) for cluster in clusters]
    if not sections:
        waiting = "No cluster is known yet: none has reported, or the watch has not looked."
        sections = [element("p", waiting)]
    if left_out:
        more = f"{left_out} more clusters: give the widget the parameter `cluster`."
        sections.append(element("p", more, class_="dim"))
    theme = "eip cwdb-no-default-styles dark" if dark else "eip cwdb-no-default-styles"
    # The style holds no text but ours.
    return Element(f"<style>{STYLE}</style>") + element("div", *sections, class_=theme)


def _cluster(cluster: ClusterView, operate_arn: str) -> Element:
    addresses = [_address(cluster.cluster_id, a, operate_arn) for a in cluster.addresses]
    lines = [_line(line) for line in cluster.lines]
    return element(
        "section",
        element("h2", cluster.cluster_id),
        element("div", *addresses, class_="row"),
        element("h3", "Nodes"),
        element("div", *map(_node, cluster.nodes), class_="row"),
        element("h3", "What happened last"),
        element("ol", *lines) if lines else element("p", "nothing yet", class_="dim"),
    )


def _address(cluster_id: str, address: AddressView, operate_arn: str) -> Element:
    if address.problems:
        items = [element("li", problem) for problem in address.problems]
        ready = together(
            element("div", "A failover would not work now", class_="bad"), element("ul", *items)
        )
    else:
        ready = element("div", "A failover would work now", class_="good")
    buttons = [
        _button(cluster_id, address, name, instance_id, operate_arn)
        for name, instance_id, unfit in address.targets
        if unfit is None
    ]
    return element(
        "div",
        element("div", f"{address.holder} holds {address.public_ip}", class_="big"),
        element("div", address.state, class_=address.tone),
        element("div", f"resource {address.resource}, term {address.term}", class_="dim"),
        ready,
        *buttons,
        class_="card",
    )


def _button(
    cluster_id: str, address: AddressView, name: str, instance_id: str, operate_arn: str
) -> Element:
    """A confirmed failover. Pressed twice on the same page it is one order, by its request id."""
    request = {
        "verb": "failover",
        "cluster": cluster_id,
        "resource": address.resource,
        "target": instance_id,
        "request_id": f"dashboard-{address.term}-{instance_id}",
    }
    it = f"{address.public_ip} ({address.resource})"
    confirmation = (
        f"Move {it} from {address.holder} to {name} now? Connections to it break, and Pacemaker is "
        "asked to follow."
    )
    return together(
        element("a", f"Fail over to {name}", class_="press"),
        element(
            "cwdb-action",
            json.dumps(request),
            action="call",
            display="popup",
            confirmation=confirmation,
            endpoint=operate_arn,
        ),
    )


def _node(node: NodeView) -> Element:
    role = f"holds {', '.join(node.holds)}" if node.holds else "stands by"
    wrong = [element("div", what, class_="bad") for what in node.wrong]
    return element(
        "div",
        element("div", node.name, class_="big"),
        element("div", role),
        *(wrong or [element("div", "healthy", class_="good")]),
        element("div", ", ".join([*node.said, node.instance_id]), class_="dim"),
        class_="card",
    )


def _line(line: HistoryLine) -> Element:
    when = f"{moment(line.at_ms)}, {line.rule}, {line.resource}, term {line.term}"
    return element("li", line.sentence, element("div", when, class_="dim"))
