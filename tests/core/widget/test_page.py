"""The widget's page from views alone: nothing but known elements, readable in light and dark."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from eip_arbiter.ports import HistoryLine
from eip_arbiter.widget.markup import Element, element, together
from eip_arbiter.widget.page import (
    STYLE,
    AddressView,
    ClusterView,
    NodeView,
    Statement,
    TargetView,
    ago,
    page,
)
from eip_contract.fields import NAME
from hypothesis import given, settings
from hypothesis import strategies as st

ARN = "arn:aws:lambda:eu-central-1:123456789012:function:operate"
NOW_MS = 1_795_352_520_041
TARGET = TargetView("n2", "i-0bbbbbbbbbbbbbbb2", follows=False)
ADDRESS = AddressView(
    resource="eip",
    public_ip="203.0.113.10",
    holder="n1",
    term=7,
    state=Statement("good", "address is in place"),
    ready=Statement("good", "A failover would work now"),
    targets=(TARGET,),
)
RUNS = Statement("good", "runs eip, holds its address")
NODES = (
    NodeView("n1", "i-0aaaaaaaaaaaaaaa1", (RUNS,), (), ("reported 1 s ago",)),
    NodeView("n2", "i-0bbbbbbbbbbbbbbb2", (), ("unhealthy: disk full",), ()),
)
LINE = HistoryLine(1_795_352_400_041, "eip", 7, "grant", "R070", "n1 gets it: n2 was silent")
CLUSTER = ClusterView("web", None, (ADDRESS,), NODES, (LINE,))


class Read(HTMLParser):
    """What a browser would see: elements with their attributes, and text."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " | ".join(self.texts)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def shown(*clusters: ClusterView, left_out: int = 0, dark: bool = False) -> Read:
    return Read(page(clusters, left_out=left_out, dark=dark, operate_arn=ARN, now_ms=NOW_MS))


@settings(max_examples=200, deadline=None)
@given(text=st.text(), attribute=st.text())
def test_a_text_is_never_markup(text: str, attribute: str) -> None:
    read = Read(together(element("b", text, class_=attribute), text))
    assert [tag for tag, _ in read.elements] == ["b"]
    expected = (text * 2).replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    got = "".join(read.texts).replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    assert got == expected
    assert isinstance(element("b"), Element)


def test_says_who_holds_what_and_that_a_failover_would_work() -> None:
    read = shown(CLUSTER)
    assert "n1 holds 203.0.113.10" in read.text
    assert "A failover would work now" in read.text
    assert "n1 gets it: n2 was silent" in read.text
    assert "unhealthy: disk full" in read.text


def test_a_line_says_its_age_and_the_page_says_of_when_it_is() -> None:
    read = shown(CLUSTER)
    assert "2 min ago, 2026-11-22 13:00:00 UTC, R070, eip, term 7" in read.text
    assert "as of 2026-11-22 13:02:00 UTC" in read.text
    assert read.of("ol") == [], "the newest is first, and numbers would say the contrary"


@pytest.mark.parametrize(
    ("ms", "said"),
    [
        (-5, "0 s ago"),
        (119_999, "119 s ago"),
        (120_000, "2 min ago"),
        (7_199_999, "119 min ago"),
        (7_200_000, "2 h ago"),
        (172_799_999, "47 h ago"),
        (172_800_000, "2 days ago"),
    ],
)
def test_an_age_is_said_in_the_unit_that_fits(ms: int, said: str) -> None:
    assert ago(ms) == said


@pytest.mark.parametrize(
    ("until_ms", "said"),
    [(NOW_MS + 3_600_000, "14:02 UTC"), (NOW_MS + 86_400_000, "2026-11-23 13:02 UTC")],
)
def test_a_paused_cluster_says_until_when(until_ms: int, said: str) -> None:
    paused = shown(replace(CLUSTER, paused_until_ms=until_ms))
    assert f"paused until {said}: nothing moves but by order" in paused.text
    assert "paused" not in shown(CLUSTER).text


