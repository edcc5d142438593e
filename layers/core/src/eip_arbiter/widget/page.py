"""The page of the dashboard's widget, from what `board` gathered. Pure; no JavaScript.

CloudWatch turns a `cwdb-action` into a confirmed button of the element before it, and calls the
function that it names with its content:
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/add_custom_widget_dashboard.html
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from eip_arbiter.ports import HistoryLine
from eip_arbiter.widget.markup import Element, element, together

Tone = Literal["good", "warn", "bad", "dim"]

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
.eip .id{white-space:nowrap}
.eip .banner{border:1px solid currentColor;border-radius:6px;padding:6px 10px;margin:0 0 10px}
.eip ul{margin:4px 0;padding-left:18px}
.eip .lines{list-style:none;padding:0}
.eip li{margin:3px 0}
.eip .press{display:inline-block;margin:8px 8px 0 0;padding:9px 14px;border:1px solid var(--ink);
border-radius:6px;color:var(--ink);text-decoration:none;font-weight:600;cursor:pointer}
"""


@dataclass(frozen=True, slots=True)
class Statement:
    """One thing that is said, in the colour of how it is, with its reasons below."""

    tone: Tone
    text: str
    reasons: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class TargetView:
    """A node that an order may send the address to; `follows`: Pacemaker could move it there."""

    name: str
    instance_id: str
    follows: bool


@dataclass(frozen=True, slots=True)
class AddressView:
    """One address: who has it, how it is, whether a failover would work, and where to."""

    resource: str
    public_ip: str
    holder: str
    term: int
    state: Statement
    ready: Statement
    targets: Sequence[TargetView]


@dataclass(frozen=True, slots=True)
class NodeView:
    """One node: its part in each address, what is wrong with it, and what is said else."""

    name: str
    instance_id: str
    parts: Sequence[Statement]
    wrong: Sequence[str]
    said: Sequence[str]


@dataclass(frozen=True, slots=True)
class ClusterView:
    """One cluster, with the last lines of its history; `paused_until_ms` while it is paused."""

    cluster_id: str
    paused_until_ms: int | None
    addresses: Sequence[AddressView]
    nodes: Sequence[NodeView]
    lines: Sequence[HistoryLine]


def ago(ms: int) -> str:
    """An age as people say it: exact enough, and never longer than the eye takes in."""
    seconds = max(0, ms) // 1000
    for unit, length, most in (("s", 1, 120), ("min", 60, 120), ("h", 3600, 48)):
        if seconds // length < most:
            return f"{seconds // length} {unit} ago"
    return f"{seconds // 86_400} days ago"


def _clock(at_ms: int, form: str = "%Y-%m-%d %H:%M:%S UTC") -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime(form)


def page(
    clusters: Sequence[ClusterView], *, left_out: int, dark: bool, operate_arn: str, now_ms: int
) -> str:
    """The whole widget, as of `now_ms`."""
    sections = [_cluster(cluster, operate_arn, now_ms) for cluster in clusters]
    if not sections:
        waiting = "No cluster is known yet: none has reported, or the watch has not looked."
        sections = [element("p", waiting)]
    if left_out:
        more = f"{left_out} more clusters: give the widget the parameter `cluster`."
        sections.append(element("p", more, class_="dim"))
    sections.append(element("p", f"as of {_clock(now_ms)}", class_="dim"))
    theme = "eip cwdb-no-default-styles dark" if dark else "eip cwdb-no-default-styles"
    # The style holds no text but ours.
    return Element(f"<style>{STYLE}</style>") + element("div", *sections, class_=theme)


def _cluster(cluster: ClusterView, operate_arn: str, now_ms: int) -> Element:
    addresses = [_address(cluster.cluster_id, a, operate_arn, now_ms) for a in cluster.addresses]
    lines = [_line(line, now_ms) for line in cluster.lines]
    paused = [] if cluster.paused_until_ms is None else [_banner(cluster.paused_until_ms, now_ms)]
    return element(
        "section",
        element("h2", cluster.cluster_id),
        *paused,
        element("div", *addresses, class_="row"),
        element("h3", "Nodes"),
        element("div", *map(_node, cluster.nodes), class_="row"),
        element("h3", "What happened last"),
        element("ul", *lines, class_="lines")
        if lines
        else element("p", "nothing yet", class_="dim"),
    )


def _banner(until_ms: int, now_ms: int) -> Element:
    """The end of the pause; one on another day has its date."""
    same_day = _clock(until_ms, "%Y-%m-%d") == _clock(now_ms, "%Y-%m-%d")
    until = _clock(until_ms, "%H:%M UTC" if same_day else "%Y-%m-%d %H:%M UTC")
    text = f"paused until {until}: nothing moves but by order; the verb resume ends it"
    return element("div", text, class_="banner warn")


def _said(statement: Statement) -> Element:
    said = element("div", statement.text, class_=statement.tone)
    if not statement.reasons:
        return said
    return together(said, element("ul", *(element("li", why) for why in statement.reasons)))


def _address(cluster_id: str, address: AddressView, operate_arn: str, now_ms: int) -> Element:
    orders = [
        order
        for target in address.targets
        for order in _orders(cluster_id, address, target, now_ms)
    ]
    known = f"resource {address.resource}, term {address.term} (how often it was granted so far)"
    return element(
        "div",
        element("div", f"{address.holder} holds {address.public_ip}", class_="big"),
        _said(address.state),
        element("div", known, class_="dim"),
        _said(address.ready),
        *(_button(label, request, ask, operate_arn) for label, request, ask in orders),
        class_="card",
    )


Offer = tuple[str, dict[str, str], str]


def _orders(cluster_id: str, address: AddressView, target: TargetView, now_ms: int) -> list[Offer]:
    """What may be ordered: the button's words, the request, and the question before it.

    Pressed twice on the same page it is one order, by its request id. That has the page's time, so
    that a button whose order came to nothing is not dead until the next term.
    """
    it, name = f"{address.public_ip} ({address.resource})", target.name
    about = {
        "cluster": cluster_id,
        "resource": address.resource,
        "target": target.instance_id,
    }
    failover = {
        "verb": "failover",
        **about,
        "request_id": f"dashboard-failover-{now_ms // 1000}-{target.instance_id}",
    }
    ask_failover = (
        f"Move {it} from {address.holder} to {name} now? The address moves at once and connections "
        f"to it break; the service follows some seconds later, when Pacemaker has started it on "
        f"{name}. For planned work use the verb switchover, which moves the service first."
    )
    offers: list[Offer] = [(f"Fail over to {name}", failover, ask_failover)]
    if target.follows:
        switchover = {
            "verb": "switchover",
            **about,
            "holder": address.holder,
            "request_id": f"dashboard-switchover-{now_ms // 1000}-{target.instance_id}",
        }
        ask_switchover = (
            f"Switch {it} over from {address.holder} to {name}? Pacemaker stops the service on "
            f"{address.holder} and starts it on {name}, and the address follows: connections to it "
            "break for some seconds. This is for planned work, while both nodes are well."
        )
        offers.insert(0, (f"Switch over to {name}", switchover, ask_switchover))
    return offers


def _button(label: str, request: dict[str, str], confirmation: str, operate_arn: str) -> Element:
    return together(
        element("a", label, class_="press"),
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
    wrong = [element("div", what, class_="bad") for what in node.wrong]
    if not wrong and not any(part.tone == "bad" for part in node.parts):
        wrong = [element("div", "healthy", class_="good")]
    return element(
        "div",
        element("div", node.name, class_="big"),
        *map(_said, node.parts),
        *wrong,
        element("div", ", ".join(node.said), class_="dim"),
        element("div", node.instance_id, class_="dim id"),
        class_="card",
    )


def _line(line: HistoryLine, now_ms: int) -> Element:
    when = f"{ago(now_ms - line.at_ms)}, {_clock(line.at_ms)}"
    about = f"{when}, {line.rule}, {line.resource}, term {line.term}"
    return element("li", line.sentence, element("div", about, class_="dim"))