def test_an_instance_id_stands_on_a_line_that_does_not_break() -> None:
    markup = page((CLUSTER,), left_out=0, dark=False, operate_arn=ARN, now_ms=NOW_MS)
    assert '<div class="dim id">i-0aaaaaaaaaaaaaaa1</div>' in markup
    assert ".eip .id{white-space:nowrap}" in STYLE


def test_a_node_on_which_the_resource_failed_is_not_called_healthy() -> None:
    failed = replace(NODES[0], parts=(Statement("bad", "eip failed here"),))
    assert "healthy" in shown(replace(CLUSTER, nodes=NODES[:1])).text
    assert "healthy" not in shown(replace(CLUSTER, nodes=(failed,))).text


def test_says_why_a_failover_would_not_work() -> None:
    not_now = Statement("bad", "A failover would not work now", ("a", "b"))
    read = shown(replace(CLUSTER, addresses=(replace(ADDRESS, ready=not_now),)))
    assert "A failover would not work now | a | b" in read.text


def test_a_button_asks_first_and_calls_operate_with_one_order() -> None:
    read = shown(CLUSTER)
    (action,) = read.of("cwdb-action")
    assert action["action"] == "call"
    assert action["endpoint"] == ARN
    assert str(action["confirmation"]).startswith("Move 203.0.113.10 (eip) from n1 to n2 now?")
    assert "the service follows some seconds later" in str(action["confirmation"])
    assert "For planned work use the verb switchover" in str(action["confirmation"])
    request = json.loads(read.texts[read.texts.index("Fail over to n2") + 1])
    assert request == {
        "verb": "failover",
        "cluster": "web",
        "resource": "eip",
        "target": "i-0bbbbbbbbbbbbbbb2",
        "request_id": "dashboard-failover-1795352520-i-0bbbbbbbbbbbbbbb2",
    }
    assert NAME.match(request["request_id"])


def test_planned_work_has_a_button_of_its_own_where_pacemaker_can_follow() -> None:
    follows = replace(ADDRESS, targets=(replace(TARGET, follows=True),))
    read = shown(replace(CLUSTER, addresses=(follows,)))
    planned, _now = read.of("cwdb-action")
    assert str(planned["confirmation"]).startswith("Switch 203.0.113.10 (eip) over from n1 to n2?")
    request = json.loads(read.texts[read.texts.index("Switch over to n2") + 1])
    assert request == {
        "verb": "switchover",
        "cluster": "web",
        "resource": "eip",
        "holder": "n1",
        "target": "i-0bbbbbbbbbbbbbbb2",
        "request_id": "dashboard-switchover-1795352520-i-0bbbbbbbbbbbbbbb2",
    }
    assert NAME.match(request["request_id"])


def test_a_page_without_a_cluster_and_one_with_too_many_say_so() -> None:
    assert "No cluster is known yet" in shown().text
    assert "3 more clusters" in shown(CLUSTER, left_out=3).text


def test_there_is_no_script_and_no_address_of_elsewhere() -> None:
    read = shown(CLUSTER, dark=True)
    known = {"style", "div", "section", "h2", "h3", "p", "ol", "ul", "li", "a", "cwdb-action"}
    assert {tag for tag, _ in read.elements} <= known
    for _, attributes in read.elements:
        assert attributes.keys() <= {"class", "action", "display", "confirmation", "endpoint"}


def palette(theme: str) -> dict[str, str]:
    (block,) = re.findall(rf"^\.{re.escape(theme)}{{([^}}]*)", STYLE, re.MULTILINE)
    return dict(re.findall(r"--(\w+):(#[0-9a-f]{3,6})", block))


def luminance(colour: str) -> float:
    """https://www.w3.org/TR/WCAG21/#dfn-relative-luminance."""
    digits = colour[1:] if len(colour) == 7 else "".join(digit * 2 for digit in colour[1:])
    channels = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(part * of for part, of in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize(
    ("theme", "ink"),
    list(itertools.product(("eip", "eip.dark"), ("ink", "dim", "good", "warn", "bad"))),
)
def test_every_colour_can_be_read_in_light_and_dark(theme: str, ink: str) -> None:
    colours = palette(theme)
    one, other = sorted((luminance(colours[ink]), luminance(colours["back"])))
    assert (other + 0.05) / (one + 0.05) >= 4.5
